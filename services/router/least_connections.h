/*
 * router/least_connections.h - the routing policy: which of two workers gets the next request. Pure: it sees numbers, no
 * workers, and never counts anything itself.
 *
 * A worker's cost is (in_flight + 1) / weight: what its load would be with this request. Source: weighted least connections
 * as the Linux Virtual Server describes it, with the "+ 1" so that weights also count for idle workers.
 */
#ifndef ROUTER_LEAST_CONNECTIONS_H
#define ROUTER_LEAST_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define LEAST_CONNECTIONS_NAME "least-connections"

struct lc_candidate {
	uint32_t in_flight; /* requests there now, whoever sent them */
	uint32_t capacity;  /* never more than these */
	uint32_t weight;    /* at least 1 */
	uint64_t last_pick; /* sequence number of its last pick; 0 = never */
};

/** True if the worker may get one more request. */
bool least_connections_fits(const struct lc_candidate *c);

/** True if 'a' is to be preferred over 'b': the lower cost, and among equals the one picked longer ago, so that ties are
 *  spread. Both must fit. A strict order: never true both ways. */
bool least_connections_better(const struct lc_candidate *a, const struct lc_candidate *b);

#endif
