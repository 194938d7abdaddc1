/*
 * daemon/cache_homes.c - see cache_homes.h.
 */
#include "daemon/cache_homes.h"

#include <string.h>

bool
cache_homes_init(struct cache_homes *h, const char *const *addresses, size_t count)
{
	memset(h, 0, sizeof(*h));
	for (size_t i = 0; count > 1 && i < count; i++) {
		if (!ring_set(&h->ring, (uint32_t)i, ring_hash(addresses[i]), RING_POINTS_MAX)) {
			cache_homes_done(h);
			return false;
		}
	}
	return true;
}

void
cache_homes_done(struct cache_homes *h)
{
	ring_done(&h->ring);
}

size_t
cache_homes_find(const struct cache_homes *h, const uint8_t key[CACHE_HOMES_KEY_BYTES])
{
	uint64_t hash = 0;

	if (h->ring.count == 0)
		return 0;
	for (unsigned i = 0; i < 8; i++)
		hash = hash << 8 | key[i];
	return ring_place(&h->ring, ring_find(&h->ring, hash));
}
