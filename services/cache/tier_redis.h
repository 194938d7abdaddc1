/*
 * cache/tier_redis.h - a Redis (or Valkey, or a cluster of either) as a tier (tier.h) that several caches share. A question that it has not
 * answered in time is TIER_FAILED; after some of those in a row it is left alone until a PING of ours comes back in time.
 * What waits to be written is bounded in bytes; what does not fit there is dropped and counted.
 *
 * A frame is the string at PREFIX followed by the key in hexadecimal digits, with a time to live that Redis itself keeps.
 */
#ifndef CACHE_TIER_REDIS_H
#define CACHE_TIER_REDIS_H

#include "cache/tier.h"
#include "daemon/config.h"

struct tier_redis_params {
	const char *const *urls;
	size_t url_count;
	const char *password_file; /* NULL = none */
	const char *prefix;
	unsigned connections;
	uint64_t ttl_ms;
	uint32_t answer_us; /* a lookup waits so long at most */
	size_t queue_bytes;
	size_t max_value_bytes; /* of a frame */
};

/** Begin to connect; what 'params' points to is copied. On the loop. IM_OK, IM_ENOMEM, and what api_key_init() says. */
IM_MUST_CHECK enum im_rc tier_redis_new(struct loop *loop, const struct tier_redis_params *params,
					struct tier **ret_tier, struct im_err *err);

/** The same, as the configuration says; '*ret_tier' is NULL if it says off. */
IM_MUST_CHECK enum im_rc tier_redis_config(struct loop *loop, const struct config *config,
					   struct tier **ret_tier, struct im_err *err);

#endif
