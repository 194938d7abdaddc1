/*
 * wire/cache_msg.c - messages of the cache; see mesh.h.
 */
#include <string.h>

#include "infermesh/v1/cache.pb-c.h"
#include "wire/mesh.h"
#include "wire/text.h"

static enum im_rc
key_in(const ProtobufCBinaryData *key, uint8_t ret[CACHE_KEY_BYTES], struct im_err *err)
{
	if (key->len != CACHE_KEY_BYTES)
		return err_set(err, IM_EINVAL, "key: %zu bytes, allowed are %d", key->len,
			       CACHE_KEY_BYTES);
	memcpy(ret, key->data, CACHE_KEY_BYTES);
	return IM_OK;
}

void
cache_lookup_encode(const struct cache_lookup *l, struct buf *out)
{
	Infermesh__V1__LookupRequest m = INFERMESH__V1__LOOKUP_REQUEST__INIT;

	m.key = bytes_out(l->key, sizeof(l->key));
	m.max_age_ms = l->max_age_ms;
	wire_pack(&m.base, out);
}

enum im_rc
cache_lookup_decode(const uint8_t *buf, size_t len, struct cache_lookup *ret, struct im_err *err)
{
	const Infermesh__V1__LookupRequest *m;
	struct arena arena = { .max_bytes = SMALL_MESSAGE_BYTES };
	struct cache_lookup out;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__lookup_request__descriptor, buf, len, &arena, &msg, err);

	if (rc == IM_OK) {
		m = (const Infermesh__V1__LookupRequest *)msg;
		out.max_age_ms = m->max_age_ms;
		rc = key_in(&m->key, out.key, err);
	}
	if (rc == IM_OK)
		*ret = out;
	arena_done(&arena);
	return rc;
}

void
cache_found_encode(const struct cache_found *f, struct buf *out)
{
	Infermesh__V1__LookupReply m = INFERMESH__V1__LOOKUP_REPLY__INIT;

	m.hit = f->hit;
	m.value = bytes_out(f->value.data, f->value.len);
	m.age_ms = f->age_ms;
	m.tier = text_out(f->tier);
	wire_pack(&m.base, out);
}

enum im_rc
cache_found_decode(const uint8_t *buf, size_t len, struct arena *arena, struct cache_found *ret,
		   struct im_err *err)
{
	const Infermesh__V1__LookupReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__lookup_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__LookupReply *)msg;
	*ret = (struct cache_found){
		.hit = m->hit,
		.value = { m->value.data, m->value.len },
		.age_ms = m->age_ms,
		.tier = m->tier,
	};
	return IM_OK;
}

void
cache_store_encode(const struct cache_store *s, struct buf *out)
{
	Infermesh__V1__StoreRequest m = INFERMESH__V1__STORE_REQUEST__INIT;

	m.key = bytes_out(s->key, sizeof(s->key));
	m.value = bytes_out(s->value.data, s->value.len);
	m.ttl_ms = s->ttl_ms;
	m.tenant = text_out(s->tenant);
	m.model = text_out(s->model);
	wire_pack(&m.base, out);
}

enum im_rc
cache_store_decode(const uint8_t *buf, size_t len, struct arena *arena, struct cache_store *ret,
		   struct im_err *err)
{
	const Infermesh__V1__StoreRequest *m;
	struct cache_store out;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__store_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__StoreRequest *)msg;
	rc = key_in(&m->key, out.key, err);
	if (rc != IM_OK)
		return rc;
	out.value = (struct wire_bytes){ m->value.data, m->value.len };
	out.ttl_ms = m->ttl_ms;
	out.tenant = m->tenant;
	out.model = m->model;
	*ret = out;
	return IM_OK;
}

void
cache_stored_encode(bool stored, struct buf *out)
{
	Infermesh__V1__StoreReply m = INFERMESH__V1__STORE_REPLY__INIT;

	m.stored = stored;
	wire_pack(&m.base, out);
}

enum im_rc
cache_stored_decode(const uint8_t *buf, size_t len, bool *ret, struct im_err *err)
{
	struct arena arena = { .max_bytes = SMALL_MESSAGE_BYTES };
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__store_reply__descriptor, buf, len, &arena, &msg, err);

	if (rc == IM_OK)
		*ret = ((const Infermesh__V1__StoreReply *)msg)->stored;
	arena_done(&arena);
	return rc;
}

void
cache_stats_encode(const struct cache_stats *s, struct buf *out)
{
	Infermesh__V1__CacheStatsReply m = INFERMESH__V1__CACHE_STATS_REPLY__INIT;

	m.entries = s->entries;
	m.bytes = s->bytes;
	m.max_bytes = s->max_bytes;
	m.hits = s->hits;
	m.misses = s->misses;
	m.stored = s->stored;
	m.evicted = s->evicted;
	m.expired = s->expired;
	m.corrupt = s->corrupt;
	wire_pack(&m.base, out);
}

enum im_rc
cache_stats_decode(const uint8_t *buf, size_t len, struct cache_stats *ret, struct im_err *err)
{
	const Infermesh__V1__CacheStatsReply *m;
	struct arena arena = { .max_bytes = SMALL_MESSAGE_BYTES };
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__cache_stats_reply__descriptor, buf, len, &arena, &msg, err);

	if (rc == IM_OK) {
		m = (const Infermesh__V1__CacheStatsReply *)msg;
		*ret = (struct cache_stats){ m->entries, m->bytes,   m->max_bytes,
					     m->hits,    m->misses,  m->stored,
					     m->evicted, m->expired, m->corrupt };
	}
	arena_done(&arena);
	return rc;
}
