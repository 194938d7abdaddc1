/*
 * router/workers_rig.h - for tests of the table of workers: links that lead nowhere, models, and announcements that succeed.
 * Failures fail the test.
 */
#ifndef ROUTER_WORKERS_RIG_H
#define ROUTER_WORKERS_RIG_H

#include "router/workers.h"

extern const uint8_t instances[8][16];
extern struct model_info models[3]; /* m1, m2, and m1 with other weights */

/** A link of its own for each 'i' < 8, to be compared only. */
struct link *link_no(size_t i);

/** The worker 'w' (NULL at first) announces models['first'] to models['first' + 'count' - 1]. */
struct announced announce(struct workers *ws, size_t link, size_t instance, struct worker *w,
			  const char *name, size_t first, size_t count, uint32_t in_flight,
			  uint32_t capacity, uint64_t now_ms);

/** Whom the policy picks for 'model'; NULL = nobody. No slot is taken. */
struct worker *pick(struct workers *ws, const char *model, const uint64_t *tried,
		    size_t tried_count);

#endif
