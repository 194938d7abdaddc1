/*
 * cache/entry_disk.h - entries on disk, by the thread that waits for entry_db.h: loaded when it is opened, then written, many changes with one sync.
 *
 *   AWAY ──pause──▶ open, load ──▶ OPEN (a new generation) ──an error, or the folder is another──▶ AWAY
 */
#ifndef CACHE_ENTRY_DISK_H
#define CACHE_ENTRY_DISK_H

#include "base/buf.h"
#include "base/loop.h"
#include "cache/entry_map.h"

struct entry_disk;

struct entry_disk_params {
	const char *parent;          /* the folder is "store" in it; copied */
	struct entry_map_params map; /* of what is loaded */
};

/* Changes that are made together, or not at all. The user's but between entry_disk_write() and its task. */
struct entry_batch {
	struct loop_task task; /* fn and arg are the user's */
	uint64_t generation;   /* that the changes are for; of another one nothing is done */
	struct buf changes;    /* entry_batch.h */
	struct im_err err;     /* rc IM_OK: they are durable */
};

struct entry_disk_state {
	uint64_t generation;      /* 0: not open */
	struct entry_map *loaded; /* handed over: what was there, once for each generation */
	struct im_err why;        /* not open */
};

/** Start; opens by itself. 'changed' on the loop when entry_disk_take() has something new. IM_OK, IM_ENOMEM; IM_EUNAVAILABLE: no RocksDB here. */
IM_MUST_CHECK enum im_rc entry_disk_new(struct loop *loop, const struct entry_disk_params *params,
					loop_fn changed, void *arg, struct entry_disk **ret,
					struct im_err *err);

/** One batch at a time: the next one after its task has run. */
void entry_disk_write(struct entry_disk *d, struct entry_batch *b);

void entry_disk_take(struct entry_disk *d, struct entry_disk_state *ret);

/** True: there is so little room on the disk that nothing may be written. */
bool entry_disk_is_low(struct entry_disk *d);

/** Finish the batch, close; then 'stopped' on the loop, after the batch's task. 'd' is freed. */
void entry_disk_stop(struct entry_disk *d, loop_fn stopped, void *arg);

#endif
