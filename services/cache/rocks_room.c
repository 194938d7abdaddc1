/*
 * cache/rocks_room.c - see rocks_room.h.
 */
#include "cache/rocks_room.h"

#include <sys/statvfs.h>

bool
rocks_room(const char *path, uint64_t *ret_bytes)
{
	struct statvfs st;

	if (statvfs(path, &st) != 0)
		return false;
	*ret_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return true;
}
