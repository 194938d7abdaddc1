/*
 * cache/blocks.h - memory of a fixed size in blocks of one size, so that values of all lengths come and go for years without holes
 * between them: what malloc() would keep back is the reason (docs/cache.md). Never gives memory back to the system.
 */
#ifndef CACHE_BLOCKS_H
#define CACHE_BLOCKS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define BLOCK_BYTES 1024
#define BLOCK_DATA  (BLOCK_BYTES - sizeof(struct block *))

/* A run of blocks is a list. */
struct block {
	struct block *next;
	uint8_t data[BLOCK_DATA];
};

struct blocks {
	struct block *base, *spare;
	size_t count, touched; /* in all, and those that were ever used */
	size_t left;
};

/** At most 'bytes'; the system gives them when they are used first. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc blocks_init(struct blocks *b, size_t bytes);
void blocks_done(struct blocks *b);

/** A run of 'n', at least 1. There must be so many left. */
struct block *blocks_take(struct blocks *b, size_t n);
void blocks_give(struct blocks *b, struct block *first);

#endif
