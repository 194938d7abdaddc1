/*
 * cache/tier_s3_internal.h - what the parts of the S3 tier share: questions and writes (tier_s3.c), purges and sweeps (tier_s3_walk.c).
 */
#ifndef CACHE_TIER_S3_INTERNAL_H
#define CACHE_TIER_S3_INTERNAL_H

#include "base/prng.h"
#include "cache/tier_breaker.h"
#include "cache/tier_s3.h"

#define TIER_S3_EXPIRY_BYTES 8 /* before each frame */

struct tier_s3 {
	struct tier tier;
	struct loop *loop;
	struct s3 *s3;
	struct prng prng;
	struct tier_breaker breaker;
	const char *trouble; /* what the last failure was, as a state; static */
	bool refusing;       /* writes: told */
	uint32_t answer_us;
	unsigned reads_max, writes_max; /* requests at once */
	unsigned reads, writing;
	size_t queue_bytes, waiting_bytes;
	struct list asked;       /* asking.node */
	struct list queue, sent; /* writing.node */
	uint64_t writes_begun;   /* number of the last one */
	uint64_t waiting, stored, dropped, timeouts, errors, evicted, expired;
	uint64_t max_bytes, sweep_us;
	bool sized; /* the two that follow are known, by the last sweep */
	uint64_t entries, bytes;
	struct list walks; /* of tier_s3_walk.c */
	struct loop_timer sweep_timer, stop_timer;
	loop_fn stopped;
	void *stopped_arg;
};

/** True: all writes up to number 'n' have ended. */
bool tier_s3_written(const struct tier_s3 *t, uint64_t n);

void tier_s3_purge(struct tier *tier, struct tier_purge *purge);

/** A write has ended: what waited for it may begin. */
void tier_s3_walks_go_on(struct tier_s3 *t);

/** Begin a sweep; the timer is armed again when it has ended. */
void tier_s3_sweep(struct tier_s3 *t);

/** Give up every purge and sweep, without a word. */
void tier_s3_walks_cancel(struct tier_s3 *t);

/** Free all walks, without a word. Their requests do not come back: the bucket is freed before. */
void tier_s3_walks_free(struct tier_s3 *t);

/** (Re)arm 'sweep_timer'. */
void tier_s3_sweep_later(struct tier_s3 *t);

#endif
