/*
 * audit/bytes.c - a counted block of bytes; see bytes.h.
 */
#include "audit/bytes.h"

#include <stdlib.h>
#include <sys/mman.h>

struct bytes *
bytes_new(size_t cap)
{
	struct bytes *b = cap > SIZE_MAX - sizeof(*b) ? NULL : malloc(sizeof(*b) + cap);

	if (b == NULL)
		return NULL;
	*b = (struct bytes){ .cap = cap, .data = (uint8_t *)(b + 1) };
	atomic_init(&b->refs, 1);
	return b;
}

struct bytes *
bytes_map(int fd, uint64_t at, size_t len)
{
	struct bytes *b = malloc(sizeof(*b));
	void *map;

	if (b == NULL)
		return NULL;
	map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, (off_t)at);
	if (map == MAP_FAILED)
		goto out_free;
	/* What cannot be read is an error here, and would be a signal later. Linux 5.14. */
	if (madvise(map, len, MADV_POPULATE_READ) < 0)
		goto out_unmap;
	*b = (struct bytes){ .cap = len, .mapped = len, .data = map };
	atomic_init(&b->refs, 1);
	return b;
out_unmap:
	(void)munmap(map, len);
out_free:
	free(b);
	return NULL;
}

struct bytes *
bytes_ref(struct bytes *b)
{
	(void)atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void
bytes_unref(struct bytes *b)
{
	if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (b->mapped > 0)
		(void)munmap(b->data, b->mapped);
	free(b);
}

bool
bytes_shared(const struct bytes *b)
{
	return atomic_load_explicit(&b->refs, memory_order_acquire) > 1;
}
