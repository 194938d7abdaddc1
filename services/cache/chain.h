/*
 * cache/chain.h - the tiers of one cache in their order: asks one after the other, believes none, fills those above a hit, and
 * counts. It owns the tiers. Never waits for a write. Threads: on the loop.
 */
#ifndef CACHE_CHAIN_H
#define CACHE_CHAIN_H

#include "cache/tier.h"

#define CHAIN_TIERS_MAX 4

/* Of one tier. hits + misses + failed + corrupt = questions that it was asked and that were not given up. */
struct chain_counters {
	uint64_t hits, misses, failed;
	uint64_t corrupt; /* not a frame of that key, or its checksum is wrong: removed */
};

struct chain_tier {
	struct tier *tier;
	struct chain_counters n;
};

struct chain {
	struct loop *loop;
	struct chain_tier tiers[CHAIN_TIERS_MAX]; /* nearest first */
	size_t count;
	size_t entry_bytes;  /* payloads up to so much */
	struct buf frame;    /* being packed */
	struct buf payload;  /* just unpacked */
	struct list asked;   /* chain_get.node: under way */
	struct list purging; /* chain_purge.node */
	uint64_t
	    purges_begun; /* with 'purging' empty: a lookup that saw the same number may fill */
	size_t stopping;
	loop_fn stopped;
	void *stopped_arg;
};

struct chain_found {
	const char *tier;
	uint64_t age_ms;
	struct value_meta meta; /* points into the tier's memory: valid inside the callback only */
	const uint8_t *payload; /* as long */
	size_t len;
};

/* One question. Embedded in the asker, who zeroes it and sets the first group. */
struct chain_get {
	uint8_t key[CACHE_KEY_BYTES];
	uint32_t max_age_ms;  /* 0 = any */
	uint64_t deadline_us; /* CLOCK_MONOTONIC; 0 = none */
	void (*done)(struct chain_get *get, const struct chain_found *found); /* NULL = a miss */

	struct chain *chain;
	struct list node;
	struct tier_get ask;
	size_t at; /* the tier that is asked */
	uint64_t purges_begun;
};

/* What one tier said to a purge. */
struct chain_purged {
	const char *tier;
	uint64_t removed;
	struct im_err err; /* rc IM_OK: all that was meant is gone */
};

/* One purge. Embedded in the asker, who zeroes it and sets the first group. */
struct chain_purge {
	struct value_selector sel; /* its strings live until 'done' */
	void (*done)(struct chain_purge *purge);
	struct chain_purged result[CHAIN_TIERS_MAX];
	size_t count; /* of 'result' */

	struct chain *chain;
	struct list node;
	struct tier_purge ask[CHAIN_TIERS_MAX];
	size_t waiting;
};

void chain_init(struct chain *c, struct loop *loop, size_t entry_bytes);

/** The next one below; it belongs to the chain from now on. At most CHAIN_TIERS_MAX. */
void chain_add(struct chain *c, struct tier *tier);

/** Ask. 'get->done' is called once, perhaps before this returns; unless chain_cancel() comes first. */
void chain_lookup(struct chain *c, struct chain_get *get);
void chain_cancel(struct chain_get *get);

/**
 * Keep 'store->value' in every tier, from now on for 'ttl_ms' (0 = as long as each tier keeps things, at most as that). False if it is
 * too large, has a label that is too long, or memory is short.
 */
bool chain_store(struct chain *c, const struct cache_store *store);

/** Forget what is selected, in every tier. While it runs no hit fills a tier, so what is gone does not come back. */
void chain_purge(struct chain *c, struct chain_purge *purge);

/** Stop every tier, then 'stopped'. Lookups have ended or were cancelled before; purges are given up (no 'done'). 'c' may
 *  be stopped half made. */
void chain_stop(struct chain *c, loop_fn stopped, void *arg);

#endif
