/*
 * router/limiter_internal.h - what limiter.c and limiter_lease.c share. Not for others.
 */
#ifndef ROUTER_LIMITER_INTERNAL_H
#define ROUTER_LIMITER_INTERNAL_H

#include "router/limiter.h"

/* The kinds that the entry's rule limits. */
static inline enum limit_kind
limiter_next_kind(const struct limit_entry *e, int from)
{
	while (from < LIMIT_KINDS && e->rule->rate[from].per_minute == 0) {
		from++;
	}
	return (enum limit_kind)from;
}

#define LIMITER_EACH_KIND(e, kind)                                                                 \
	for (enum limit_kind kind = limiter_next_kind((e), 0); kind < LIMIT_KINDS;                 \
	     kind = limiter_next_kind((e), (int)kind + 1))

/** The entry's buckets have changed: put it in the lists where it belongs. */
void limiter_touch(struct limiter *l, struct limit_entry *e, uint64_t now_ms);

/** Find leases that have run out. */
void limiter_sweep_leases(struct limiter *l, uint64_t now_ms);

#endif
