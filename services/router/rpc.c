/*
 * router/rpc.c - the methods that are answered at once: Announce, Report and ListModels. Never touches a request.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "router/core.h"
#include "router/request.h"

#define ANNOUNCE_ARENA_BYTES (4U << 20)

void
router_end_with(struct served *served, const struct buf *bytes)
{
	struct im_err err;

	if (buf_ok(bytes)) {
		served_end(served, NULL, bytes->data, bytes->len);
		return;
	}
	(void)err_set(&err, IM_ENOMEM, "the router is out of memory; try again later");
	served_end(served, &err, NULL, 0);
}

/* Tell the log which weights are in use from now on, and the audit log too. */
static void
record_loads(struct router *router, const struct announced *what, const struct announce *a)
{
	for (size_t i = 0; i < what->fresh_count; i++) {
		const struct model_info *m = &a->models[what->fresh[i]];
		struct audit_event ev = {
			.kind = what->reloaded[i] ? RECORD_MODEL_RELOAD : RECORD_MODEL_LOAD,
			.request_time_us = clock_wall_us(),
			.model = m->id,
			.model_digest = m->digest,
			.has_routing = true,
			.routing = { .worker = a->worker, .policy = "", .reason = "" }
		};

		(void)audit_client_submit(&router->audit, &ev, NULL, NULL, NULL);
	}
}

static void
log_announced(const struct announced *what, const struct announce *a)
{
	if (what->replaced != NULL && what->replaced->link != NULL) {
		log_warn("worker replaced: another process took its name",
			 LOG_STR("worker.name", a->worker));
	}
	if (what->joined) {
		log_info("worker joined", LOG_STR("worker.name", a->worker),
			 LOG_STR("worker.backend", a->backend),
			 LOG_UINT("worker.models", a->model_count),
			 LOG_UINT("worker.capacity", a->load.capacity));
	} else if (what->models_changed) {
		log_info("worker changed its models", LOG_STR("worker.name", a->worker),
			 LOG_UINT("worker.models", a->model_count));
	}
}

static enum im_rc
take_announce(struct router *router, struct peer *peer, const struct announce *a,
	      struct im_err *err)
{
	const struct link_peer *who = link_peer(peer->link);
	struct announced what;
	enum im_rc rc;

	if (strcmp(who->role, "inference") != 0) {
		return err_set(err, IM_EPERM, "only workers announce models; this is a %s",
			       who->role);
	}
	rc = workers_announce(&router->workers, peer->link, who->instance, peer->worker, a,
			      clock_mono_ms(), &what, err);
	if (rc != IM_OK) {
		return rc;
	}
	peer->worker = what.worker;
	log_announced(&what, a);
	record_loads(router, &what, a);
	router_pump(router, what.worker);
	return IM_OK;
}

void
router_announce(struct router *router, struct peer *peer, struct served *served,
		const struct served_request *req)
{
	struct announce a;
	struct arena arena;
	struct im_err err;
	enum im_rc rc;

	arena_init(&arena, ANNOUNCE_ARENA_BYTES + 2 * req->body_len);
	rc = announce_decode(req->body, req->body_len, &arena, &a, &err);
	if (rc == IM_OK) {
		rc = take_announce(router, peer, &a, &err);
	}
	if (rc == IM_OK) {
		served_end(served, NULL, NULL, 0);
	} else {
		log_debug("announcement refused", LOG_STR("error.message", err.text));
		served_end(served, &err, NULL, 0);
	}
	arena_done(&arena);
}

void
router_report(struct router *router, struct peer *peer, struct served *served,
	      const struct served_request *req)
{
	struct load load = { 0 };
	struct im_err err;
	enum im_rc rc = report_decode(req->body, req->body_len, &load, &err);

	if (rc == IM_OK && peer->worker != NULL) {
		workers_heard(peer->worker);
		workers_report(peer->worker, &load);
		router_pump(router, peer->worker);
		served_end(served, NULL, NULL, 0);
		return;
	}
	if (rc == IM_OK) {
		(void)err_set(&err, IM_EINVAL, "a worker announces itself before it reports");
	}
	log_debug("report refused", LOG_STR("error.message", err.text));
	served_end(served, &err, NULL, 0);
}

static int
by_id(const void *a, const void *b)
{
	return strcmp(((const struct model_info *)a)->id, ((const struct model_info *)b)->id);
}

/* A model as it is announced. */
static struct model_info
info_of(const struct model *m)
{
	return (struct model_info){ .id = m->id,
				    .owned_by = m->owned_by,
				    .digest = m->digest,
				    .created = m->created,
				    .context_tokens = m->context_tokens };
}

static bool
is_served(const struct model *m)
{
	return m != NULL && !list_empty(&m->serving);
}

/* An alias: it can be asked for when somebody can answer. False: nobody can, or it is the name of a model, which is listed. */
static bool
info_of_route(const struct router *router, const struct route_spec *r, struct model_info *ret)
{
	bool any = r->answer[0] != '\0';

	*ret = (struct model_info){ .id = r->model, .owned_by = "infermesh", .digest = "" };
	for (size_t i = 0; i < r->arm_count; i++) {
		const struct model *m = r->arms[i].weight > 0
					    ? workers_find_model(&router->workers, r->arms[i].model)
					    : NULL;

		if (!is_served(m)) {
			continue;
		}
		any = true;
		ret->created = m->created > ret->created ? m->created : ret->created;
		if (ret->context_tokens == 0 || m->context_tokens < ret->context_tokens) {
			ret->context_tokens = m->context_tokens; /* what every arm can read */
		}
	}
	for (size_t i = 0; i < r->fallback_count; i++) {
		any = any || is_served(workers_find_model(&router->workers, r->fallback[i]));
	}
	return any && !is_served(workers_find_model(&router->workers, r->model));
}

void
router_list_models(const struct router *router, struct served *served)
{
	struct buf bytes = BUF_INIT(0);
	struct model_list list = { 0 };

	list.models = calloc(router->workers.model_count + router->routes.table.count + 1,
			     sizeof(*list.models));
	for (size_t i = 0; list.models != NULL && i < WORKERS_BUCKETS; i++) {
		LIST_FOREACH (&router->workers.buckets[i], m, struct model, node) {
			if (is_served(m)) {
				list.models[list.count++] = info_of(m);
			}
		}
	}
	for (size_t i = 0; list.models != NULL && i < ROUTE_BUCKETS; i++) {
		LIST_FOREACH (&router->routes.table.buckets[i], r, struct route, node) {
			if (info_of_route(router, &r->plan->spec, &list.models[list.count])) {
				list.count++;
			}
		}
	}
	if (list.models != NULL) {
		qsort(list.models, list.count, sizeof(*list.models), by_id);
		model_list_encode(&list, &bytes);
	} else {
		bytes.failed = true;
	}
	router_end_with(served, &bytes);
	buf_done(&bytes);
	free(list.models);
}
