/*
 * wire/wire_samples_cache.c - samples of what operators ask of the cache and are told.
 */
#include "wire/wire_samples_cache.h"

#include "wire/cache_admin.h"

void
cache_tiers_sample(struct buf *out)
{
	const struct cache_tiers t = {
		.tier = { { "l1", "ready", 1, 2, 3, 4, true, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
			    16 },
			  { .name = "redis", .state = "connecting" } },
		.count = 2,
	};

	cache_tiers_encode(&t, out);
}

void
cache_get_sample(struct buf *out)
{
	cache_get_encode(&(struct cache_get){ { 1, 2 } }, out);
}

void
cache_got_sample(struct buf *out)
{
	cache_got_encode(
	    &(struct cache_got){ true, "l1", "acme", "demo", 5, 6, 7, { (const uint8_t *)"v", 1 } },
	    out);
}

void
cache_purge_sample(struct buf *out)
{
	cache_purge_encode(&(struct cache_purge){ true, { 1 }, "acme", "demo", 9 }, out);
}

void
cache_purged_sample(struct buf *out)
{
	cache_purged_encode(
	    &(struct cache_purged){ { { "l1", "", 3 }, { "redis", "it is away", 0 } }, 2 }, out);
}
