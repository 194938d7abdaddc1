/*
 * cache/rocks_room.h - room on the disk of a RocksDB folder. Debian's RocksDB ends the process (an assertion about a file that could not
 * be written before) when some of its files meet a full disk: so whoever opens one or writes to it looks first. Others can still
 * fill the disk between the look and the write. Any thread.
 */
#ifndef CACHE_ROCKS_ROOM_H
#define CACHE_ROCKS_ROOM_H

#include <stdbool.h>
#include <stdint.h>

/** Bytes that are free on the disk of 'path'. False: not known, as when it is not there. */
bool rocks_room(const char *path, uint64_t *ret_bytes);

#endif
