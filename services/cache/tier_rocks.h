/*
 * cache/tier_rocks.h - a folder as a tier (tier.h), by RocksDB, on a thread of its own: the loop never waits for the disk. A lookup that the
 * disk has not answered in time is TIER_FAILED; after some of those in a row only one now and then is asked. What waits to be written is bounded
 * in bytes. A folder that cannot be opened or written is opened anew from time to time.
 *
 *      opening ──▶ ready ──write fails, folder gone──▶ away ──pause──▶ opening
 */
#ifndef CACHE_TIER_ROCKS_H
#define CACHE_TIER_ROCKS_H

#include "cache/rocks.h"
#include "cache/tier.h"
#include "daemon/config.h"

struct tier_rocks_params {
	struct rocks_params rocks; /* 'dir' is copied */
	uint32_t answer_us;
	size_t queue_bytes;
	size_t max_value_bytes;
};

/** Begin to open it. On the loop. IM_OK; IM_EUNAVAILABLE: there is no RocksDB; IM_ENOMEM. */
IM_MUST_CHECK enum im_rc tier_rocks_new(struct loop *loop, const struct tier_rocks_params *params,
					struct tier **ret_tier, struct im_err *err);

/** The same, as the configuration says; '*ret_tier' is NULL if it says off. */
IM_MUST_CHECK enum im_rc tier_rocks_config(struct loop *loop, const struct config *config,
					   struct tier **ret_tier, struct im_err *err);

#endif
