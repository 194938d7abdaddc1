/*
 * audit/checkpoint.h - what the log commits to: its name, size and root, as the text of a signed note (C2SP
 * tlog-checkpoint, without extension lines). Never signs or verifies by itself: note.h does.
 */
#ifndef AUDIT_CHECKPOINT_H
#define AUDIT_CHECKPOINT_H

#include "audit/note.h"
#include "audit/tlog.h"

#define CHECKPOINT_MAX_BYTES 1024 /* of one that we sign ourselves */

struct checkpoint {
	char origin[NOTE_NAME_MAX + 1];
	uint64_t size;
	struct hash root;
};

/** Append the body. False when the buffer failed. */
bool checkpoint_put(struct buf *out, const struct checkpoint *c);

/** "4711": decimal without leading zeros. */
bool checkpoint_parse_size(const char *s, size_t len, uint64_t *ret);

/** As checkpoint_parse(), of any log: there may be extension lines. */
IM_MUST_CHECK enum im_rc checkpoint_parse_any(const char *text, size_t len, struct checkpoint *ret,
					      struct im_err *err);

/** Parse a body (a note's text), strictly. IM_EPROTO. */
IM_MUST_CHECK enum im_rc checkpoint_parse(const char *text, size_t len, struct checkpoint *ret,
					  struct im_err *err);

/**
 * Parse the untrusted bytes of a signed checkpoint; with 'v' (may be NULL) check origin and signature too. IM_EPROTO,
 * IM_ENOTFOUND (not signed by 'v'), IM_ECORRUPT (wrong signature, or another log's).
 */
IM_MUST_CHECK enum im_rc checkpoint_open(const char *bytes, size_t len,
					 const struct note_verifier *v, struct checkpoint *ret,
					 struct im_err *err);

/** Append the signed checkpoint. */
IM_MUST_CHECK enum im_rc checkpoint_sign(const struct note_signer *s, uint64_t size,
					 const struct hash *root, struct buf *out,
					 struct im_err *err);

#endif
