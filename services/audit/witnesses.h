/*
 * audit/witnesses.h - the witnesses of a log (audit.witnesses): each checkpoint that was published is submitted to all of them, and
 * what enough of them cosigned is published as checkpoint.cosigned (cosigned.h). On a thread of its own: no acknowledgement and
 * no checkpoint ever waits for a witness. Asks no more often than every interval_ms, the newest checkpoint only.
 *
 * What is submitted is durable already: the write-ahead log holds it and the checkpoint file says it. Which size a witness has needs
 * no file: its own answer says it.
 *
 * When the log goes on in another shard, so do they: to a witness that is another log, and it must know its key. What they cosign there
 * covers the shards before too, whose ends the first record of each shard names.
 */
#ifndef AUDIT_WITNESSES_H
#define AUDIT_WITNESSES_H

#include "audit/cosigned.h"
#include "audit/disk.h"
#include "audit/publisher.h"
#include "audit/witness_peer.h"

struct witnesses_params {
	const struct disk_ops *ops;
	const char *dir;               /* of the shard that is written */
	const struct note_signer *key; /* the shard's; used while opening only */
	const char *log_dir,
	    *log_origin; /* of the first shard: later ones lie below it and are called after it */
	size_t count;    /* at most COSIGNED_WITNESSES */
	const char *url[COSIGNED_WITNESSES];
	const char *vkey[COSIGNED_WITNESSES];
	unsigned quorum; /* 0 = more than half */
	uint64_t interval_ms;
	const char *ca_file;  /* NULL = the system's */
	audit_fatal_fn fatal; /* the disk failed; from the thread */
	void *user;
};

struct witness_stats {
	char name[NOTE_NAME_MAX + 1];
	const char *url;
	enum witness_peer_state state;
	uint64_t cosigned;     /* size of the last checkpoint that it cosigned */
	uint64_t lag_ms;       /* since when there is one that it has not; 0 = there is none */
	uint64_t good, failed; /* requests, since the start */
	char why[160];         /* why the last one failed; "" = it did not */
};

struct witnesses_stats {
	size_t count;
	unsigned quorum;
	uint64_t cosigned; /* size in checkpoint.cosigned */
	struct witness_stats by[COSIGNED_WITNESSES];
};

struct witnesses;

/**
 * Start. 'params' and what it points to are copied, but for the URLs and the name of ca_file, which must outlive it. The folder's
 * checkpoint.cosigned must be the beginning of the log: IM_ECORRUPT if not, for then the folder was rolled back or changed. IM_EINVAL (a key),
 * IM_EUNAVAILABLE (no libcurl), IM_EIO, IM_ENOMEM. On failure nothing is left.
 */
IM_MUST_CHECK enum im_rc witnesses_open(const struct witnesses_params *params,
					struct witnesses **ret, struct im_err *err);

/** The log has published 'text', its signed checkpoint; copied. Any thread; never waits. */
void witnesses_publish(struct witnesses *w, const char *text, size_t len);

/** Any thread. */
void witnesses_stats(struct witnesses *w, struct witnesses_stats *ret);

/** End the thread; requests that are under way are dropped. NULL is fine. */
void witnesses_close(struct witnesses *w);

#endif
