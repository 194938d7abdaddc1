/*
 * cache/l1.h - the memory tier: values by key, bounded in bytes, with time to live. Pure: 'now' is an argument. It does not
 * know what it keeps.
 *
 * Eviction is SIEVE (Zhang et al., NSDI 2024): a queue in order of arrival and a hand that walks from the oldest to the
 * newest; a hit marks an entry, the hand spares a marked one once and unmarks it. One hit wonders leave early, a scan does
 * not push out what is asked for, and a hit moves nothing.
 */
#ifndef CACHE_L1_H
#define CACHE_L1_H

#include "base/err.h"
#include "base/list.h"
#include "wire/mesh.h"

struct l1;

/* What an entry costs besides its bytes: its own fields and its share of the table. Counted against the bound. */
#define L1_ENTRY_OVERHEAD 128

struct l1_found {
	const uint8_t *data; /* valid until the next call on this l1 */
	size_t len;
};

/** 'max_bytes' bounds values and overhead together. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc l1_new(size_t max_bytes, struct l1 **ret_l1);

/** NULL is fine. */
void l1_free(struct l1 *l1);

/** Look up. An entry that has expired is no hit. */
bool l1_get(struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES], uint64_t now_ms,
	    struct l1_found *ret);

/**
 * Keep a copy of 'data' for 'ttl_ms', in place of what was there under this key; others may be evicted. IM_OK; IM_ETOOBIG:
 * larger than the whole cache; IM_ENOMEM. On failure nothing is under this key.
 */
IM_MUST_CHECK enum im_rc l1_put(struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES],
				const uint8_t *data, size_t len, uint64_t now_ms, uint64_t ttl_ms);

/** Drop one entry; nothing happens if it is not there. */
void l1_remove(struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES]);

/** Drop expired entries among the next 'max' of a walk that goes round and round. Returns how many it dropped. */
size_t l1_sweep(struct l1 *l1, uint64_t now_ms, size_t max);

/** A walk over all entries from the oldest to the newest begins. There is one at a time. */
void l1_purge_begin(struct l1 *l1);

/** Drop what 'selected' says among the next 'max' entries of the walk and add their number to '*removed'. True when the walk
 *  is over. */
bool l1_purge(struct l1 *l1, size_t max,
	      bool (*selected)(void *arg, const uint8_t *data, size_t len), void *arg,
	      uint64_t *removed);

struct l1_counters {
	uint64_t entries, bytes, max_bytes, hits, misses, stored, evicted, expired;
};

void l1_counters(const struct l1 *l1, struct l1_counters *ret);

#endif
