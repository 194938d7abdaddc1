/*
 * base/timers.c - a binary heap; see timers.h.
 */
#include "base/timers.h"

#include <stdlib.h>

#define CAP_MIN 64

void
timers_done(struct timers *h)
{
	free(h->heap);
	*h = (struct timers){ 0 };
}

static void
put(struct timers *h, uint32_t pos, struct loop_timer *t)
{
	h->heap[pos] = t;
	t->heap_pos = pos;
}

static void
move_up(struct timers *h, uint32_t pos)
{
	struct loop_timer *t = h->heap[pos];

	while (pos > 1 && h->heap[pos / 2]->at_us > t->at_us) {
		put(h, pos, h->heap[pos / 2]);
		pos /= 2;
	}
	put(h, pos, t);
}

static void
move_down(struct timers *h, uint32_t pos)
{
	struct loop_timer *t = h->heap[pos];

	for (;;) {
		uint32_t child = pos * 2;

		if (child > h->count)
			break;
		if (child < h->count && h->heap[child + 1]->at_us < h->heap[child]->at_us)
			child++;
		if (h->heap[child]->at_us >= t->at_us)
			break;
		put(h, pos, h->heap[child]);
		pos = child;
	}
	put(h, pos, t);
}

static bool
grow(struct timers *h)
{
	uint32_t cap = h->cap == 0 ? CAP_MIN : h->cap * 2;
	struct loop_timer **heap = realloc(h->heap, cap * sizeof(struct loop_timer *));

	if (heap == NULL)
		return false;
	h->heap = heap;
	h->cap = cap;
	return true;
}

bool
timers_set(struct timers *h, struct loop_timer *t, uint64_t at_us)
{
	if (t->heap_pos == 0) {
		if (h->count + 1 >= h->cap && !grow(h))
			return false;
		put(h, ++h->count, t);
	}
	t->at_us = at_us;
	move_up(h, t->heap_pos);
	move_down(h, t->heap_pos);
	return true;
}

void
timers_remove(struct timers *h, struct loop_timer *t)
{
	uint32_t pos = t->heap_pos;
	struct loop_timer *moved = h->heap[h->count--];

	t->heap_pos = 0;
	if (moved == t)
		return;
	put(h, pos, moved);
	move_up(h, pos);
	move_down(h, moved->heap_pos);
}
