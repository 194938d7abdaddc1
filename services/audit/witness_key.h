/*
 * audit/witness_key.h - witness.key_file: the key that a witness cosigns with. Text: one line "cosigner PRIVATE+KEY+…", '#'
 * begins a comment line. Made once, never changed.
 */
#ifndef AUDIT_WITNESS_KEY_H
#define AUDIT_WITNESS_KEY_H

#include "audit/note.h"

/** Read 'path'; if it is missing, make it for the witness 'name' (and say so in 'ret_made'). A key of another name is refused.
 *  IM_EPERM, IM_EINVAL, IM_EIO, IM_ENOMEM as secret_file.h. Free with note_signer_done(). */
IM_MUST_CHECK enum im_rc witness_key_open(const char *path, const char *name,
					  struct note_signer *ret, bool *ret_made,
					  struct im_err *err);

#endif
