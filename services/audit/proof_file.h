/*
 * audit/proof_file.h - a .tlog-proof (C2SP tlog-proof v1): all that an outsider needs to check, offline and with the log's
 * verifier key alone, that one record is in the log. Ours carry the record itself in the "extra" line.
 */
#ifndef AUDIT_PROOF_FILE_H
#define AUDIT_PROOF_FILE_H

#include "audit/source.h"

/* 64 hashes, a checkpoint of the largest size, an entry of the largest size in base64. */
#define PROOF_FILE_MAX ((size_t)(128 * 1024))

struct proof_file {
	uint64_t index;
	const uint8_t *entry; /* the record's bytes, from the "extra" line; NULL = it has none */
	size_t entry_len;
	struct buf memory; /* that 'entry' is in, once it was parsed */
	struct tlog_proof proof;
	const char *checkpoint; /* signed; into the input */
	size_t checkpoint_len;
};

/**
 * Append the proof of record 'index' of the log at 's': with the cosigned checkpoint if there is one that covers it, else with the newest. 'key' NULL: the signature is not checked; everything else is before
 * anything is given out. IM_EAGAIN: the checkpoint does not cover the record yet; IM_ECORRUPT: the log does not hold what its
 * checkpoint says; otherwise as source_entry() and source_checkpoint().
 */
IM_MUST_CHECK enum im_rc proof_file_make(struct hasher *h, const struct audit_source *s,
					 const struct note_verifier *key, uint64_t index,
					 struct buf *out, struct im_err *err);

/** Append 'p', which has an entry, as it is. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc proof_file_put(const struct proof_file *p, struct buf *out,
					struct im_err *err);

/** Split the untrusted 'len' bytes, strictly. IM_EPROTO with the line, IM_ENOMEM. Free with proof_file_done(). */
IM_MUST_CHECK enum im_rc proof_file_parse(const char *bytes, size_t len, struct proof_file *ret,
					  struct im_err *err);
void proof_file_done(struct proof_file *p);

/** Check it: the checkpoint against 'key', the record against the checkpoint. IM_EINVAL: it carries no record. IM_EPROTO,
 *  IM_ENOTFOUND, IM_ECORRUPT: it proves nothing, and why. */
IM_MUST_CHECK enum im_rc proof_file_check(struct hasher *h, const struct proof_file *p,
					  const struct note_verifier *key, struct checkpoint *ret,
					  struct im_err *err);

#endif
