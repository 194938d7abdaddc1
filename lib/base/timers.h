/*
 * base/timers.h - the timers of a loop, earliest first: a binary heap of what others own. Known to loop.c only; pure, it
 * reads no clock and calls nobody.
 */
#ifndef BASE_TIMERS_H
#define BASE_TIMERS_H

#include "base/loop.h"

/* Zero-initialised is empty. heap_pos of a timer is its index. */
struct timers {
	struct loop_timer **heap; /* 1-based */
	uint32_t count, cap;
};

void timers_done(struct timers *h);

/** Put 't' in with t->at_us = 'at_us', or move it there if it is in. False = no memory; 't' is as before. */
bool timers_set(struct timers *h, struct loop_timer *t, uint64_t at_us);

/** Take 't', which is in, out. */
void timers_remove(struct timers *h, struct loop_timer *t);

/** The earliest, or NULL. */
static inline struct loop_timer *
timers_first(const struct timers *h)
{
	return h->count > 0 ? h->heap[1] : NULL;
}

#endif
