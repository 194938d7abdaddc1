/*
 * daemon/secret_file.h - small text files with a key in them: mode 0600, made once. Knows nothing of what is in them. What is read is a
 * secret: the caller wipes it.
 */
#ifndef DAEMON_SECRET_FILE_H
#define DAEMON_SECRET_FILE_H

#include "base/buf.h"
#include "base/err.h"

#define SECRET_FILE_MAX 65536 /* bytes */

/** The contents of 'path' with a NUL behind them, without zeros at its end: a crash leaves such when it cuts an append off.
 *  IM_ENOTFOUND, IM_EPERM (others may read or change it; says which chmod), IM_EINVAL (no text, or too long), IM_EIO. */
IM_MUST_CHECK enum im_rc secret_file_read(const char *path, char ret[SECRET_FILE_MAX + 1],
					  struct im_err *err);

/** Make 'path' with 'text' in it, mode 0600, durably, and missing folders. IM_EEXIST when 'path' is there; IM_EINVAL,
 *  IM_EIO; nothing is left behind. */
IM_MUST_CHECK enum im_rc secret_file_create(const char *path, const struct buf *text,
					    struct im_err *err);

#endif
