/*
 * gateway/auth.c - API keys; see auth.h.
 */
#include "gateway/auth.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/copy.h"

#define MASK_FROM_LEN 20 /* of a shorter key too much would be shown */

static void
remember(struct gateway_auth *auth, const struct stat *st)
{
	auth->mtime = st->st_mtim;
	auth->size = st->st_size;
	auth->inode = st->st_ino;
}

static bool
is_remembered(const struct gateway_auth *auth, const struct stat *st)
{
	return auth->inode == st->st_ino && auth->size == st->st_size &&
	       auth->mtime.tv_sec == st->st_mtim.tv_sec &&
	       auth->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

enum im_rc
gateway_auth_init(struct gateway_auth *auth, const char *path, struct im_err *err)
{
	struct im_err why = { 0 };
	struct stat st;
	enum im_rc rc;

	*auth = (struct gateway_auth){ .path = path };
	if (path == NULL)
		return IM_OK;
	/* Looked at before it is read: a change in between is seen by the next reload. */
	if (stat(path, &st) == 0)
		remember(auth, &st);
	rc = keys_load(path, &auth->keys, &why);
	if (rc == IM_OK || rc == IM_ENOTFOUND)
		return IM_OK;
	if (err != NULL)
		*err = why;
	return rc;
}

void
gateway_auth_done(struct gateway_auth *auth)
{
	keys_free(auth->keys);
	*auth = (struct gateway_auth){ 0 };
}

enum im_rc
gateway_auth_reload(struct gateway_auth *auth, bool *ret_changed, struct im_err *err)
{
	struct keys *fresh;
	struct stat st = { 0 };
	enum im_rc rc;

	*ret_changed = false;
	if (auth->path == NULL)
		return IM_OK;
	if (stat(auth->path, &st) != 0)
		st = (struct stat){ 0 };
	if (is_remembered(auth, &st))
		return IM_OK;
	remember(auth, &st);
	rc = keys_load(auth->path, &fresh, err);
	if (rc != IM_OK)
		return rc;
	keys_free(auth->keys);
	auth->keys = fresh;
	*ret_changed = true;
	return IM_OK;
}

void
gateway_auth_mask(const char *key, char out[AUTH_MASK_MAX])
{
	size_t len = strlen(key);

	if (len < MASK_FROM_LEN) {
		(void)snprintf(out, AUTH_MASK_MAX, "********");
		return;
	}
	(void)snprintf(out, AUTH_MASK_MAX, "%.3s********%s", key, key + len - 4);
	for (char *p = out; *p != '\0'; p++)
		if (*p < 0x21 || *p > 0x7e)
			*p = '*';
}

static const char *
skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

/* The key that is presented, or NULL. */
static const char *
presented(const struct gateway_credentials *c)
{
	const char *a = c->authorization;

	if (a != NULL && strncasecmp(a, "Bearer", 6) == 0 && (a[6] == ' ' || a[6] == '\t'))
		return skip_blanks(a + 6);
	return c->api_key != NULL ? c->api_key : c->x_api_key;
}

static void
caller_set(struct gateway_caller *to, const char *caller, const char *tenant)
{
	copy_text(to->caller, sizeof(to->caller), caller);
	copy_text(to->tenant, sizeof(to->tenant), tenant);
}

enum im_rc
gateway_auth_check(const struct gateway_auth *auth, const struct gateway_credentials *c,
		   struct gateway_caller *ret, struct im_err *err)
{
	const char *key = presented(c), *caller, *tenant;
	char mask[AUTH_MASK_MAX];

	if (auth->keys == NULL) {
		caller_set(ret, "anonymous", "default");
		return IM_OK;
	}
	if (key == NULL || key[0] == '\0') {
		return err_reason(
		    err, IM_EAUTH, "invalid_api_key",
		    "No API key was given. Send the header 'Authorization: Bearer KEY'; "
		    "'infermesh key create' makes a key.");
	}
	if (!keys_find(auth->keys, key, strlen(key), &caller, &tenant)) {
		gateway_auth_mask(key, mask);
		return err_reason(
		    err, IM_EAUTH, "invalid_api_key",
		    "Incorrect API key provided: %s. 'infermesh key create' makes a key.", mask);
	}
	caller_set(ret, caller, tenant);
	return IM_OK;
}

bool
gateway_listen_is_local(const char *listen)
{
	const char *colon = strrchr(listen, ':');
	struct in6_addr v6;
	struct in_addr v4;
	char host[64];
	size_t len;

	if (strncmp(listen, "unix:", 5) == 0)
		return true;
	len = colon == NULL ? 0 : (size_t)(colon - listen);
	if (len == 0 || len >= sizeof(host))
		return false;
	memcpy(host, listen, len);
	host[len] = '\0';
	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		return inet_pton(AF_INET6, host + 1, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
	}
	return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}
