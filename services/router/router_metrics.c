/*
 * router/router_metrics.c - the router's part of the metrics page. Counts nothing itself.
 */
#include <stddef.h>

#include "router/core.h"
#include "router/request.h"

int64_t
router_slots_leaked(const struct router *router)
{
	int64_t diff = workers_slots(&router->workers);

	LIST_FOREACH (&router->requests, r, struct request, node) {
		diff -= r->st.slot;
	}
	return diff;
}

/* Requests that hold a reservation of some limit. */
static uint64_t
claims(const struct router *router)
{
	uint64_t count = 0;

	LIST_FOREACH (&router->requests, r, struct request, node) {
		count += r->claim.hold.count > 0;
	}
	return count;
}

static void
write_refused(const struct router *router, struct metrics_page *page)
{
	static const char *const names[REFUSED_COUNT] = {
#define X(name, text) [name] = text,
		REFUSED_MAP(X)
#undef X
	};

	metrics_family(page, "infermesh_requests_refused_total", "counter",
		       "Requests that were not admitted.");
	for (size_t i = 0; i < REFUSED_COUNT; i++) {
		struct metrics_label label = { "reason", names[i] };

		metrics_value(page, "infermesh_requests_refused_total", &label, 1,
			      (double)router->refused[i]);
	}
}

static void
write_retries(const struct router *router, struct metrics_page *page)
{
	static const struct {
		enum im_rc rc;
		const char *name;
	} rows[] = {
		{ IM_EUNAVAILABLE, "unavailable" },
		{ IM_EUPSTREAM, "upstream" },
		{ IM_ELIMIT, "limit" },
		{ IM_EDEADLINE, "timeout" },
		{ IM_EIO, "io" },
		{ IM_ENOMEM, "no_memory" },
		{ IM_EPROTO, "protocol" },
		{ IM_EINTERNAL, "internal" },
		{ IM_ECORRUPT, "corrupt" },
		{ IM_EMETHOD, "no_method" },
	};

	metrics_family(page, "infermesh_router_retries_total", "counter",
		       "Requests given to another worker after a failed attempt, by its failure.");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct metrics_label label = { "reason", rows[i].name };

		metrics_value(page, "infermesh_router_retries_total", &label, 1,
			      (double)router->retries[rows[i].rc]);
	}
}

static void
write_turned_away(const struct router *router, struct metrics_page *page)
{
	static const char *const names[TURNED_AWAY_COUNT] = {
#define X(name, text) [name] = text,
		TURNED_AWAY_MAP(X)
#undef X
	};

	metrics_family(
	    page, "infermesh_router_turned_away_total", "counter",
	    "Requests that a worker had no place for, and that looked for another one; no retries.");
	for (size_t i = 0; i < TURNED_AWAY_COUNT; i++) {
		struct metrics_label label = { "reason", names[i] };

		metrics_value(page, "infermesh_router_turned_away_total", &label, 1,
			      (double)router->turned_away[i]);
	}
}

static void
write_decisions(const struct router *router, struct metrics_page *page)
{
	metrics_family(page, "infermesh_router_decisions_total", "counter",
		       "Decisions which worker gets a request, by policy and why.");
	for (int i = 0; i < POLICY_COUNT; i++) {
		for (int k = 0; k < PICK_REASON_COUNT; k++) {
			struct metrics_label labels[] = { { "policy", policy_text((enum policy)i) },
							  { "reason", pick_reason_text(
									  (enum pick_reason)k) } };
			uint64_t count = router->workers.decisions[i][k];

			if (count > 0) {
				metrics_value(page, "infermesh_router_decisions_total", labels, 2,
					      (double)count);
			}
		}
	}
}

static void
write_outcomes(const struct router *router, struct metrics_page *page)
{
	metrics_counter(page, "infermesh_requests_admitted_total", "Requests admitted.",
			router->admitted);
	metrics_counter(page, "infermesh_requests_ended_total",
			"Terminal records acknowledged by the audit log, or dropped and counted.",
			router->audit.terminals_done);
	metrics_family(page, "infermesh_outcomes_total", "counter",
		       "Requests by the outcome in their terminal record.");
	for (int i = OUTCOME_OK; i <= OUTCOME_REJECTED; i++) {
		struct metrics_label label = { "outcome", outcome_text((enum outcome)i) };

		metrics_value(page, "infermesh_outcomes_total", &label, 1,
			      (double)router->outcomes[i]);
	}
}

/* Requests of a route by the arm that was chosen for them; and of these, those that the arm failed. */
static void
write_routes(const struct router *router, struct metrics_page *page)
{
	static const char *const names[] = { "infermesh_router_route_requests_total",
					     "infermesh_router_route_failed_total" };
	static const char *const help[] = { "Requests admitted, by route and arm.",
					    "Requests that their arm failed, by route and arm." };

	for (size_t n = 0; n < 2; n++) {
		metrics_family(page, names[n], "counter", help[n]);
		for (size_t i = 0; i < ROUTE_BUCKETS; i++) {
			LIST_FOREACH (&router->routes.table.buckets[i], r, struct route, node) {
				for (size_t k = 0; k < r->plan->spec.arm_count; k++) {
					const struct metrics_label labels[] = {
						{ "route", r->plan->spec.model },
						{ "arm", r->plan->spec.arms[k].model }
					};

					metrics_value(page, names[n], labels, 2,
						      (double)(n == 0 ? r->counts[k].requests
								      : r->counts[k].failed));
				}
			}
		}
	}
}

static void
write_workers(const struct router *router, struct metrics_page *page)
{
	metrics_family(page, "infermesh_worker_inflight", "gauge",
		       "Requests of this router at a worker.");
	LIST_FOREACH (&router->workers.all, w, struct worker, node) {
		struct metrics_label label = { "worker", w->name->text };

		if (!w->retired) {
			metrics_value(page, "infermesh_worker_inflight", &label, 1, w->slots);
		}
	}
	metrics_gauge(page, "infermesh_router_slots_leaked",
		      "Slots taken at workers minus requests that hold one; always 0.",
		      (double)router_slots_leaked(router));
	metrics_family(page, "gen_ai_client_operation_duration_seconds", "histogram",
		       "Calls to workers.");
	for (size_t i = 0; i < WORKERS_BUCKETS; i++) {
		LIST_FOREACH (&router->workers.buckets[i], m, struct model, node) {
			struct metrics_label labels[] = { { "gen_ai_operation_name", "chat" },
							  { "gen_ai_request_model", m->id } };

			metrics_histogram(page, "gen_ai_client_operation_duration_seconds", labels,
					  2, &m->duration);
		}
	}
}

static void
write_queue(const struct router *router, struct metrics_page *page)
{
	uint32_t waiting[QUEUE_CLASSES] = { 0 };

	LIST_FOREACH (&router->queue.lines, line, struct queue_line, node) {
		for (int i = 0; i < QUEUE_CLASSES; i++) {
			waiting[i] += queue_line_waiting(line, (enum queue_class)i);
		}
	}
	metrics_gauge(page, "infermesh_requests_waiting", "Of these, waiting for a worker.",
		      router->queue.count);
	metrics_family(page, "infermesh_queue_length", "gauge",
		       "Requests that wait for a worker, by class.");
	for (int i = 0; i < QUEUE_CLASSES; i++) {
		struct metrics_label label = { "class", queue_class_text((enum queue_class)i) };

		metrics_value(page, "infermesh_queue_length", &label, 1, waiting[i]);
	}
	metrics_family(page, "infermesh_queue_wait_seconds", "histogram",
		       "How long those who had to wait for a worker did so, by class.");
	for (int i = 0; i < QUEUE_CLASSES; i++) {
		struct metrics_label label = { "class", queue_class_text((enum queue_class)i) };

		metrics_histogram(page, "infermesh_queue_wait_seconds", &label, 1,
				  &router->queue.waited[i]);
	}
}

static void
write_cache(const struct router *router, struct metrics_page *page)
{
	const struct {
		const char *result;
		uint64_t count;
	} rows[] = {
		{ "hit", router->cache.hits },
		{ "miss", router->cache.misses },
		{ "error", router->cache.errors },
	};

	metrics_family(page, "infermesh_cache_requests_total", "counter",
		       "Lookups in the cache; error: away, late or unreadable.");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct metrics_label labels[] = { { "tier", "l1" }, { "result", rows[i].result } };

		metrics_value(page, "infermesh_cache_requests_total", labels, 2,
			      (double)rows[i].count);
	}
	metrics_counter(
	    page, "infermesh_coalesced_total",
	    "Requests that joined the generation of another one and were spared their own.",
	    router->coalesce.spared);
	metrics_counter(page, "infermesh_cache_stores_total", "Answers handed to the cache.",
			router->cache.stores);
}

void
router_metrics(const void *service, struct metrics_page *page)
{
	const struct router *router = service;

	metrics_gauge(page, "infermesh_requests_running",
		      "Requests admitted whose caller has no end yet.", router->running);
	write_queue(router, page);
	write_outcomes(router, page);
	write_refused(router, page);
	write_retries(router, page);
	metrics_counter(page, "infermesh_router_retries_denied_total",
			"Retries that the budget forbade.", router->retries_denied);
	write_turned_away(router, page);
	write_workers(router, page);
	router_health_metrics(router, page);
	write_decisions(router, page);
	write_routes(router, page);
	write_cache(router, page);
	limits_metrics(&router->limits, claims(router), page);
	metrics_gauge(page, "infermesh_audit_records_pending",
		      "Records not acknowledged by the audit log yet.", router->audit.pending);
	metrics_counter(page, "infermesh_audit_records_dropped_total",
			"Records given up (fail-open), told by GAP records.",
			router->audit.dropped);
	metrics_family(
	    page, "infermesh_overhead_seconds", "histogram",
	    "Time of answered requests inside the router, without workers and waiting for them.");
	metrics_histogram(page, "infermesh_overhead_seconds", NULL, 0, &router->overhead);
}
