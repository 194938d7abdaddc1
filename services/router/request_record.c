/*
 * router/request_record.c - what the audit log is told of a request; see request.h.
 */
#include "router/request.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define RULE_TEXT_MAX 64

static void
request_durable(void *user, enum audit_result result)
{
	struct request *r = user;

	r->record = NULL;
	router_request_event(r, result == AUDIT_DURABLE ? REQUEST_EV_RECORD_DURABLE
							: REQUEST_EV_RECORD_FAILED);
}

static void
terminal_durable(void *user, enum audit_result result)
{
	struct request *r = user;

	r->end_record = NULL;
	router_request_event(r, result == AUDIT_DURABLE ? REQUEST_EV_TERMINAL_DURABLE
							: REQUEST_EV_TERMINAL_FAILED);
}

static void
describe(const struct request *r, struct audit_event *ev)
{
	memset(ev, 0, sizeof(*ev));
	memcpy(ev->request_id, r->id, sizeof(ev->request_id));
	ev->has_request_id = true;
	ev->caller = r->caller_name;
	ev->tenant = r->tenant;
	ev->request_time_us = r->received_us;
	memcpy(ev->input_sha256, r->input_sha256, sizeof(ev->input_sha256));
	ev->has_input = true;
	ev->model = r->model->id;
}

bool
router_request_record_begin(struct request *r)
{
	bool waits = r->router->set.audit_mode == AUDIT_FAIL_CLOSED;
	struct audit_event ev;

	describe(r, &ev);
	ev.kind = RECORD_REQUEST;
	/* An answer that is whole soon needs one sync for both records; one that is read as it comes needs its first earlier. */
	return (r->st.ask_cache || !r->streams ? audit_client_queue : audit_client_submit)(
		   &r->router->audit, &ev, waits ? request_durable : NULL, r,
		   waits ? &r->record : NULL) != AUDIT_NOMEM;
}

uint32_t
router_request_status(const struct request *r)
{
	switch (r->st.ending) {
	case REQUEST_END_OK:
		return (uint32_t)im_rc_http(IM_OK);
	case REQUEST_END_AUDIT:
		return (uint32_t)im_rc_http(IM_EUNAVAILABLE);
	case REQUEST_END_DEADLINE:
		return (uint32_t)im_rc_http(IM_EDEADLINE);
	case REQUEST_END_GONE:
		return (uint32_t)im_rc_http(IM_ECANCELED);
	case REQUEST_END_ERROR:
		break;
	}
	return (uint32_t)im_rc_http(r->err.rc);
}

/* Which rule named the policy, and why that took this worker: "policies[2]: home". */
static const char *
rule_of(const struct request *r, char rule[RULE_TEXT_MAX])
{
	const char *why = pick_reason_text(r->pick.reason);

	if (r->policy_rule < r->router->policies.count) {
		(void)snprintf(rule, RULE_TEXT_MAX, "policies[%zu]: %s", r->policy_rule, why);
	} else {
		(void)snprintf(rule, RULE_TEXT_MAX, "router.policy: %s", why);
	}
	return rule;
}

/* Texts that a record points to. */
struct routing_texts {
	char rule[RULE_TEXT_MAX], fallback[AUDIT_ROUTE_MAX + 1];
};

/* 'doer': who has the worker, see router_request_doer(). */
static void
describe_routing(const struct request *r, const struct request *doer, struct audit_event *ev,
		 struct routing_texts *texts)
{
	const struct pick *pick = &doer->pick;
	struct routing *to = &ev->routing;

	ev->has_routing = true;
	to->attempts = doer->st.attempts;
	to->reason = r->err.reason;
	if (r->st.ending == REQUEST_END_AUDIT) {
		to->reason = "audit_unavailable";
	} else if (r->st.ending == REQUEST_END_DEADLINE) {
		to->reason = "deadline";
	}
	to->fallback = router_request_fallback_text(r, texts->fallback);
	if (r->plan != NULL) {
		to->route = r->plan->spec.model;
		to->arm = r->plan->spec.arms[r->arm].model;
	}
	if (r->fallback == FALLBACK_STATIC) {
		to->policy = "static";
	} else if (r->st.outcome == OUTCOME_CACHE_HIT) {
		to->policy = "cache";
	} else if (pick->seen_count > 0) {
		to->policy = policy_text(pick->policy);
		to->rule = rule_of(doer, texts->rule);
		to->worker = pick->seen[0].name->text;
	}
	for (size_t i = 0; i < pick->seen_count; i++) {
		to->seen[i].worker = pick->seen[i].name->text;
		to->seen[i].in_flight = pick->seen[i].in_flight;
		to->seen[i].weight = pick->seen[i].weight;
		to->seen[i].state = pick->seen[i].state;
		to->seen[i].breaker = pick->seen[i].breaker;
	}
	to->seen_count = pick->seen_count;
	if (r->st.coalesced) {
		to->has_leader = true;
		memcpy(to->leader, doer->id, sizeof(to->leader));
	}
	for (size_t i = 0; i < doer->failed_count && i < AUDIT_FAILED_MAX; i++) {
		to->failed[i].worker = doer->failed[i].worker->text;
		to->failed[i].reason = doer->failed[i].reason;
		to->failed_count++;
	}
	to->has_cache_key = r->has_key;
	memcpy(to->cache_key, r->key, sizeof(to->cache_key));
}

bool
router_request_record_end(struct request *r)
{
	const struct request *doer = router_request_doer(r);
	bool waits = r->router->set.audit_mode == AUDIT_FAIL_CLOSED;
	struct audit_event ev;
	struct routing_texts texts;

	if (r->router->set.audit_mode == AUDIT_OFF) {
		ev = (struct audit_event){ .kind = RECORD_RESPONSE }; /* it is only counted */
		return audit_client_submit(&r->router->audit, &ev, NULL, NULL, NULL) == AUDIT_TAKEN;
	}
	if (!request_state_success(&r->st)) {
		/* The REQUEST record may still be on its way (the caller left): nobody waits for it any more. */
		audit_client_forget(&r->router->audit, r->record);
		r->record = NULL;
	}
	describe(r, &ev);
	ev.kind = RECORD_RESPONSE;
	ev.response_time_us = clock_wall_us();
	ev.model_digest = doer->model_digest;
	ev.outcome = r->st.outcome;
	ev.status_code = router_request_status(r);
	describe_routing(r, doer, &ev, &texts);
	ev.usage = r->usage;
	ev.has_usage = r->has_usage;
	ev.has_output = request_state_success(&r->st) || r->st.delivered;
	if (ev.has_output && !answer_hash_final(doer->hash, ev.output_sha256)) {
		return false;
	}
	return audit_client_submit(&r->router->audit, &ev, waits ? terminal_durable : NULL, r,
				   waits ? &r->end_record : NULL) != AUDIT_NOMEM;
}
