/*
 * cache/tier_rig.h - for tests: one tier on a loop of its own, asked and waited for. Frames carry a mark that is checked against their key:
 * a wrong answer fails the test. Not part of any program.
 */
#ifndef CACHE_TIER_RIG_H
#define CACHE_TIER_RIG_H

#include "cache/tier.h"

struct tier_rig {
	struct loop *loop;
	struct tier *tier; /* the test makes it, on the loop */
	uint64_t took_us;  /* by the last question */
	unsigned wrong;    /* hits that were no frame of their key */
};

void tier_rig_open(struct tier_rig *r);

/** Stop the tier, if there is one, and wait for it. */
void tier_rig_stop(struct tier_rig *r);
void tier_rig_close(struct tier_rig *r);

/** Ask for number 'n' and wait. */
enum tier_result tier_rig_get(struct tier_rig *r, unsigned n);

/** Ask for 'count' numbers from 'first' on, all at once, and wait for all; how many were hits. 'took_us' is of the slowest. */
unsigned tier_rig_get_many(struct tier_rig *r, unsigned first, unsigned count);

/** Keep a frame of 'bytes' under number 'n', of tenant "tN % 3" and model "mN % 5", for 'ttl_ms'. */
void tier_rig_put(struct tier_rig *r, unsigned n, size_t bytes, uint64_t ttl_ms);

void tier_rig_remove(struct tier_rig *r, unsigned n);

/** Purge and wait; how many were found, or -1: it failed. NULL = any. */
int64_t tier_rig_purge(struct tier_rig *r, const char *tenant, const char *model,
		       const unsigned *n);

struct tier_stats tier_rig_stats(struct tier_rig *r);

/** Run the loop until the tier's state is 'state'; fails the test after 20 s. */
void tier_rig_until(struct tier_rig *r, const char *state);

/** Run the loop until nothing waits to be written. */
void tier_rig_settle(struct tier_rig *r);

/** Run the loop for a moment. */
void tier_rig_run(struct tier_rig *r, unsigned ms);

#endif
