/*
 * router/status.c - what 'infermesh status' and 'infermesh worker' show: the method Status, and one worker as a message. Changes
 * nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "router/core.h"

static uint32_t
part_of_weight(const struct worker *w)
{
	uint32_t most = 0;

	for (size_t i = 0; i < w->model_count; i++) {
		uint32_t now = workers_weight(&w->models[i]) / POOL_WEIGHT_ONE;

		most = now > most ? now : most;
	}
	return most;
}

static struct model_breaker
breaker_of(const struct breaker *b, uint64_t now_ms)
{
	static const enum seen_breaker state[] = { [BREAKER_CLOSED] = SEEN_BREAKER_CLOSED,
						   [BREAKER_OPEN] = SEEN_BREAKER_OPEN,
						   [BREAKER_HALF_OPEN] = SEEN_BREAKER_HALF_OPEN };

	return (struct model_breaker){ state[b->state], breaker_wait_ms(b, now_ms), b->row };
}

bool
router_worker_status(const struct worker *w, uint64_t now_ms, struct arena *arena,
		     struct worker_status *ret)
{
	struct recent_sum recent;

	recent_sum(w->recent, now_ms, &recent);
	*ret = (struct worker_status){
		.name = w->name->text,
		.backend = w->backend,
		.state = workers_state(w),
		.slots = w->slots,
		.load = w->load,
		.dispatched = w->dispatched,
		.succeeded = w->succeeded,
		.failed = w->failed,
		.weight = w->operator_weight != 0 ? w->operator_weight : w->weight,
		.effective_weight = part_of_weight(w),
		.backup = w->backup,
		.weight_by_operator = w->operator_weight != 0,
		.drained_by_operator = w->health.operator_draining,
		.recent_ms = recent.span_ms,
		.recent_requests = recent.requests,
		.recent_failed = recent.failed,
		.p50_us = recent.p50_us,
		.p99_us = recent.p99_us,
	};
	ret->models = arena_calloc(arena, w->model_count + 1, sizeof(*ret->models));
	ret->breakers = arena_calloc(arena, w->model_count + 1, sizeof(*ret->breakers));
	if (ret->models == NULL || ret->breakers == NULL) {
		return false;
	}
	for (size_t i = 0; i < w->model_count; i++) {
		ret->models[ret->model_count++] = w->models[i].model->id;
		ret->breakers[ret->breaker_count++] = breaker_of(&w->models[i].breaker, now_ms);
	}
	return true;
}

static uint64_t
sum(const uint64_t *counts, size_t len)
{
	uint64_t total = 0;

	for (size_t i = 0; i < len; i++) {
		total += counts[i];
	}
	return total;
}

static bool
fill_workers(const struct router *router, struct arena *arena, struct router_status *s)
{
	uint64_t now_ms = clock_mono_ms();

	s->workers = arena_calloc(arena, router->workers.count + 1, sizeof(*s->workers));
	if (s->workers == NULL) {
		return false;
	}
	LIST_FOREACH (&router->workers.all, w, struct worker, node) {
		if ((!w->retired || w->slots > 0) &&
		    !router_worker_status(w, now_ms, arena, &s->workers[s->worker_count++])) {
			return false;
		}
	}
	return true;
}

static bool
fill_queues(const struct router *router, struct arena *arena, struct router_status *s)
{
	size_t lines = 0;

	LIST_FOREACH (&router->queue.lines, line, struct queue_line, node) {
		lines += line->count > 0;
	}
	s->queues = arena_calloc(arena, lines * QUEUE_CLASSES + 1, sizeof(*s->queues));
	if (s->queues == NULL) {
		return false;
	}
	LIST_FOREACH (&router->queue.lines, line, struct queue_line, node) {
		const struct model *m = CONTAINER_OF(line, struct model, waiting);

		for (int c = QUEUE_CLASSES - 1; c >= 0; c--) {
			uint32_t waiting = ranked_count(&line->classes[c].fresh) +
					   ranked_count(&line->classes[c].again);

			if (waiting > 0) {
				s->queues[s->queue_count++] = (struct queue_status){
					m->id, queue_class_text((enum queue_class)c), waiting
				};
			}
		}
	}
	return true;
}

static bool
fill_decisions(const struct router *router, struct arena *arena, struct router_status *s)
{
	s->decisions =
	    arena_calloc(arena, (size_t)POLICY_COUNT * PICK_REASON_COUNT, sizeof(*s->decisions));
	if (s->decisions == NULL) {
		return false;
	}
	for (int p = 0; p < POLICY_COUNT; p++) {
		for (int k = 0; k < PICK_REASON_COUNT; k++) {
			uint64_t count = router->workers.decisions[p][k];

			if (count > 0) {
				s->decisions[s->decision_count++] =
				    (struct decision_count){ policy_text((enum policy)p),
							     pick_reason_text((enum pick_reason)k),
							     count };
			}
		}
	}
	return true;
}

void
router_status(const struct router *router, struct served *served)
{
	struct buf bytes = BUF_INIT(0);
	struct arena arena;
	struct router_status s = { .name = router->name,
				   .version = INFERMESH_VERSION,
				   .audit = audit_client_state(&router->audit),
				   .cache = cache_client_state(&router->cache),
				   .limits = limits_state(&router->limits),
				   .uptime_ms = clock_mono_ms() - router->started_ms,
				   .draining = router->draining,
				   .calls =
				       (uint32_t)(router->admitted - router->audit.terminals_done),
				   .queued = router->queue.count,
				   .slots = workers_slots(&router->workers),
				   .records_pending = router->audit.pending,
				   .admitted = router->admitted,
				   .ended = router->audit.terminals_done,
				   .refused = sum(router->refused, REFUSED_COUNT),
				   .records_dropped = router->audit.dropped,
				   .coalesced = router->coalesce.spared,
				   .retried = sum(router->retries, ROUTER_RC_COUNT),
				   .slots_leaked = router_slots_leaked(router) };

	memcpy(s.reporter, router->audit.reporter, sizeof(s.reporter));
	s.has_reporter = router->audit.params.mode != AUDIT_OFF;
	arena_init(&arena, 0);
	if (fill_workers(router, &arena, &s) && fill_queues(router, &arena, &s) &&
	    fill_decisions(router, &arena, &s)) {
		router_status_encode(&s, &bytes);
	} else {
		bytes.failed = true;
	}
	router_end_with(served, &bytes);
	buf_done(&bytes);
	arena_done(&arena);
}
