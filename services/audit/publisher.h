/*
 * audit/publisher.h - the thread that turns durable chunks into tiles and publishes the checkpoint, at most once in
 * publish_ms. Never delays an acknowledgement, unless it falls so far behind that memory would run out.
 */
#ifndef AUDIT_PUBLISHER_H
#define AUDIT_PUBLISHER_H

#include <pthread.h>

#include "audit/store.h"

#define PUBLISHER_BACKLOG_MAX                                                                      \
	((size_t)64 * 1024 * 1024) /* bytes that wait; then commits wait too */
#define PUBLISHER_PORTION                                                                          \
	((size_t)4 * 1024 * 1024) /* of these that are made into tiles before they are written */
#define PUBLISHER_TRIM                                                                             \
	((size_t)4 * 1024 * 1024)  /* of these after which memory goes back to the system */
#define PUBLISHER_PATIENCE_MS 1000 /* that a commit waits for room; then the log takes no records */
#define PUBLISHER_EARLY                                                                            \
	((size_t)512 * 1024) /* bytes; then they are taken in before the time is up */

#define PUBLISHER_NICE                                                                             \
	10 /* of its thread: nobody waits for it, but for the loop and the commit thread they do */

/* An error after which the process must not go on. Called on whatever thread met it; does not return in a daemon. */
typedef void (*audit_fatal_fn)(void *user, const struct im_err *err);

/* A signed checkpoint is in the checkpoint file, durably. On the publisher's thread: must not wait. */
typedef void (*publisher_told_fn)(void *user, const char *checkpoint, size_t len);

#define PUBLISHER_PRUNE 64 /* bundles that are deleted between two looks at what waits */

#define PRUNING_AFTER_END UINT64_MAX /* once all of the shard that has just ended is published */

/* Entries of an older shard that are to be deleted: from 'first' up to 'min_index', once so much of the newest is published. */
struct pruning {
	struct list node;
	uint64_t first, min_index, after;
	char dir[DISK_PATH_MAX]; /* of the shard */
};

struct publisher {
	struct store store; /* the thread's own */
	size_t dropped;     /* bytes of chunks since memory went back; the thread's own too */
	uint64_t publish_ms;
	audit_fatal_fn fatal;
	void *user;
	publisher_told_fn told; /* NULL = nobody wants to know; set before the thread starts */
	void *told_user;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake, freed;
	struct list chunks;
	size_t backlog; /* bytes in 'chunks' */
	uint64_t published;
	uint64_t base;  /* number of the shard's first record */
	uint64_t first; /* entries below are deleted */
	uint64_t prune_min,
	    prune_after;       /* and below this they will be, once so much is published */
	struct list older;     /* of struct pruning */
	struct list gone;      /* of struct disk_gone: to be closed */
	struct im_err trouble; /* why it cannot write; rc IM_OK = it can */
	bool stop;
	pthread_t thread;
	bool running;
};

/** 'p->store' is open. Nothing runs yet: without publisher_start() the owner calls publisher_pass(). */
IM_MUST_CHECK enum im_rc publisher_init(struct publisher *p, uint64_t publish_ms,
					audit_fatal_fn fatal, void *user, struct im_err *err);

IM_MUST_CHECK enum im_rc publisher_start(struct publisher *p, struct im_err *err);

/** Hand over 'c'. Any thread. */
void publisher_push(struct publisher *p, struct chunk *c);

/** Close 'gone', a list of struct disk_gone, after the next pass: it is left empty. Any thread. */
void publisher_close(struct publisher *p, struct list *gone);

/** Wait for room for more, at most PUBLISHER_PATIENCE_MS and only while publishing works: who is faster than the disk is
 *  slowed down before he is refused. IM_OK, or IM_EUNAVAILABLE and why. Any thread but its own. */
IM_MUST_CHECK enum im_rc publisher_room(struct publisher *p, struct im_err *err);

/** Size in the checkpoint file. Any thread. */
uint64_t publisher_published(struct publisher *p);

/** The same, with the shards before. Any thread. */
uint64_t publisher_published_number(struct publisher *p);

/** Raise '*first' to what is being deleted in the older shard 'dir' already. Any thread. */
void publisher_pending(struct publisher *p, const char *dir, uint64_t *first);

/** Delete what 'pruning' says, and free it. Any thread. */
void publisher_prune_older(struct publisher *p, struct pruning *pruning);

/** Delete the entry bundles below 'min_index' once the PRUNE record of index 'record' is published. Any thread. */
void publisher_prune(struct publisher *p, uint64_t min_index, uint64_t record);

/** First entry that is kept: what is below is deleted or is going to be. Any thread. */
uint64_t publisher_minimum(struct publisher *p);

/** IM_OK, or why the last attempt to write tiles or the checkpoint failed: records are durable then, and not published. Any
 *  thread. */
IM_MUST_CHECK enum im_rc publisher_trouble(struct publisher *p, struct im_err *err);

/** Write full tiles of what is waiting now, and publish if 'publish'. IM_OK, or why not. Its thread, or its owner while
 *  there is none. */
IM_MUST_CHECK enum im_rc publisher_pass(struct publisher *p, bool publish, struct im_err *err);

/**
 * Go on with another shard, whose first record has the number 'base': 'next', open, becomes the publisher's; the store of the
 * one before, and its chunks, the caller's. What it had to prune is forgotten; what was to be deleted in older shards, once more of
 * the one before is published, waits for publisher_ended(). Only while there is no thread.
 */
void publisher_turn(struct publisher *p, struct store *next, uint64_t base, struct store *ret_store,
		    struct list *ret_chunks);

/** All of the shard before is published. Any thread. */
void publisher_ended(struct publisher *p);

/** Publish what is there and end the thread; waits for it. What cannot be written stays in the write-ahead log. */
void publisher_stop(struct publisher *p);

/** After publisher_stop(), or if it was never started. The store is closed too. */
void publisher_done(struct publisher *p);

#endif
