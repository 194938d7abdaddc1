/*
 * router/health_rig.h - for tests: a table of workers on virtual time whose workers announce, fail and vanish as a test says. Never
 * part of a daemon.
 */
#ifndef ROUTER_HEALTH_RIG_H
#define ROUTER_HEALTH_RIG_H

#include "router/workers_health.h"

#define FLEET 6

/* What was told. */
struct told {
	unsigned states, opened, closed, pauses, rooms;
	enum health_state last;
};

struct world {
	struct workers ws;
	struct told told;
	struct worker *w[FLEET]; /* NULL = not linked */
	uint8_t instance[FLEET][16];
	char links[4096];
	size_t links_used;
	uint64_t now_ms;
};

/** At 1000 ms: five failures open a breaker for 30 s, up to 120 s; half may be ejected; 3 s are a silence. */
void world_init(struct world *t);

/** Worker number 'i' announces 'count' of the models "m" and "n", from number 'first' on, over the link that it has or a new
 *  one. */
struct worker *world_announce(struct world *t, size_t i, size_t first, size_t count, bool draining);

/** The first 'count' workers come, with the model "m". */
void world_join(struct world *t, size_t count);

struct model *world_model(struct world *t); /* "m" */
struct worker_model *world_entry(struct world *t, size_t i);

/** Time passes, and everybody speaks. */
void world_pass(struct world *t, uint64_t ms);

/** An attempt with its slot; a pause is one of 7 s after a 429. */
struct attempt world_begin(struct worker *w, struct model *m);
void world_end(struct world *t, struct attempt *a, enum verdict verdict);
void world_attempt(struct world *t, size_t i, enum verdict verdict);
void world_fail(struct world *t, size_t i, unsigned times);

/** Whom least connections picks for "m". */
struct worker *world_pick(struct world *t);

#endif
