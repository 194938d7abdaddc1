/*
 * audit/direct.c - see direct.h.
 */
#include "audit/direct.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES ((size_t)128 * 1024) /* written at once; a frame is seldom longer */

enum im_rc
direct_init(struct direct *d, struct im_err *err)
{
	d->piece = aligned_alloc(DIRECT_BLOCK, PIECE_BYTES);
	d->block = malloc(DIRECT_BLOCK);
	return d->piece != NULL && d->block != NULL
		   ? IM_OK
		   : err_set(err, IM_ENOMEM, "no memory to write the write-ahead log");
}

void
direct_done(struct direct *d)
{
	free(d->piece);
	free(d->block);
	*d = (struct direct){ 0 };
}

static bool
switch_to(int fd, bool direct)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

void
direct_begin(struct direct *d, int fd)
{
	d->on = switch_to(fd, true);
}

bool
direct_can(int fd)
{
	return switch_to(fd, true) && switch_to(fd, false);
}

void
direct_keep(struct direct *d, uint64_t at, const void *data, size_t len)
{
	size_t have = at % DIRECT_BLOCK, end = (at + len) % DIRECT_BLOCK;

	if (have + len < DIRECT_BLOCK)
		memcpy(d->block + have, data, len);
	else
		memcpy(d->block, (const uint8_t *)data + len - end, end);
}

enum im_rc
direct_write(struct direct *d, const struct disk_ops *ops, int fd, const char *path, uint64_t at,
	     const void *data, size_t len, struct im_err *err)
{
	const uint8_t *from = data;
	size_t have = at % DIRECT_BLOCK;
	enum im_rc rc = IM_OK;

	at -= have;
	memcpy(d->piece, d->block, have);
	while (len > 0 && rc == IM_OK) {
		size_t n = len < PIECE_BYTES - have ? len : PIECE_BYTES - have;
		size_t whole = DIRECT_UP(have + n);

		memcpy(d->piece + have, from, n);
		memset(d->piece + have + n, 0, whole - have - n);
		rc = disk_write(ops, fd, path, d->piece, whole, at, err);
		/* It may be the file system or the device that asks for other blocks. */
		if (rc != IM_OK && rc != IM_EIO && d->on && switch_to(fd, false)) {
			d->on = false;
			rc = disk_write(ops, fd, path, d->piece, whole, at, err);
		}
		from += n;
		len -= n;
		at += whole;
		have = 0;
	}
	return rc;
}
