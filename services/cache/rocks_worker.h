/*
 * cache/rocks_worker.h - the thread that does what tier_rocks.c asks of the disk: questions first, then changes many at a time, then a step
 * of a purge. It gives each job back on the loop.
 */
#ifndef CACHE_ROCKS_WORKER_H
#define CACHE_ROCKS_WORKER_H

#include "base/loop.h"
#include "cache/rocks.h"

struct rocks_worker;

enum rocks_job_kind {
	ROCKS_GET,
	ROCKS_PUT,
	ROCKS_REMOVE,
	ROCKS_PURGE,
};

/* Made by the tier, given back by 'done'. Between the two it is the worker's. */
struct rocks_job {
	enum rocks_job_kind kind;
	struct list node;
	struct loop_task task; /* the worker posts it: fn and arg are the tier's */
	uint8_t key[CACHE_KEY_BYTES];
	uint64_t expires_us;
	struct value_selector sel; /* ROCKS_PURGE */
	uint64_t removed;
	struct im_err err; /* rc IM_OK: it was done */
	char *kept;        /* ROCKS_GET: rocks_get()'s, or NULL; whose the job is frees it */
	size_t len;        /* of what rocks_frame() gives; ROCKS_PUT: of 'frame' */
	uint8_t frame[];
};

/* What the worker says of the folder. */
struct rocks_state {
	bool open, lost; /* lost: it was damaged and has been emptied */
	struct rocks_size size;
	struct im_err why; /* not open */
};

/** Start; opens the folder by itself. 'changed' on the loop when rocks_worker_state() has something new, also each second. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc rocks_worker_new(struct loop *loop, const struct rocks_params *params,
					  loop_fn changed, void *arg, struct rocks_worker **ret,
					  struct im_err *err);

/** Hand a job over. */
void rocks_worker_do(struct rocks_worker *w, struct rocks_job *job);

void rocks_worker_state(struct rocks_worker *w, struct rocks_state *ret);

/** Do what waits, close, end; then 'stopped' on the loop, after every job has been given back. 'w' is freed. */
void rocks_worker_stop(struct rocks_worker *w, loop_fn stopped, void *arg);

#endif
