/*
 * daemon/durable.h - the steps that each file needs which must survive a power cut, beside fsync(). They block on the disk, and
 * leave errno when they fail.
 */
#ifndef DAEMON_DURABLE_H
#define DAEMON_DURABLE_H

#include <stdbool.h>
#include <stddef.h>

/** Write all 'len' bytes at 'data' to 'fd', where it stands. */
bool durable_write(int fd, const void *data, size_t len);

/** Give the file 'from' the name 'to' in the same folder. Without 'replace' never over another file: EEXIST. Lasts after durable_sync_folder(). */
bool durable_rename(const char *from, const char *to, bool replace);

/** fsync the folder that 'path' lies in: a new name lasts only once its folder is on disk. */
bool durable_sync_folder(const char *path);

#endif
