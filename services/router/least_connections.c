/*
 * router/least_connections.c - the policy; see least_connections.h.
 */
#include "router/least_connections.h"

bool
least_connections_fits(const struct lc_candidate *c)
{
	return c->in_flight < c->capacity;
}

bool
least_connections_better(const struct lc_candidate *a, const struct lc_candidate *b)
{
	/* Cross-multiplied: no division, no rounding. 33 + 32 bits at most, but for weights near 2^32, which nobody has. */
	uint64_t cost_a = ((uint64_t)a->in_flight + 1) * b->weight;
	uint64_t cost_b = ((uint64_t)b->in_flight + 1) * a->weight;

	if (cost_a != cost_b) {
		return cost_a < cost_b;
	}
	return a->last_pick < b->last_pick;
}
