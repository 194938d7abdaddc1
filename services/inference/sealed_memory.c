/*
 * inference/sealed_memory.c - see sealed_memory.h.
 */
#include "inference/sealed_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/durable.h"

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3; the C library of Debian 12 is older */
#	define MFD_NOEXEC_SEAL 8U
#endif

bool
sealed_memory_hide(void)
{
	struct rlimit limit;

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* With a limit that can be reached, later allocations would fail at it. */
	return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY &&
	       mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

/* What could be had without swapping, in bytes; UINT64_MAX if the kernel does not say. */
static uint64_t
free_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	uint64_t bytes = UINT64_MAX;
	char line[128];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "MemAvailable:", 13) == 0) {
			kib = strtoull(line + 13, NULL, 10);
			bytes = kib * 1024;
			break;
		}
	if (f != NULL)
		(void)fclose(f);
	return bytes;
}

static enum im_rc
make_memory(uint64_t bytes, int *ret_fd, struct im_err *err)
{
	uint64_t has = free_memory();
	int fd;

	if (bytes > has)
		return err_set(
		    err, IM_ENOMEM,
		    "it takes %llu MiB of memory when it is decrypted; %llu MiB are free",
		    (unsigned long long)(bytes >> 20), (unsigned long long)(has >> 20));
	fd = memfd_create("infermesh-model", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("infermesh-model", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_errno(err, IM_ENOMEM, errno, "no memory to decrypt it into");
	*ret_fd = fd;
	return IM_OK;
}

/* Exactly 'len' bytes. */
static enum im_rc
read_exactly(FILE *f, uint8_t *to, size_t len, struct im_err *err)
{
	if (fread(to, 1, len, f) == len)
		return IM_OK;
	if (ferror(f))
		return err_errno(err, IM_EIO, errno, "cannot be read");
	return err_set(err, IM_ECORRUPT, "it became shorter while it was read");
}

static enum im_rc
decrypt(FILE *f, struct sealed *s, const struct sealed_head *head, int fd,
	sealed_progress_fn progress, void *user, struct im_err *err)
{
	uint64_t chunks = sealed_chunks(head);
	size_t sealed_bytes = (size_t)head->chunk_bytes + SEALED_TAG_BYTES;
	uint8_t *chunk = malloc(sealed_bytes + head->chunk_bytes), *plain = chunk + sealed_bytes;
	enum im_rc rc = IM_OK;

	if (chunk == NULL)
		return err_set(err, IM_ENOMEM, "no memory to decrypt it");
	for (uint64_t i = 0; rc == IM_OK && i < chunks; i++) {
		uint32_t len = sealed_chunk_len(head, i);

		if (progress != NULL && !progress(user, i * head->chunk_bytes, head->plain_bytes))
			rc = err_set(err, IM_ECANCELED, "decrypting it was given up");
		if (rc == IM_OK)
			rc = read_exactly(f, chunk, (size_t)len + SEALED_TAG_BYTES, err);
		if (rc == IM_OK)
			rc = sealed_chunk_open(s, i, chunk, len, plain, err);
		if (rc == IM_OK && !durable_write(fd, plain, len))
			rc = err_errno(err, IM_ENOMEM, errno, "no memory to decrypt it into");
	}
	OPENSSL_cleanse(plain, head->chunk_bytes);
	free(chunk);
	return rc;
}

/* Nobody changes it any more. Opened anew for reading: older kernels map nothing else of a sealed one. */
static enum im_rc
freeze(int fd, FILE **ret, struct im_err *err)
{
	char path[64];
	FILE *f = NULL;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		f = fopen(path, "rbe");
	if (f == NULL)
		return err_errno(err, IM_EIO, errno,
				 "cannot seal the memory it was decrypted into");
	*ret = f;
	return IM_OK;
}

/* Read the header and prove it. */
static enum im_rc
open_head(FILE *f, const struct sealed_key *key, struct sealed_head *head, struct sealed **ret,
	  struct im_err *err)
{
	uint8_t data[SEALED_HEAD_BYTES];
	struct stat st;
	size_t len;
	enum im_rc rc;

	rewind(f);
	if (fstat(fileno(f), &st) < 0)
		return err_errno(err, IM_EIO, errno, "cannot be examined");
	len = fread(data, 1, sizeof(data), f);
	rc = sealed_head_read(data, len, (uint64_t)st.st_size, head, err);
	return rc == IM_OK ? sealed_open_head(key, data, head, ret, err) : rc;
}

enum im_rc
sealed_memory_open(FILE *f, const char *key_file, sealed_progress_fn progress, void *user,
		   FILE **ret, struct im_err *err)
{
	struct sealed *s = NULL;
	struct sealed_head head = { 0 };
	struct sealed_key key;
	int fd = -1;
	enum im_rc rc = sealed_key_load(key_file, &key, err);

	if (rc != IM_OK)
		return rc;
	rc = open_head(f, &key, &head, &s, err);
	if (rc == IM_EINVAL)
		err_prefix(err, "%s is not its key", key_file);
	OPENSSL_cleanse(&key, sizeof(key));
	if (rc == IM_OK)
		rc = make_memory(head.plain_bytes, &fd, err);
	if (rc == IM_OK)
		rc = decrypt(f, s, &head, fd, progress, user, err);
	if (rc == IM_OK)
		rc = freeze(fd, ret, err);
	if (fd >= 0)
		(void)close(fd);
	sealed_free(s);
	return rc;
}
