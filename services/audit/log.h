/*
 * audit/log.h - the log itself: events become records, records become a frame of the write-ahead log, and only a durable
 * frame counts. Synchronous and without a thread of its own for commits: the committer calls it, tests do too.
 */
#ifndef AUDIT_LOG_H
#define AUDIT_LOG_H

#include "audit/checkpoint.h"
#include "audit/dedup.h"
#include "audit/identity.h"
#include "audit/keyfile.h"
#include "audit/publisher.h"
#include "audit/record.h"
#include "audit/shards.h"
#include "audit/subjects.h"
#include "audit/wal.h"

#define AUDIT_RANDOM_BYTES ((size_t)2048) /* asked of the kernel at once */

struct audit_log_params {
	const struct disk_ops *ops;
	const char *dir;      /* of the first shard; the others lie below it */
	struct keyfile *keys; /* must outlive the log, which changes it when the key is rotated */
	const char *key_file; /* its path; NULL: the key cannot be rotated */
	const char *subjects; /* the file of subjects' keys */
	bool half_years;      /* a new shard for each half-year */
	uint64_t segment_bytes;
	uint32_t batch_records;
	size_t batch_bytes;
	uint64_t publish_ms;
	uint64_t (*now_us)(void); /* wall clock, microseconds since 1970 */
	audit_fatal_fn fatal;     /* from the publisher's thread */
	void *user;
};

/* A shard that has ended, until all of it is published (turn.c). On the heap. */
struct ended_shard {
	struct store store;
	struct list chunks;
	struct note_verifier verifier;
	uint64_t size;
	struct pruning *pruning; /* what is still to be deleted in it; NULL = nothing */
	uint64_t retry_us;       /* when it is tried again */
};

/* The shard that is being written. */
struct open_shard {
	char name[SHARD_NAME_MAX]; /* "" = the first */
	char dir[DISK_PATH_MAX];
	uint64_t first;   /* number of its first record */
	uint32_t ordinal; /* shards before it */
	struct note_signer signer;
	struct note_verifier verifier; /* of the same key */
};

struct audit_log {
	struct audit_log_params params;
	char dir[DISK_PATH_MAX];
	char origin[NOTE_NAME_MAX + 1]; /* of the first shard: later ones are called after it */
	struct open_shard shard;
	struct ended_shard *ended; /* the one before it; NULL = that is done */
	uint64_t turn_us;  /* log_time from which on the next shard is due; UINT64_MAX = never */
	bool turn_failing; /* and it was said */
	struct pseudonym_keys pseudonyms; /* of this shard */
	int lock_fd;
	struct hasher hasher;
	struct identities identities;
	struct subjects subjects;
	uint8_t random
	    [AUDIT_RANDOM_BYTES]; /* for records to come; the first 'random_left' are unused */
	size_t random_left;
	struct wal wal;
	struct dedup dedup;
	struct publisher publisher;
	bool has_publisher;
	struct tlog_range range; /* of what is durable */
	char *checkpoint;        /* signed, of 'range'; "" while it is empty */
	size_t checkpoint_len;
	uint64_t log_time_us; /* of the last record */
	struct wal_found recovered;
	struct buf erasures; /* struct subject_erasure: the ERASE records that recovery saw */
	uint64_t revived;    /* erased keys that an old copy of their file had brought back */
	uint64_t begun_us;   /* log_time of the first record that recovery saw; 0 = none */
	struct buf prunes;   /* struct known_prune: the PRUNE records that recovery saw */

	char next_origin[NOTE_NAME_MAX + 1], next_vkey[NOTE_KEYTEXT_MAX]; /* if these are not "" */

	/* The frame that is being gathered. */
	struct tlog_range next;
	struct buf records;
	struct hash *leaf;
	uint32_t count;
	uint64_t frame_time_us; /* log_time of its last record */

	struct im_err dead; /* rc IM_EIO: the disk failed us, nothing may be written any more */
};

/**
 * Open the log in params->dir (made if missing) and recover it: afterwards every record that was ever acknowledged is in
 * it, and every erasure that was begun is finished and recorded. IM_EEXIST: another process has it open. IM_ECORRUPT: bytes were changed, or the folder was rolled back; nothing was
 * changed. IM_EUNAVAILABLE (no space), IM_EIO, IM_EINVAL, IM_ENOMEM. Reads up to DEDUP_OPEN records: seconds at most.
 */
IM_MUST_CHECK enum im_rc audit_log_open(const struct audit_log_params *params,
					struct audit_log **ret_log, struct im_err *err);

/** Release all; what is not committed is lost. The publisher is stopped first. NULL is fine. */
void audit_log_close(struct audit_log *log);

/**
 * Put one event into the frame that is being gathered, or find that the log has it already: 'ret_number' is its number
 * either way. IM_OK; IM_EAGAIN: the frame is full, or the next shard is due behind it: commit it first; IM_ETOOBIG: its entry would be over 65,535 bytes;
 * IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc audit_log_add(struct audit_log *log, const struct audit_event *event,
				       uint64_t *ret_number, struct im_err *err);

/** The same for a record of the log itself, which is no event of anybody: its times and blind are set here. */
IM_MUST_CHECK enum im_rc audit_log_put(struct audit_log *log, struct record *r,
				       uint64_t *ret_number, struct im_err *err);

/** True if nothing was gathered since the last commit. */
bool audit_log_idle(const struct audit_log *log);

/**
 * Make what was gathered durable: sign, write, sync. On any failure nothing of it is in the log and it is forgotten.
 * IM_EUNAVAILABLE and IM_ENOMEM: try later with new events. IM_EIO: the process must end. 'urgent' may use the reserved
 * space: for GAP and STOP.
 */
IM_MUST_CHECK enum im_rc audit_log_commit(struct audit_log *log, bool urgent, struct im_err *err);

/** Remove what of the write-ahead log is published. Each commit does so; this is for when none follows. */
void audit_log_recycle(struct audit_log *log);

/** Records that are durable, in all shards. */
uint64_t audit_log_size(const struct audit_log *log);

/** Upper bound of the bytes that an event's entry takes; for checking before it is queued. */
size_t audit_log_event_bytes(const struct audit_event *event);

/* Inside the log only. */

/* A PRUNE record that is not too old: perhaps not all of it was deleted. */
struct known_prune {
	struct record_prune prune;
	uint64_t number; /* of the record */
};

/** Forget what was gathered. */
void audit_log_forget(struct audit_log *log);

/** Fill with random bytes, each of which is given out once. */
void audit_log_blind(struct audit_log *log, uint8_t *ret, size_t len);

/** The clock, which may have been set back: log_time never decreases. */
uint64_t audit_log_time(const struct audit_log *log);

/** log_open.c: write to the shard 'name' from now on, whose key must be in the key file. */
IM_MUST_CHECK enum im_rc audit_log_enter(struct audit_log *log, const char *name, const char *vkey,
					 uint64_t first, uint32_t ordinal, struct im_err *err);

/** recover.c: read the shard that was entered. 'shards' are those that have ended, and it. */
IM_MUST_CHECK enum im_rc audit_log_recover(struct audit_log *log, const struct shards *shards,
					   struct im_err *err);

/* recall.c: what the newest records say. Sizes of the open shard. */
struct recall_bounds {
	uint64_t first_kept; /* entries below were pruned */
	uint64_t published;  /* of the checkpoint */
	uint64_t size;       /* with all frames */
};

IM_MUST_CHECK enum im_rc audit_log_recall_shards(struct audit_log *log, const struct shards *shards,
						 const struct recall_bounds *bounds,
						 struct im_err *err);
IM_MUST_CHECK enum im_rc audit_log_recall(struct audit_log *log, const struct recall_bounds *bounds,
					  const uint8_t *data, size_t len, struct im_err *err);

#endif
