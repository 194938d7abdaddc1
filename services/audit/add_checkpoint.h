/*
 * audit/add_checkpoint.h - what a log says to a witness: its new checkpoint, and a proof that it continues an older one. Bytes in
 * and out, no I/O; checks no signature and no proof. Source: https://c2sp.org/tlog-witness@v1.0.0
 */
#ifndef AUDIT_ADD_CHECKPOINT_H
#define AUDIT_ADD_CHECKPOINT_H

#include "audit/note.h"
#include "audit/tlog.h"

#define ADD_CHECKPOINT_PATH      "/add-checkpoint"
#define ADD_CHECKPOINT_PROOF_MAX 63
#define ADD_CHECKPOINT_MAX_BYTES                                                                   \
	(32 + ADD_CHECKPOINT_PROOF_MAX * 45 + 1 + NOTE_MAX_BYTES) /* of a request */
#define ADD_CHECKPOINT_SIZE_TYPE "text/x.tlog.size" /* of an answer that says the witness's size */

struct add_checkpoint {
	uint64_t old; /* size that the proof begins at */
	struct tlog_proof proof;
	const char *note; /* the signed checkpoint */
	size_t note_len;
};

/** Append the request. False when the buffer failed. At most ADD_CHECKPOINT_PROOF_MAX hashes. */
bool add_checkpoint_put(struct buf *out, const struct add_checkpoint *r);

/** Parse the untrusted 'len' bytes: ret->note points into them and is any text. IM_EPROTO, IM_ETOOBIG. */
IM_MUST_CHECK enum im_rc add_checkpoint_parse(const char *bytes, size_t len,
					      struct add_checkpoint *ret, struct im_err *err);

/** The body of an answer of ADD_CHECKPOINT_SIZE_TYPE: "4711\n". */
bool add_checkpoint_parse_size(const char *bytes, size_t len, uint64_t *ret);

#endif
