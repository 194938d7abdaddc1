/*
 * audit/turn.h - the turn: a shard ends, and the log goes on in the next one, because a half-year has begun or the key is
 * rotated (docs/adr/0008-shards.md). Beside log.h, on the same thread, between two frames.
 *
 *   the next shard's write-ahead log, with its first record, is durable
 *   -> the last record of the old shard is durable: THE TURN; a crash before it leaves the old shard as it was, one after it is
 *      finished by the next start
 *   -> the next shard's checkpoint -> the old shard's last checkpoint -> next.tlog-proof -> the old write-ahead log goes, and
 *      the old key if there is a new one
 */
#ifndef AUDIT_TURN_H
#define AUDIT_TURN_H

#include "audit/log.h"

#define TURN_RETRY_US UINT64_C(60000000) /* after one that failed */

struct audit_rotated {
	uint64_t number; /* of the last record of the old shard */
	char origin[NOTE_NAME_MAX + 1];
	char vkey[NOTE_KEYTEXT_MAX]; /* of the new one */
};

/** True when a half-year has begun that the shard does not belong to, or the last turn is not all published. */
bool audit_log_turn_due(const struct audit_log *log);

/**
 * Do what is due. 'err' is needed. Nothing may be gathered (audit_log_idle()). On failure the log goes on where it is, and it is due again
 * later: TURN_RETRY_US. IM_EUNAVAILABLE, IM_ENOMEM, IM_EINVAL (the origin is too long); IM_EIO: the process must end.
 */
IM_MUST_CHECK enum im_rc audit_log_turn(struct audit_log *log, struct im_err *err);

/**
 * 'err' is needed. Go on in a new shard under a fresh signing key, and destroy the old one; 'actor' as in lifecycle.h. Nothing may be gathered.
 * IM_OK: the new key is in force; the old one is destroyed as soon as all is published, mostly at once. IM_EEXIST: the turn
 * before is not all published yet; IM_EINVAL: there is no key file; else as audit_log_turn(): the old key is in force.
 */
IM_MUST_CHECK enum im_rc audit_log_rotate(struct audit_log *log, const char *actor,
					  struct audit_rotated *ret, struct im_err *err);

/* For turn.c, and for opening and closing the log. */

/** Publish the shard that has ended, as far as it can be done now. As store_publish(). */
IM_MUST_CHECK enum im_rc turn_end(struct audit_log *log, struct im_err *err);

/** The shard that was recovered has ended: recover the next one. turn_end() follows. */
IM_MUST_CHECK enum im_rc turn_resume(struct audit_log *log, const struct shards *shards,
				     struct im_err *err);

/** When the next shard is due. */
void turn_schedule(struct audit_log *log);

/** Free what is kept of a shard that has ended; it is found again when the log is opened. */
void turn_forget(struct audit_log *log);

/** Remove the folder of a shard that never was. IM_ECORRUPT: it holds more than such a one does. */
IM_MUST_CHECK enum im_rc turn_remove_unused(const struct disk_ops *ops, const char *dir,
					    struct im_err *err);

/** Remove the write-ahead log of a shard that has ended and is all published. A failure only leaves it. */
void turn_remove_wal(const struct disk_ops *ops, const char *dir);

/** Let the publisher delete what 'prune' says of an older shard, once 'after' records of the open one are published. */
IM_MUST_CHECK enum im_rc turn_prune_older(struct audit_log *log, const struct shards *shards,
					  const struct record_prune *prune, uint64_t after,
					  struct im_err *err);

#endif
