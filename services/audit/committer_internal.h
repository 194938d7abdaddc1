/*
 * audit/committer_internal.h - what the two sides of the committer share: the loop's (committer.c) and the thread's
 * (committer_thread.c).
 */
#ifndef AUDIT_COMMITTER_INTERNAL_H
#define AUDIT_COMMITTER_INTERNAL_H

#include <pthread.h>

#include "audit/committer.h"

struct committer {
	struct loop *loop;
	struct audit_log *log; /* the thread's */
	audit_fatal_fn fatal;
	void *user;
	pthread_t thread;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	struct list queue; /* of struct commit_job */
	struct list done;
	size_t bytes; /* that queued and unfinished jobs take */
	struct commit_stats stats;
	bool stop;

	/* On the loop. */
	struct loop_task report; /* jobs in 'done' */
	struct loop_task ended;  /* the thread is about to return */
	struct loop_timer join;  /* armed from the beginning, so that arming it again cannot fail */
	const struct audit_event *last;
	loop_fn stopped;
	void *stopped_arg;
};

/** Copy what the log's shard is into the statistics. Under the lock, or before there is a thread. */
void committer_note_shard(struct committer *c);

/** The thread: 'arg' is the committer. Ends after committer_stop(). */
void *committer_run(void *arg);

#endif
