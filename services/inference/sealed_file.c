/*
 * inference/sealed_file.c - see sealed_file.h.
 */
#include "inference/sealed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/sha256.h"
#include "daemon/durable.h"
#include "daemon/secret_file.h"
#include "inference/gguf_header.h"

static const char comment[] =
    "# infermesh key of encrypted model files. Back it up, apart from them: without it they cannot be read.\n";

static enum im_rc
parse_key(char *text, struct sealed_key *ret, struct im_err *err)
{
	bool found = false;

	for (char *line = text, *next; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		line[strcspn(line, "\r")] = '\0';
		if (*line == '#' || *line == '\0')
			continue;
		if (found || !hex_decode(line, ret->bytes, SEALED_KEY_BYTES))
			return err_set(
			    err, IM_EINVAL,
			    "it is no key of model files: allowed is one line of 64 hexadecimal digits, "
			    "and comments that begin with #");
		found = true;
	}
	if (!found)
		return err_set(err, IM_EINVAL, "there is no key in it");
	return sealed_key_init(ret, err);
}

enum im_rc
sealed_key_load(const char *path, struct sealed_key *ret, struct im_err *err)
{
	char *text = malloc(SECRET_FILE_MAX + 1);
	enum im_rc rc;

	if (text == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a key file");
	rc = secret_file_read(path, text, err);
	if (rc == IM_OK) {
		rc = parse_key(text, ret, err);
		if (rc != IM_OK)
			err_prefix(err, "key file %s", path);
		OPENSSL_cleanse(text, SECRET_FILE_MAX + 1);
	}
	if (rc != IM_OK)
		OPENSSL_cleanse(ret, sizeof(*ret));
	free(text);
	return rc;
}

enum im_rc
sealed_key_create(const char *path, struct sealed_key *ret, struct im_err *err)
{
	struct buf text = BUF_INIT(SECRET_FILE_MAX);
	char hex[2 * SEALED_KEY_BYTES + 1];
	enum im_rc rc;

	random_bytes(ret->bytes, SEALED_KEY_BYTES);
	rc = sealed_key_init(ret, err);
	hex_encode(ret->bytes, SEALED_KEY_BYTES, hex);
	if (rc == IM_OK && !buf_printf(&text, "%s%s\n", comment, hex))
		rc = err_set(err, IM_ENOMEM, "no memory for a key file");
	if (rc == IM_OK)
		rc = secret_file_create(path, &text, err);
	if (rc != IM_OK)
		OPENSSL_cleanse(ret, sizeof(*ret));
	if (text.data != NULL)
		OPENSSL_cleanse(text.data, text.cap);
	buf_done(&text);
	OPENSSL_cleanse(hex, sizeof(hex));
	return rc;
}

/* A file that is being encrypted. */
struct making {
	const char *from, *to;
	bool replace;
	char tmp[PATH_MAX];
	int in, out;
	struct sealed_head head;
	struct sealed *sealed;
	EVP_MD_CTX *md;
	uint8_t *plain, *chunk;
};

static enum im_rc
cannot_write(const struct making *m, struct im_err *err)
{
	return err_errno(err, IM_EIO, errno, "%s cannot be written", m->tmp);
}

static enum im_rc
check_gguf(const struct making *m, size_t len, struct im_err *err)
{
	void *data = mmap(NULL, len, PROT_READ, MAP_PRIVATE, m->in, 0);
	struct gguf_header header;
	enum im_rc rc;

	if (data == MAP_FAILED)
		return err_errno(err, IM_EIO, errno, "%s cannot be mapped", m->from);
	if (sealed_is(data, len)) {
		rc = err_set(err, IM_EINVAL, "%s is encrypted already", m->from);
	} else {
		rc = gguf_header_check(data, len, &header, err);
		if (rc != IM_OK)
			err_prefix(err, "%s", m->from);
	}
	(void)munmap(data, len);
	return rc;
}

static enum im_rc
open_in(struct making *m, struct im_err *err)
{
	struct stat st;

	m->in = open(m->from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (m->in < 0)
		return err_errno(err, errno == ENOENT ? IM_ENOTFOUND : IM_EIO, errno,
				 "%s cannot be opened", m->from);
	if (fstat(m->in, &st) < 0)
		return err_errno(err, IM_EIO, errno, "%s cannot be examined", m->from);
	if (!S_ISREG(st.st_mode))
		return err_set(err, IM_EINVAL, "%s is no file; give the path of a GGUF file",
			       m->from);
	if (st.st_size == 0)
		return err_set(err, IM_ECORRUPT, "%s is empty; fetch it again", m->from);
	m->head.plain_bytes = (uint64_t)st.st_size;
	return check_gguf(m, (size_t)st.st_size, err);
}

/* One that a crash left is replaced. */
static enum im_rc
open_out(struct making *m, struct im_err *err)
{
	struct stat st;

	if (snprintf(m->tmp, sizeof(m->tmp), "%s.tmp", m->to) >= (int)sizeof(m->tmp))
		return err_set(err, IM_EINVAL, "the path of the new file is too long");
	if (lstat(m->to, &st) == 0 && !(m->replace && S_ISREG(st.st_mode)))
		return err_set(err, IM_EEXIST, "%s is there already%s", m->to,
			       m->replace ? ", and is no file; give another name"
					  : "; --force replaces it");
	if (unlink(m->tmp) < 0 && errno != ENOENT)
		return cannot_write(m, err);
	m->out = open(m->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return m->out >= 0 ? IM_OK : cannot_write(m, err);
}

/* The next 'len' bytes of the model into 'plain'. */
static enum im_rc
read_plain(struct making *m, size_t len, struct im_err *err)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(m->in, m->plain + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, IM_EIO, errno, "%s cannot be read", m->from);
		if (n == 0)
			return err_set(err, IM_EIO, "%s became shorter while it was read", m->from);
		at += (size_t)n;
	}
	return EVP_DigestUpdate(m->md, m->plain, len) == 1
		   ? IM_OK
		   : err_set(err, IM_ENOMEM, "cannot compute its SHA-256");
}

static enum im_rc
write_chunks(struct making *m, sealed_progress_fn progress, void *user, struct im_err *err)
{
	uint64_t total = m->head.plain_bytes, chunks = sealed_chunks(&m->head);
	enum im_rc rc = IM_OK;

	for (uint64_t i = 0; rc == IM_OK && i < chunks; i++) {
		uint32_t len = sealed_chunk_len(&m->head, i);

		if (progress != NULL && !progress(user, i * m->head.chunk_bytes, total))
			return err_set(err, IM_ECANCELED, "given up; nothing was written to %s",
				       m->to);
		rc = read_plain(m, len, err);
		if (rc == IM_OK)
			rc = sealed_chunk_seal(m->sealed, i, m->plain, len, m->chunk, err);
		if (rc == IM_OK && !durable_write(m->out, m->chunk, len + SEALED_TAG_BYTES))
			rc = cannot_write(m, err);
	}
	return rc;
}

static enum im_rc
write_all(struct making *m, const struct sealed_key *key, sealed_progress_fn progress, void *user,
	  struct im_err *err)
{
	uint8_t head[SEALED_HEAD_BYTES];
	enum im_rc rc;

	m->md = sha256_new();
	m->plain = malloc(SEALED_CHUNK_USUAL);
	m->chunk = malloc(SEALED_CHUNK_USUAL + SEALED_TAG_BYTES);
	if (m->md == NULL || m->plain == NULL || m->chunk == NULL)
		return err_set(err, IM_ENOMEM, "no memory to encrypt a file");
	m->head.chunk_bytes = SEALED_CHUNK_USUAL;
	random_bytes(m->head.salt, SEALED_SALT_BYTES);
	rc = sealed_begin(key, &m->head, head, &m->sealed, err);
	if (rc == IM_OK && !durable_write(m->out, head, sizeof(head)))
		rc = cannot_write(m, err);
	if (rc == IM_OK)
		rc = write_chunks(m, progress, user, err);
	if (rc == IM_OK && fsync(m->out) < 0)
		rc = cannot_write(m, err);
	return rc;
}

/* It gets its name: not that of a file that came meanwhile, unless it is to be replaced. */
static enum im_rc
finish(struct making *m, char ret_digest[65], struct im_err *err)
{
	uint8_t digest[SHA256_BYTES];

	if (!sha256_peek(m->md, digest))
		return err_set(err, IM_ENOMEM, "cannot compute its SHA-256");
	hex_encode(digest, sizeof(digest), ret_digest);
	if (!durable_rename(m->tmp, m->to, m->replace))
		return errno == EEXIST
			   ? err_set(err, IM_EEXIST, "%s is there already; --force replaces it",
				     m->to)
			   : err_errno(err, IM_EIO, errno, "%s cannot get its name", m->to);
	if (durable_sync_folder(m->to))
		return IM_OK;
	return err_errno(err, IM_EIO, errno, "%s is made, but its folder cannot be synced", m->to);
}

enum im_rc
sealed_file_make(const char *from, const char *to, const struct sealed_key *key, bool replace,
		 sealed_progress_fn progress, void *user, char ret_digest[65], struct im_err *err)
{
	struct making m = { .from = from, .to = to, .replace = replace, .in = -1, .out = -1 };
	enum im_rc rc = open_in(&m, err);

	if (rc == IM_OK)
		rc = open_out(&m, err);
	if (rc == IM_OK)
		rc = write_all(&m, key, progress, user, err);
	if (rc == IM_OK)
		rc = finish(&m, ret_digest, err);
	if (m.out >= 0) {
		(void)close(m.out);
		if (rc != IM_OK)
			(void)unlink(m.tmp);
	}
	if (m.in >= 0)
		(void)close(m.in);
	sealed_free(m.sealed);
	EVP_MD_CTX_free(m.md);
	free(m.chunk);
	if (m.plain != NULL)
		OPENSSL_cleanse(m.plain, SEALED_CHUNK_USUAL);
	free(m.plain);
	return rc;
}
