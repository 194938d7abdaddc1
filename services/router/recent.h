/*
 * router/recent.h - how many requests came lately, how many failed and how long the others took: a histogram of times, and a
 * window of the last minute made of a few of them. Pure: 'now_ms' is an argument.
 *
 * Times are counted in buckets of an eighth of an octave, from 64 µs to 71 minutes, so a quantile is off by 6 % at most
 * ("HDR histogram", Gil Tene). What is faster or slower falls into the first or last bucket.
 */
#ifndef ROUTER_RECENT_H
#define ROUTER_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#define TIMES_OCTAVES 26
#define TIMES_BUCKETS (1 + TIMES_OCTAVES * 8)
#define RECENT_SLOTS  4
#define RECENT_MS     60000

/* All zero = empty. */
struct times {
	uint32_t count;
	uint32_t bucket[TIMES_BUCKETS];
};

void times_add(struct times *t, uint64_t us);

/** The time, in µs, that the share 'q' (0 to 1) of those counted did not exceed; 0 when nothing was counted. */
uint64_t times_quantile(const struct times *t, double q);

/* All zero = empty. */
struct recent {
	struct recent_slot {
		uint64_t number; /* of the slot of time that it holds, plus one; 0 = none */
		uint32_t requests, failed;
		struct times times; /* of those that did not fail */
	} slot[RECENT_SLOTS];
};

struct recent_sum {
	uint32_t span_ms; /* how far back it looks */
	uint32_t requests, failed;
	uint64_t p50_us, p99_us;
};

void recent_add(struct recent *r, uint64_t now_ms, bool failed, uint64_t us);

/*
 * Memory for them, in blocks of their own: they are large, and looked at after a call only. Among the workers they would spread what
 * every pick looks at over as many pages as there are workers.
 */
struct recent_store {
	struct recent_block *blocks;
	union recent_room *free;
};

/** An empty one, or NULL without memory. */
struct recent *recent_take(struct recent_store *s);

/** NULL is fine. */
void recent_give_back(struct recent_store *s, struct recent *r);

/** All are gone. */
void recent_store_done(struct recent_store *s);

/** What the last RECENT_MS, or a slot less, held. */
void recent_sum(const struct recent *r, uint64_t now_ms, struct recent_sum *ret);

#endif
