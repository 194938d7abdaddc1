/*
 * wire/wire_samples_cache.c - samples of what the cache is asked and told.
 */
#include "wire/wire_samples_cache.h"

#include "wire/cache_admin.h"
#include "wire/entry.h"

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

void
cache_found_sample(struct buf *out)
{
	cache_found_encode(&(struct cache_found){ true, { (const uint8_t *)"v", 1 }, 3, "l1" },
			   out);
}

void
cache_store_sample(struct buf *out)
{
	cache_store_encode(
	    &(struct cache_store){ { 1 }, { (const uint8_t *)"v", 1 }, 9, "acme", "demo" }, out);
}

void
cache_stats_sample(struct buf *out)
{
	cache_stats_encode(&(struct cache_stats){ 1, 2, 3, 4, 5, 6, 7, 8, 9 }, out);
}

void
entry_ask_sample(struct buf *out)
{
	entry_ask_encode(&(struct entry_ask){ .ns = "sessions",
					      .key = { (const uint8_t *)"k\0", 2 },
					      .value = { (const uint8_t *)"v", 1 },
					      .ttl_ms = 60000,
					      .version = 7 },
			 out);
}

/* The operation with every member; it stands in the method, not in the message. */
enum im_rc
entry_ask_recode(const uint8_t *buf, size_t len, struct arena *arena, struct buf *out,
		 struct im_err *err)
{
	struct entry_ask v;
	enum im_rc rc = entry_ask_decode(ENTRY_COMPARE_AND_SET, buf, len, arena, &v, err);

	if (rc == IM_OK)
		entry_ask_encode(&v, out);
	return rc;
}

void
entry_answer_sample(struct buf *out)
{
	entry_answer_encode(&(struct entry_answer){ .found = true,
						    .done = true,
						    .durable = true,
						    .value = { (const uint8_t *)"v", 1 },
						    .version = 8,
						    .left_ms = 59999,
						    .home = "disk" },
			    out);
}
