/*
 * audit/cosignature.h - what a witness adds to a checkpoint: a signature line with the time, over time and text. Ed25519. Never
 * reads a clock or a file, and never decides what may be cosigned: witness_rules.h does.
 * Source: https://c2sp.org/tlog-cosignature@v1.0.1
 */
#ifndef AUDIT_COSIGNATURE_H
#define AUDIT_COSIGNATURE_H

#include "audit/note.h"

#define COSIGNATURE_BYTES (8 + NOTE_SIG_BYTES) /* time, signature: what follows the key id */

/** Append the line of witness 'w' (a key of note_cosigner_new()) for the checkpoint whose text are the 'len' bytes at 'text',
 *  seen at 'time_s', seconds since 1970. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc cosignature_sign(const struct note_signer *w, uint64_t time_s,
					  const char *text, size_t len, struct buf *out,
					  struct im_err *err);

/**
 * Check what 'w' (note_cosigner_parse()) cosigned in the note: 'ret_time_s' is the latest time that it says. IM_OK;
 * IM_ENOTFOUND: there is no line of this witness; IM_ECORRUPT: one of its lines is wrong; IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc cosignature_verify(const struct note *note, const struct note_verifier *w,
					    uint64_t *ret_time_s, struct im_err *err);

/**
 * Take the cosignature of 'w' out of the untrusted 'len' bytes at 'answer', with which it answered the signed note at 'note': its
 * line, checked, is appended to 'out'. Lines of others are passed over. IM_EPROTO: the answer is something else than signature
 * lines; else as cosignature_verify().
 */
IM_MUST_CHECK enum im_rc cosignature_take(const char *note, size_t note_len, const char *answer,
					  size_t len, const struct note_verifier *w,
					  struct buf *out, struct im_err *err);

#endif
