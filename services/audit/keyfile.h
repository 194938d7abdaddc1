/*
 * audit/keyfile.h - audit.key_file: the log's signing key and the master secret of pseudonyms and commitments. Made on the
 * first start, never changed afterwards. Never inside the log folder: whoever copies the log must not copy this.
 *
 * Text, '#' begins a comment line:
 *   signer PRIVATE+KEY+<origin>+<hash>+<base64>
 *   master <base64 of 32 bytes>
 *   epoch <number>
 */
#ifndef AUDIT_KEYFILE_H
#define AUDIT_KEYFILE_H

#include "audit/note.h"
#include "audit/pseudonym.h"

struct keyfile {
	struct note_signer signer;
	struct pseudonym_keys keys;
};

/** Read 'path'. IM_ENOTFOUND, IM_EPERM (others may read or change it; says which chmod), IM_EINVAL with the line, IM_EIO,
 *  IM_ENOMEM. */
IM_MUST_CHECK enum im_rc keyfile_load(const char *path, struct keyfile *ret, struct im_err *err);

/** Make one for 'origin' with fresh secrets, mode 0600, durably, and missing folders. IM_EEXIST when 'path' is there. */
IM_MUST_CHECK enum im_rc keyfile_create(const char *path, const char *origin, struct keyfile *ret,
					struct im_err *err);

/** Wipe and free. */
void keyfile_done(struct keyfile *k);

#endif
