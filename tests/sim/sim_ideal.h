/*
 * sim/sim_ideal.h - what the report compares the router with: the same requests, by somebody who knows at once and exactly what
 * every worker does. He sends each to the worker with the fewest requests (join the shortest queue), or keeps all in one queue
 * until a worker is idle, or sends to any worker (random). Knows nothing of the router.
 */
#ifndef SIM_SIM_IDEAL_H
#define SIM_SIM_IDEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "sim.h"

/* Waiting times in microseconds of the requests that count. */
struct waits {
	float *us;
	size_t count, cap;
};

void waits_add(struct waits *w, double us);

/** The wait that the share 'q' of the requests does not exceed. Sorts. 0 without any. */
double waits_quantile(struct waits *w, double q);

void waits_done(struct waits *w);

enum ideal {
	IDEAL_RANDOM,
	IDEAL_SHORTEST,
	IDEAL_ONE_QUEUE,
};

/** Run 'requests' of p's world, of which those from number 'first' on count: their waits, and waits and service together. */
void ideal_run(const struct world_params *p, enum ideal ideal, uint64_t requests, uint64_t first,
	       struct waits *ret_wait, struct waits *ret_total);

#endif
