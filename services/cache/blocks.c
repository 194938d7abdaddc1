/*
 * cache/blocks.c - memory in blocks; see blocks.h.
 */
#include "cache/blocks.h"

#include <assert.h>
#include <sys/mman.h>

enum im_rc
blocks_init(struct blocks *b, size_t bytes)
{
	size_t count = bytes / BLOCK_BYTES;
	void *base;

	if (count == 0)
		return IM_ENOMEM;
	base = mmap(NULL, count * BLOCK_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return IM_ENOMEM;
	*b = (struct blocks){ .base = base, .count = count, .left = count };
	return IM_OK;
}

void
blocks_done(struct blocks *b)
{
	if (b->base != NULL)
		(void)munmap(b->base, b->count * BLOCK_BYTES);
	*b = (struct blocks){ 0 };
}

static struct block *
take_one(struct blocks *b)
{
	struct block *one = b->spare;

	if (one != NULL)
		b->spare = one->next;
	else
		one = &b->base[b->touched++];
	b->left--;
	return one;
}

struct block *
blocks_take(struct blocks *b, size_t n)
{
	struct block *first = NULL, **end = &first;

	assert(n > 0 && n <= b->left);
	for (; n > 0; n--) {
		*end = take_one(b);
		end = &(*end)->next;
	}
	*end = NULL;
	return first;
}

void
blocks_give(struct blocks *b, struct block *first)
{
	while (first != NULL) {
		struct block *next = first->next;

		first->next = b->spare;
		b->spare = first;
		b->left++;
		first = next;
	}
}
