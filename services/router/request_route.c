/*
 * router/request_route.c - which model a request means when it asks for a route, and what answers when that model cannot; see
 * request.h and route_plan.h. Never picks a worker.
 *
 * A request falls back when no worker of its model is usable, or when all attempts have failed; never after a part of the
 * answer was told, and for one that streams never after its head was: that says who answers. So for a route that has
 * fallbacks the head waits for the first part of the answer (request_state.late).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "router/request.h"

#define NAMES_SLACK_BYTES (4U << 20)

/* Who a request counts as for its route. */
static uint64_t
key_of(struct router *router, const struct route_plan *plan, const struct link_peer *peer,
       const struct generate_request *req)
{
	const char *caller = req->caller[0] != '\0' ? req->caller
			     : peer != NULL         ? peer->name
						    : "door";

	switch (plan->spec.sticky) {
	case STICKY_SESSION:
		if (req->session[0] != '\0') {
			return route_plan_key(plan, 's', req->tenant, req->session);
		}
		if (req->user[0] != '\0') {
			return route_plan_key(plan, 'u', req->tenant, req->user);
		}
		return route_plan_key(plan, 'c', req->tenant, caller);
	case STICKY_CALLER:
		return route_plan_key(plan, 'c', req->tenant, caller);
	case STICKY_OFF:
	case STICKY_UNSAID:
		break;
	}
	return prng_next(&router->workers.prng);
}

enum im_rc
router_request_choose_arm(struct router *router, const struct link_peer *peer,
			  struct generate_request *req, struct route_choice *ret)
{
	struct route *route = route_table_find(&router->routes.table, req->model);

	*ret = (struct route_choice){
		.route = route,
		.cache_temperature = cache_rules_of(&router->cache_rules, req->model),
	};
	if (route == NULL) {
		return IM_OK;
	}
	ret->alias = route->plan->spec.model;
	ret->arm = route_plan_choose(route->plan, key_of(router, route->plan, peer, req));
	req->model = route->plan->spec.arms[ret->arm].model;
	return workers_want_model(&router->workers, req->model, clock_mono_ms()) != NULL
		   ? IM_OK
		   : IM_ENOMEM;
}

static bool
has_fallback(const struct request *r)
{
	return r->plan != NULL &&
	       (r->plan->spec.fallback_count > 0 || r->plan->spec.answer[0] != '\0');
}

void
router_request_keep_arm(struct request *r, const struct generate_request *req,
			const struct route_choice *choice)
{
	if (choice->route == NULL) {
		return;
	}
	r->plan = choice->route->plan;
	route_plan_ref(r->plan);
	r->arm = choice->arm;
	choice->route->counts[r->arm].requests++;
	/* Vectors of another model, or words, are no answer to who compares vectors. */
	r->st.late = req->operation != OPERATION_EMBEDDING && has_fallback(r);
}

/* The next model that could answer: its place in the list, or its length if there is none. */
static size_t
next_model(const struct request *r, struct model **ret)
{
	struct workers *ws = &r->router->workers;
	uint64_t now_ms = clock_mono_ms();
	size_t at = r->fallback_next;

	for (; at < r->plan->spec.fallback_count; at++) {
		struct model *m = workers_find_model(ws, r->plan->spec.fallback[at]);
		struct im_err outage;

		if (m != NULL && m != r->model && workers_any_usable(ws, m, NULL, 0) &&
		    !workers_outage(m, now_ms, &outage)) {
			*ret = m;
			break;
		}
	}
	return at;
}

bool
router_request_falls_back(struct request *r)
{
	struct model *m;

	r->not_here = true; /* a generation has no route, but who follows it may */
	if (!r->st.late || r->fallback == FALLBACK_STATIC || r->st.delivered || r->body == NULL ||
	    (r->st.opened && r->caller.kind == CALLER_STREAM)) {
		return false;
	}
	if (next_model(r, &m) == r->plan->spec.fallback_count && r->plan->spec.answer[0] == '\0') {
		return false;
	}
	r->falling = true;
	router_request_event(r, REQUEST_EV_FALL_BACK);
	return true;
}

/* Read the request again: it was forgotten when it was admitted. */
static bool
read_body(const struct request *r, struct arena *arena, struct generate_request *ret)
{
	arena_init(arena, 2 * r->body_len + NAMES_SLACK_BYTES);
	return generate_request_decode(r->body, r->body_len, arena, ret, NULL) == IM_OK;
}

/* Let its bytes ask for 'model'. */
static bool
rename_body(struct request *r, const char *model)
{
	struct generate_request req;
	struct buf bytes = BUF_INIT(0);
	struct arena arena;
	bool ok = read_body(r, &arena, &req);

	if (ok) {
		req.model = model;
		generate_request_encode(&req, &bytes);
		ok = buf_ok(&bytes);
	}
	if (ok) {
		free(r->body);
		r->body = buf_take(&bytes, &r->body_len);
	}
	buf_done(&bytes);
	arena_done(&arena);
	return ok;
}

static bool
answer_static(struct request *r)
{
	struct generate_request req;
	struct arena arena;
	bool ok =
	    read_body(r, &arena, &req) &&
	    router_request_answer_static(r, r->plan->spec.answer, generate_choices(&req)) == IM_OK;

	arena_done(&arena);
	return ok;
}

/* What it failed at was the generation's; now it is its own. */
static void
leave_generation(struct request *r)
{
	const struct request *doer = router_request_doer(r);

	for (size_t i = 0; doer != r && i < doer->failed_count; i++) {
		if (r->failed_count < WORKERS_TRIED_MAX) {
			r->failed[r->failed_count++] = doer->failed[i];
			workers_name_ref(doer->failed[i].worker);
		}
	}
	router_request_forget_shared(r);
	r->shareable = false;
}

static void
go_to(struct request *r, struct model *m)
{
	r->model->users--;
	r->model = m;
	r->model->users++;
	r->fallback = FALLBACK_MODEL;
	r->tried_count = 0;
	r->st.retries_left = r->router->set.retries;
}

bool
router_request_switch(struct request *r)
{
	struct model *m = NULL;
	size_t at = next_model(r, &m);
	bool ok;

	r->falling = false;
	leave_generation(r);
	/* Its key stands for the arm, and nobody else's answer is kept under it. */
	r->cacheable = r->has_key = false;
	r->fallback_next = at + 1;
	r->again_after = IM_OK;
	if (m == NULL) {
		ok = answer_static(r);
		r->fallback = FALLBACK_STATIC;
		r->model_digest[0] = '\0';
	} else {
		ok = rename_body(r, m->id);
		go_to(r, m);
	}
	log_info("request falls back", LOG_STR("http.request.id", r->id_hex),
		 LOG_STR("infermesh.route", r->plan->spec.model),
		 LOG_STR("gen_ai.request.model", m != NULL ? m->id : "static"),
		 LOG_STR("error.message", r->err.text));
	if (!ok) {
		(void)err_set(&r->err, IM_ENOMEM, "the router is out of memory; try again later");
		router_request_event(r, REQUEST_EV_FAILED);
	} else if (m == NULL) {
		router_request_event(r, REQUEST_EV_STATIC);
	}
	return ok && m != NULL;
}

const char *
router_request_fallback_text(const struct request *r, char room[AUDIT_ROUTE_MAX + 1])
{
	if (r->fallback == FALLBACK_MODEL) {
		(void)snprintf(room, AUDIT_ROUTE_MAX + 1, "model:%s", r->model->id);
		return room;
	}
	return r->fallback == FALLBACK_STATIC ? "static" : "";
}

void
router_request_count_arm(const struct request *r)
{
	uint32_t status = router_request_status(r);
	bool failed = r->fallback != FALLBACK_NONE || status >= 500 || status == 429;

	if (r->plan == NULL || r->st.outcome == OUTCOME_CACHE_HIT ||
	    r->st.outcome == OUTCOME_CANCELLED || r->st.ending == REQUEST_END_AUDIT) {
		return;
	}
	route_table_count(&r->router->routes.table, r->plan->spec.model,
			  r->plan->spec.arms[r->arm].model, failed, clock_mono_us() - r->begun_us);
}
