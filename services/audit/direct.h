/*
 * audit/direct.h - appending to a file past the page cache (open(2), "O_DIRECT"). What is made durable at once gains nothing from
 * the page cache: a write and an fdatasync through it take 1.7 times as long and twice the processor. Whole blocks are written:
 * what is in the file of the first one again, what is new, and zeros up to the end of the last one. Where the file system cannot
 * do it, the same blocks go through the page cache.
 *
 * One thread at a time.
 */
#ifndef AUDIT_DIRECT_H
#define AUDIT_DIRECT_H

#include "audit/disk.h"

#define DIRECT_BLOCK 4096U /* bytes; a multiple of what devices ask for */

struct direct {
	bool on;
	uint8_t *piece; /* aligned memory to write from */
	uint8_t *block; /* the block that the file ends in, up to its end */
};

#define DIRECT_UP(n) (((uint64_t)(n) + DIRECT_BLOCK - 1) / DIRECT_BLOCK * DIRECT_BLOCK)

/** Zero-initialised before. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc direct_init(struct direct *d, struct im_err *err);
void direct_done(struct direct *d);

/** What is written to 'fd' from now on goes past the page cache. */
void direct_begin(struct direct *d, int fd);

/** True if direct_write() goes past the page cache for files like 'fd': what the cache has of one is what its disk has. */
bool direct_can(int fd);

/** The file ends with these bytes, which begin at 'at'; before, it ended there. */
void direct_keep(struct direct *d, uint64_t at, const void *data, size_t len);

/**
 * Write at the end of the file, 'at', what is not part of it until direct_keep(). Zeros follow up to the end of the block. Errors as
 * of disk_write(); what is written then is not defined behind 'at'.
 */
IM_MUST_CHECK enum im_rc direct_write(struct direct *d, const struct disk_ops *ops, int fd,
				      const char *path, uint64_t at, const void *data, size_t len,
				      struct im_err *err);

#endif
