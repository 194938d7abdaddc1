/*
 * daemon/keys.h - the file of API keys: who may call the gateway. Written by 'infermesh key create', read by the gateway.
 * Holds hashes only: a key is shown once, when it is made.
 *
 * One key a line, '#' begins a comment:  SHA256-HEX CALLER TENANT CREATED-UNIX-SECONDS
 * A key is "im-" and 43 characters of base64url of 32 random bytes, so a plain SHA-256 of the whole key is enough.
 */
#ifndef DAEMON_KEYS_H
#define DAEMON_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KEYS_KEY_LEN  46 /* characters of a key */
#define KEYS_NAME_MAX 64 /* bytes of a caller or tenant: [A-Za-z0-9._@-]+ */

struct keys;

/** Read 'path'. IM_ENOENT-like: IM_ENOTFOUND when there is no such file; IM_EPERM when others may read or change it (the
 *  text says which chmod); IM_EINVAL with the line number; IM_EIO; IM_ENOMEM. */
IM_MUST_CHECK enum im_rc keys_load(const char *path, struct keys **ret_keys, struct im_err *err);
void keys_free(struct keys *keys);
size_t keys_count(const struct keys *keys);

/** SHA-256 of the file as it was read, and who owns it. */
const uint8_t *keys_digest(const struct keys *keys);
uint32_t keys_owner(const struct keys *keys);

/** Look up the presented key (any bytes) in time that does not depend on the stored hashes' contents. Strings live as
 *  long as 'keys'. */
bool keys_find(const struct keys *keys, const char *presented, size_t len, const char **ret_caller,
	       const char **ret_tenant);

/** Make a key, append its hash to 'path' (made with mode 0600 if it is not there, folders too) and sync it.
 *  'ret_key' gets KEYS_KEY_LEN characters and a NUL. */
IM_MUST_CHECK enum im_rc keys_create(const char *path, const char *caller, const char *tenant,
				     char ret_key[KEYS_KEY_LEN + 1], struct im_err *err);

#endif
