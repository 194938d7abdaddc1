/*
 * cache/tier_redis_internal.h - what the halves of the Redis tier share: questions and writes (tier_redis.c), purges (tier_redis_purge.c).
 */
#ifndef CACHE_TIER_REDIS_INTERNAL_H
#define CACHE_TIER_REDIS_INTERNAL_H

#include "base/prng.h"
#include "cache/redis_pool.h"
#include "cache/tier_breaker.h"
#include "cache/tier_redis.h"

#define TIER_REDIS_PREFIX_MAX 64

struct tier_redis {
	struct tier tier;
	struct loop *loop;
	struct redis_pool *pool;
	struct prng prng;
	struct tier_breaker breaker;
	struct loop_timer probe_timer; /* open: when to probe, and how long the probe may take */
	struct redis_op *probe;        /* under way */
	uint32_t answer_us;
	size_t queue_bytes, waiting_bytes;
	size_t prefix_len;
	char prefix[TIER_REDIS_PREFIX_MAX + 1];
	struct list gets;   /* tier_get.node */
	struct list purges; /* purge_run.node */
	uint64_t waiting, stored, dropped, timeouts, errors;
	bool refusing;                /* writes: told */
	struct loop_timer stop_timer; /* armed: stopping */
	loop_fn stopped;
	void *stopped_arg;
};

void tier_redis_purge(struct tier *tier, struct tier_purge *purge);

/** Give up every purge, without a word. */
void tier_redis_purges_cancel(struct tier_redis *t);

#endif
