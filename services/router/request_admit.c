/*
 * router/request_admit.c - who may come in, and who is told why not; see request.h. Never starts work for somebody who is refused.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/copy.h"
#include "base/hex.h"
#include "base/log.h"
#include "router/cache_key.h"
#include "router/request.h"

#define BUDGET_MAX_MS      86400000U
#define RETRY_AFTER_MS     1000
#define DECODE_SLACK_BYTES (4U << 20)
#define NAME_MAX_BYTES     256 /* of a caller or tenant */
#define DEFAULT_TENANT     "default"

/* What the router says in place of a caller that may not say it. */
struct identity {
	char id_hex[33];
	char rpc_name[NET_NAME_MAX + 8];
};

static void
refuse(struct router *router, const struct caller *caller, enum refused why, struct im_err *err)
{
	router->refused[why]++;
	if (why != REFUSED_INVALID && why != REFUSED_MODEL && why != REFUSED_OVERSIZE &&
	    err->retry_after_ms == 0) {
		err->retry_after_ms = RETRY_AFTER_MS;
	}
	log_debug("request refused", LOG_STR("event.reason", err->reason),
		  LOG_STR("error.message", err->text));
	router_caller_fail(caller, "", err);
}

static uint32_t
budget_of(const struct router *router, const struct served_request *in)
{
	uint32_t budget_ms = in->budget_ms == 0 ? router->set.request_ms : in->budget_ms;

	return budget_ms < BUDGET_MAX_MS ? budget_ms : BUDGET_MAX_MS;
}

/* May its answer come from a generation that is shared? As what is cached; a caller who wants no other's answer has his own. */
static bool
may_share(const struct router *router, const struct generate_request *req, double max_temperature)
{
	return router->set.coalesce && !req->cache_no_cache && cache_wanted(req, max_temperature);
}

/* Is there a generation that it can follow, so that it needs no worker? */
static bool
can_follow(const struct router *router, const struct model *m, const struct generate_request *req,
	   double max_temperature)
{
	uint8_t key[CACHE_KEY_BYTES];

	return may_share(router, req, max_temperature) &&
	       cache_key_make(req, req->tenant, m->digest, key) &&
	       router_request_may_follow(router, key, req->stream);
}

/* If it has to wait: may it? REFUSED_COUNT: yes. */
static enum refused
check_queue(const struct router *router, const struct model *m, const struct served_request *in,
	    const struct generate_request *req, double max_temperature, struct im_err *err)
{
	uint64_t now_ms = clock_mono_ms();

	if (queue_admits(&router->queue, &m->waiting, queue_class_of(in->priority),
			 now_ms + budget_of(router, in), now_ms, err) == IM_OK) {
		return REFUSED_COUNT;
	}
	if ((!queue_line_blocks(&m->waiting) && workers_any_room(m)) ||
	    can_follow(router, m, req, max_temperature)) {
		return REFUSED_COUNT;
	}
	return strcmp(err->reason, "queue_full") == 0 ? REFUSED_QUEUE : REFUSED_DEADLINE;
}

/* Is there a place for it at all? REFUSED_COUNT: yes. 'routed': another model may stand in for one that is gone. */
static enum refused
check_room(const struct router *router, const struct generate_request *req, bool routed,
	   struct model **ret_model, struct im_err *err)
{
	struct model *m = workers_find_model(&router->workers, req->model);

	if (router->draining) {
		(void)err_reason(err, IM_EUNAVAILABLE, "draining",
				 "the router is being stopped; ask another one");
		return REFUSED_DRAINING;
	}
	if (m == NULL || (m->withdrawn && !routed)) {
		(void)err_reason(err, IM_ENOTFOUND, "model_not_found",
				 "The model `%s` does not exist or you do not have access to it.",
				 req->model);
		return REFUSED_MODEL;
	}
	if (router->running >= router->set.calls_max) {
		(void)err_reason(
		    err, IM_EUNAVAILABLE, "calls_max",
		    "%u requests are under way; try again later or raise router.calls_max",
		    router->running);
		return REFUSED_CALLS;
	}
	if (router->set.audit_mode == AUDIT_FAIL_CLOSED &&
	    !audit_client_available(&router->audit)) {
		(void)err_reason(
		    err, IM_EUNAVAILABLE, "audit_unavailable",
		    "the audit log takes no records at present, so nothing is answered; try again later");
		return REFUSED_AUDIT;
	}
	*ret_model = m;
	return REFUSED_COUNT;
}

/*
 * Who asks. A gateway has authenticated its caller and taken the request's fingerprint; for everybody else the router is
 * the door: what a request says about its own id, input and time is not believed.
 */
static bool
identify(struct generate_request *req, const struct link_peer *peer,
	 const struct served_request *in, struct identity *own)
{
	bool gateway = peer != NULL && strcmp(peer->role, "gateway") == 0;
	uint8_t id[16];

	if (!gateway || req->request_id[0] == '\0') {
		random_bytes(id, sizeof(id));
		hex_encode(id, sizeof(id), own->id_hex);
		req->request_id = own->id_hex;
	}
	if (!gateway || !req->has_input_sha256) {
		if (!sha256_of(in->body, in->body_len, req->input_sha256)) {
			return false;
		}
		req->has_input_sha256 = true;
	}
	if (!gateway || req->received_us == 0) {
		req->received_us = clock_wall_us();
	}
	if (req->caller[0] == '\0') {
		(void)snprintf(own->rpc_name, sizeof(own->rpc_name), "rpc:%s",
			       peer != NULL ? peer->name : "door");
		req->caller = own->rpc_name;
	}
	if (req->tenant[0] == '\0') {
		req->tenant = DEFAULT_TENANT;
	}
	return true;
}

/* The request and the strings that it keeps, in one block. */
static struct request *
request_new(struct router *router, const struct generate_request *req, const char *traceparent)
{
	size_t caller_len = strlen(req->caller) + 1, tenant_len = strlen(req->tenant) + 1;
	size_t trace_len = strlen(traceparent) + 1;
	struct request *r = malloc(sizeof(*r) + caller_len + tenant_len + trace_len);

	if (r == NULL) {
		return NULL;
	}
	memset(r, 0, offsetof(struct request, err));
	err_clear(&r->err);
	memset(&r->pick, 0, offsetof(struct pick, seen));
	r->router = router;
	list_init(&r->held);
	r->caller_name = (char *)(r + 1);
	r->tenant = r->caller_name + caller_len;
	r->traceparent = r->tenant + tenant_len;
	memcpy(r->caller_name, req->caller, caller_len);
	memcpy(r->tenant, req->tenant, tenant_len);
	memcpy(r->traceparent, traceparent, trace_len);
	memcpy(r->id_hex, req->request_id, sizeof(r->id_hex));
	(void)hex_decode(r->id_hex, r->id, sizeof(r->id));
	memcpy(r->input_sha256, req->input_sha256, sizeof(r->input_sha256));
	r->received_us = req->received_us;
	r->begun_us = clock_mono_us();
	return r;
}

struct request *
router_request_copy(const struct request *r)
{
	const struct generate_request names = { .caller = r->caller_name,
						.tenant = r->tenant,
						.request_id = r->id_hex,
						.received_us = r->received_us };
	struct request *copy = request_new(r->router, &names, r->traceparent);

	if (copy == NULL) {
		return NULL;
	}
	memcpy(copy->input_sha256, r->input_sha256, sizeof(copy->input_sha256));
	copy->model = r->model;
	copy->model->users++;
	copy->priority = r->priority;
	copy->waiting.cls = r->waiting.cls;
	copy->waiting.deadline_ms = r->waiting.deadline_ms;
	copy->policy = r->policy;
	copy->policy_rule = r->policy_rule;
	copy->prefix = r->prefix;
	copy->streams = r->streams;
	copy->cacheable = r->cacheable;
	copy->has_key = r->has_key;
	memcpy(copy->key, r->key, sizeof(copy->key));
	memcpy(copy->key_digest, r->key_digest, sizeof(copy->key_digest));
	return copy;
}

static void
deadline_fire(void *arg)
{
	router_request_event(arg, REQUEST_EV_DEADLINE);
}

/* The deadline is a moment away. Who still waits is told now, while the caller listens: that one looks at the clock, too. */
static void
deadline_near(void *arg)
{
	struct request *r = arg;

	/* Armed first: who is told now may still wait for its record, and is gone if it need not. */
	r->deadline.fn = deadline_fire;
	if (loop_timer_set(r->router->loop, &r->deadline, r->st.grace_ms * 1000ULL) != IM_OK) {
		deadline_fire(
		    r); /* cannot happen: the timer that has just fired gave its place back */
		return;
	}
	router_request_overdue(r);
}

/* A gateway's bytes go on as they are; others lack what the door adds, and those of a route name it and not its arm. */
static bool
keep_body(struct request *r, const struct generate_request *req, const struct link_peer *peer,
	  const struct served_request *in, bool routed)
{
	struct buf bytes = BUF_INIT(0);

	if (peer != NULL && strcmp(peer->role, "gateway") == 0 && !routed) {
		buf_append(&bytes, in->body, in->body_len);
	} else {
		generate_request_encode(req, &bytes);
	}
	if (!buf_ok(&bytes)) {
		buf_done(&bytes);
		return false;
	}
	r->body = buf_take(&bytes, &r->body_len);
	return true;
}

static void
choose_policy(struct request *r, const struct generate_request *req, const char *alias)
{
	struct policy_facts facts = { .route = alias != NULL ? alias : req->model,
				      .priority = queue_class_of(r->priority),
				      .max_tokens = req->max_tokens.set ? req->max_tokens.v : 0,
				      .stream = req->stream };

	if (r->router->policies.count > 0) {
		facts.prompt_bytes = prompt_bytes(req);
	}
	r->policy = policy_rules_choose(&r->router->policies, &facts, &r->policy_rule);
	if (r->policy == POLICY_PREFIX_AFFINITY) {
		r->prefix = prompt_prefix(req, req->tenant);
	}
}

/* Everything that can fail for want of memory, before anybody counts on the request. */
static bool
prepare(struct request *r, const struct generate_request *req, const struct caller *caller,
	const struct link_peer *peer, const struct served_request *in, struct model *model,
	const struct route_choice *choice)
{
	struct router *router = r->router;
	uint32_t budget_ms = budget_of(router, in);
	bool lookup, keepable = cache_wanted(req, choice->cache_temperature);

	r->caller = *caller;
	r->priority = in->priority;
	r->model = model;
	model->users++;
	r->max_age_ms = req->cache_max_age_ms;
	r->cacheable = keepable && router->cache.count > 0;
	r->shareable = may_share(router, req, choice->cache_temperature);
	r->streams = req->stream;
	r->has_key = r->cacheable || r->shareable;
	if (r->has_key && !cache_key_make(req, req->tenant, model->digest, r->key)) {
		return false;
	}
	copy_text(r->key_digest, sizeof(r->key_digest), model->digest);
	lookup = r->cacheable && !req->cache_no_cache;
	if (r->shareable && router_request_may_follow(router, r->key, r->streams)) {
		lookup = false; /* what is being made cannot be there yet */
	}
	copy_text(r->cache_word, sizeof(r->cache_word), lookup ? "miss" : "bypass");
	if (!keep_body(r, req, peer, in, choice->route != NULL) ||
	    (!r->shareable && !router_request_answer_reset(r))) {
		return false;
	}
	request_state_init(&r->st, router->set.audit_mode, lookup, router->set.retries,
			   clock_mono_ms(), budget_ms);
	r->deadline = (struct loop_timer){ .fn = deadline_near, .arg = r };
	if (loop_timer_set(router->loop, &r->deadline, (budget_ms - r->st.grace_ms) * 1000ULL) !=
	    IM_OK) {
		return false;
	}
	router_request_keep_arm(r, req, choice);
	choose_policy(r, req, choice->alias);
	r->waiting.cls = queue_class_of(r->priority);
	r->waiting.deadline_ms = r->st.deadline_ms;
	return router_request_record_begin(r);
}

static enum im_rc
check_names(const struct generate_request *req, struct im_err *err)
{
	if (strlen(req->caller) > NAME_MAX_BYTES || strlen(req->tenant) > NAME_MAX_BYTES) {
		return err_reason(err, IM_EINVAL, "invalid_value",
				  "caller and tenant have at most %d bytes", NAME_MAX_BYTES);
	}
	return IM_OK;
}

static enum refused
refused_by_limit(const struct im_err *err)
{
	switch (err->rc) {
	case IM_ELIMIT:
		return REFUSED_LIMIT;
	case IM_EINVAL:
		return REFUSED_OVERSIZE;
	default:
		return REFUSED_LIMITS_AWAY;
	}
}

static void
refuse_memory(struct router *router, const struct caller *caller)
{
	struct im_err err;

	(void)err_set(&err, IM_ENOMEM, "the router is out of memory; try again later");
	refuse(router, caller, REFUSED_MEMORY, &err);
}

static void
admit(struct router *router, const struct caller *caller, const struct link_peer *peer,
      const struct served_request *in, struct generate_request *req, struct identity *own)
{
	struct model *model = NULL;
	struct route_choice choice;
	struct limit_claim claim;
	struct request *r;
	struct im_err err;
	enum refused why = REFUSED_MEMORY;
	bool known = router_request_choose_arm(router, peer, req, &choice) == IM_OK;

	if (known) {
		why = check_room(router, req, choice.route != NULL, &model, &err);
		known = why != REFUSED_COUNT || identify(req, peer, in, own);
	}
	if (known && why == REFUSED_COUNT) {
		why = check_queue(router, model, in, req, choice.cache_temperature, &err);
	}
	if (!known) {
		refuse_memory(router, caller);
		return;
	}
	if (why != REFUSED_COUNT) {
		refuse(router, caller, why, &err);
		return;
	}
	/* Last of all, so that nobody pays for what is refused. */
	if (!limits_admit(&router->limits, req, in->body_len, &claim, &err)) {
		refuse(router, caller, refused_by_limit(&err), &err);
		return;
	}
	r = request_new(router, req, in->traceparent != NULL ? in->traceparent : "");
	if (r == NULL || !prepare(r, req, caller, peer, in, model, &choice)) {
		if (r != NULL) {
			router_request_free(r);
		}
		limits_undo(&router->limits, &claim);
		refuse_memory(router, caller);
		return;
	}
	r->claim = claim;
	router->admitted++;
	retry_budget_request(&router->retry_budget, r->begun_us / 1000);
	router->running++;
	list_push_back(&router->requests, &r->node);
	if (caller->served != NULL) {
		served_accept(caller->served, &router_request_served_ops, r);
	}
	router_request_event(r, REQUEST_EV_ADMIT);
}

void
router_request_admit(struct router *router, const struct caller *caller,
		     const struct link_peer *peer, const struct served_request *in)
{
	struct generate_request req;
	struct identity own;
	struct arena arena;
	struct im_err err;
	enum im_rc rc;

	arena_init(&arena, 2 * in->body_len + DECODE_SLACK_BYTES);
	rc = generate_request_decode(in->body, in->body_len, &arena, &req, &err);
	if (rc == IM_OK) {
		rc = check_names(&req, &err);
	}
	if (rc == IM_OK) {
		admit(router, caller, peer, in, &req, &own);
	} else {
		refuse(router, caller, rc == IM_ENOMEM ? REFUSED_MEMORY : REFUSED_INVALID, &err);
	}
	arena_done(&arena);
}
