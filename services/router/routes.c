/*
 * router/routes.c - see routes.h.
 */
#include "router/routes.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "daemon/config_routes.h"
#include "router/core.h"

#define TENANT "operators" /* whose pseudonym an operator has in the audit log */

/* An operator's change on its way to being durable. */
struct change {
	struct list node;
	struct state_waiter waiter;
	struct router *router;
	struct served *served;
	unsigned pending;            /* of what it waits for; 0: answer */
	struct audit_record *record; /* that it waits for */
	bool failed;
	struct im_err err;
	struct buf reply;
};

static void
change_step(struct change *c)
{
	if (--c->pending > 0) {
		return;
	}
	if (c->served != NULL) {
		served_end(c->served, c->failed ? &c->err : NULL, c->reply.data, c->reply.len);
	}
	list_remove(&c->node);
	buf_done(&c->reply);
	free(c);
}

static void
change_fails(struct change *c, const char *text)
{
	if (!c->failed) {
		c->failed = true;
		(void)err_set(&c->err, IM_EUNAVAILABLE, "the change holds, but %s", text);
	}
}

static void
saved(struct state_waiter *w, const struct im_err *err)
{
	struct change *c = CONTAINER_OF(w, struct change, waiter);

	if (err != NULL) {
		char why[256];

		(void)snprintf(why, sizeof(why), "will not survive a restart: %.180s", err->text);
		log_error("routes cannot be kept", LOG_STR("error.message", err->text));
		change_fails(c, why);
	}
	change_step(c);
}

static void
recorded(void *user, enum audit_result result)
{
	struct change *c = user;

	c->record = NULL;
	if (result != AUDIT_DURABLE) {
		change_fails(c,
			     "the audit log has not taken its record in time; it goes on trying");
	}
	change_step(c);
}

static void
change_cancelled(void *user, struct served *served)
{
	(void)user; /* what is under way ends, and served_end() then says nothing */
	(void)served;
}

/* Write the record; 'c', if there is one, waits for it. */
static void
record_change(struct router *router, const struct route_change *what, struct change *c)
{
	struct audit_event ev = {
		.kind = RECORD_ROUTE_CHANGE,
		.caller = what->actor,
		.tenant = TENANT,
		.request_time_us = clock_wall_us(),
		.has_routing = true,
		.routing = { .worker = what->worker, .route = what->route, .reason = what->what }
	};
	bool waits = c != NULL && router->set.audit_mode == AUDIT_FAIL_CLOSED;

	ev.has_config_digest =
	    buf_ok(what->now) && sha256_of(what->now->data, what->now->len, ev.config_digest);
	switch (audit_client_submit(&router->audit, &ev, waits ? recorded : NULL, c,
				    waits ? &c->record : NULL)) {
	case AUDIT_TAKEN:
		if (waits) {
			c->pending++;
		}
		break;
	case AUDIT_DROPPED: /* a GAP record will tell */
		break;
	case AUDIT_NOMEM:
		if (c != NULL) {
			change_fails(c, "the router has no memory for its audit record");
		}
		break;
	}
}

/* What operators said of workers, gone or not. False without memory. */
static bool
list_workers(const struct workers *ws, struct arena *arena, struct route_list *ret)
{
	ret->workers = arena_calloc(arena, ws->count + 1, sizeof(*ret->workers));
	if (ret->workers == NULL) {
		return false;
	}
	LIST_FOREACH (&ws->all, w, struct worker, node) {
		if (!w->retired && (w->health.operator_draining || w->operator_weight != 0)) {
			ret->workers[ret->worker_count++] =
			    (struct kept_worker){ w->name->text, w->health.operator_draining,
						  w->operator_weight };
		}
	}
	return true;
}

static void
keep(struct router *router, struct change *c)
{
	struct route_list list;
	struct buf bytes = BUF_INIT(0);
	struct arena arena;

	if (!router->routes.kept) {
		return;
	}
	arena_init(&arena, 0);
	if (route_table_list(&router->routes.table, true, clock_mono_ms(), &arena, &list) &&
	    list_workers(&router->workers, &arena, &list)) {
		route_list_encode(&list, &bytes);
	} else {
		bytes.failed = true;
	}
	arena_done(&arena);
	if (buf_ok(&bytes)) {
		if (c != NULL) {
			c->pending++;
			c->waiter.done = saved;
		}
		state_file_save(&router->routes.file, bytes.data, bytes.len,
				c != NULL ? &c->waiter : NULL);
	} else if (c != NULL) {
		change_fails(c, "will not survive a restart: the router is out of memory");
	}
	buf_done(&bytes);
}

void
routes_changed(struct router *router, const struct route_change *what, struct served *served,
	       const struct buf *reply)
{
	static const struct served_ops ops = { .cancelled = change_cancelled };
	struct change *c = calloc(1, sizeof(*c));
	struct im_err err;

	log_info("route changed",
		 LOG_STR("infermesh.route", what->route != NULL ? what->route : ""),
		 LOG_STR("worker.name", what->worker != NULL ? what->worker : ""),
		 LOG_STR("event.action", what->what), LOG_STR("user.name", what->actor));
	if (c != NULL) {
		c->router = router;
		c->served = served;
		buf_append(&c->reply, reply->data, reply->len);
		c->reply.failed = c->reply.failed || reply->failed;
		list_push_back(&router->routes.changes, &c->node);
		c->pending = 1; /* for this function: nothing ends before all has begun */
	} else if (served != NULL) {
		(void)err_set(&err, IM_ENOMEM, "the change holds; the router is out of memory");
		served_end(served, &err, NULL, 0);
	}
	record_change(router, what, c);
	keep(router, c);
	if (c == NULL) {
		return;
	}
	if (served != NULL) {
		served_accept(served, &ops, c);
	}
	if (!buf_ok(&c->reply)) {
		change_fails(c, "the router is out of memory");
	}
	change_step(c);
}

bool
routes_show(const struct route *route, uint64_t now_ms, bool alone, struct buf *ret)
{
	struct route_status *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		return false;
	}
	if (route != NULL && alone) {
		s->route = route->plan->spec;
	} else if (route != NULL) {
		route_show(route, now_ms, s);
	}
	route_list_encode(&(struct route_list){ .routes = s, .count = route != NULL }, ret);
	free(s);
	return buf_ok(ret);
}

static void
ramp_moved(void *user, struct route *route, const char *what)
{
	struct router *router = user;
	struct buf now = BUF_INIT(0);

	(void)routes_show(route, 0, true, &now); /* without memory the record lacks its digest */
	routes_changed(router,
		       &(struct route_change){ .route = route->plan->spec.model,
					       .what = what,
					       .now = &now,
					       .actor = route->actor },
		       NULL, &(struct buf){ 0 });
	buf_done(&now);
}

void
routes_tick(struct router *router, uint64_t now_ms)
{
	/* In fail-closed mode nothing changes without a record; nobody is admitted meanwhile either. */
	if (router->set.audit_mode == AUDIT_FAIL_CLOSED &&
	    !audit_client_available(&router->audit)) {
		return;
	}
	route_table_tick(&router->routes.table, clock_wall_us(), now_ms, ramp_moved, router);
}

static enum im_rc
load_config(struct routes *routes, const struct config *config, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	for (size_t i = 0; i < config_items(config, "routes") && rc == IM_OK; i++) {
		struct route_spec spec;

		rc = config_route(config, i, &spec, err);
		if (rc == IM_OK) {
			rc = route_table_configure(&routes->table, &spec, err);
		}
	}
	return rc;
}

static enum im_rc
load_kept(struct router *router, struct im_err *err)
{
	struct routes *routes = &router->routes;
	struct buf bytes = BUF_INIT(0);
	struct route_list list = { 0 };
	struct arena arena;
	enum im_rc rc = state_file_read(routes->file.path, &bytes, err);

	arena_init(&arena, STATE_FILE_MAX);
	if (rc == IM_OK) {
		rc = route_list_decode(bytes.data, bytes.len, &arena, &list, err);
	}
	for (size_t i = 0; i < list.count && rc == IM_OK; i++) {
		rc = route_table_import(&routes->table, &list.routes[i], clock_mono_ms(), err);
	}
	for (size_t i = 0; i < list.worker_count && rc == IM_OK; i++) {
		const struct kept_worker *k = &list.workers[i];

		rc = workers_expect(&router->workers, k->worker, k->draining, k->weight,
				    clock_mono_ms(), err);
	}
	if (list.count + list.worker_count > 0 && rc == IM_OK) {
		log_info("routes and workers as operators left them",
			 LOG_UINT("infermesh.routes", list.count),
			 LOG_UINT("infermesh.workers", list.worker_count),
			 LOG_STR("file.path", routes->file.path));
	}
	arena_done(&arena);
	buf_done(&bytes);
	return rc == IM_ENOTFOUND ? IM_OK : rc;
}

static void
file_idle(void *arg)
{
	struct router *router = arg;

	if (router->closing) {
		loop_post(router->loop, &router->stop_task);
	}
}

enum im_rc
routes_start(struct router *router, const struct config *config, struct im_err *err)
{
	struct routes *routes = &router->routes;
	const char *path = config_str(config, "router.routes_file");
	enum im_rc rc;

	route_table_init(&routes->table);
	list_init(&routes->changes);
	routes->kept = strcmp(path, "off") != 0;
	state_file_init(&routes->file, router->loop, path, file_idle, router);
	rc = load_config(routes, config, err);
	if (rc == IM_OK && routes->kept) {
		rc = load_kept(router, err);
	}
	if (rc != IM_OK) {
		route_table_done(&routes->table);
	}
	return rc;
}

void
routes_close(struct router *router)
{
	LIST_FOREACH_SAFE (&router->routes.changes, c, struct change, node) {
		change_fails(c, "the router was stopped before it was durable");
		if (c->served != NULL) {
			served_end(c->served, &c->err, NULL, 0);
			c->served = NULL;
		}
		if (c->record != NULL) {
			audit_client_forget(&router->audit, c->record);
			c->record = NULL;
			change_step(c);
		}
	}
}

bool
routes_closed(const struct router *router)
{
	return !state_file_busy(&router->routes.file);
}

void
routes_done(struct router *router)
{
	route_table_done(&router->routes.table);
	buf_done(&router->routes.file.bytes);
}
