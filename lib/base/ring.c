/*
 * base/ring.c - consistent hashing; see ring.h.
 */
#include "base/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/prng.h"

#define BUCKETS_MIN 64
#define PLACES_MIN  16

void
ring_done(struct ring *r)
{
	free(r->bucket);
	free(r->points);
	free(r->sibling);
	free(r->first);
	memset(r, 0, sizeof(*r));
}

uint64_t
ring_hash(const char *text)
{
	uint64_t h = 14695981039346656037ULL; /* FNV-1a, then mixed: its upper bits are weak */

	for (; *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * 1099511628211ULL;
	return prng_splitmix(&h);
}

static void
link_point(struct ring *r, uint32_t i)
{
	struct ring_point *p = &r->points[i];
	uint32_t *at = &r->bucket[p->hash >> r->shift];

	while (*at != RING_NONE && r->points[*at].hash < p->hash)
		at = &r->points[*at].next;
	p->next = *at;
	*at = i;
}

static void
unlink_point(struct ring *r, uint32_t i)
{
	uint32_t *at = &r->bucket[r->points[i].hash >> r->shift];

	while (*at != i)
		at = &r->points[*at].next;
	*at = r->points[i].next;
}

/* Twice the buckets and points. Nothing has changed when it fails. */
static bool
grow(struct ring *r)
{
	uint32_t n = r->buckets == 0 ? BUCKETS_MIN : 2 * r->buckets;
	uint32_t *bucket = malloc(n * sizeof(*bucket));
	struct ring_point *points = realloc(r->points, n * sizeof(*points));
	uint32_t *sibling = realloc(r->sibling, n * sizeof(*sibling));

	if (points != NULL)
		r->points = points;
	if (sibling != NULL)
		r->sibling = sibling;
	if (points == NULL || sibling == NULL || bucket == NULL) {
		free(bucket);
		return false;
	}
	free(r->bucket);
	r->bucket = bucket;
	r->shift = r->buckets == 0 ? 64 - 6 : r->shift - 1;
	r->buckets = n;
	memset(bucket, 0xff, n * sizeof(*bucket)); /* RING_NONE */
	for (uint32_t place = 0; place < r->places; place++)
		for (uint32_t i = r->first[place]; i != RING_NONE; i = sibling[i])
			link_point(r, i);
	return true;
}

static bool
grow_places(struct ring *r, uint32_t place)
{
	uint32_t n = r->places == 0 ? PLACES_MIN : r->places;
	uint32_t *first;

	while (n <= place)
		n *= 2;
	if (n == r->places)
		return true;
	first = realloc(r->first, n * sizeof(*first));
	if (first == NULL)
		return false;
	for (uint32_t i = r->places; i < n; i++)
		first[i] = RING_NONE;
	r->first = first;
	r->places = n;
	return true;
}

static uint32_t
take_point(struct ring *r)
{
	uint32_t i = r->free;

	if (r->count < r->used) {
		r->free = r->points[i].next;
	} else {
		if (r->used == r->buckets && !grow(r))
			return RING_NONE;
		i = r->used++;
	}
	r->count++;
	return i;
}

bool
ring_set(struct ring *r, uint32_t place, uint64_t name, uint32_t points)
{
	uint64_t seed = name;

	ring_remove(r, place);
	if (!grow_places(r, place))
		return false;
	for (uint32_t k = 0; k < points && k < RING_POINTS_MAX; k++) {
		uint32_t i = take_point(r);

		if (i == RING_NONE) {
			ring_remove(r, place);
			return false;
		}
		r->points[i] = (struct ring_point){ .hash = prng_splitmix(&seed), .place = place };
		r->sibling[i] = r->first[place];
		r->first[place] = i;
		link_point(r, i);
	}
	return true;
}

void
ring_remove(struct ring *r, uint32_t place)
{
	if (place >= r->places)
		return;
	while (r->first[place] != RING_NONE) {
		uint32_t i = r->first[place];

		unlink_point(r, i);
		r->first[place] = r->sibling[i];
		r->points[i].next = r->free;
		r->free = i;
		r->count--;
	}
}

/* The first point in bucket 'b' or behind it; there is one. */
static uint32_t
first_from(const struct ring *r, uint32_t b)
{
	while (r->bucket[b & (r->buckets - 1)] == RING_NONE)
		b++;
	return r->bucket[b & (r->buckets - 1)];
}

uint32_t
ring_find(const struct ring *r, uint64_t key)
{
	uint32_t i;

	if (r->count == 0)
		return RING_NONE;
	i = r->bucket[key >> r->shift];
	while (i != RING_NONE && r->points[i].hash < key)
		i = r->points[i].next;
	return i != RING_NONE ? i : first_from(r, (uint32_t)(key >> r->shift) + 1);
}

uint32_t
ring_after(const struct ring *r, uint32_t point)
{
	const struct ring_point *p = &r->points[point];

	return p->next != RING_NONE ? p->next : first_from(r, (uint32_t)(p->hash >> r->shift) + 1);
}
