/*
 * audit/committer.h - the commit thread: takes everything that is queued, makes it durable with one frame and one
 * fdatasync, and reports back to the loop; what arrives meanwhile is the next frame. Never waits for more to come
 * (docs/adr/0003-group-commit.md).
 *
 * Threads: everything here is called on the loop, callbacks run on the loop; 'fatal' on whatever thread met the error.
 */
#ifndef AUDIT_COMMITTER_H
#define AUDIT_COMMITTER_H

#include "audit/log.h"
#include "base/arena.h"
#include "base/loop.h"
#include "daemon/metrics.h"

#define COMMITTER_EVENTS_MAX 262144                     /* that wait */
#define COMMITTER_BYTES_MAX  ((size_t)64 * 1024 * 1024) /* that they take */

/* Something to be done with the log between two frames. */
typedef enum im_rc (*commit_work_fn)(struct audit_log *log, void *user, struct im_err *err);

/* One Append, or one piece of work. The caller allocates it and gets it back in 'done'. */
struct commit_job {
	struct list node;
	struct audit_append events; /* points into memory that the caller keeps until 'done' */
	/* Not NULL: called once, on the commit thread, to decode the events, so that the loop need not; events.count is right
	 * before. An error of its own does not speak of the log: 'malformed' is set. */
	enum im_rc (*prepare)(struct commit_job *job, struct im_err *err);
	uint64_t *index;            /* of each event; events.count of them, filled here */
	size_t bytes;               /* memory that it takes, for the bound; set by the caller */
	commit_work_fn work;        /* not NULL: called on the commit thread, instead of events */
	enum record_kind work_kind; /* of the records that it writes, for counting */
	void (*done)(void *user, struct commit_job *job); /* on the loop */
	void *user;

	/* The answer. */
	struct im_err err; /* rc IM_OK: all events are durable, or the work is done */
	char *checkpoint;  /* covers all events; the caller frees it; NULL after work */
	bool malformed;    /* 'err' is what 'prepare' said */

	size_t cursor; /* the committer's: events that are in the log or in the present frame */
};

struct commit_stats {
	uint64_t size, published; /* records, of all shards */
	uint64_t open_requests;
	uint64_t records[RECORD_STOP + 1]; /* committed since the start, by kind */
	uint64_t frames, failures;
	uint64_t pending; /* events that wait */
	struct histogram batch,
	    sync;              /* records a frame; seconds a commit, signature and sync included */
	struct im_err trouble; /* of the last commit; rc IM_OK = writable */
	struct im_err
	    turn_trouble; /* why the log cannot go on in another shard, as it should; rc IM_OK = it could */

	/* The shard that is being written. */
	uint64_t first; /* number of its first record */
	char origin[NOTE_NAME_MAX + 1];
	char vkey[NOTE_KEYTEXT_MAX];
};

struct committer;

/** Start the thread on 'log', which is the committer's from now on. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc committer_new(struct loop *loop, struct audit_log *log,
				       audit_fatal_fn fatal, void *user, struct committer **ret,
				       struct im_err *err);

/** Queue a job. IM_OK: 'done' follows. IM_EUNAVAILABLE: too much waits already, or it is stopping; 'done' does not follow. */
IM_MUST_CHECK enum im_rc committer_submit(struct committer *c, struct commit_job *job,
					  struct im_err *err);

void committer_stats(struct committer *c, struct commit_stats *ret);

/** Events that wait or are being committed. */
uint64_t committer_pending(struct committer *c);

/**
 * Commit what is queued, then 'last' (a STOP record; NULL = none), publish, end the thread; then call 'stopped' on the
 * loop, when not even a thread is left. Every job's 'done' came before.
 */
void committer_stop(struct committer *c, const struct audit_event *last, loop_fn stopped,
		    void *arg);

/** After 'stopped'. The log stays open: it is the caller's again. */
void committer_free(struct committer *c);

#endif
