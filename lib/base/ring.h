/*
 * base/ring.h - consistent hashing: which place is at home for a key. Each place has some points on a ring of 64-bit hashes; the
 * home of a key is the place of the first point at or behind it. A place that comes or goes moves only the keys that are or were
 * its own. Pure.
 *
 * Source: Karger et al., "Consistent Hashing and Random Trees", 1997. Points depend on the name alone, so that several routers
 * and a worker that was started again agree. They are kept in as many buckets as there are points, so that all steps take
 * constant time on average: hashes are even.
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdbool.h>
#include <stdint.h>

#define RING_NONE       UINT32_MAX
#define RING_POINTS_MAX 256 /* of one place */

struct ring_point {
	uint64_t hash;
	uint32_t place;
	uint32_t
	    next; /* in its bucket, by hash; RING_NONE at the end. Free points: the next free one */
};

struct ring {
	uint32_t buckets;          /* a power of two, or 0 */
	uint32_t shift;            /* hash >> shift is its bucket */
	uint32_t count;            /* points on the ring */
	uint32_t used;             /* points ever taken of 'points', free ones included */
	uint32_t free;             /* the first free point, or RING_NONE */
	uint32_t *bucket;          /* first point of each */
	struct ring_point *points; /* as many as buckets */
	uint32_t *sibling;         /* by point: the next one of the same place */
	uint32_t places;
	uint32_t *first; /* by place: its first point, or RING_NONE */
};

/** Zeroed memory is an empty ring. */
void ring_done(struct ring *r);

/** Give 'place' the first 'points' points of 'name' instead of those that it has. False without memory: it has none then. */
bool ring_set(struct ring *r, uint32_t place, uint64_t name, uint32_t points);

/** Take 'place' off the ring; it need not be on it. */
void ring_remove(struct ring *r, uint32_t place);

/** The point at or behind 'key', going round, or RING_NONE on an empty ring. Any change of the ring makes it invalid. */
uint32_t ring_find(const struct ring *r, uint64_t key);

/** The point behind 'point', going round. */
uint32_t ring_after(const struct ring *r, uint32_t point);

/** Whose it is. */
static inline uint32_t
ring_place(const struct ring *r, uint32_t point)
{
	return r->points[point].place;
}

/** A text as a key or name. */
uint64_t ring_hash(const char *text);

#endif
