/*
 * gateway/auth.h - who calls: API keys out of a request's headers, looked up in the key file, which is read again when it
 * changes. Never logs and never shows a key.
 *
 * Threads: on the loop.
 */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "daemon/keys.h"

struct gateway_auth {
	const char *path;  /* borrowed: the configuration's */
	struct keys *keys; /* NULL = no key file: everybody may call */
	struct timespec mtime;
	off_t size;
	ino_t inode;
};

struct gateway_caller {
	char caller[KEYS_NAME_MAX + 1], tenant[KEYS_NAME_MAX + 1];
};

/* What a client may present a key in; NULL = not there. */
struct gateway_credentials {
	const char *authorization; /* "Bearer KEY" */
	const char *api_key;       /* api-key: KEY */
	const char *x_api_key;     /* x-api-key: KEY */
};

/** Read the file. That there is none is no error. 'path' must outlive 'auth'; NULL = no keys. Errors as keys_load(). */
IM_MUST_CHECK enum im_rc gateway_auth_init(struct gateway_auth *auth, const char *path,
					   struct im_err *err);
void gateway_auth_done(struct gateway_auth *auth);

/** Read the file again if it is another one than last time. An error leaves the keys as they were, and is told once for
 *  each change of the file; a file that vanished is one too. '*ret_changed' says whether new keys hold now. */
IM_MUST_CHECK enum im_rc gateway_auth_reload(struct gateway_auth *auth, bool *ret_changed,
					     struct im_err *err);

/** Who presents this? Without a key file "anonymous" of "default". IM_OK or IM_EAUTH, with the key masked in the text. */
IM_MUST_CHECK enum im_rc gateway_auth_check(const struct gateway_auth *auth,
					    const struct gateway_credentials *c,
					    struct gateway_caller *ret, struct im_err *err);

#define AUTH_MASK_MAX 24
/** Enough of a key to recognise one's own: the first 3 and last 4 characters, for short ones nothing. */
void gateway_auth_mask(const char *key, char out[AUTH_MASK_MAX]);

/** Can only this host reach what listens at 'listen' ("HOST:PORT", "unix:PATH")? */
bool gateway_listen_is_local(const char *listen);

#endif
