/*
 * audit/crew.h - hashes the records of many frames on all cores: most of the work of a start that finds records which were not
 * published. Never touches a file, and never changes the order in which frames came.
 */
#ifndef AUDIT_CREW_H
#define AUDIT_CREW_H

#include <pthread.h>

#include "audit/store.h"

#define CREW_THREADS_MAX 3 /* besides its owner, who hashes too */
#define CREW_WORTH_BYTES                                                                           \
	((size_t)1024 * 1024) /* that wait; for less a thread is not worth its start */

enum crew_state {
	CREW_WAITING,
	CREW_HASHING,
	CREW_HASHED
};

/* A chunk that is to be hashed. On the heap, made by crew_give(), given back by crew_take(). */
struct crew_job {
	struct list node;
	struct chunk *chunk; /* its leaf hashes are there when the job is taken */
	char *where;         /* owned; for messages */
	enum crew_state state;
	size_t pieces;
	struct tlog_piece piece[]; /* of its leaves */
};

/* One owner thread. Zero-initialised is "not begun", which crew_done() takes. */
struct crew {
	struct hasher *hasher; /* the owner's */
	pthread_mutex_t lock;  /* guards what follows */
	pthread_cond_t more, hashed;
	struct list jobs;         /* in the order in which they came, and are begun */
	struct crew_job *waiting; /* the first that nobody has begun; NULL = all are */
	size_t waiting_bytes;
	bool begun, stop;
	unsigned want, count; /* threads */
	struct crew_thread {
		struct crew *crew;
		struct hasher hasher;
		pthread_t thread;
	} thread[CREW_THREADS_MAX];
};

/** 'h' must outlive it. No thread is started before there is work enough. */
void crew_init(struct crew *c, struct hasher *h);

/** Hash 'chunk', which has c->count records, and room for as many leaf hashes. It stays the caller's, must outlive the crew or be
 *  taken first, and may be read meanwhile, but for its leaf hashes; 'where' is copied. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc crew_give(struct crew *c, struct chunk *chunk, const char *where,
				   struct im_err *err);

/** The next job in order, now the caller's, or NULL: there is none, or it is not hashed yet. With 'wait' only the former; the caller
 *  hashes what nobody has begun. */
struct crew_job *crew_take(struct crew *c, bool wait);

/** 'j', not its chunk. NULL is fine. */
void crew_job_free(struct crew_job *j);

/** End the threads and forget all jobs. */
void crew_done(struct crew *c);

#endif
