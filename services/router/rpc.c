/*
 * router/rpc.c - the methods that are answered at once: Announce, ListModels, Status. Never touches a request.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "router/core.h"
#include "router/request.h"

#define ANNOUNCE_ARENA_BYTES (4U << 20)

static void
end_with(struct served *served, const struct buf *bytes)
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
		struct audit_event ev = { .kind = RECORD_MODEL_LOAD,
					  .request_time_us = clock_wall_us(),
					  .model = m->id,
					  .model_digest = m->digest,
					  .has_routing = true,
					  .routing = {
					      .worker = a->worker, .policy = "", .reason = "" } };

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

static int
by_id(const void *a, const void *b)
{
	return strcmp(((const struct model_info *)a)->id, ((const struct model_info *)b)->id);
}

void
router_list_models(const struct router *router, struct served *served)
{
	struct buf bytes = BUF_INIT(0);
	struct model_list list = { 0 };

	list.models = calloc(router->workers.model_count + 1, sizeof(*list.models));
	for (size_t i = 0; list.models != NULL && i < WORKERS_BUCKETS; i++) {
		LIST_FOREACH (&router->workers.buckets[i], m, struct model, node) {
			if (!list_empty(&m->serving)) {
				list.models[list.count++] =
				    (struct model_info){ .id = m->id,
							 .owned_by = m->owned_by,
							 .digest = m->digest,
							 .created = m->created,
							 .context_tokens = m->context_tokens };
			}
		}
	}
	if (list.models != NULL) {
		qsort(list.models, list.count, sizeof(*list.models), by_id);
		model_list_encode(&list, &bytes);
	} else {
		bytes.failed = true;
	}
	end_with(served, &bytes);
	buf_done(&bytes);
	free(list.models);
}

static bool
fill_worker(const struct worker *w, struct arena *arena, struct worker_status *s)
{
	*s = (struct worker_status){ .name = w->name->text,
				     .backend = w->backend,
				     .state = workers_state(w),
				     .slots = w->slots,
				     .load = w->load,
				     .dispatched = w->dispatched,
				     .succeeded = w->succeeded,
				     .failed = w->failed };
	s->models = arena_calloc(arena, w->model_count + 1, sizeof(*s->models));
	if (s->models == NULL) {
		return false;
	}
	for (size_t i = 0; i < w->model_count; i++) {
		s->models[s->model_count++] = w->models[i].model->id;
	}
	return true;
}

static uint64_t
refused_sum(const struct router *router)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < REFUSED_COUNT; i++) {
		sum += router->refused[i];
	}
	return sum;
}

void
router_status(const struct router *router, struct served *served)
{
	struct buf bytes = BUF_INIT(0);
	struct arena arena;
	bool ok;
	struct router_status s = { .name = router->name,
				   .version = INFERMESH_VERSION,
				   .audit = audit_client_state(&router->audit),
				   .cache = cache_client_state(&router->cache),
				   .uptime_ms = clock_mono_ms() - router->started_ms,
				   .draining = router->draining,
				   .calls =
				       (uint32_t)(router->admitted - router->audit.terminals_done),
				   .queued = router->queue.count,
				   .slots = workers_slots(&router->workers),
				   .records_pending = router->audit.pending,
				   .admitted = router->admitted,
				   .ended = router->audit.terminals_done,
				   .refused = refused_sum(router),
				   .records_dropped = router->audit.dropped };

	arena_init(&arena, 0);
	s.workers = arena_calloc(&arena, router->workers.count + 1, sizeof(*s.workers));
	ok = s.workers != NULL;
	LIST_FOREACH (&router->workers.all, w, struct worker, node) {
		if (ok && (!w->retired || w->slots > 0)) {
			ok = fill_worker(w, &arena, &s.workers[s.worker_count++]);
		}
	}
	if (ok) {
		router_status_encode(&s, &bytes);
	}
	bytes.failed = bytes.failed || !ok;
	end_with(served, &bytes);
	buf_done(&bytes);
	arena_done(&arena);
}
