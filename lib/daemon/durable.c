/*
 * daemon/durable.c - see durable.h.
 */
#include "daemon/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool
durable_write(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

bool
durable_rename(const char *from, const char *to, bool replace)
{
	return (replace ? rename(from, to)
			: renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE)) == 0;
}

bool
durable_sync_folder(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, failed = 0;

	(void)snprintf(folder, sizeof(folder), "%.*s", slash != NULL ? (int)(slash - path) + 1 : 1,
		       slash != NULL ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fsync(fd) < 0)
		failed = errno;
	(void)close(fd);
	errno = failed;
	return failed == 0;
}
