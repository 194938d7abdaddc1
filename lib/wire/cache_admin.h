/*
 * wire/cache_admin.h - what an operator asks of the cache: how its tiers do, to look at an entry, to purge.
 * proto/infermesh/v1/cache.proto holds the meaning of each member. Ownership and errors as wire.h says.
 */
#ifndef WIRE_CACHE_ADMIN_H
#define WIRE_CACHE_ADMIN_H

#include "wire/mesh.h"

#define METHOD_CACHE_TIERS "Cache/Tiers" /* the request is empty */
#define METHOD_CACHE_GET   "Cache/Get"
#define METHOD_CACHE_PURGE "Cache/Purge"
#define CACHE_TIERS_MAX    4
#define CACHE_LABEL_MAX    256 /* bytes of a tenant, of a model */

struct cache_tier {
	const char *name, *state;
	uint64_t hits, misses, failed, corrupt;
	bool sized;
	uint64_t entries, bytes, max_bytes, stored, evicted, expired, dropped, waiting,
	    waiting_bytes, timeouts, errors, reconnects;
};
struct cache_tiers {
	struct cache_tier tier[CACHE_TIERS_MAX];
	size_t count;
};
void cache_tiers_encode(const struct cache_tiers *t, struct buf *out);
IM_MUST_CHECK enum im_rc cache_tiers_decode(const uint8_t *buf, size_t len, struct arena *arena,
					    struct cache_tiers *ret, struct im_err *err);

struct cache_get {
	uint8_t key[CACHE_KEY_BYTES];
};
void cache_get_encode(const struct cache_get *g, struct buf *out);
IM_MUST_CHECK enum im_rc cache_get_decode(const uint8_t *buf, size_t len, struct arena *arena,
					  struct cache_get *ret, struct im_err *err);

struct cache_got {
	bool hit;
	const char *tier, *tenant, *model;
	uint64_t created_us, expires_us, age_ms;
	struct wire_bytes value; /* decoded: in the arena */
};
void cache_got_encode(const struct cache_got *g, struct buf *out);
IM_MUST_CHECK enum im_rc cache_got_decode(const uint8_t *buf, size_t len, struct arena *arena,
					  struct cache_got *ret, struct im_err *err);

struct cache_purge {
	bool has_key;
	uint8_t key[CACHE_KEY_BYTES];
	const char *tenant, *model; /* "" = any; at most CACHE_LABEL_MAX bytes, else IM_EINVAL */
	uint64_t created_before_us;
};
void cache_purge_encode(const struct cache_purge *p, struct buf *out);
IM_MUST_CHECK enum im_rc cache_purge_decode(const uint8_t *buf, size_t len, struct arena *arena,
					    struct cache_purge *ret, struct im_err *err);

struct cache_purged_tier {
	const char *tier, *error;
	uint64_t removed;
};
struct cache_purged {
	struct cache_purged_tier tier[CACHE_TIERS_MAX];
	size_t count;
};
void cache_purged_encode(const struct cache_purged *p, struct buf *out);
IM_MUST_CHECK enum im_rc cache_purged_decode(const uint8_t *buf, size_t len, struct arena *arena,
					     struct cache_purged *ret, struct im_err *err);

#endif
