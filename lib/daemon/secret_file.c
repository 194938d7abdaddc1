/*
 * daemon/secret_file.c - see secret_file.h.
 */
#include "daemon/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/durable.h"
#include "daemon/paths.h"

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
secret_file_read(const char *path, char ret[SECRET_FILE_MAX + 1], struct im_err *err)
{
	size_t len = 0;
	ssize_t n = 1;
	enum im_rc rc;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return err_set(err, IM_ENOTFOUND, "the key file %s is missing", path);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot open the key file %s", path);
	rc = check_mode(fd, path, err);
	while (rc == IM_OK && n > 0 && len < SECRET_FILE_MAX + 1) {
		n = read(fd, ret + len, SECRET_FILE_MAX + 1 - len);
		if (n < 0)
			rc = err_errno(err, IM_EIO, errno, "cannot read the key file %s", path);
		else
			len += (size_t)n;
	}
	(void)close(fd);
	while (rc == IM_OK && len > 0 && len <= SECRET_FILE_MAX && ret[len - 1] == '\0')
		len--;
	if (rc == IM_OK && (len == SECRET_FILE_MAX + 1 || memchr(ret, '\0', len) != NULL))
		rc = err_set(err, IM_EINVAL, "%s is not a key file", path);
	if (rc == IM_OK)
		ret[len] = '\0';
	else
		OPENSSL_cleanse(ret, SECRET_FILE_MAX + 1);
	return rc;
}

/* Write 'tmp'. One that a crash left is replaced. */
static enum im_rc
write_whole(const char *tmp, const struct buf *text, struct im_err *err)
{
	enum im_rc rc = IM_OK;
	int fd;

	if (unlink(tmp) < 0 && errno != ENOENT)
		return err_errno(err, IM_EIO, errno, "cannot remove %s", tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot make the key file %s", tmp);
	if (!durable_write(fd, text->data, text->len) || fsync(fd) < 0)
		rc = err_errno(err, IM_EIO, errno, "cannot write the key file %s", tmp);
	(void)close(fd);
	return rc;
}

enum im_rc
secret_file_create(const char *path, const struct buf *text, struct im_err *err)
{
	char tmp[PATH_MAX];
	enum im_rc rc;

	if (snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp))
		return err_set(err, IM_EINVAL, "the path %s is too long", path);
	rc = paths_make_parents(path, err);
	if (rc == IM_OK)
		rc = write_whole(tmp, text, err);
	/* The name comes last, and never takes another file's place: a file of this name is whole. */
	if (rc == IM_OK && link(tmp, path) < 0)
		rc = errno == EEXIST
			 ? err_set(err, IM_EEXIST, "the key file %s exists already", path)
			 : err_errno(err, IM_EIO, errno, "cannot make the key file %s", path);
	(void)unlink(tmp);
	if (rc == IM_OK && !durable_sync_folder(path)) {
		rc = err_errno(err, IM_EIO, errno, "cannot sync the folder of %s", path);
		(void)unlink(path);
	}
	return rc;
}
