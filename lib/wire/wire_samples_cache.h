/*
 * wire/wire_samples_cache.h - samples of what the cache is asked and told; for wire_samples.c only.
 */
#ifndef WIRE_WIRE_SAMPLES_CACHE_H
#define WIRE_WIRE_SAMPLES_CACHE_H

#include "base/buf.h"

void cache_found_sample(struct buf *out);
void cache_store_sample(struct buf *out);
void cache_stats_sample(struct buf *out);
void cache_tiers_sample(struct buf *out);
void cache_get_sample(struct buf *out);
void cache_got_sample(struct buf *out);
void cache_purge_sample(struct buf *out);
void cache_purged_sample(struct buf *out);

#endif
