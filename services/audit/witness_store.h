/*
 * audit/witness_store.h - the folder of a witness: for each log the last checkpoint that was cosigned, as a note with the log's
 * signature and the witness's own, in a file of its own. Durable before it counts. Never holds a key.
 *
 * <dir>/<SHA-256 of the origin>.checkpoint, replaced as a whole (temporary file, fsync, rename, fsync of the folder), and
 * <dir>/lock, held by the running witness.
 */
#ifndef AUDIT_WITNESS_STORE_H
#define AUDIT_WITNESS_STORE_H

#include "audit/disk.h"
#include "audit/witness_rules.h"

struct witness_store {
	const struct disk_ops *ops;
	char dir[DISK_PATH_MAX];
	int lock_fd;
	struct hasher hasher;
	const struct note_signer *key; /* the witness's; its owner keeps it */
};

/** Open the folder, made if missing, for the witness with 'key'. IM_EEXIST: another process has it; IM_EUNAVAILABLE, IM_EIO,
 *  IM_EINVAL, IM_ENOMEM. On failure nothing is left. */
IM_MUST_CHECK enum im_rc witness_store_open(struct witness_store *s, const struct disk_ops *ops,
					    const char *dir, const struct note_signer *key,
					    struct im_err *err);
void witness_store_close(struct witness_store *s);

/** Read what was cosigned of log->origin into its size, root and time. IM_ECORRUPT: the file is not what this witness wrote. */
IM_MUST_CHECK enum im_rc witness_store_load(struct witness_store *s, struct witness_log *log,
					    struct im_err *err);

/**
 * Cosign what was judged good, at 'time_s' or the log's last time if that is later: the line is appended to 'out', and before
 * that the state is durable and '*log' is up to date. On failure nothing of that has happened as far as anybody may know: IM_EUNAVAILABLE,
 * IM_ENOMEM: later again; IM_EIO: the process must end.
 */
IM_MUST_CHECK enum im_rc witness_store_cosign(struct witness_store *s, struct witness_log *log,
					      const struct witness_verdict *v, uint64_t time_s,
					      struct buf *out, struct im_err *err);

#endif
