/*
 * cli/status_json.c - 'infermesh status --json'; see status_view.h.
 */
#include <inttypes.h>

#include "base/json.h"
#include "cli/print.h"
#include "cli/status_view.h"

static void
json_worker(struct buf *b, const struct worker_status *w)
{
	(void)buf_append_byte(b, '{');
	json_text(b, "name", w->name);
	json_text(b, "backend", w->backend);
	json_text(b, "state", w->state);
	json_number(b, "slots", w->slots);
	json_number(b, "in_flight", w->load.in_flight);
	json_number(b, "capacity", w->load.capacity);
	json_number(b, "queued", w->load.queued);
	json_number(b, "dispatched", w->dispatched);
	json_number(b, "succeeded", w->succeeded);
	json_number(b, "failed", w->failed);
	json_number(b, "weight", w->weight);
	json_number(b, "effective_weight", w->effective_weight);
	json_bool(b, "backup", w->backup);
	json_bool(b, "weight_by_operator", w->weight_by_operator);
	json_bool(b, "drained_by_operator", w->drained_by_operator);
	json_number(b, "recent_ms", w->recent_ms);
	json_number(b, "recent_requests", w->recent_requests);
	json_number(b, "recent_failed", w->recent_failed);
	json_number(b, "p50_us", w->p50_us);
	json_number(b, "p99_us", w->p99_us);
	(void)buf_append_str(b, "\"models\":[");
	for (size_t i = 0; i < w->model_count; i++) {
		(void)json_put_cstr(b, w->models[i]);
		(void)buf_append_byte(b, ',');
	}
	json_close(b, "],\"breakers\":[");
	for (size_t i = 0; i < w->breaker_count; i++) {
		(void)buf_append_byte(b, '{');
		json_text(b, "model", i < w->model_count ? w->models[i] : "");
		json_text(b, "state", seen_breaker_text(w->breakers[i].state));
		json_number(b, "open_ms", w->breakers[i].open_ms);
		json_number(b, "failures", w->breakers[i].failures);
		json_close(b, "},");
	}
	json_close(b, "]},");
}

static void
json_workers(struct buf *b, const struct router_status *s)
{
	(void)buf_append_str(b, "\"workers\":[");
	for (size_t i = 0; i < s->worker_count; i++)
		json_worker(b, &s->workers[i]);
	json_close(b, "],");
}

static void
json_counts(struct buf *b, const struct router_status *s)
{
	(void)buf_append_str(b, "\"queues\":[");
	for (size_t i = 0; i < s->queue_count; i++) {
		(void)buf_append_byte(b, '{');
		json_text(b, "model", s->queues[i].model);
		json_text(b, "priority", s->queues[i].priority);
		json_number(b, "waiting", s->queues[i].waiting);
		json_close(b, "},");
	}
	json_close(b, "],\"decisions\":[");
	for (size_t i = 0; i < s->decision_count; i++) {
		(void)buf_append_byte(b, '{');
		json_text(b, "policy", s->decisions[i].policy);
		json_text(b, "reason", s->decisions[i].reason);
		json_number(b, "count", s->decisions[i].count);
		json_close(b, "},");
	}
	json_close(b, "],");
}

static void
json_router(struct buf *b, const struct router_status *s)
{
	(void)buf_append_str(b, "\"router\":{");
	json_text(b, "name", s->name);
	json_text(b, "version", s->version);
	json_number(b, "uptime_ms", s->uptime_ms);
	json_bool(b, "draining", s->draining);
	json_number(b, "calls", s->calls);
	json_number(b, "queued", s->queued);
	json_number(b, "slots", s->slots);
	json_number(b, "admitted", s->admitted);
	json_number(b, "ended", s->ended);
	json_number(b, "refused", s->refused);
	json_number(b, "records_pending", s->records_pending);
	json_number(b, "records_dropped", s->records_dropped);
	json_text(b, "audit", s->audit);
	json_text(b, "cache", s->cache);
	if (s->limits[0] != '\0')
		json_text(b, "limits_redis", s->limits);
	json_number(b, "retried", s->retried);
	json_number(b, "coalesced", s->coalesced);
	(void)buf_printf(b, "\"slots_leaked\":%" PRId64 ",", s->slots_leaked);
	json_close(b, "},");
	json_workers(b, s);
	json_counts(b, s);
}

static void
json_cache(struct buf *b, const struct cache_stats *s)
{
	(void)buf_append_str(b, "\"cache\":{");
	json_number(b, "entries", s->entries);
	json_number(b, "bytes", s->bytes);
	json_number(b, "max_bytes", s->max_bytes);
	json_number(b, "hits", s->hits);
	json_number(b, "misses", s->misses);
	json_number(b, "stored", s->stored);
	json_number(b, "evicted", s->evicted);
	json_number(b, "expired", s->expired);
	json_number(b, "corrupt", s->corrupt);
	json_close(b, "},");
}

static void
json_audit(struct buf *b, const struct audit_status *s)
{
	(void)buf_append_str(b, "\"audit\":{");
	json_text(b, "origin", s->origin);
	json_text(b, "state", s->state);
	json_text(b, "vkey", s->vkey);
	json_text(b, "dir", s->dir);
	json_number(b, "size", s->size);
	json_number(b, "published_size", s->published_size);
	json_number(b, "open_requests", s->open_requests);
	json_number(b, "cosigned_size", s->cosigned_size);
	json_number(b, "witnesses", s->witnesses);
	json_number(b, "witnesses_fine", s->witnesses_fine);
	json_close(b, "},");
}

void
status_json(const struct status_view *v)
{
	struct buf b = { 0 };

	(void)buf_append_byte(&b, '{');
	json_router(&b, &v->router);
	if (v->has_cache)
		json_cache(&b, &v->cache);
	else
		(void)buf_append_str(&b, "\"cache\":null,");
	if (v->has_audit)
		json_audit(&b, &v->audit);
	else
		(void)buf_append_str(&b, "\"audit\":null,");
	json_close(&b, "}\n");
	json_print(&b);
}

void
status_json_workers(const struct router_status *s)
{
	struct buf b = { 0 };

	(void)buf_append_byte(&b, '{');
	json_workers(&b, s);
	json_close(&b, "}\n");
	json_print(&b);
}
