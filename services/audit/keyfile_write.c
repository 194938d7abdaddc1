/*
 * audit/keyfile_write.c - a key that comes, and one that goes; see keyfile.h. Changes one line at a time, in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/keyfile.h"
#include "base/hex.h"
#include "daemon/secret_file.h"

#define SIGNER "signer "
#define KEYFILE_FULL                                                                               \
	"the key file has no room for another key: it was rotated too often; begin another log, with a key file of its own"

/* The key file while it is changed. 'text' is what was read; the secrets in it are wiped at the end. */
struct editor {
	const struct disk_ops *ops;
	const char *path;
	int fd;
	struct buf text;
	size_t end; /* of what counts: behind the last newline */
};

static void
close_editor(struct editor *e)
{
	if (e->fd >= 0)
		(void)close(e->fd);
	if (e->text.data != NULL)
		OPENSSL_cleanse(e->text.data, e->text.cap);
	buf_done(&e->text);
}

static enum im_rc
open_editor(struct editor *e, const struct disk_ops *ops, const char *path, struct im_err *err)
{
	const char *text, *last;
	enum im_rc rc;

	*e = (struct editor){ .ops = ops, .path = path, .fd = -1 };
	/* Room for all of it: a buffer that grows leaves copies behind. */
	if (buf_reserve(&e->text, (size_t)SECRET_FILE_MAX + 65536) == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a key file");
	rc = disk_read(path, (size_t)SECRET_FILE_MAX, &e->text, err);
	if (rc != IM_OK)
		return rc;
	text = (const char *)e->text.data;
	last = memrchr(text, '\n', e->text.len);
	e->end = last != NULL ? (size_t)(last - text) + 1 : 0;
	e->fd = ops->open(path, O_RDWR, 0);
	return e->fd >= 0 ? IM_OK : disk_failed(err, errno, false, "change", path);
}

static enum im_rc
sync_editor(const struct editor *e, struct im_err *err)
{
	return e->ops->fsync(e->fd) == 0 ? IM_OK : disk_failed(err, errno, true, "sync", e->path);
}

/* Append 'line', which ends in a newline. */
static enum im_rc
append_line(struct editor *e, const char *line, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	if (e->ops->ftruncate(e->fd, (off_t)e->end) < 0) /* what a crash left */
		return disk_failed(err, errno, false, "change", e->path);
	rc = disk_write(e->ops, e->fd, e->path, line, strlen(line), e->end, err);
	if (rc == IM_OK)
		rc = sync_editor(e, err);
	if (rc == IM_OK)
		e->end += strlen(line);
	return rc;
}

/* Overwrite the line at 'at', its newline excepted. From its first byte on it is a comment. */
static enum im_rc
wipe_line(struct editor *e, size_t at, struct im_err *err)
{
	const char *text = (const char *)e->text.data;
	const char *nl = memchr(text + at, '\n', e->text.len - at);
	size_t len = (nl != NULL ? (size_t)(nl - text) : e->text.len) - at;
	char *marks = malloc(len);
	enum im_rc rc;

	if (marks == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a key file");
	memset(marks, '#', len);
	rc = disk_write(e->ops, e->fd, e->path, marks, 1, at, err);
	if (rc == IM_OK)
		rc = sync_editor(e, err);
	if (rc == IM_OK)
		rc = disk_write(e->ops, e->fd, e->path, marks, len, at, err);
	if (rc == IM_OK)
		rc = sync_editor(e, err);
	free(marks);
	return rc;
}

enum im_rc
keyfile_add(const struct disk_ops *ops, const char *path, const char *name, struct keyfile *k,
	    struct im_err *err)
{
	uint8_t seed[NOTE_KEY_BYTES];
	char skey[NOTE_KEYTEXT_MAX], line[NOTE_KEYTEXT_MAX + 16];
	struct note_signer fresh = { .name = "" };
	struct editor e;
	enum im_rc rc;

	if (k->spare.name[0] != '\0')
		return err_set(err, IM_EEXIST, "the key is being rotated already");
	if (k->old_count == KEYFILE_OLD_MAX)
		return err_set(err, IM_EINVAL, KEYFILE_FULL);
	random_bytes(seed, sizeof(seed));
	rc = note_signer_new(name, seed, &fresh, err);
	OPENSSL_cleanse(seed, sizeof(seed));
	if (rc != IM_OK)
		return rc;
	note_signer_skey(&fresh, skey);
	(void)snprintf(line, sizeof(line), SIGNER "%s\n", skey);
	rc = open_editor(&e, ops, path, err);
	/* Also for the line that keep_old() is going to append: a file that is too long is read no more. */
	if (rc == IM_OK && e.end + 2 * sizeof(line) > SECRET_FILE_MAX)
		rc = err_set(err, IM_EINVAL, KEYFILE_FULL);
	if (rc == IM_OK)
		rc = append_line(&e, line, err);
	close_editor(&e);
	OPENSSL_cleanse(skey, sizeof(skey));
	OPENSSL_cleanse(line, sizeof(line));
	if (rc == IM_OK)
		k->spare = fresh;
	else
		note_signer_done(&fresh);
	return rc;
}

/* The key of the signer's line at 'at'. False: it is none that counts. */
static bool
signer_at(const struct editor *e, size_t at, struct note_signer *ret)
{
	const char *text = (const char *)e->text.data, *nl;
	char skey[NOTE_KEYTEXT_MAX];
	size_t len;
	bool good;

	nl = memchr(text + at, '\n', e->text.len - at);
	if (nl == NULL || strncmp(text + at, SIGNER, strlen(SIGNER)) != 0)
		return false;
	at += strlen(SIGNER);
	len = (size_t)(nl - text) - at;
	if (len >= sizeof(skey))
		return false;
	memcpy(skey, text + at, len);
	skey[len] = '\0';
	good = note_signer_parse(skey, ret, NULL) == IM_OK;
	OPENSSL_cleanse(skey, sizeof(skey));
	return good;
}

/* Keep the public half of a key that goes, unless it was kept already. */
static enum im_rc
keep_old(struct editor *e, const struct note_signer *s, struct im_err *err)
{
	char vkey[NOTE_KEYTEXT_MAX], line[NOTE_KEYTEXT_MAX + 16];

	note_signer_vkey(s, vkey);
	(void)snprintf(line, sizeof(line), "old %s\n", vkey);
	if (memmem(e->text.data, e->text.len, line, strlen(line)) != NULL)
		return IM_OK;
	return append_line(e, line, err);
}

/* One line: '*seen' is true behind the key that is in use. */
static enum im_rc
settle_line(struct editor *e, size_t at, const uint8_t pub[NOTE_KEY_BYTES], bool *seen,
	    struct im_err *err)
{
	struct note_signer s = { .name = "" };
	enum im_rc rc = IM_OK;

	if (e->text.len - at >= strlen(KEYFILE_BEGUN) &&
	    memcmp(e->text.data + at, KEYFILE_BEGUN, strlen(KEYFILE_BEGUN)) == 0)
		return wipe_line(e, at, err);
	if (!signer_at(e, at, &s))
		return IM_OK;
	if (memcmp(s.pub, pub, NOTE_KEY_BYTES) == 0) {
		*seen = true;
	} else {
		rc = *seen ? IM_OK : keep_old(e, &s, err);
		if (rc == IM_OK)
			rc = wipe_line(e, at, err);
	}
	note_signer_done(&s);
	return rc;
}

static enum im_rc
settle(const struct disk_ops *ops, const char *path, const uint8_t pub[NOTE_KEY_BYTES],
       struct im_err *err)
{
	bool seen = false;
	struct editor e;
	enum im_rc rc = open_editor(&e, ops, path, err);
	size_t end = e.end, next;

	for (size_t at = 0; rc == IM_OK && at < end; at = next) {
		const uint8_t *nl = memchr(e.text.data + at, '\n', end - at);

		next = (size_t)(nl - e.text.data) + 1;
		rc = settle_line(&e, at, pub, &seen, err);
	}
	close_editor(&e);
	return rc;
}

enum im_rc
keyfile_settle(const struct disk_ops *ops, const char *path, const uint8_t pub[NOTE_KEY_BYTES],
	       struct keyfile *k, struct im_err *err)
{
	struct keyfile now;
	enum im_rc rc = keyfile_load(path, &now, err);
	bool todo;

	if (rc != IM_OK)
		return rc;
	if (keyfile_signer(&now, pub) == NULL)
		rc = err_set(err, IM_ENOTFOUND,
			     "%s does not have the key that the log is signed with", path);
	/* A file that may not be written need not be, mostly. */
	todo = now.spare.name[0] != '\0' || now.unfinished;
	keyfile_done(&now);
	if (rc == IM_OK && todo)
		rc = settle(ops, path, pub, err);
	if (rc != IM_OK || (!todo && k->spare.name[0] == '\0' && keyfile_signer(k, pub) != NULL))
		return rc;
	rc = keyfile_load(path, &now, err);
	if (rc == IM_OK) {
		keyfile_done(k);
		*k = now;
	}
	return rc;
}
