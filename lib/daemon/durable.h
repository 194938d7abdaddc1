/*
 * daemon/durable.h - the two steps that each file needs which must survive a power cut, beside fsync(). Both block on the disk, and
 * leave errno when they fail.
 */
#ifndef DAEMON_DURABLE_H
#define DAEMON_DURABLE_H

#include <stdbool.h>
#include <stddef.h>

/** Write all 'len' bytes at 'data' to 'fd', where it stands. */
bool durable_write(int fd, const void *data, size_t len);

/** fsync the folder that 'path' lies in: a new name lasts only once its folder is on disk. */
bool durable_sync_folder(const char *path);

#endif
