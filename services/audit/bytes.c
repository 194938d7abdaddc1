/*
 * audit/bytes.c - a counted block of bytes; see bytes.h.
 */
#include "audit/bytes.h"

#include <stdlib.h>
#include <sys/mman.h>

struct bytes *
bytes_new(size_t cap)
{
	size_t total = sizeof(struct bytes) + cap;
	struct bytes *b;

	if (total < cap || total > SIZE_MAX - BYTES_HUGE)
		return NULL;
	if (total < BYTES_HUGE) {
		b = malloc(total);
	} else {
		total = (total + BYTES_HUGE - 1) / BYTES_HUGE * BYTES_HUGE;
		b = aligned_alloc(BYTES_HUGE, total);
		if (b != NULL)
			(void)madvise(b, total, MADV_HUGEPAGE);
	}
	if (b == NULL)
		return NULL;
	atomic_init(&b->refs, 1);
	b->cap = total - sizeof(*b);
	return b;
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
	if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
}

bool
bytes_shared(const struct bytes *b)
{
	return atomic_load_explicit(&b->refs, memory_order_acquire) > 1;
}
