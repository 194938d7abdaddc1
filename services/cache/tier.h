/*
 * cache/tier.h - what the cache asks of a place where values are kept: memory (tier_l1.h), and below it whatever keeps bytes
 * under a key. A tier takes and gives frames of value.h as opaque bytes: whoever asks checks them, so a tier that lies is
 * a miss. A tier never makes anybody wait: it answers or fails in time, and drops what it cannot write.
 *
 *                lookup                                     store
 *        L1 ──miss──▶ next ──miss──▶ next ──▶ miss           put to each, none waited for
 *         ▲            │ hit
 *         └───put──────┘ a hit fills the tiers above it
 *
 * Threads: everything is called on the loop, and everything calls back on the loop. A tier whose library blocks has threads
 * of its own and comes back with loop_post(). 'done' may be called from inside the function that was given it.
 * Each tier is made by its own ..._new(), which returns its 'struct tier *', embedded in its own struct.
 */
#ifndef CACHE_TIER_H
#define CACHE_TIER_H

#include "base/loop.h"
#include "cache/value.h"

enum tier_result {
	TIER_HIT,
	TIER_MISS,
	TIER_FAILED, /* too late, not connected, breaker open, answered garbage: a miss that is counted apart */
};

/* One question. Embedded in the asker, who zeroes it, sets the first group and keeps it until 'done' or cancel(). */
struct tier_get {
	uint8_t key[CACHE_KEY_BYTES];
	uint64_t
	    deadline_us; /* CLOCK_MONOTONIC, 0 = none; the tier's own timeout may end it sooner */
	/* Exactly once, unless cancelled. 'value' is a frame if TIER_HIT, valid inside the callback only; expired or not. */
	void (*done)(struct tier_get *get, enum tier_result result, const uint8_t *value,
		     size_t len);

	void *pending; /* the tier's own, while it is under way */
	struct list node;
	struct loop_timer timer;
};

/** How long 'get' may take from 'now_us' on in a tier that gives a lookup 'answer_us': less than that if its deadline comes first. */
static inline uint64_t
tier_wait_us(const struct tier_get *get, uint64_t now_us, uint64_t answer_us)
{
	if (get->deadline_us == 0 || get->deadline_us >= now_us + answer_us)
		return answer_us;
	return get->deadline_us > now_us ? get->deadline_us - now_us : 0;
}

/* One frame to keep. Everything is copied, if it is kept. */
struct tier_put {
	uint8_t key[CACHE_KEY_BYTES];
	const uint8_t *value;
	size_t len;
	uint64_t ttl_ms; /* time that is left to it, already cut to the tier's own; above 0 */
};

/* One purge. Embedded in the asker as tier_get is; 'sel' and its strings live as long. */
struct tier_purge {
	struct value_selector sel;
	/* Exactly once. 'err' NULL: of all frames that were put before the purge, written or waiting, none that is
	 * selected is left; 'removed' of them were found. Else why it is not sure, in words for the operator. */
	void (*done)(struct tier_purge *purge, const struct im_err *err, uint64_t removed);
	void *user;

	void *pending;
	struct list node;
	struct loop_timer timer;
	uint64_t removed; /* so far */
};

/* What a tier alone knows. What was asked and came back is counted by who asks (chain.h). */
struct tier_stats {
	const char *state; /* "ready", "connecting", "open" (breaker), …: static text, one word */
	bool sized;        /* the three that follow are known */
	uint64_t entries, bytes, max_bytes; /* bytes: overhead included */
	uint64_t stored, evicted, expired;
	uint64_t dropped;                /* not written: too much waited, too large, or it failed */
	uint64_t waiting, waiting_bytes; /* to be written */
	uint64_t timeouts, errors,
	    reconnects; /* each error is logged when the state changes, not each time */
};

struct tier;

struct tier_ops {
	/* Ask for one key. */
	void (*get)(struct tier *tier, struct tier_get *get);
	/* Give up a question: no 'done' follows. */
	void (*cancel)(struct tier *tier, struct tier_get *get);
	/* Keep a frame in place of what is there under this key. Never waits; what cannot be kept is dropped and counted. */
	void (*put)(struct tier *tier, const struct tier_put *put);
	/* Forget one key, soon: its frame was found corrupt. */
	void (*remove)(struct tier *tier, const uint8_t key[CACHE_KEY_BYTES]);
	/* Forget all that is selected. Purges may overlap. */
	void (*purge)(struct tier *tier, struct tier_purge *purge);
	void (*stats)(const struct tier *tier, struct tier_stats *ret);
	/* Close: questions and purges that are under way are cancelled (no 'done'), what waits to be written is written if that takes
	 * no longer than the drain deadline of the process. 'stopped' when the tier is gone. */
	void (*stop)(struct tier *tier, loop_fn stopped, void *arg);
};

/* The part of a tier that others see; filled by its ..._new(). */
struct tier {
	const struct tier_ops *ops;
	const char *name;       /* "l1", "redis", "l2", "l3": in replies, metrics, stats; static */
	uint64_t ttl_ms;        /* how long it keeps a frame at most */
	size_t max_value_bytes; /* larger frames are not offered to it; 0 = any */
};

#endif
