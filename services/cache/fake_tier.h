/*
 * cache/fake_tier.h - for tests: a tier that keeps one frame and answers when it is told to.
 */
#ifndef CACHE_FAKE_TIER_H
#define CACHE_FAKE_TIER_H

#include "cache/tier.h"

struct fake_tier {
	struct tier tier;
	struct buf value;   /* what it answers with; empty = a miss */
	bool failing, slow; /* slow: fake_tier_answer() says when */
	struct tier_get *asked;
	struct tier_purge *purging;
	unsigned gets, puts, removes, cancels;
	uint64_t put_ttl_ms; /* of the last put */
	bool stopped;
};

/** 'f' is the caller's and outlives the chain. */
struct tier *fake_tier_init(struct fake_tier *f, const char *name, uint64_t ttl_ms);
void fake_tier_done(struct fake_tier *f);

/** Answer the question, end the purge, that is waiting. */
void fake_tier_answer(struct fake_tier *f);
void fake_tier_purged(struct fake_tier *f, uint64_t removed, const struct im_err *err);

#endif
