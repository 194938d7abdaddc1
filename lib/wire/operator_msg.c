/*
 * wire/operator_msg.c - the messages of operators; see operator.h.
 */
#include <string.h>

#include "infermesh/v1/router.pb-c.h"
#include "wire/operator.h"
#include "wire/text.h"

/* One route and all that its packed form points to. */
struct route_packed {
	Infermesh__V1__Route m;
	Infermesh__V1__RouteArm arms[ROUTE_ARMS_MAX];
	Infermesh__V1__RouteArm *list[ROUTE_ARMS_MAX];
	const char *fallback[ROUTE_FALLBACKS_MAX];
};

struct status_packed {
	Infermesh__V1__RouteStatus m;
	struct route_packed route;
	Infermesh__V1__RampStatus ramp;
	Infermesh__V1__RampSpec spec;
	Infermesh__V1__RampSide arm, others;
	Infermesh__V1__RouteArm before[ROUTE_ARMS_MAX];
	Infermesh__V1__RouteArm *before_list[ROUTE_ARMS_MAX];
	Infermesh__V1__ArmStatus arms[ROUTE_ARMS_MAX];
	Infermesh__V1__ArmStatus *arm_list[ROUTE_ARMS_MAX];
};

const char *
sticky_text(enum sticky sticky)
{
	static const char *const text[] = { "", "session", "caller", "off" };

	return (unsigned)sticky < sizeof(text) / sizeof(text[0]) ? text[sticky] : "?";
}

const char *
ramp_state_text(enum ramp_state state)
{
	static const char *const text[] = { "", "running", "done", "rolled back", "aborted" };

	return (unsigned)state < sizeof(text) / sizeof(text[0]) ? text[state] : "?";
}

static size_t
at_most(size_t count, size_t max)
{
	return count < max ? count : max;
}

static size_t
arms_out(const struct route_arm *arms, size_t count, Infermesh__V1__RouteArm *room,
	 Infermesh__V1__RouteArm **list)
{
	count = at_most(count, ROUTE_ARMS_MAX);
	for (size_t i = 0; i < count; i++) {
		infermesh__v1__route_arm__init(&room[i]);
		room[i].model = text_out(arms[i].model);
		room[i].weight = arms[i].weight;
		list[i] = &room[i];
	}
	return count;
}

static void
route_out(const struct route_spec *r, struct route_packed *ret)
{
	Infermesh__V1__Route *m = &ret->m;

	infermesh__v1__route__init(m);
	m->model = text_out(r->model);
	m->n_arms = arms_out(r->arms, r->arm_count, ret->arms, ret->list);
	m->arms = ret->list;
	m->sticky = (Infermesh__V1__Sticky)r->sticky;
	m->n_fallback = at_most(r->fallback_count, ROUTE_FALLBACKS_MAX);
	for (size_t i = 0; i < m->n_fallback; i++)
		ret->fallback[i] = r->fallback[i];
	m->fallback = texts_out(ret->fallback);
	m->fallback_answer = text_out(r->answer);
}

static void
spec_out(const struct ramp_spec *s, Infermesh__V1__RampSpec *ret)
{
	infermesh__v1__ramp_spec__init(ret);
	ret->arm = text_out(s->arm);
	ret->step_percent = s->step_percent;
	ret->every_ms = s->every_ms;
	ret->max_error_ppm = s->max_error_ppm;
	ret->max_p99_ms = s->max_p99_ms;
	ret->min_requests = s->min_requests;
}

static void
side_out(const struct ramp_side *s, Infermesh__V1__RampSide *ret)
{
	infermesh__v1__ramp_side__init(ret);
	ret->requests = s->requests;
	ret->failed = s->failed;
	ret->p99_us = s->p99_us;
}

static void
ramp_out(const struct ramp_status *r, struct status_packed *ret)
{
	Infermesh__V1__RampStatus *m = &ret->ramp;

	infermesh__v1__ramp_status__init(m);
	spec_out(&r->spec, &ret->spec);
	side_out(&r->arm, &ret->arm);
	side_out(&r->others, &ret->others);
	m->spec = &ret->spec;
	m->state = (Infermesh__V1__RampState)r->state;
	m->percent = r->percent;
	m->step_ms = r->step_ms;
	m->reason = text_out(r->reason);
	m->arm = &ret->arm;
	m->others = &ret->others;
	m->n_before = arms_out(r->before, r->before_count, ret->before, ret->before_list);
	m->before = ret->before_list;
	ret->m.ramp = m;
}

static void
status_out(const struct route_status *s, struct status_packed *ret)
{
	Infermesh__V1__RouteStatus *m = &ret->m;

	infermesh__v1__route_status__init(m);
	route_out(&s->route, &ret->route);
	m->route = &ret->route.m;
	m->by_operator = s->by_operator;
	m->changed_us = s->changed_us;
	m->actor = text_out(s->actor);
	m->n_arms = at_most(s->arm_count, ROUTE_ARMS_MAX);
	m->arms = ret->arm_list;
	for (size_t i = 0; i < m->n_arms; i++) {
		infermesh__v1__arm_status__init(&ret->arms[i]);
		ret->arms[i].model = text_out(s->arms[i].model);
		ret->arms[i].requests = s->arms[i].requests;
		ret->arms[i].failed = s->arms[i].failed;
		ret->arm_list[i] = &ret->arms[i];
	}
	if (s->has_ramp)
		ramp_out(&s->ramp, ret);
}

/* False without memory. */
static bool
kept_out(const struct route_list *list, struct arena *tmp, Infermesh__V1__ListRoutesReply *m)
{
	size_t count = list->worker_count;
	Infermesh__V1__KeptWorker *kept = arena_calloc(tmp, count + 1, sizeof(*kept));

	m->workers = arena_calloc(tmp, count + 1, sizeof(void *));
	if (kept == NULL || m->workers == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		infermesh__v1__kept_worker__init(&kept[i]);
		kept[i].worker = text_out(list->workers[i].worker);
		kept[i].draining = list->workers[i].draining;
		kept[i].weight = list->workers[i].weight;
		m->workers[i] = &kept[i];
	}
	m->n_workers = count;
	return true;
}

void
route_list_encode(const struct route_list *list, struct buf *out)
{
	Infermesh__V1__ListRoutesReply m = INFERMESH__V1__LIST_ROUTES_REPLY__INIT;
	struct arena tmp = { 0 };
	struct status_packed *routes = arena_calloc(&tmp, list->count + 1, sizeof(*routes));
	Infermesh__V1__RouteStatus **refs = arena_calloc(&tmp, list->count + 1, sizeof(void *));

	if (routes != NULL && refs != NULL && kept_out(list, &tmp, &m)) {
		for (size_t i = 0; i < list->count; i++) {
			status_out(&list->routes[i], &routes[i]);
			refs[i] = &routes[i].m;
		}
		m.n_routes = list->count;
		m.routes = refs;
		wire_pack(&m.base, out);
	} else {
		out->failed = true;
	}
	arena_done(&tmp);
}

static enum im_rc
arms_in(Infermesh__V1__RouteArm **list, size_t count, struct route_arm *ret, size_t *ret_count,
	struct im_err *err)
{
	if (count > ROUTE_ARMS_MAX)
		return err_set(err, IM_EINVAL, "arms: %zu, allowed are at most %d", count,
			       ROUTE_ARMS_MAX);
	for (size_t i = 0; i < count; i++)
		ret[i] = (struct route_arm){ list[i]->model, list[i]->weight };
	*ret_count = count;
	return IM_OK;
}

/* 'whole': it must be a route; else it says what of a route is to change, and the limits of its parts hold. */
static enum im_rc
route_in(const Infermesh__V1__Route *m, bool whole, struct route_spec *ret, struct im_err *err)
{
	enum im_rc rc;

	*ret = (struct route_spec){ .model = "", .answer = "" };
	if (m == NULL)
		return err_set(err, IM_EINVAL, "route: missing");
	ret->model = m->model;
	ret->answer = m->fallback_answer;
	ret->sticky = (enum sticky)m->sticky;
	if ((unsigned)m->sticky > STICKY_OFF)
		return err_set(err, IM_EINVAL, "sticky: %d is none", (int)m->sticky);
	if (m->n_fallback > ROUTE_FALLBACKS_MAX)
		return err_set(err, IM_EINVAL, "fallback: %zu, allowed are at most %d",
			       m->n_fallback, ROUTE_FALLBACKS_MAX);
	for (size_t i = 0; i < m->n_fallback; i++)
		ret->fallback[i] = m->fallback[i];
	ret->fallback_count = m->n_fallback;
	rc = arms_in(m->arms, m->n_arms, ret->arms, &ret->arm_count, err);
	if (rc == IM_OK && whole)
		rc = route_spec_check(ret, err);
	return rc;
}

static struct ramp_spec
spec_in(const Infermesh__V1__RampSpec *m)
{
	if (m == NULL)
		return (struct ramp_spec){ .arm = "" };
	return (struct ramp_spec){ m->arm,           m->step_percent, m->every_ms,
				   m->max_error_ppm, m->max_p99_ms,   m->min_requests };
}

static struct ramp_side
side_in(const Infermesh__V1__RampSide *m)
{
	if (m == NULL)
		return (struct ramp_side){ 0 };
	return (struct ramp_side){ m->requests, m->failed, m->p99_us };
}

static enum im_rc
ramp_in(const Infermesh__V1__RampStatus *m, struct ramp_status *ret, struct im_err *err)
{
	enum im_rc rc;

	ret->spec = spec_in(m->spec);
	ret->state = (enum ramp_state)m->state;
	ret->percent = m->percent;
	ret->step_ms = m->step_ms;
	ret->reason = m->reason;
	ret->arm = side_in(m->arm);
	ret->others = side_in(m->others);
	if ((unsigned)m->state > RAMP_ABORTED || m->percent > 100 ||
	    strlen(m->reason) > ROUTE_REASON_MAX)
		return err_set(err, IM_EINVAL, "ramp: no state, or a part beyond its limit");
	rc = arms_in(m->before, m->n_before, ret->before, &ret->before_count, err);
	if (rc == IM_OK)
		rc = ramp_spec_check(&ret->spec, err);
	return rc;
}

static enum im_rc
status_in(const Infermesh__V1__RouteStatus *m, struct route_status *ret, struct im_err *err)
{
	enum im_rc rc = route_in(m->route, true, &ret->route, err);

	if (rc == IM_OK && m->n_arms > ROUTE_ARMS_MAX)
		rc = err_set(err, IM_EINVAL, "arms: more than %d", ROUTE_ARMS_MAX);
	if (rc != IM_OK)
		return rc;
	ret->by_operator = m->by_operator;
	ret->changed_us = m->changed_us;
	ret->actor = m->actor;
	ret->arm_count = m->n_arms;
	for (size_t i = 0; i < m->n_arms; i++)
		ret->arms[i] = (struct arm_status){ m->arms[i]->model, m->arms[i]->requests,
						    m->arms[i]->failed };
	ret->ramp = (struct ramp_status){ .spec = { .arm = "" }, .reason = "" };
	ret->has_ramp = m->ramp != NULL;
	return ret->has_ramp ? ramp_in(m->ramp, &ret->ramp, err) : IM_OK;
}

static enum im_rc
kept_in(const Infermesh__V1__ListRoutesReply *m, struct arena *arena, struct route_list *ret,
	struct im_err *err)
{
	struct kept_worker *kept;

	if (m->n_workers > KEPT_WORKERS_MAX)
		return err_set(err, IM_EINVAL, "workers: %zu, allowed are at most %d", m->n_workers,
			       KEPT_WORKERS_MAX);
	kept = arena_calloc(arena, m->n_workers + 1, sizeof(*kept));
	if (kept == NULL)
		return err_set(err, IM_ENOMEM, "a message needs more memory than allowed");
	for (size_t i = 0; i < m->n_workers; i++) {
		const Infermesh__V1__KeptWorker *k = m->workers[i];

		if (k->weight > ROUTE_WEIGHT_MAX)
			return err_set(err, IM_EINVAL,
				       "workers[%zu]: weight: %u, allowed are 0 to %d", i,
				       k->weight, ROUTE_WEIGHT_MAX);
		kept[i] = (struct kept_worker){ k->worker, k->draining, k->weight };
	}
	ret->workers = kept;
	ret->worker_count = m->n_workers;
	return IM_OK;
}

enum im_rc
route_list_decode(const uint8_t *buf, size_t len, struct arena *arena, struct route_list *ret,
		  struct im_err *err)
{
	const Infermesh__V1__ListRoutesReply *m;
	ProtobufCMessage *msg;
	struct route_status *routes;
	struct route_list list = { 0 };
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__list_routes_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__ListRoutesReply *)msg;
	if (m->n_routes > ROUTES_MAX)
		return err_set(err, IM_EINVAL, "routes: %zu, allowed are at most %d", m->n_routes,
			       ROUTES_MAX);
	routes = arena_calloc(arena, m->n_routes + 1, sizeof(*routes));
	if (routes == NULL)
		return err_set(err, IM_ENOMEM, "a message needs more memory than allowed");
	for (size_t i = 0; i < m->n_routes && rc == IM_OK; i++) {
		rc = status_in(m->routes[i], &routes[i], err);
		if (rc != IM_OK)
			err_prefix(err, "routes[%zu]", i);
	}
	if (rc == IM_OK)
		rc = kept_in(m, arena, &list, err);
	if (rc == IM_OK) {
		list.routes = routes;
		list.count = m->n_routes;
		*ret = list;
	}
	return rc;
}

void
set_route_encode(const struct set_route *s, struct buf *out)
{
	Infermesh__V1__SetRouteRequest m = INFERMESH__V1__SET_ROUTE_REQUEST__INIT;
	struct route_packed route;

	route_out(&s->route, &route);
	m.route = &route.m;
	m.reset = s->reset;
	m.set_fallback = s->set_fallback;
	m.set_answer = s->set_answer;
	wire_pack(&m.base, out);
}

enum im_rc
set_route_decode(const uint8_t *buf, size_t len, struct arena *arena, struct set_route *ret,
		 struct im_err *err)
{
	const Infermesh__V1__SetRouteRequest *m;
	struct set_route out;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__set_route_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__SetRouteRequest *)msg;
	rc = route_in(m->route, false, &out.route, err);
	out.reset = m->reset;
	out.set_fallback = m->set_fallback;
	out.set_answer = m->set_answer;
	if (rc == IM_OK)
		*ret = out;
	return rc;
}

void
ramp_route_encode(const struct ramp_route *r, struct buf *out)
{
	Infermesh__V1__RampRouteRequest m = INFERMESH__V1__RAMP_ROUTE_REQUEST__INIT;
	Infermesh__V1__RampSpec spec;

	spec_out(&r->spec, &spec);
	m.model = text_out(r->model);
	m.spec = &spec;
	m.abort = r->abort;
	wire_pack(&m.base, out);
}

enum im_rc
ramp_route_decode(const uint8_t *buf, size_t len, struct arena *arena, struct ramp_route *ret,
		  struct im_err *err)
{
	const Infermesh__V1__RampRouteRequest *m;
	ProtobufCMessage *msg;
	struct ramp_route out;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__ramp_route_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__RampRouteRequest *)msg;
	out = (struct ramp_route){ m->model, spec_in(m->spec), m->abort };
	if (!out.abort)
		rc = ramp_spec_check(&out.spec, err);
	if (rc == IM_OK)
		*ret = out;
	return rc;
}

void
set_worker_encode(const struct set_worker *s, struct buf *out)
{
	Infermesh__V1__SetWorkerRequest m = INFERMESH__V1__SET_WORKER_REQUEST__INIT;

	m.worker = text_out(s->worker);
	m.change = (Infermesh__V1__WorkerChange)s->change;
	m.weight = s->weight;
	wire_pack(&m.base, out);
}

enum im_rc
set_worker_decode(const uint8_t *buf, size_t len, struct arena *arena, struct set_worker *ret,
		  struct im_err *err)
{
	const Infermesh__V1__SetWorkerRequest *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__set_worker_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__SetWorkerRequest *)msg;
	if ((unsigned)m->change < WORKER_CHANGE_DRAIN || (unsigned)m->change > WORKER_CHANGE_WEIGHT)
		return err_set(err, IM_EINVAL, "change: allowed are drain, undrain and weight");
	if (m->weight > ROUTE_WEIGHT_MAX)
		return err_set(err, IM_EINVAL, "weight: %u, allowed are 1 to %d, and 0 to reset it",
			       m->weight, ROUTE_WEIGHT_MAX);
	*ret = (struct set_worker){ m->worker, (enum worker_change)m->change, m->weight };
	return IM_OK;
}
