/*
 * audit/disk.h - every system call that changes the log folder, behind a small table so that tests can fail each one, and
 * the few patterns that make a change durable. Decides which errors may be retried and which end the process; never
 * retries one itself.
 *
 * IM_EUNAVAILABLE (reason audit_unavailable): nothing was lost and it may work later: no space, no descriptors, no
 * permission. IM_EIO: the kernel may have dropped what it had accepted (any failed fsync, EIO): whoever gets it must not
 * go on, a later fsync can succeed without the data.
 */
#ifndef AUDIT_DISK_H
#define AUDIT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"

#define DISK_PATH_MAX    4096
#define DISK_UNAVAILABLE "audit_unavailable"

/* As the system calls of these names. Called from several threads at once. */
struct disk_ops {
	int (*open)(const char *path, int flags, mode_t mode);
	ssize_t (*pwrite)(int fd, const void *data, size_t len, off_t at);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
	int (*rename)(const char *from, const char *to);
	int (*ftruncate)(int fd, off_t len);
	int (*fallocate)(int fd, off_t at, off_t len); /* mode 0; 0 or an errno value */
	int (*mkdir)(const char *path, mode_t mode);
	int (*unlink)(const char *path);
	void (*writeback)(
	    int fd); /* begin to write what is there, so that a sync finds it done; a hint */
};

extern const struct disk_ops disk_posix;

/** Fill 'err' for a failed call and classify it: 'sync' is true for fsync and its kind. Returns the code. */
enum im_rc disk_failed(struct im_err *err, int errnum, bool sync, const char *what,
		       const char *path);

/** Join 'dir' and 'name' into 'ret'. IM_EINVAL when it is too long. */
IM_MUST_CHECK enum im_rc disk_path(char ret[DISK_PATH_MAX], const char *dir, const char *name,
				   struct im_err *err);

/** Write all of it at 'at'. */
IM_MUST_CHECK enum im_rc disk_write(const struct disk_ops *ops, int fd, const char *path,
				    const void *data, size_t len, uint64_t at, struct im_err *err);

/** fsync the folder 'path'. */
IM_MUST_CHECK enum im_rc disk_sync_dir(const struct disk_ops *ops, const char *path,
				       struct im_err *err);

/** fsync the folder that 'path' lies in. */
IM_MUST_CHECK enum im_rc disk_sync_parent(const struct disk_ops *ops, const char *path,
					  struct im_err *err);

/** Make the folder 'path', whose parent exists, and sync the parent, unless it is there already. */
IM_MUST_CHECK enum im_rc disk_mkdir(const struct disk_ops *ops, const char *path,
				    struct im_err *err);

/** Make 'path' and every missing folder above it, mode 0700. */
IM_MUST_CHECK enum im_rc disk_mkdirs(const struct disk_ops *ops, const char *path,
				     struct im_err *err);

/** Lock the folder 'dir', which exists, for this process, by its file 'lock': '*ret_fd' holds the lock until it is closed. IM_EEXIST:
 *  another process has it; the text names the key 'key' of the configuration. IM_EUNAVAILABLE, IM_EIO. */
IM_MUST_CHECK enum im_rc disk_lock(const char *dir, const char *key, int *ret_fd,
				   struct im_err *err);

/*
 * Giving 'path' the contents 'data' in three steps, so that many files wait for the disk together: 'path'.tmp is written,
 * synced, and renamed. The folder is NOT synced: the caller does that once for many files. After an error of any step, and
 * to give up, disk_put_drop().
 */
IM_MUST_CHECK enum im_rc disk_put_begin(const struct disk_ops *ops, const char *path,
					const void *data, size_t len, int *ret_fd,
					struct im_err *err);
/** Closes '*fd'. */
IM_MUST_CHECK enum im_rc disk_put_sync(const struct disk_ops *ops, const char *path, int *fd,
				       struct im_err *err);
IM_MUST_CHECK enum im_rc disk_put_name(const struct disk_ops *ops, const char *path,
				       struct im_err *err);
void disk_put_drop(const struct disk_ops *ops, const char *path, int *fd);

/** All three, for one file. */
IM_MUST_CHECK enum im_rc disk_replace(const struct disk_ops *ops, const char *path,
				      const void *data, size_t len, struct im_err *err);

/* An open file that has no name any more. From malloc(), alone or as the first member of a struct. */
struct disk_gone {
	struct list node;
	int fd;
};

/** Close all of 'gone' and free them: that is when their space is given back, a millisecond for each 5 MB. */
void disk_gone_close(struct list *gone);

/** The contents of 'path', at most 'max' bytes, appended to 'out'. IM_ENOTFOUND, IM_ETOOBIG, IM_EIO, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc disk_read(const char *path, size_t max, struct buf *out,
				   struct im_err *err);

#endif
