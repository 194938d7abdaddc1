/*
 * audit/disk.c - durable changes to files; see disk.h.
 */
#include "audit/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int
posix_open(const char *path, int flags, mode_t mode)
{
	return open(path, flags | O_CLOEXEC, mode);
}

static int
posix_mkdir(const char *path, mode_t mode)
{
	return mkdir(path, mode);
}

/* Not posix_fallocate(): where the file system cannot, that writes zeros behind our back. */
static int
posix_reserve(int fd, off_t at, off_t len)
{
	return fallocate(fd, 0, at, len) == 0 ? 0 : errno;
}

static void
posix_writeback(int fd)
{
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

const struct disk_ops disk_posix = {
	.open = posix_open,
	.pwrite = pwrite,
	.fdatasync = fdatasync,
	.fsync = fsync,
	.rename = rename,
	.ftruncate = ftruncate,
	.fallocate = posix_reserve,
	.mkdir = posix_mkdir,
	.unlink = unlink,
	.writeback = posix_writeback,
};

enum im_rc
disk_failed(struct im_err *err, int errnum, bool sync, const char *what, const char *path)
{
	char why[128];
	const char *text = strerror_r(errnum, why, sizeof(why));

	if (sync || errnum == EIO)
		return err_set(
		    err, IM_EIO,
		    "cannot %s %s: %s; the disk may have lost what it had taken: check it, then start again",
		    what, path, text);
	if (errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG)
		return err_reason(err, IM_EUNAVAILABLE, DISK_UNAVAILABLE,
				  "cannot %s %s: %s; make space there, the log goes on by itself",
				  what, path, text);
	return err_reason(err, IM_EUNAVAILABLE, DISK_UNAVAILABLE, "cannot %s %s: %s", what, path,
			  text);
}

enum im_rc
disk_path(char ret[DISK_PATH_MAX], const char *dir, const char *name, struct im_err *err)
{
	if (snprintf(ret, DISK_PATH_MAX, "%s/%s", dir, name) >= DISK_PATH_MAX)
		return err_set(err, IM_EINVAL, "the path %s/%s is too long", dir, name);
	return IM_OK;
}

enum im_rc
disk_write(const struct disk_ops *ops, int fd, const char *path, const void *data, size_t len,
	   uint64_t at, struct im_err *err)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = ops->pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return disk_failed(err, n == 0 ? ENOSPC : errno, false, "write", path);
		p += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return IM_OK;
}

enum im_rc
disk_sync_dir(const struct disk_ops *ops, const char *path, struct im_err *err)
{
	enum im_rc rc = IM_OK;
	int fd = ops->open(path, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return disk_failed(err, errno, false, "open", path);
	if (ops->fsync(fd) < 0)
		rc = disk_failed(err, errno, true, "sync", path);
	(void)close(fd);
	return rc;
}

enum im_rc
disk_sync_parent(const struct disk_ops *ops, const char *path, struct im_err *err)
{
	char parent[DISK_PATH_MAX];
	char *slash;

	(void)snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash == NULL)
		return disk_sync_dir(ops, ".", err);
	slash[slash == parent ? 1 : 0] = '\0';
	return disk_sync_dir(ops, parent, err);
}

enum im_rc
disk_mkdir(const struct disk_ops *ops, const char *path, struct im_err *err)
{
	struct stat st;

	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? IM_OK : disk_failed(err, ENOTDIR, false, "use", path);
	if (ops->mkdir(path, 0700) < 0 && errno != EEXIST)
		return disk_failed(err, errno, false, "make the folder", path);
	return disk_sync_parent(ops, path, err);
}

enum im_rc
disk_mkdirs(const struct disk_ops *ops, const char *path, struct im_err *err)
{
	char part[DISK_PATH_MAX];
	size_t len = strlen(path);
	enum im_rc rc;

	if (len == 0 || len >= sizeof(part))
		return err_set(err, IM_EINVAL, "'%s' cannot be a folder", path);
	for (size_t i = 1; i <= len; i++) {
		if (i < len && path[i] != '/')
			continue;
		if (path[i - 1] == '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		rc = disk_mkdir(ops, part, err);
		if (rc != IM_OK)
			return rc;
	}
	return IM_OK;
}

static bool
tmp_path(const char *path, char ret[DISK_PATH_MAX])
{
	return snprintf(ret, DISK_PATH_MAX, "%s.tmp", path) < DISK_PATH_MAX;
}

enum im_rc
disk_put_begin(const struct disk_ops *ops, const char *path, const void *data, size_t len,
	       int *ret_fd, struct im_err *err)
{
	char tmp[DISK_PATH_MAX];
	enum im_rc rc;

	*ret_fd = -1;
	if (!tmp_path(path, tmp))
		return err_set(err, IM_EINVAL, "the path %s is too long", path);
	*ret_fd = ops->open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (*ret_fd < 0)
		return disk_failed(err, errno, false, "make", tmp);
	rc = disk_write(ops, *ret_fd, tmp, data, len, 0, err);
	if (rc == IM_OK)
		ops->writeback(*ret_fd);
	return rc;
}

enum im_rc
disk_put_sync(const struct disk_ops *ops, const char *path, int *fd, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	if (ops->fsync(*fd) < 0)
		rc = disk_failed(err, errno, true, "sync", path);
	(void)close(*fd);
	*fd = -1;
	return rc;
}

enum im_rc
disk_put_name(const struct disk_ops *ops, const char *path, struct im_err *err)
{
	char tmp[DISK_PATH_MAX];

	(void)tmp_path(path, tmp);
	return ops->rename(tmp, path) == 0 ? IM_OK : disk_failed(err, errno, false, "rename", tmp);
}

void
disk_put_drop(const struct disk_ops *ops, const char *path, int *fd)
{
	char tmp[DISK_PATH_MAX];

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	if (tmp_path(path, tmp))
		(void)ops->unlink(tmp);
}

enum im_rc
disk_lock(const char *dir, const char *key, int *ret_fd, struct im_err *err)
{
	char path[DISK_PATH_MAX];
	enum im_rc rc = disk_path(path, dir, "lock", err);
	int fd;

	if (rc != IM_OK)
		return rc;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return disk_failed(err, errno, false, "open", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		(void)close(fd);
		return err_set(
		    err, IM_EEXIST,
		    "the folder %s is in use by another process; give each service a folder of its own (%s)",
		    dir, key);
	}
	*ret_fd = fd;
	return IM_OK;
}

enum im_rc
disk_replace(const struct disk_ops *ops, const char *path, const void *data, size_t len,
	     struct im_err *err)
{
	int fd;
	enum im_rc rc = disk_put_begin(ops, path, data, len, &fd, err);

	if (rc == IM_OK)
		rc = disk_put_sync(ops, path, &fd, err);
	if (rc == IM_OK)
		rc = disk_put_name(ops, path, err);
	if (rc != IM_OK)
		disk_put_drop(ops, path, &fd);
	return rc;
}

void
disk_gone_close(struct list *gone)
{
	struct list *node;

	while ((node = list_pop_front(gone)) != NULL) {
		struct disk_gone *g = CONTAINER_OF(node, struct disk_gone, node);

		(void)close(g->fd);
		free(g);
	}
}

enum im_rc
disk_read(const char *path, size_t max, struct buf *out, struct im_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum im_rc rc = IM_OK;
	size_t total = 0;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(err, IM_ENOTFOUND, "%s is missing", path);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot open %s", path);
	for (;;) {
		uint8_t *room = buf_reserve(out, 65536);
		ssize_t n;

		if (room == NULL) {
			rc = err_set(err, IM_ENOMEM, "no memory to read %s", path);
			break;
		}
		n = read(fd, room, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_errno(err, IM_EIO, errno, "cannot read %s", path);
		if (n <= 0)
			break;
		out->len += (size_t)n;
		total += (size_t)n;
		if (total > max) {
			rc = err_set(err, IM_ETOOBIG, "%s is longer than %zu bytes", path, max);
			break;
		}
	}
	(void)close(fd);
	return rc;
}
