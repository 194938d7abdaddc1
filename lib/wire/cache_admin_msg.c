/*
 * wire/cache_admin_msg.c - what operators ask of the cache; see cache_admin.h.
 */
#include "wire/cache_admin.h"

#include <assert.h>
#include <string.h>

#include "infermesh/v1/cache.pb-c.h"
#include "wire/routing.h"
#include "wire/text.h"

static void
tier_out(const struct cache_tier *t, Infermesh__V1__CacheTier *m)
{
	infermesh__v1__cache_tier__init(m);
	m->name = text_out(t->name);
	m->state = text_out(t->state);
	m->hits = t->hits;
	m->misses = t->misses;
	m->failed = t->failed;
	m->corrupt = t->corrupt;
	m->sized = t->sized;
	m->entries = t->entries;
	m->bytes = t->bytes;
	m->max_bytes = t->max_bytes;
	m->stored = t->stored;
	m->evicted = t->evicted;
	m->expired = t->expired;
	m->dropped = t->dropped;
	m->waiting = t->waiting;
	m->waiting_bytes = t->waiting_bytes;
	m->timeouts = t->timeouts;
	m->errors = t->errors;
	m->reconnects = t->reconnects;
}

void
cache_tiers_encode(const struct cache_tiers *t, struct buf *out)
{
	Infermesh__V1__CacheTiersReply m = INFERMESH__V1__CACHE_TIERS_REPLY__INIT;
	Infermesh__V1__CacheTier tiers[CACHE_TIERS_MAX], *list[CACHE_TIERS_MAX];

	assert(t->count <= CACHE_TIERS_MAX);
	for (size_t i = 0; i < t->count; i++) {
		tier_out(&t->tier[i], &tiers[i]);
		list[i] = &tiers[i];
	}
	m.n_tiers = t->count;
	m.tiers = list;
	wire_pack(&m.base, out);
}

enum im_rc
cache_tiers_decode(const uint8_t *buf, size_t len, struct arena *arena, struct cache_tiers *ret,
		   struct im_err *err)
{
	const Infermesh__V1__CacheTiersReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__cache_tiers_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__CacheTiersReply *)msg;
	if (m->n_tiers > CACHE_TIERS_MAX)
		return err_set(err, IM_EPROTO, "tiers: %zu, allowed are %d", m->n_tiers,
			       CACHE_TIERS_MAX);
	ret->count = m->n_tiers;
	for (size_t i = 0; i < m->n_tiers; i++) {
		const Infermesh__V1__CacheTier *t = m->tiers[i];

		ret->tier[i] = (struct cache_tier){ .name = t->name,
						    .state = t->state,
						    .hits = t->hits,
						    .misses = t->misses,
						    .failed = t->failed,
						    .corrupt = t->corrupt,
						    .sized = t->sized,
						    .entries = t->entries,
						    .bytes = t->bytes,
						    .max_bytes = t->max_bytes,
						    .stored = t->stored,
						    .evicted = t->evicted,
						    .expired = t->expired,
						    .dropped = t->dropped,
						    .waiting = t->waiting,
						    .waiting_bytes = t->waiting_bytes,
						    .timeouts = t->timeouts,
						    .errors = t->errors,
						    .reconnects = t->reconnects };
	}
	return IM_OK;
}

void
cache_get_encode(const struct cache_get *g, struct buf *out)
{
	Infermesh__V1__CacheGetRequest m = INFERMESH__V1__CACHE_GET_REQUEST__INIT;

	m.key = exact_out(true, g->key, sizeof(g->key));
	wire_pack(&m.base, out);
}

enum im_rc
cache_get_decode(const uint8_t *buf, size_t len, struct arena *arena, struct cache_get *ret,
		 struct im_err *err)
{
	const Infermesh__V1__CacheGetRequest *m;
	ProtobufCMessage *msg;
	struct cache_get out;
	bool has;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__cache_get_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__CacheGetRequest *)msg;
	if (!exact_in(&m->key, sizeof(out.key), out.key, &has) || !has)
		return err_set(err, IM_EINVAL, "key: %zu bytes, allowed are %d", m->key.len,
			       CACHE_KEY_BYTES);
	*ret = out;
	return IM_OK;
}

void
cache_got_encode(const struct cache_got *g, struct buf *out)
{
	Infermesh__V1__CacheGetReply m = INFERMESH__V1__CACHE_GET_REPLY__INIT;

	m.hit = g->hit;
	m.tier = text_out(g->tier);
	m.tenant = text_out(g->tenant);
	m.model = text_out(g->model);
	m.created_us = g->created_us;
	m.expires_us = g->expires_us;
	m.age_ms = g->age_ms;
	m.value = bytes_out(g->value.data, g->value.len);
	wire_pack(&m.base, out);
}

enum im_rc
cache_got_decode(const uint8_t *buf, size_t len, struct arena *arena, struct cache_got *ret,
		 struct im_err *err)
{
	const Infermesh__V1__CacheGetReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__cache_get_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__CacheGetReply *)msg;
	*ret = (struct cache_got){ .hit = m->hit,
				   .tier = m->tier,
				   .tenant = m->tenant,
				   .model = m->model,
				   .created_us = m->created_us,
				   .expires_us = m->expires_us,
				   .age_ms = m->age_ms,
				   .value = { m->value.data, m->value.len } };
	return IM_OK;
}

void
cache_purge_encode(const struct cache_purge *p, struct buf *out)
{
	Infermesh__V1__CachePurgeRequest m = INFERMESH__V1__CACHE_PURGE_REQUEST__INIT;

	m.key = exact_out(p->has_key, p->key, sizeof(p->key));
	m.tenant = text_out(p->tenant);
	m.model = text_out(p->model);
	m.created_before_us = p->created_before_us;
	wire_pack(&m.base, out);
}

enum im_rc
cache_purge_decode(const uint8_t *buf, size_t len, struct arena *arena, struct cache_purge *ret,
		   struct im_err *err)
{
	const Infermesh__V1__CachePurgeRequest *m;
	struct cache_purge out = { 0 };
	ProtobufCMessage *msg;
	enum im_rc rc = wire_unpack(&infermesh__v1__cache_purge_request__descriptor, buf, len,
				    arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__CachePurgeRequest *)msg;
	if (!exact_in(&m->key, sizeof(out.key), out.key, &out.has_key))
		return err_set(err, IM_EINVAL, "key: %zu bytes, allowed are %d", m->key.len,
			       CACHE_KEY_BYTES);
	if (strlen(m->tenant) > CACHE_LABEL_MAX || strlen(m->model) > CACHE_LABEL_MAX)
		return err_set(err, IM_EINVAL, "tenant and model: allowed are at most %d bytes",
			       CACHE_LABEL_MAX);
	out.tenant = m->tenant;
	out.model = m->model;
	out.created_before_us = m->created_before_us;
	*ret = out;
	return IM_OK;
}

void
cache_purged_encode(const struct cache_purged *p, struct buf *out)
{
	Infermesh__V1__CachePurgeReply m = INFERMESH__V1__CACHE_PURGE_REPLY__INIT;
	Infermesh__V1__CachePurged tiers[CACHE_TIERS_MAX], *list[CACHE_TIERS_MAX];

	assert(p->count <= CACHE_TIERS_MAX);
	for (size_t i = 0; i < p->count; i++) {
		infermesh__v1__cache_purged__init(&tiers[i]);
		tiers[i].tier = text_out(p->tier[i].tier);
		tiers[i].removed = p->tier[i].removed;
		tiers[i].error = text_out(p->tier[i].error);
		list[i] = &tiers[i];
	}
	m.n_tiers = p->count;
	m.tiers = list;
	wire_pack(&m.base, out);
}

enum im_rc
cache_purged_decode(const uint8_t *buf, size_t len, struct arena *arena, struct cache_purged *ret,
		    struct im_err *err)
{
	const Infermesh__V1__CachePurgeReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__cache_purge_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__CachePurgeReply *)msg;
	if (m->n_tiers > CACHE_TIERS_MAX)
		return err_set(err, IM_EPROTO, "tiers: %zu, allowed are %d", m->n_tiers,
			       CACHE_TIERS_MAX);
	ret->count = m->n_tiers;
	for (size_t i = 0; i < m->n_tiers; i++)
		ret->tier[i] = (struct cache_purged_tier){ m->tiers[i]->tier, m->tiers[i]->error,
							   m->tiers[i]->removed };
	return IM_OK;
}
