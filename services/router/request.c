/*
 * router/request.c - events and actions of a request, and its end; see request.h.
 */
#include "router/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"

#define NO_MEMORY "the router is out of memory; try again later"

static void
reply_with(const struct caller *caller, const struct generate_reply *reply)
{
	struct buf bytes = BUF_INIT(0);
	struct im_err err;

	generate_reply_encode(reply, &bytes);
	if (caller->kind == CALLER_DOOR) {
		door_reply(caller->door, bytes.data, buf_ok(&bytes) ? bytes.len : 0);
	} else if (buf_ok(&bytes)) {
		served_end(caller->served, NULL, bytes.data, bytes.len);
	} else {
		(void)err_set(&err, IM_ENOMEM, NO_MEMORY);
		served_end(caller->served, &err, NULL, 0);
	}
	buf_done(&bytes);
}

void
router_caller_fail(const struct caller *caller, const char *request_id, const struct im_err *err)
{
	struct generate_reply reply = { .failed = true, .err = *err, .request_id = request_id };

	if (caller->kind == CALLER_DOOR) {
		reply_with(caller, &reply);
	} else {
		served_end(caller->served, err, NULL, 0);
	}
}

static void
end_well(struct request *r)
{
	char fallback[AUDIT_ROUTE_MAX + 1];
	struct generate_reply reply = { .request_id = r->id_hex,
					.model = r->model->id,
					.cache = r->cache_word,
					.fallback = router_request_fallback_text(r, fallback),
					.limits = r->claim.rates };
	struct generate_end end = { .usage = r->usage, .has_usage = r->has_usage };
	struct buf bytes = BUF_INIT(0);
	struct arena arena;
	struct im_err err;

	if (r->caller.kind == CALLER_STREAM) {
		generate_end_encode(&end, &bytes);
		if (buf_ok(&bytes)) {
			served_end(r->caller.served, NULL, bytes.data, bytes.len);
		} else {
			(void)err_set(&err, IM_ENOMEM, NO_MEMORY);
			served_end(r->caller.served, &err, NULL, 0);
		}
		buf_done(&bytes);
		return;
	}
	arena_init(&arena, 0);
	reply.usage = r->usage;
	if (router_answer_choices(router_request_doer(r)->answer, &arena, &reply)) {
		reply_with(&r->caller, &reply);
	} else {
		(void)err_set(&err, IM_ENOMEM, NO_MEMORY);
		router_caller_fail(&r->caller, r->id_hex, &err);
	}
	arena_done(&arena);
}

static void
count_end(struct request *r)
{
	struct router *router = r->router;
	uint64_t total_us = clock_mono_us() - r->begun_us;
	uint64_t elsewhere_us = r->waited_us + r->worker_us;
	const struct pick *pick = &router_request_doer(r)->pick;

	if (request_state_success(&r->st)) {
		histogram_add(&router->overhead, total_us > elsewhere_us
						     ? (double)(total_us - elsewhere_us) / 1e6
						     : 0);
	}
	log_debug("request ended", LOG_STR("http.request.id", r->id_hex),
		  LOG_STR("gen_ai.request.model", r->model->id),
		  LOG_STR("event.outcome", outcome_text(r->st.outcome)),
		  LOG_UINT("event.duration", total_us * 1000),
		  LOG_UINT("http.response.status_code", router_request_status(r)),
		  LOG_STR("infermesh.cache", r->cache_word),
		  LOG_STR("infermesh.worker", pick->seen_count > 0 ? pick->seen[0].name->text : ""),
		  LOG_UINT("infermesh.attempts", r->st.attempts),
		  LOG_STR("error.message", r->st.ending == REQUEST_END_ERROR ? r->err.text : ""));
}

static void
end_caller(struct request *r)
{
	struct im_err err;

	if (r->caller.kind == CALLER_FOLLOWERS) {
		return; /* they hear of it when it is over */
	}
	count_end(r);
	router_request_count_arm(r);
	if (r->st.ending == REQUEST_END_OK) {
		end_well(r);
		return;
	}
	err = r->err;
	switch (r->st.ending) {
	case REQUEST_END_AUDIT:
		(void)err_reason(
		    &err, IM_EUNAVAILABLE, "audit_unavailable",
		    "the audit log took no record of this request in time; try again later");
		err.retry_after_ms = 1000;
		break;
	case REQUEST_END_DEADLINE:
		(void)err_reason(&err, IM_EDEADLINE, "upstream_timeout",
				 "the answer was not complete by the request's deadline");
		break;
	case REQUEST_END_GONE:
		(void)err_set(&err, IM_ECANCELED, "the caller left");
		break;
	case REQUEST_END_OK:
	case REQUEST_END_ERROR:
		break;
	}
	err.rates = r->claim.rates;
	router_caller_fail(&r->caller, r->id_hex, &err);
}

/* What its answer cost, for the limits: what the worker said; else what came of it, with the prompt, and for one that was given
 * up by its own side at least the prompt. What a cache or nobody answered is free. */
static uint64_t
tokens_used(const struct request *r)
{
	bool given_up = r->st.ending == REQUEST_END_GONE || r->st.ending == REQUEST_END_DEADLINE;

	/* Who follows a generation does not pay for it, unless it fell back to an answer of its own. */
	if (r->st.attempts == 0 || r->follower.generation != NULL) {
		return 0;
	}
	if (r->has_usage) {
		return limits_believe(&r->router->limits, &r->claim, &r->usage,
				      r->model->context_tokens);
	}
	return r->claim.seen_tokens > 0 || given_up ? r->claim.prompt_tokens + r->claim.seen_tokens
						    : 0;
}

static void
drop_attempt(struct request *r)
{
	router_request_drop_held(r, false);
	if (r->caller.kind == CALLER_FOLLOWERS) {
		generation_restart(&r->generation);
	}
	if (!router_request_answer_reset(r)) {
		(void)err_set(&r->err, IM_ENOMEM, NO_MEMORY);
		router_request_event(r, REQUEST_EV_FAILED);
	}
}

static void
record_end(struct request *r)
{
	bool counts = r->caller.kind != CALLER_FOLLOWERS;
	bool taken = !counts || router_request_record_end(r);

	limits_settle(&r->router->limits, &r->claim, tokens_used(r));
	if (taken) {
		r->router->outcomes[r->st.outcome] += counts;
		router_request_fill_cache(r);
	} else {
		r->router->hold_off = true;
	}
	router_request_event(r, taken ? REQUEST_EV_TERMINAL_TAKEN : REQUEST_EV_TERMINAL_NOMEM);
}

static void
leave(struct request *r)
{
	r->waited_us += r->waiting.line != NULL ? clock_mono_us() - r->part_us : 0;
	queue_leave(&r->router->queue, &r->waiting);
}

static void
stop_cache(struct request *r)
{
	if (r->cache_call != NULL) {
		call_cancel(r->cache_call);
		r->cache_call = NULL;
	}
}

static void
free_later(struct request *r)
{
	r->over = true;
}

/* In the order of the actions. */
static void (*const performers[])(struct request *) = { stop_cache,
							leave,
							router_request_leave_shared,
							router_request_cancel_worker,
							router_request_free_slot,
							drop_attempt,
							router_request_ask_cache,
							router_request_find_worker,
							router_request_dispatch,
							router_request_open,
							router_request_flush,
							record_end,
							end_caller,
							free_later };

void
router_request_event(struct request *r, enum request_event ev)
{
	uint64_t now_ms;

	assert(r->event_count <
	       REQUEST_EVENTS_MAX); /* a step answers with a handful of events at most */
	r->events[r->event_count++] = ev;
	if (r->driving) {
		return; /* an action came back with it: after the present one */
	}
	r->driving = true;
	now_ms = clock_mono_ms(); /* for all that comes of it: an action takes microseconds */
	while (r->event_count > 0) {
		enum request_event next = r->events[0];
		unsigned actions;

		r->event_count--;
		memmove(&r->events[0], &r->events[1], r->event_count * sizeof(r->events[0]));
		actions = request_step(&r->st, next, now_ms);
		for (size_t i = 0; i < sizeof(performers) / sizeof(performers[0]); i++) {
			if ((actions & (1U << i)) != 0) {
				performers[i](r);
			}
		}
	}
	r->driving = false;
	if (r->over && r->caller.kind == CALLER_FOLLOWERS) {
		router_request_shared_over(r);
	} else if (r->over) {
		r->router->running--;
		router_request_free(r);
	}
}

void
router_request_free(struct request *r)
{
	struct router *router = r->router;

	router_request_forget_shared(r);
	list_remove(&r->node);
	loop_timer_cancel(router->loop, &r->deadline);
	audit_client_forget(&router->audit, r->record);
	audit_client_forget(&router->audit, r->end_record);
	limits_settle(&router->limits, &r->claim, tokens_used(r)); /* if it was cut off */
	router_request_drop_held(r, true);
	answer_hash_free(r->hash);
	router_answer_free(r->answer);
	workers_pick_done(&r->pick);
	for (size_t i = 0; i < r->failed_count; i++) {
		workers_name_unref(r->failed[i].worker);
	}
	if (r->model != NULL) {
		r->model->users--;
	}
	route_plan_unref(r->plan);
	free(r->body);
	free(r);
}

static void
say_stops(struct im_err *err)
{
	(void)err_reason(err, IM_EUNAVAILABLE, "draining",
			 "the router was stopped before the answer was complete; try again");
}

void
router_request_cut(struct request *r)
{
	say_stops(&r->err);
	router_request_event(r, REQUEST_EV_FAILED);
}

void
router_request_abort(struct request *r)
{
	struct router *router = r->router;
	struct im_err err;

	say_stops(&err);
	stop_cache(r);
	leave(r);
	router_request_cancel_worker(r);
	if (r->worker != NULL) {
		router_request_free_slot(r);
	}
	if (r->caller.kind == CALLER_FOLLOWERS) {
		r->over = true;
		router_request_shared_over(r);
		return;
	}
	if (!r->st.ended) {
		router_caller_fail(&r->caller, r->id_hex, &err);
	}
	router->running--;
	router_request_free(r);
}

static void
caller_writable(void *user, struct served *served)
{
	(void)served;
	router_request_event(user, REQUEST_EV_TICK);
}

static void
caller_cancelled(void *user, struct served *served)
{
	(void)served;
	router_request_event(user, REQUEST_EV_CANCEL);
}

const struct served_ops router_request_served_ops = { .writable = caller_writable,
						      .cancelled = caller_cancelled };
