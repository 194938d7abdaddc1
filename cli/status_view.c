/*
 * cli/status_view.c - the tables of 'infermesh status'; see status_view.h.
 */
#include "cli/status_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/print.h"

/* "100", "100*" by an operator, "40/100" while it starts slowly, "100 backup". */
static void
print_weight(const struct worker_status *w)
{
	char text[48];
	bool less = w->effective_weight != 0 && w->effective_weight != w->weight;

	(void)snprintf(text, sizeof(text), "%u%s%s", w->weight, w->weight_by_operator ? "*" : "",
		       w->backup ? " backup" : "");
	if (less)
		(void)snprintf(text, sizeof(text), "%u/%u%s%s", w->effective_weight, w->weight,
			       w->weight_by_operator ? "*" : "", w->backup ? " backup" : "");
	print_column(text, 12);
}

static void
print_breaker(const struct worker_status *w, size_t i)
{
	const struct model_breaker *b = i < w->breaker_count ? &w->breakers[i] : NULL;

	if (b == NULL || b->state == SEEN_BREAKER_UNSAID || b->state == SEEN_BREAKER_CLOSED)
		return;
	(void)printf(" [%s", b->state == SEEN_BREAKER_OPEN ? "open" : "half open");
	if (b->state == SEEN_BREAKER_OPEN)
		(void)printf(" for %.1f s", b->open_ms / 1e3);
	(void)putchar(']');
}

static void
print_worker(const struct worker_status *w)
{
	double seconds = w->recent_ms / 1e3;

	print_column(w->name, 20);
	print_column(w->backend, 8);
	print_column(w->drained_by_operator ? "draining*" : w->state, 9);
	print_weight(w);
	(void)printf("%5u/%-5u  %6u  %7.1f  %6.1f%%  ", w->slots, w->load.capacity, w->load.queued,
		     seconds > 0 ? w->recent_requests / seconds : 0,
		     w->recent_requests > 0 ? 100.0 * w->recent_failed / w->recent_requests : 0);
	print_latency(w->p50_us, 7);
	(void)printf("  ");
	print_latency(w->p99_us, 7);
	(void)printf("  %9" PRIu64 "  %6" PRIu64 "  ", w->succeeded, w->failed);
	for (size_t k = 0; k < w->model_count; k++) {
		(void)fputs(k > 0 ? ", " : "", stdout);
		print_text(w->models[k]);
		print_breaker(w, k);
	}
	(void)putchar('\n');
}

void
status_print_workers(const struct router_status *s)
{
	bool starred = false;

	(void)printf("%-20s  %-8s  %-9s  %-12s  %11s  %6s  %7s  %7s  %7s  %7s  %9s  %6s  MODELS\n",
		     "WORKER", "BACKEND", "STATE", "WEIGHT", "SLOTS/CAP  ", "QUEUED", "REQ/S",
		     "FAILED%", "P50", "P99", "ANSWERED", "FAILED");
	for (size_t i = 0; i < s->worker_count; i++) {
		print_worker(&s->workers[i]);
		starred = starred || s->workers[i].weight_by_operator ||
			  s->workers[i].drained_by_operator;
	}
	if (s->worker_count == 0)
		(void)printf("(none: nobody can answer yet)\n");
	if (starred)
		(void)printf(
		    "* by an operator; 'infermesh worker undrain WORKER' and 'infermesh worker "
		    "weight WORKER reset' undo it\n");
}

static void
print_router(const struct router_status *s)
{
	(void)printf("router  ");
	print_text(s->name);
	(void)putchar(' ');
	print_text(s->version);
	(void)printf(", up ");
	print_duration(s->uptime_ms);
	(void)printf("%s: calls %u, queued %u, slots %u; admitted %" PRIu64 ", ended %" PRIu64
		     ", refused %" PRIu64 ", retried %" PRIu64 ", coalesced %" PRIu64 "\n",
		     s->draining ? ", draining" : "", s->calls, s->queued, s->slots, s->admitted,
		     s->ended, s->refused, s->retried, s->coalesced);
	if (s->slots_leaked != 0)
		(void)printf("        SLOTS LEAKED: %" PRId64 ", which is a defect: please report "
			     "it\n",
			     s->slots_leaked);
}

static void
print_decisions(const struct router_status *s)
{
	for (size_t i = 0; i < s->decision_count; i++) {
		(void)printf(i == 0 ? "picks   " : ", ");
		print_text(s->decisions[i].policy);
		(void)printf(" (");
		print_text(s->decisions[i].reason);
		(void)printf(") %" PRIu64, s->decisions[i].count);
	}
	if (s->decision_count > 0)
		(void)putchar('\n');
}

static void
print_queues(const struct router_status *s)
{
	for (size_t i = 0; i < s->queue_count; i++) {
		(void)printf(i == 0 ? "waiting " : ", ");
		print_text(s->queues[i].model);
		(void)printf(" %s %u", s->queues[i].priority, s->queues[i].waiting);
	}
	if (s->queue_count > 0)
		(void)putchar('\n');
}

static void
print_cache(const struct status_view *v)
{
	(void)printf("cache   ");
	print_text(v->router.cache);
	if (v->has_cache)
		(void)printf(": entries %" PRIu64 ", %.1f of %.1f MiB; hits %" PRIu64
			     ", misses %" PRIu64 ", evicted %" PRIu64,
			     v->cache.entries, (double)v->cache.bytes / 1048576,
			     (double)v->cache.max_bytes / 1048576, v->cache.hits, v->cache.misses,
			     v->cache.evicted);
	(void)putchar('\n');
}

/* Nothing where each router limits by itself. */
static void
print_limits(const struct status_view *v)
{
	if (v->router.limits[0] == '\0')
		return;
	(void)printf("limits  Redis ");
	print_text(v->router.limits);
	(void)putchar('\n');
}

static void
print_audit(const struct status_view *v)
{
	(void)printf("audit   ");
	print_text(v->router.audit);
	(void)printf(": records pending %u", v->router.records_pending);
	if (v->router.records_dropped > 0)
		(void)printf(", dropped %" PRIu64, v->router.records_dropped);
	if (v->has_audit) {
		(void)printf("; log of %" PRIu64 " records, open requests %" PRIu64 ", ",
			     v->audit.size, v->audit.open_requests);
		print_text(v->audit.state);
		(void)printf(", ");
		print_text(v->audit.dir);
		if (v->audit.witnesses > 0)
			(void)printf("; cosigned %" PRIu64 ", %u of %u witnesses fine",
				     v->audit.cosigned_size, v->audit.witnesses_fine,
				     v->audit.witnesses);
	}
	(void)putchar('\n');
}

void
status_print(const struct status_view *v)
{
	print_router(&v->router);
	print_cache(v);
	print_audit(v);
	print_limits(v);
	print_decisions(&v->router);
	print_queues(&v->router);
	(void)putchar('\n');
	status_print_workers(&v->router);
}
