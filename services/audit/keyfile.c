/*
 * audit/keyfile.c - reading and making the key file; see keyfile.h.
 */
#include "audit/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/disk.h"
#include "base/hex.h"

#define KEYFILE_MAX_BYTES 4096

static const char head[] =
    "# infermesh audit keys. Back this file up, apart from the log. Whoever has it can sign for the log\n"
    "# and find out whom its records are about; without it the log can be verified but not continued.\n";

static bool
parse_epoch(const char *s, uint32_t *ret)
{
	char *end;
	unsigned long v;

	if (*s < '1' || *s > '9' || strlen(s) > 9)
		return false;
	v = strtoul(s, &end, 10);
	if (*end != '\0')
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* One "word value" line. 'seen' has a bit for each word. */
static enum im_rc
parse_line(char *line, struct keyfile *k, unsigned *seen, struct im_err *err)
{
	static const char *const words[] = { "signer ", "master ", "epoch " };
	size_t len;

	for (unsigned i = 0; i < 3; i++) {
		const char *value = line + strlen(words[i]);

		if (strncmp(line, words[i], strlen(words[i])) != 0)
			continue;
		if ((*seen >> i & 1) != 0)
			return err_set(err, IM_EINVAL, "'%.6s' stands there twice", words[i]);
		*seen |= 1U << i;
		if (i == 0)
			return note_signer_parse(value, &k->signer, err);
		if (i == 1 &&
		    base64_decode(value, strlen(value), k->keys.master.b, HASH_BYTES, &len) &&
		    len == HASH_BYTES)
			return IM_OK;
		if (i == 2 && parse_epoch(value, &k->keys.epoch))
			return IM_OK;
		return err_set(err, IM_EINVAL, "malformed value of '%.6s'", words[i]);
	}
	return err_set(err, IM_EINVAL, "allowed are signer, master and epoch");
}

static enum im_rc
parse(char *text, struct keyfile *ret, struct im_err *err)
{
	struct keyfile k = { 0 };
	unsigned seen = 0, number = 0;
	enum im_rc rc = IM_OK;

	for (char *line = text, *next; line != NULL && rc == IM_OK; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		number++;
		if (*line != '#' && *line != '\0')
			rc = parse_line(line, &k, &seen, err);
		if (rc != IM_OK)
			err_prefix(err, "line %u", number);
	}
	if (rc == IM_OK && seen != 7)
		rc = err_set(err, IM_EINVAL, "signer, master or epoch is missing");
	if (rc == IM_OK)
		*ret = k;
	else
		note_signer_done(&k.signer);
	OPENSSL_cleanse(&k, sizeof(k));
	return rc;
}

static enum im_rc
check_mode(int fd, const char *path, struct im_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, IM_EIO, errno, "cannot look at %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, IM_EPERM, "%s is not a regular file", path);
	if ((st.st_mode & 077) != 0)
		return err_set(err, IM_EPERM,
			       "%s has mode %04o: others may read or change it; run 'chmod 600 %s'",
			       path, (unsigned)st.st_mode & 07777, path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, IM_EPERM, "%s belongs to another user", path);
	return IM_OK;
}

enum im_rc
keyfile_load(const char *path, struct keyfile *ret, struct im_err *err)
{
	char text[KEYFILE_MAX_BYTES + 1];
	size_t len = 0;
	ssize_t n = 1;
	enum im_rc rc;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return err_set(err, IM_ENOTFOUND, "the key file %s is missing", path);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot open the key file %s", path);
	rc = check_mode(fd, path, err);
	while (rc == IM_OK && n > 0 && len < sizeof(text)) {
		n = read(fd, text + len, sizeof(text) - len);
		if (n < 0)
			rc = err_errno(err, IM_EIO, errno, "cannot read the key file %s", path);
		else
			len += (size_t)n;
	}
	(void)close(fd);
	if (rc == IM_OK && (len == sizeof(text) || memchr(text, '\0', len) != NULL))
		rc = err_set(err, IM_EINVAL, "%s is not a key file", path);
	if (rc == IM_OK) {
		text[len] = '\0';
		rc = parse(text, ret, err);
		if (rc != IM_OK)
			err_prefix(err, "%s", path);
	}
	OPENSSL_cleanse(text, sizeof(text));
	return rc;
}

static enum im_rc
write_new(const char *path, const struct buf *text, struct im_err *err)
{
	char dir[DISK_PATH_MAX] = ".";
	const char *slash = strrchr(path, '/');
	enum im_rc rc = IM_OK;
	int fd;

	if (slash != NULL && (size_t)(slash - path) >= sizeof(dir))
		return err_set(err, IM_EINVAL, "the path %s is too long", path);
	if (slash != NULL && slash != path) {
		memcpy(dir, path, (size_t)(slash - path));
		dir[slash - path] = '\0';
		rc = disk_mkdirs(&disk_posix, dir, err);
	}
	if (rc != IM_OK)
		return rc;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return err_set(err, IM_EEXIST, "the key file %s exists already", path);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot make the key file %s", path);
	rc = disk_write(&disk_posix, fd, path, text->data, text->len, 0, err);
	if (rc == IM_OK && fsync(fd) < 0)
		rc = disk_failed(err, errno, true, "sync", path);
	(void)close(fd);
	if (rc == IM_OK)
		rc = disk_sync_dir(&disk_posix, slash == path ? "/" : dir, err);
	if (rc != IM_OK)
		(void)unlink(path);
	return rc;
}

enum im_rc
keyfile_create(const char *path, const char *origin, struct keyfile *ret, struct im_err *err)
{
	uint8_t seed[NOTE_KEY_BYTES];
	char skey[NOTE_KEYTEXT_MAX], master[BASE64_LEN(HASH_BYTES) + 1];
	struct buf text = BUF_INIT(KEYFILE_MAX_BYTES);
	struct keyfile k = { .keys = { .epoch = 1 } };
	enum im_rc rc;

	random_bytes(seed, sizeof(seed));
	random_bytes(k.keys.master.b, HASH_BYTES);
	rc = note_signer_new(origin, seed, &k.signer, err);
	if (rc == IM_OK) {
		note_signer_skey(&k.signer, skey);
		base64_encode(k.keys.master.b, HASH_BYTES, master);
		if (!buf_printf(&text, "%ssigner %s\nmaster %s\nepoch %u\n", head, skey, master,
				k.keys.epoch))
			rc = err_set(err, IM_ENOMEM, "no memory for a key file");
	}
	if (rc == IM_OK)
		rc = write_new(path, &text, err);
	if (rc == IM_OK)
		*ret = k;
	else
		note_signer_done(&k.signer);
	if (text.data != NULL)
		OPENSSL_cleanse(text.data, text.cap);
	buf_done(&text);
	OPENSSL_cleanse(seed, sizeof(seed));
	OPENSSL_cleanse(skey, sizeof(skey));
	OPENSSL_cleanse(master, sizeof(master));
	OPENSSL_cleanse(&k, sizeof(k));
	return rc;
}

void
keyfile_done(struct keyfile *k)
{
	note_signer_done(&k->signer);
	OPENSSL_cleanse(k, sizeof(*k));
}
