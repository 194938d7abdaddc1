/*
 * router/operator.c - what operators may ask and nobody else: routes, ramps, workers; see routes.h.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/nearest.h"
#include "router/core.h"
#include "router/workers_health.h"
#include "wire/operator.h"

#define ARENA_BYTES (4U << 20)

_Static_assert((ROUTES_MAX + 1) * sizeof(struct route_status) < ARENA_BYTES,
	       "a list of all routes has room");

/* One request of an operator. */
struct asked {
	struct router *router;
	struct served *served;
	char actor[ROUTE_ACTOR_MAX + 1];
	struct arena arena;
};

static void
fail(const struct asked *a, const struct im_err *err)
{
	served_end(a->served, err, NULL, 0);
}

static struct route_actor
actor_of(const struct asked *a)
{
	return (struct route_actor){ a->actor, clock_wall_us(), clock_mono_ms() };
}

/* In fail-closed mode nothing changes without a record. */
static enum im_rc
check_audit(const struct asked *a, struct im_err *err)
{
	if (a->router->set.audit_mode == AUDIT_FAIL_CLOSED &&
	    !audit_client_available(&a->router->audit)) {
		return err_reason(err, IM_EUNAVAILABLE, "audit_unavailable",
				  "the audit log takes no records at present, so nothing may be "
				  "changed; see 'infermesh status'");
	}
	return IM_OK;
}

static void
list_routes(struct asked *a)
{
	struct route_list list;
	struct buf bytes = BUF_INIT(0);
	struct im_err err;

	if (route_table_list(&a->router->routes.table, false, clock_mono_ms(), &a->arena, &list)) {
		route_list_encode(&list, &bytes);
	} else {
		bytes.failed = true;
	}
	if (buf_ok(&bytes)) {
		served_end(a->served, NULL, bytes.data, bytes.len);
	} else {
		(void)err_set(&err, IM_ENOMEM, "the router is out of memory; try again later");
		fail(a, &err);
	}
	buf_done(&bytes);
}

/* The change is made: 'route' is what came of it (NULL: it is gone). */
static void
route_is(struct asked *a, const char *alias, const struct route *route, const char *what)
{
	struct buf now = BUF_INIT(0), reply = BUF_INIT(0);

	(void)routes_show(route, 0, true, &now);
	(void)routes_show(route, clock_mono_ms(), false, &reply);
	routes_changed(
	    a->router,
	    &(struct route_change){ .route = alias, .what = what, .now = &now, .actor = a->actor },
	    a->served, &reply);
	buf_done(&now);
	buf_done(&reply);
}

static void
set_route(struct asked *a, const struct served_request *req)
{
	struct route_actor by = actor_of(a);
	struct route_table *t = &a->router->routes.table;
	struct route *route = NULL;
	struct set_route s;
	struct im_err err;
	enum im_rc rc = set_route_decode(req->body, req->body_len, &a->arena, &s, &err);

	if (rc == IM_OK) {
		rc = check_audit(a, &err);
	}
	if (rc == IM_OK) {
		rc = s.reset ? route_table_reset(t, s.route.model, &by, &route, &err)
			     : route_table_set(t, &s, &by, &route, &err);
	}
	if (rc != IM_OK) {
		fail(a, &err);
	} else {
		route_is(a, s.route.model, route, s.reset ? "reset" : "set");
	}
}

static void
ramp_route(struct asked *a, const struct served_request *req)
{
	struct route_actor by = actor_of(a);
	struct route_table *t = &a->router->routes.table;
	struct route *route = NULL;
	struct ramp_route r;
	struct im_err err;
	char what[64];
	enum im_rc rc = ramp_route_decode(req->body, req->body_len, &a->arena, &r, &err);

	if (rc == IM_OK) {
		rc = check_audit(a, &err);
	}
	if (rc == IM_OK) {
		rc = r.abort ? route_table_abort(t, r.model, &by, &route, &err)
			     : route_table_ramp(t, &r, &by, &route, &err);
	}
	if (rc != IM_OK) {
		fail(a, &err);
		return;
	}
	(void)snprintf(what, sizeof(what), "ramp begun: %u%%", route->ramp->percent);
	route_is(a, r.model, route, r.abort ? "ramp aborted" : what);
}

static void
no_worker(const struct workers *ws, const char *name, struct im_err *err)
{
	const char *best = NULL;
	unsigned best_distance = 4;

	LIST_FOREACH (&ws->all, w, struct worker, node) {
		unsigned d =
		    edit_distance(name, strlen(name), w->name->text, strlen(w->name->text), 3);

		if (!w->retired && d < best_distance) {
			best_distance = d;
			best = w->name->text;
		}
	}
	if (best != NULL) {
		(void)err_reason(err, IM_ENOTFOUND, "worker_not_found",
				 "there is no worker %.63s; did you mean %s?", name, best);
		return;
	}
	(void)err_reason(err, IM_ENOTFOUND, "worker_not_found",
			 "there is no worker %.63s; 'infermesh worker list' shows all", name);
}

static void
apply(struct worker *w, const struct set_worker *s, char *ret_what, size_t cap)
{
	switch (s->change) {
	case WORKER_CHANGE_DRAIN:
	case WORKER_CHANGE_UNDRAIN:
		(void)workers_set_draining(w, s->change == WORKER_CHANGE_DRAIN, clock_mono_ms());
		(void)snprintf(ret_what, cap, "%s",
			       s->change == WORKER_CHANGE_DRAIN ? "drain" : "undrain");
		break;
	case WORKER_CHANGE_WEIGHT:
		workers_set_weight(w, s->weight);
		(void)snprintf(ret_what, cap, s->weight > 0 ? "weight %u" : "weight as announced",
			       s->weight);
		break;
	case WORKER_CHANGE_NONE:
		break;
	}
}

static void
set_worker(struct asked *a, const struct served_request *req)
{
	struct buf now = BUF_INIT(0), reply = BUF_INIT(0);
	struct worker *w = NULL;
	struct worker_status status;
	struct set_worker s;
	struct im_err err;
	char what[64] = "";
	enum im_rc rc = set_worker_decode(req->body, req->body_len, &a->arena, &s, &err);

	if (rc == IM_OK) {
		rc = check_audit(a, &err);
	}
	if (rc == IM_OK) {
		w = workers_by_name(&a->router->workers, s.worker);
		if (w == NULL) {
			no_worker(&a->router->workers, s.worker, &err);
		}
	}
	if (w == NULL) {
		fail(a, &err);
		return;
	}
	apply(w, &s, what, sizeof(what));
	set_worker_encode(&s, &now);
	if (router_worker_status(w, clock_mono_ms(), &a->arena, &status)) {
		worker_status_encode(&status, &reply);
	} else {
		reply.failed = true;
	}
	routes_changed(a->router,
		       &(struct route_change){
			   .worker = w->name->text, .what = what, .now = &now, .actor = a->actor },
		       a->served, &reply);
	router_pump(a->router, w);
	buf_done(&now);
	buf_done(&reply);
}

bool
router_operator_request(struct router *router, const struct link_peer *peer, struct served *served,
			const struct served_request *req)
{
	static const struct {
		const char *method;
		void (*list)(struct asked *a);
		void (*change)(struct asked *a, const struct served_request *req);
	} rows[] = { { METHOD_LIST_ROUTES, list_routes, NULL },
		     { METHOD_SET_ROUTE, NULL, set_route },
		     { METHOD_RAMP_ROUTE, NULL, ramp_route },
		     { METHOD_SET_WORKER, NULL, set_worker } };
	struct asked a = { .router = router, .served = served };
	struct im_err err;
	size_t i = 0;

	while (i < sizeof(rows) / sizeof(rows[0]) && strcmp(rows[i].method, req->method) != 0) {
		i++;
	}
	if (i == sizeof(rows) / sizeof(rows[0])) {
		return false;
	}
	if (strcmp(peer->role, "operator") != 0) {
		(void)err_set(&err, IM_EPERM,
			      "only operators may ask for %s, and this is a %s; use 'infermesh "
			      "route' or 'infermesh worker'",
			      req->method, peer->role);
		fail(&a, &err);
		return true;
	}
	if (peer->has_uid) {
		(void)snprintf(a.actor, sizeof(a.actor), "uid:%u", peer->uid);
	} else {
		(void)snprintf(a.actor, sizeof(a.actor), "operator:%s", peer->name);
	}
	arena_init(&a.arena, ARENA_BYTES + 16 * req->body_len);
	if (rows[i].list != NULL) {
		rows[i].list(&a);
	} else {
		rows[i].change(&a, req);
	}
	arena_done(&a.arena);
	return true;
}
