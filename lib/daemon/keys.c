/*
 * daemon/keys.c - the file of API keys; see keys.h. Never holds a key longer than the call that made or checks it.
 */
#include "daemon/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/sha256.h"
#include "daemon/durable.h"
#include "daemon/paths.h"

#define KEYS_FILE_MAX (1024UL * 1024)
#define KEYS_MAX      4096 /* every one is compared with every presented key */

struct key {
	uint8_t hash[SHA256_BYTES];
	char caller[KEYS_NAME_MAX + 1];
	char tenant[KEYS_NAME_MAX + 1];
};

struct keys {
	struct key *list;
	size_t count;
	uint8_t digest[SHA256_BYTES]; /* of the file */
	uint32_t owner;
};

static bool
is_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= KEYS_NAME_MAX &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-") == n;
}

/* Others may neither read nor change the file: it says who may call, and a line added to it is a key. */
static enum im_rc
check_mode(int fd, const char *path, struct im_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, IM_EIO, errno, "%s: cannot look at the key file", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, IM_EPERM, "%s: the key file is no regular file", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, IM_EPERM, "%s: the key file belongs to user %u, not to us (%u)",
			       path, (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & 027) != 0) {
		return err_set(
		    err, IM_EPERM,
		    "%s: others may read or change the key file (mode %04o); run: chmod 0600 '%s'",
		    path, (unsigned)(st.st_mode & 07777), path);
	}
	return IM_OK;
}

static enum im_rc
read_all(int fd, const char *path, struct buf *text, struct im_err *err)
{
	for (;;) {
		uint8_t *room = buf_reserve(text, 4096);
		ssize_t n;

		if (room == NULL)
			return err_set(err, IM_EINVAL, "%s: the key file is larger than %lu bytes",
				       path, KEYS_FILE_MAX);
		n = read(fd, room, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, IM_EIO, errno, "%s: cannot read the key file", path);
		if (n == 0)
			return IM_OK;
		text->len += (size_t)n;
	}
}

/* One line, NUL-terminated, into a key. 'ret_used' false: a blank line or a comment. */
static bool
parse_line(char *line, struct key *key, bool *ret_used)
{
	char *field[4] = { NULL }, *save = NULL;
	size_t n = 0;

	*ret_used = false;
	line[strcspn(line, "#")] = '\0';
	for (char *word = strtok_r(line, " \t\r", &save); word != NULL;
	     word = strtok_r(NULL, " \t\r", &save)) {
		if (n == 4)
			return false;
		field[n++] = word;
	}
	if (n == 0)
		return true;
	if (n != 4 || !hex_decode(field[0], key->hash, SHA256_BYTES) || !is_name(field[1]) ||
	    !is_name(field[2]) || strspn(field[3], "0123456789") != strlen(field[3]))
		return false;
	(void)snprintf(key->caller, sizeof(key->caller), "%s", field[1]);
	(void)snprintf(key->tenant, sizeof(key->tenant), "%s", field[2]);
	*ret_used = true;
	return true;
}

static enum im_rc
parse_file(struct buf *text, const char *path, struct keys *keys, struct im_err *err)
{
	char *at = (char *)buf_cstr(text), *end = at + text->len;
	size_t lines = 1;

	for (const char *p = at; p < end; p++)
		lines += *p == '\n';
	keys->list = calloc(lines < KEYS_MAX ? lines : KEYS_MAX, sizeof(*keys->list));
	if (keys->list == NULL)
		return err_set(err, IM_ENOMEM, "%s: not enough memory for the keys", path);
	for (size_t line = 1; at < end; line++) {
		char *nl = memchr(at, '\n', (size_t)(end - at));
		struct key key;
		bool used;

		if (nl == NULL)
			nl = end;
		*nl = '\0';
		if (strlen(at) != (size_t)(nl - at) || !parse_line(at, &key, &used)) {
			return err_set(
			    err, IM_EINVAL,
			    "%s:%zu: not a key line, allowed: SHA256-HEX CALLER TENANT CREATED-SECONDS, or # comment",
			    path, line);
		}
		if (used && keys->count == KEYS_MAX)
			return err_set(err, IM_EINVAL, "%s:%zu: more than %d keys", path, line,
				       KEYS_MAX);
		if (used)
			keys->list[keys->count++] = key;
		at = nl + 1;
	}
	return IM_OK;
}

enum im_rc
keys_load(const char *path, struct keys **ret_keys, struct im_err *err)
{
	struct buf text = BUF_INIT(KEYS_FILE_MAX);
	struct keys *keys = NULL;
	struct stat st;
	enum im_rc rc;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 && errno == ENOENT)
		return err_set(err, IM_ENOTFOUND,
			       "%s: there is no key file; make a key: infermesh key create", path);
	if (fd < 0)
		return err_errno(err, errno == EACCES ? IM_EPERM : IM_EIO, errno,
				 "%s: cannot read the key file", path);
	rc = check_mode(fd, path, err);
	if (rc == IM_OK)
		rc = read_all(fd, path, &text, err);
	if (fstat(fd, &st) != 0)
		st.st_uid = geteuid();
	(void)close(fd);
	if (rc == IM_OK) {
		keys = calloc(1, sizeof(*keys));
		if (keys != NULL)
			keys->owner = st.st_uid;
		rc = keys != NULL && sha256_of(text.data, text.len, keys->digest)
			 ? parse_file(&text, path, keys, err)
			 : err_set(err, IM_ENOMEM, "%s: not enough memory for the keys", path);
	}
	buf_done(&text);
	if (rc != IM_OK)
		keys_free(keys);
	else
		*ret_keys = keys;
	return rc;
}

const uint8_t *
keys_digest(const struct keys *keys)
{
	return keys->digest;
}

uint32_t
keys_owner(const struct keys *keys)
{
	return keys->owner;
}

void
keys_free(struct keys *keys)
{
	if (keys == NULL)
		return;
	free(keys->list);
	free(keys);
}

size_t
keys_count(const struct keys *keys)
{
	return keys->count;
}

bool
keys_find(const struct keys *keys, const char *presented, size_t len, const char **ret_caller,
	  const char **ret_tenant)
{
	const struct key *found = NULL;
	uint8_t hash[SHA256_BYTES];

	if (!sha256_of(presented, len, hash))
		return false;
	/* Every entry is compared, also after a match. */
	for (size_t i = 0; i < keys->count; i++)
		if (CRYPTO_memcmp(keys->list[i].hash, hash, SHA256_BYTES) == 0)
			found = &keys->list[i];
	if (found == NULL)
		return false;
	*ret_caller = found->caller;
	*ret_tenant = found->tenant;
	return true;
}

/* "im-" and base64url without padding of 32 random bytes. */
static void
make_key(char out[KEYS_KEY_LEN + 1])
{
	uint8_t secret[32];
	char text[BASE64_LEN(sizeof(secret)) + 1];

	_Static_assert(KEYS_KEY_LEN - 3 == BASE64_LEN(sizeof(secret)) - 1,
		       "43 characters and one of padding");
	random_bytes(secret, sizeof(secret));
	base64_encode(secret, sizeof(secret), text);
	for (char *p = text; *p != '\0'; p++) {
		if (*p == '+')
			*p = '-';
		else if (*p == '/')
			*p = '_';
	}
	memcpy(out, "im-", 3);
	memcpy(out + 3, text, KEYS_KEY_LEN - 3);
	out[KEYS_KEY_LEN] = '\0';
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(text, sizeof(text));
}

/* Append the line under a lock, beginning on a line of its own whatever an editor left behind. */
static enum im_rc
append_line(int fd, const char *path, const char *line, struct im_err *err)
{
	struct stat st;
	char last = '\n';
	char text[256];
	int n;

	if (flock(fd, LOCK_EX) < 0 || fstat(fd, &st) < 0)
		return err_errno(err, IM_EIO, errno, "%s: cannot lock the key file", path);
	if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
		return err_errno(err, IM_EIO, errno, "%s: cannot read the key file", path);
	n = snprintf(text, sizeof(text), "%s%s\n", last == '\n' ? "" : "\n", line);
	if (write(fd, text, (size_t)n) != n) {
		int why = errno;

		/* Half a line would make the gateway refuse the whole file. */
		(void)!ftruncate(fd, st.st_size);
		return err_errno(err, IM_EIO, why, "%s: cannot write the key file", path);
	}
	if (fsync(fd) < 0)
		return err_errno(err, IM_EIO, errno, "%s: cannot write the key file", path);
	return IM_OK;
}

enum im_rc
keys_create(const char *path, const char *caller, const char *tenant,
	    char ret_key[KEYS_KEY_LEN + 1], struct im_err *err)
{
	char key[KEYS_KEY_LEN + 1], hex[2 * SHA256_BYTES + 1], line[256];
	uint8_t hash[SHA256_BYTES];
	enum im_rc rc;
	int fd;

	if (!is_name(caller) || !is_name(tenant)) {
		return err_set(
		    err, IM_EINVAL,
		    "a caller or tenant is 1 to %d letters, digits and . _ @ -; found \"%.70s\"",
		    KEYS_NAME_MAX, is_name(caller) ? tenant : caller);
	}
	rc = paths_make_parents(path, err);
	if (rc != IM_OK)
		return rc;
	fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "%s: cannot write the key file", path);
	rc = check_mode(fd, path, err);
	make_key(key);
	if (rc == IM_OK && !sha256_of(key, KEYS_KEY_LEN, hash))
		rc = err_set(err, IM_ENOMEM, "not enough memory to hash the key");
	if (rc == IM_OK) {
		hex_encode(hash, SHA256_BYTES, hex);
		(void)snprintf(line, sizeof(line), "%s %s %s %llu", hex, caller, tenant,
			       (unsigned long long)(clock_wall_us() / 1000000));
		rc = append_line(fd, path, line, err);
	}
	(void)close(fd);
	if (rc == IM_OK) {
		(void)!durable_sync_folder(path);
		memcpy(ret_key, key, sizeof(key));
	}
	OPENSSL_cleanse(key, sizeof(key));
	return rc;
}
