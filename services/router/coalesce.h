/*
 * router/coalesce.h - one generation for several callers: which generations may be joined, what was said in them so far, and how
 * far each follower has read. Pure: it knows neither requests nor links, and decides nothing about time.
 *
 *      worker ──say──▶ | frame | frame | frame | ◀──next, took── followers, each at its own place
 *                      first                   end
 *
 * Frames are kept from the first on, so that who joins late reads everything. When they are more than keep_bytes, nobody joins
 * any more and what all followers have read is dropped. The worker gets its credit back as the fastest follower reads, so
 * nobody waits for a slow one; a follower that lags more than keep_bytes behind the fastest is cut off. So one
 * generation holds at most 2 * keep_bytes, the worker's window and one frame.
 */
#ifndef ROUTER_COALESCE_H
#define ROUTER_COALESCE_H

#include "base/err.h"
#include "base/list.h"
#include "base/sha256.h"

#define COALESCE_BUCKETS 1024

/* Of one router. */
struct coalesce {
	struct list buckets[COALESCE_BUCKETS]; /* generation.node */
	size_t keep_bytes;
	uint64_t spared; /* callers that joined instead of having a generation of their own */
};

/* One frame of an answer. */
struct said {
	uint64_t offset; /* bytes said before it */
	size_t credit;   /* of the worker that it took */
	size_t len;
	uint8_t bytes[];
};

struct generation {
	struct list node; /* linked while it may be joined */
	struct coalesce *table;
	uint8_t key[SHA256_BYTES];
	bool streams;          /* its worker tells tokens as they come */
	struct list followers; /* who refer to it */
	uint32_t listening;    /* how many of them want to hear the rest */
	struct said **frames;  /* a ring, indexed by number modulo 'cap' */
	size_t cap;
	uint64_t first, end; /* numbers of the frames that are kept; 'end' was not said yet */
	uint64_t fastest;    /* number of the next frame of the follower that is ahead */
	uint64_t said_bytes; /* of all frames, dropped ones too */
};

/* Embedded in its owner, zero-initialised. */
struct follower {
	struct list node;
	struct generation *generation; /* NULL = refers to none */
	bool listening;
	uint64_t at; /* number of its next frame */
};

void coalesce_init(struct coalesce *table, size_t keep_bytes);

/** A generation of 'key' that may be joined, or NULL. Who 'streams' joins only one that does; the others join any. */
struct generation *coalesce_find(const struct coalesce *table, const uint8_t key[SHA256_BYTES],
				 bool streams);

/** Begin a generation ('g' is zeroed) that others may join. */
void generation_begin(struct generation *g, struct coalesce *table, const uint8_t key[SHA256_BYTES],
		      bool streams);

/** Nobody joins any more. Twice is fine. */
void generation_close(struct generation *g);

/** Free what was said. Nobody may refer to it. */
void generation_done(struct generation *g);

/** Follow it from its first frame on. */
void generation_join(struct generation *g, struct follower *f);

/** It does not listen any more, but still refers to the generation. True if it was the last that listened: then nobody can
 *  join either. */
bool generation_leave(struct follower *f);

/** It refers to the generation no more. Nothing happens if it referred to none. */
void generation_forget(struct follower *f);

/** The next frame, which is copied. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc generation_say(struct generation *g, const uint8_t *bytes, size_t len,
					size_t credit);

/** The worker failed before a frame had reached anybody: another one begins anew, and so does everybody's reading. */
void generation_restart(struct generation *g);

/** What it has to read next, or NULL. Valid until the next generation_say(). */
const struct said *follower_next(const struct follower *f);

/** It has read that; returns the credit that the worker gets back. */
size_t follower_took(struct follower *f);

/** True if it is so far behind that it must be cut off. */
bool follower_lags(const struct follower *f);

#endif
