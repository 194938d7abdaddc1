/*
 * wire/wire_samples_cache.h - samples of what the cache is asked and told, and what recodes them; for wire_samples.c only.
 */
#ifndef WIRE_WIRE_SAMPLES_CACHE_H
#define WIRE_WIRE_SAMPLES_CACHE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

void cache_found_sample(struct buf *out);
void cache_store_sample(struct buf *out);
void cache_stats_sample(struct buf *out);
void cache_tiers_sample(struct buf *out);
void cache_get_sample(struct buf *out);
void cache_got_sample(struct buf *out);
void cache_purge_sample(struct buf *out);
void cache_purged_sample(struct buf *out);
void entry_ask_sample(struct buf *out);
enum im_rc entry_ask_recode(const uint8_t *buf, size_t len, struct arena *arena, struct buf *out,
			    struct im_err *err);
void entry_answer_sample(struct buf *out);

#endif
