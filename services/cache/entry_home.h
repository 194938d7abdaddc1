/*
 * cache/entry_home.h - where entries live: what entries.c asks of a home, and of which kind there is one. A home never refuses by silence: each call is
 * given back. How long a caller waits is not its matter.
 *
 * Threads: on the loop.
 */
#ifndef CACHE_ENTRY_HOME_H
#define CACHE_ENTRY_HOME_H

#include "base/loop.h"
#include "daemon/config.h"
#include "wire/entry.h"

/* What a home has to do. The owner's, and the home's until 'done'. */
struct entry_call {
	struct entry_ask ask; /* checked */
	/* Exactly once, also inside ask(). 'err' NULL: done as 'answer' says, which is valid inside. IM_EINVAL to IM_ELIMIT refuse; another error does
	 * not say that nothing was done. */
	void (*done)(struct entry_call *call, const struct im_err *err,
		     const struct entry_answer *answer);
	/* The home's. */
	struct list node;
	uint64_t change;
	struct entry_answer answer;
	uint8_t *copy;
};

struct entry_home_stats {
	const char *state; /* ready, or what it is instead */
	bool sized;        /* the next three are known */
	uint64_t entries, bytes, max_bytes;
	uint64_t errors;
};

struct entry_home {
	const struct entry_home_ops *ops;
	const char *name; /* disk, redis, memory */
};

struct entry_home_ops {
	void (*ask)(struct entry_home *home, struct entry_call *call);
	void (*stats)(const struct entry_home *home, struct entry_home_stats *ret);
	/* Give back every call, free; then 'stopped' on the loop. */
	void (*stop)(struct entry_home *home, loop_fn stopped, void *arg);
};

/** In memory, and on disk if 'dir' is not NULL: a folder inside 'parent', each made if it is not there. IM_OK, IM_ENOMEM, IM_EUNAVAILABLE. */
IM_MUST_CHECK enum im_rc entry_local_new(struct loop *loop, const char *parent, size_t max_bytes,
					 size_t max_value_bytes, struct entry_home **ret,
					 struct im_err *err);

/** In the Redis of the configuration, which is not off. IM_OK, IM_ENOMEM, and what api_key_init() says. */
IM_MUST_CHECK enum im_rc entry_redis_new(struct loop *loop, const struct config *config,
					 size_t max_value_bytes, struct entry_home **ret,
					 struct im_err *err);

#endif
