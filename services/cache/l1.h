/*
 * cache/l1.h - the memory tier: values by key, bounded in bytes, with time to live. Pure: 'now' is an argument. It does not
 * know what it keeps.
 *
 * Eviction is S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023, algorithm 1) with shares that adapt as
 * those of ARC do (Megiddo and Modha, FAST 2003):
 *
 *      put ──▶ small ──not asked for──▶ gone
 *       │        │ asked for
 *       │        ▼
 *       └─────▶ main ──▶ round again once for each time it was asked for, at most twice; then gone
 *     remembered
 *
 * Of what is gone a fingerprint stays a while. When it is asked for again, the queue that it left was too small and grows, at the
 * other's cost; 'small' begins with a tenth. What is asked for once leaves soon, a scan does not push out what is asked
 * for, and a hit moves nothing. Why not SIEVE or LRU: docs/cache.md.
 */
#ifndef CACHE_L1_H
#define CACHE_L1_H

#include "base/err.h"
#include "base/list.h"
#include "wire/mesh.h"

struct l1;

#define L1_SHARE_BYTES 32 /* what an entry costs besides its blocks: its share of the tables */

struct l1_found {
	const uint8_t *data; /* valid until the next call on this l1 */
	size_t len;
};

/** 'max_bytes' bounds all memory. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc l1_new(size_t max_bytes, struct l1 **ret_l1);

#define L1_SEEN_BYTES 1024 /* of a value, as l1_purge() shows it */

/** What a value of 'len' bytes costs of the bound. */
size_t l1_cost(size_t len);

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

/** Drop expired entries in the next 'places' of the table, which is walked round and round and has about as many places
 *  as entries. Returns how many it dropped. */
size_t l1_sweep(struct l1 *l1, uint64_t now_ms, size_t places);

/**
 * Drop what 'selected', which gets the first L1_SEEN_BYTES of a value or all of it, says in the next 'places' of a walk through the table that begins with '*cursor' = 0. True when the
 * walk is over: all entries that were there at its beginning, and are still, were looked at. '*removed' grows by their number.
 */
bool l1_purge(struct l1 *l1, size_t *cursor, size_t places,
	      bool (*selected)(void *arg, const uint8_t *data, size_t len), void *arg,
	      uint64_t *removed);

struct l1_counters {
	uint64_t entries, bytes, max_bytes, hits, misses, stored, evicted, expired;
};

void l1_counters(const struct l1 *l1, struct l1_counters *ret);

#endif
