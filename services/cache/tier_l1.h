/*
 * cache/tier_l1.h - memory (l1.h) as a tier (tier.h). It answers inside the question. Expired frames are swept out a few
 * at a time, and a purge goes through memory in slices, so that neither holds the loop up.
 */
#ifndef CACHE_TIER_L1_H
#define CACHE_TIER_L1_H

#include "cache/tier.h"

/** At most 'max_bytes' of memory, overhead included; each frame for at most 'ttl_ms'. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc tier_l1_new(struct loop *loop, size_t max_bytes, uint64_t ttl_ms,
				     struct tier **ret_tier, struct im_err *err);

#endif
