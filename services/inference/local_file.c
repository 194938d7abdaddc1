/*
 * inference/local_file.c - see local_file.h.
 */
#include "inference/local_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "inference/gguf_header.h"
#include "inference/local_watch.h"
#include "inference/sealed_memory.h"

#define SHA256_BYTES 32
#define HASH_BYTES   ((size_t)16 * 1024 * 1024) /* between two looks at the watch */

/* The folder of this program and a '/'; "" when it cannot be told. */
static void
program_folder(char *out, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", out, cap - 1);
	char *slash;

	out[n > 0 ? n : 0] = '\0';
	slash = strrchr(out, '/');
	out[slash != NULL ? slash - out + 1 : 0] = '\0';
}

/* The demo model of this installation, else that of the source tree. */
static enum im_rc
find_file(const char *file, char *ret_path, size_t cap, struct im_err *err)
{
	static const char *const demo[] = { INFERMESH_DEMO_MODEL_INSTALLED,
					    INFERMESH_DEMO_MODEL_BUILT };
	char folder[PATH_MAX];

	if (file != NULL) {
		if (snprintf(ret_path, cap, "%s", file) >= (int)cap)
			return err_set(err, IM_EINVAL, "the path of the model is too long");
		return IM_OK;
	}
	program_folder(folder, sizeof(folder));
	if (folder[0] != '\0' &&
	    snprintf(ret_path, cap, "%s%s", folder, INFERMESH_DEMO_MODEL_BESIDE) < (int)cap &&
	    access(ret_path, R_OK) == 0)
		return IM_OK;
	for (size_t i = 0; i < sizeof(demo) / sizeof(demo[0]); i++) {
		(void)snprintf(ret_path, cap, "%s", demo[i]);
		if (access(ret_path, R_OK) == 0)
			return IM_OK;
	}
	return err_set(
	    err, IM_ENOTFOUND,
	    "the bundled demo model is neither at %s nor at %s; install it, or set workers[].model_file",
	    demo[0], demo[1]);
}

enum im_rc
local_file_given_up(struct im_err *err)
{
	return err_set(err, IM_ECANCELED, "loading it was given up: the worker is being stopped");
}

static enum im_rc
hash(const uint8_t *data, size_t len, struct load_watch *watch, uint8_t digest[SHA256_BYTES],
     struct im_err *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1, go_on = true;
	unsigned n = 0;

	for (size_t at = 0; ok && go_on && at < len; at += HASH_BYTES) {
		go_on = watch_step(watch, WATCH_CHECKING, at, len);
		ok = EVP_DigestUpdate(ctx, data + at,
				      len - at < HASH_BYTES ? len - at : HASH_BYTES) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(ctx, digest, &n) == 1;
	EVP_MD_CTX_free(ctx);
	if (!go_on)
		return local_file_given_up(err);
	if (!ok || n != SHA256_BYTES)
		return err_set(err, IM_ENOMEM, "cannot compute its SHA-256");
	return IM_OK;
}

/* Check what the mapped file holds and fill in its digest. */
static enum im_rc
check_bytes(const uint8_t *data, size_t len, const struct local_model_params *p,
	    struct local_model *m, struct im_err *err)
{
	const char *want = p->sha256;
	struct gguf_header header;
	uint8_t digest[SHA256_BYTES];
	enum im_rc rc = gguf_header_check(data, len, &header, err);

	if (rc == IM_OK)
		rc = hash(data, len, p->watch, digest, err);
	if (rc != IM_OK)
		return rc;
	hex_encode(digest, sizeof(digest), m->digest);
	if (want != NULL && strcasecmp(want, m->digest) != 0)
		return err_set(
		    err, IM_EINVAL,
		    "its SHA-256 is %s, not %s as its key sha256 says: it is another file, or was changed",
		    m->digest, want);
	return IM_OK;
}

static enum im_rc
check_file(FILE *f, const struct local_model_params *p, struct local_model *m, struct im_err *err)
{
	struct stat st;
	void *data;
	enum im_rc rc;

	if (fstat(fileno(f), &st) != 0)
		return err_errno(err, IM_EIO, errno, "cannot be examined");
	if (!S_ISREG(st.st_mode))
		return err_set(err, IM_EINVAL, "this is no file; give the path of a GGUF file");
	if (st.st_size == 0)
		return err_set(err, IM_ECORRUPT, "it is empty; fetch it again");
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fileno(f), 0);
	if (data == MAP_FAILED)
		return err_errno(err, IM_EIO, errno, "cannot be mapped");
	rc = check_bytes(data, (size_t)st.st_size, p, m, err);
	(void)munmap(data, (size_t)st.st_size);
	return rc;
}

static bool
on_decrypted(void *watch, uint64_t done, uint64_t total)
{
	return watch_step(watch, WATCH_DECRYPTING, done, total);
}

/* '*f' becomes what can be read of it in plain: itself, or its decrypted copy in memory. */
static enum im_rc
open_plain(const struct local_model_params *p, struct local_model *m, FILE **f, struct im_err *err)
{
	uint8_t magic[SEALED_MAGIC_BYTES];
	size_t len = fread(magic, 1, sizeof(magic), *f);
	FILE *plain = NULL;
	enum im_rc rc;

	rewind(*f);
	m->sealed = sealed_is(magic, len);
	if (m->sealed && p->key_file == NULL)
		return err_set(
		    err, IM_EINVAL,
		    "it is encrypted; name the file of its key: key_file in a manifest, else "
		    "workers[].model_key_file");
	if (!m->sealed && p->key_file != NULL && len == sizeof(magic) &&
	    memcmp(magic, "GGUF", 4) != 0)
		return err_set(
		    err, IM_ECORRUPT,
		    "it is neither an encrypted model file nor a GGUF file; copy it again");
	if (!m->sealed && p->key_file != NULL && len == sizeof(magic))
		return err_set(
		    err, IM_EINVAL,
		    "it is not encrypted, though a key is named for it: encrypt it ('infermesh model "
		    "encrypt'), or do not name a key");
	if (!m->sealed)
		return IM_OK;
	m->locked = sealed_memory_hide();
	rc = sealed_memory_open(*f, p->key_file, on_decrypted, p->watch, &plain, err);
	if (rc == IM_ECANCELED)
		return local_file_given_up(err);
	if (rc != IM_OK)
		return rc;
	(void)fclose(*f);
	*f = plain;
	return IM_OK;
}

static enum im_rc
open_file(const struct local_model_params *params, struct local_model *m, FILE **ret,
	  struct im_err *err)
{
	struct stat st;
	enum im_rc rc = find_file(params->file, m->path, sizeof(m->path), err);

	if (rc != IM_OK)
		return rc;
	*ret = fopen(m->path, "rbe");
	if (*ret == NULL)
		return err_errno(err, errno == ENOENT ? IM_ENOTFOUND : IM_EIO, errno,
				 "model file %s cannot be opened; check its path", m->path);
	if (fstat(fileno(*ret), &st) == 0)
		m->created = (uint64_t)st.st_mtime;
	return IM_OK;
}

enum im_rc
local_file_open(const struct local_model_params *params, struct local_model *m, FILE **ret,
		struct im_err *err)
{
	FILE *f = NULL;
	enum im_rc rc = open_file(params, m, &f, err);

	if (rc != IM_OK)
		return rc;
	rc = open_plain(params, m, &f, err);
	if (rc == IM_OK)
		rc = check_file(f, params, m, err);
	if (rc != IM_OK) {
		err_prefix(err, "model file %s", m->path);
		(void)fclose(f);
		return rc;
	}
	rewind(f);
	*ret = f;
	return IM_OK;
}
