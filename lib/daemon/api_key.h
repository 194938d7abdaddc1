/*
 * daemon/api_key.h - a key or password that somebody else wants from us: out of a file, which may change while we run, or
 * out of the environment. Never logged, never part of an error.
 */
#ifndef DAEMON_API_KEY_H
#define DAEMON_API_KEY_H

#include <stddef.h>
#include <sys/stat.h>

#include "base/err.h"

#define API_KEY_MAX 8192 /* bytes of a key */

/* Zero-initialised: no key. Not thread-safe. */
struct api_key {
	char *file;       /* NULL = not from a file */
	struct stat seen; /* of the file when it was read */
	char *key;        /* NULL = none */
};

/** Set where the key comes from (each may be NULL; the file is preferred) and read it. The strings are copied. Errors as
 *  api_key_get(); IM_EINVAL also when the variable is not set. */
IM_MUST_CHECK enum im_rc api_key_init(struct api_key *k, const char *file, const char *env,
				      struct im_err *err);

/** Overwrites the key in memory. */
void api_key_done(struct api_key *k);

/**
 * The key, "" if there is none; valid until the next call. The file is read again when it is another or was changed.
 * Returns IM_OK; IM_EPERM when others may read the file (the text says which chmod); IM_EINVAL for a key that cannot be
 * one (empty, too long, blanks or control characters inside); IM_EIO; IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc api_key_get(struct api_key *k, const char **ret_key, struct im_err *err);

#endif
