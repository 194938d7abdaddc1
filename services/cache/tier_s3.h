/*
 * cache/tier_s3.h - a bucket of an S3-compatible object store as a tier (tier.h), which several caches share. A lookup that it has not answered
 * in time is TIER_FAILED; after some failures in a row only one now and then is asked. What waits to be written is bounded in bytes; what does not
 * fit there is dropped and counted.
 *
 * An object is named PREFIX/KEY, the key in lower-case hexadecimal digits. It holds when it expires here (u64 little-endian, microseconds
 * since 1970) and the frame. The store itself knows neither a size nor a time to live: a sweep over all names removes, from time to time, what is too
 * old, and the oldest where there is too much.
 */
#ifndef CACHE_TIER_S3_H
#define CACHE_TIER_S3_H

#include "cache/s3.h"
#include "cache/tier.h"
#include "daemon/config.h"

struct tier_s3_params {
	struct s3_params s3; /* 'body_bytes' is set from 'max_value_bytes' */
	uint64_t ttl_ms, max_bytes;
	uint32_t answer_us; /* a lookup waits so long at most */
	size_t queue_bytes;
	size_t max_value_bytes;
	uint64_t sweep_us; /* pause between two sweeps, up to half of it less at random */
};

/** On the loop; the first connection is made when something is asked. Errors as s3_new(). */
IM_MUST_CHECK enum im_rc tier_s3_new(struct loop *loop, const struct tier_s3_params *params,
				     struct tier **ret_tier, struct im_err *err);

/** The same, as the configuration says; '*ret_tier' is NULL if it says off. */
IM_MUST_CHECK enum im_rc tier_s3_config(struct loop *loop, const struct config *config,
					struct tier **ret_tier, struct im_err *err);

#endif
