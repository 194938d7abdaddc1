/*
 * tests/bench/router_field.h - workers of one model for measuring what a pick costs: with weights that differ and half of their
 * places taken, and for comparison a plain array of the same, which a scan goes through. Any failure ends the process.
 */
#ifndef BENCH_ROUTER_FIELD_H
#define BENCH_ROUTER_FIELD_H

#include "router/workers.h"

#define FIELD_CAPACITY 16
#define FIELD_TAKEN    8            /* of FIELD_CAPACITY */
#define FIELD_SCAN     POLICY_COUNT /* in place of a policy: a scan over all */
#define FIELD_WHATS    (POLICY_COUNT + 1)

/* What a scan looks at: no more than it needs, all in a row. */
struct plain {
	uint32_t in_flight, capacity, weight;
	uint64_t last_pick;
};

struct field {
	size_t count;
	struct workers *ws;
	struct model *model;
	struct worker **workers;
	struct plain *plain;
	uint64_t picks;
	uint32_t *held; /* a worker for each place taken */
	size_t held_count;
	struct prng prng;
};

void field_init(struct field *f, size_t count);
void field_done(struct field *f);

/** Take the places that are taken to begin with, and give all back. */
void field_fill(struct field *f, int what);
void field_empty(struct field *f, int what);

/** What is measured: a place given back somewhere, a pick by the policy 'what' with what the audit record keeps of it, and its place
 *  taken. */
void field_step(struct field *f, int what);

/** Instructions that a step takes for each 'what', counted (steps.h), on the average of a few; the scan's among 2,000 at most. False: this
 *  machine does not let them be counted. */
bool field_instructions(size_t count, double ret[FIELD_WHATS]);

/** Its name. */
const char *field_name(int what);

#endif
