/*
 * audit/keyfile.h - audit.key_file: the log's signing key and the master secret of pseudonyms and commitments. Made on the
 * first start; only a rotation of the signing key changes it. Never inside the log folder: whoever copies the log must not copy
 * this.
 *
 * Text, '#' begins a comment line:
 *   signer PRIVATE+KEY+<origin>+<hash>+<base64>    the key, named after the first shard that it signed
 *   master <base64 of 32 bytes>
 *   epoch <number>
 *   old <origin>+<hash>+<base64>                   the public half of a key that was rotated out, the oldest first
 *
 * Lines are appended and never moved, and a secret lies in one place only, where it is overwritten with '#' when it is not
 * needed any more: its first byte, synced, then the rest. While the key is rotated there are two signers. What was not written
 * to its end (the last line without its newline) does not count.
 */
#ifndef AUDIT_KEYFILE_H
#define AUDIT_KEYFILE_H

#include "audit/disk.h"
#include "audit/note.h"
#include "audit/pseudonym.h"

#define KEYFILE_OLD_MAX 100       /* keys that were rotated out */
#define KEYFILE_BEGUN   "#igner " /* begins the line of a signer whose destruction was begun */

struct keyfile {
	struct note_signer signer;
	struct note_signer
	    spare; /* a second one, behind it, while the key is rotated; key NULL = none */
	struct pseudonym_keys keys;
	char (*old)[NOTE_KEYTEXT_MAX]; /* verifier keys, 'old_count' of them */
	size_t old_count;
	bool unfinished; /* the destruction of a key was begun, and not finished */
};

/** Read 'path'. IM_ENOTFOUND, IM_EPERM (others may read or change it; says which chmod), IM_EINVAL with the line, IM_EIO,
 *  IM_ENOMEM. */
IM_MUST_CHECK enum im_rc keyfile_load(const char *path, struct keyfile *ret, struct im_err *err);

/** Make one for 'origin' with fresh secrets, mode 0600, durably, and missing folders. IM_EEXIST when 'path' is there. */
IM_MUST_CHECK enum im_rc keyfile_create(const char *path, const char *origin, struct keyfile *ret,
					struct im_err *err);

/** The verifier key of the log's first shard. */
void keyfile_first_vkey(const struct keyfile *k, char ret[NOTE_KEYTEXT_MAX]);

/** The signer whose public key is 'pub', or NULL. */
const struct note_signer *keyfile_signer(const struct keyfile *k,
					 const uint8_t pub[NOTE_KEY_BYTES]);

/** Append a fresh signing key called 'name', durably: '*k' has it as its spare. IM_EEXIST: there is a spare already. IM_EINVAL:
 *  the name is none, or there is no room for another key. As disk.h says, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc keyfile_add(const struct disk_ops *ops, const char *path, const char *name,
				     struct keyfile *k, struct im_err *err);

/**
 * The log signs with the key whose public half is 'pub', and never again with another one that stands here: one before it is
 * kept as 'old', one behind it was never used; both are destroyed, durably. Finishes what a crash cut off. '*k' is as the file
 * is then. Nothing is written when nothing is to be done. IM_ENOTFOUND: 'pub' is not here; as disk.h says, IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc keyfile_settle(const struct disk_ops *ops, const char *path,
					const uint8_t pub[NOTE_KEY_BYTES], struct keyfile *k,
					struct im_err *err);

/** Wipe and free. */
void keyfile_done(struct keyfile *k);

#endif
