/*
 * audit/witnesses_internal.h - what witnesses.c (the thread) and witnesses_open.c (before and after it) share. Not for others.
 */
#ifndef AUDIT_WITNESSES_INTERNAL_H
#define AUDIT_WITNESSES_INTERNAL_H

#include <pthread.h>

#include "audit/witness_call.h"
#include "audit/witnesses.h"
#include "base/prng.h"

struct one {
	struct note_verifier key;
	const char *url;
	struct witness_peer peer;
	struct witness_call call;
	uint64_t target; /* size of the checkpoint in the request that is under way */
	struct buf line; /* its cosignature of the target; empty = it has not yet */
	uint64_t
	    since_ms; /* when the oldest checkpoint that it has not cosigned became the target; 0 = none */
	uint64_t good, failed;
	char why[sizeof(((struct witness_stats *)NULL)->why)];
};

struct signed_checkpoint {
	struct buf text;
	uint64_t size;
};

struct witnesses {
	struct witnesses_params params;
	char dir[DISK_PATH_MAX], log_dir[DISK_PATH_MAX];
	char origin[NOTE_NAME_MAX + 1],
	    log_origin[NOTE_NAME_MAX + 1]; /* the shard's, and the first one's */
	struct note_verifier log_key;
	unsigned quorum;
	CURLM *multi;
	bool curl;
	pthread_t thread;
	bool running;

	/* The thread's. */
	struct hasher hasher;
	struct prng prng;
	struct one one[COSIGNED_WITNESSES];
	struct signed_checkpoint target, latest;
	uint64_t next_ms;  /* no new target before */
	uint64_t cosigned; /* size in the file */
	bool news;         /* a line came that the file has not */
	bool save_failed;  /* and was said */

	pthread_mutex_t lock; /* guards what follows */
	struct buf published; /* the newest checkpoint, not taken by the thread yet */
	bool stop;
	struct witnesses_stats stats;
};

/* The thread. */
void *witnesses_run(void *arg);

/* Make the figures of 'now_ms' visible to witnesses_stats(). */
void witnesses_put_stats(struct witnesses *w, uint64_t now_ms);

#endif
