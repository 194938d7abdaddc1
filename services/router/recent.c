/*
 * router/recent.c - see recent.h.
 */
#include "router/recent.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_OCTAVE 6 /* 64 µs */
#define SLOT_MS      (RECENT_MS / RECENT_SLOTS)

static unsigned
bucket_of(uint64_t us)
{
	unsigned octave;

	if (us < (1U << FIRST_OCTAVE)) {
		return 0;
	}
	octave = 63 - (unsigned)__builtin_clzll(us);
	if (octave >= FIRST_OCTAVE + TIMES_OCTAVES) {
		return TIMES_BUCKETS - 1;
	}
	return 1 + (octave - FIRST_OCTAVE) * 8 + (unsigned)(us >> (octave - 3) & 7);
}

/* The least time of bucket 'i'; of the one behind the last: its end. */
static uint64_t
bucket_from(unsigned i)
{
	unsigned octave = FIRST_OCTAVE + (i - 1) / 8;

	return i == 0 ? 0 : (8 + (uint64_t)((i - 1) % 8)) << (octave - 3);
}

void
times_add(struct times *t, uint64_t us)
{
	t->count++;
	t->bucket[bucket_of(us)]++;
}

uint64_t
times_quantile(const struct times *t, double q)
{
	double rank = q * t->count;
	double below = 0;

	for (unsigned i = 0; i < TIMES_BUCKETS; i++) {
		double here = t->bucket[i];

		if (here > 0 && below + here >= rank) {
			double from = (double)bucket_from(i), to = (double)bucket_from(i + 1);

			return (uint64_t)(from + (to - from) * (rank - below) / here);
		}
		below += here;
	}
	return 0;
}

void
recent_add(struct recent *r, uint64_t now_ms, bool failed, uint64_t us)
{
	uint64_t number = now_ms / SLOT_MS + 1;
	struct recent_slot *s = &r->slot[number % RECENT_SLOTS];

	if (s->number != number) {
		memset(s, 0, sizeof(*s));
		s->number = number;
	}
	s->requests++;
	if (failed) {
		s->failed++;
	} else {
		times_add(&s->times, us);
	}
}

void
recent_sum(const struct recent *r, uint64_t now_ms, struct recent_sum *ret)
{
	uint64_t number = now_ms / SLOT_MS + 1;
	struct times all = { 0 };

	*ret = (struct recent_sum){ .span_ms = RECENT_MS - SLOT_MS + (uint32_t)(now_ms % SLOT_MS) };
	for (unsigned i = 0; i < RECENT_SLOTS; i++) {
		const struct recent_slot *s = &r->slot[i];

		if (s->number == 0 || s->number + RECENT_SLOTS <= number) {
			continue;
		}
		ret->requests += s->requests;
		ret->failed += s->failed;
		all.count += s->times.count;
		for (unsigned k = 0; k < TIMES_BUCKETS; k++) {
			all.bucket[k] += s->times.bucket[k];
		}
	}
	ret->p50_us = times_quantile(&all, 0.50);
	ret->p99_us = times_quantile(&all, 0.99);
}

#define BLOCK_ITEMS 64

union recent_room {
	struct recent recent;
	union recent_room *next; /* while it is free */
};

struct recent_block {
	struct recent_block *next;
	union recent_room items[BLOCK_ITEMS];
};

static bool
grow(struct recent_store *s)
{
	struct recent_block *b = malloc(sizeof(*b));

	if (b == NULL) {
		return false;
	}
	b->next = s->blocks;
	s->blocks = b;
	for (size_t i = 0; i < BLOCK_ITEMS; i++) {
		b->items[i].next = s->free;
		s->free = &b->items[i];
	}
	return true;
}

struct recent *
recent_take(struct recent_store *s)
{
	union recent_room *room;

	if (s->free == NULL && !grow(s)) {
		return NULL;
	}
	room = s->free;
	s->free = room->next;
	memset(room, 0, sizeof(*room));
	return &room->recent;
}

void
recent_give_back(struct recent_store *s, struct recent *r)
{
	union recent_room *room = (union recent_room *)(void *)r;

	if (room != NULL) {
		room->next = s->free;
		s->free = room;
	}
}

void
recent_store_done(struct recent_store *s)
{
	while (s->blocks != NULL) {
		struct recent_block *b = s->blocks;

		s->blocks = b->next;
		free(b);
	}
	s->free = NULL;
}
