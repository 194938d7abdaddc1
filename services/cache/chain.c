/*
 * cache/chain.c - the tiers in their order; see chain.h.
 */
#include "cache/chain.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define US_PER_MS 1000

void
chain_init(struct chain *c, struct loop *loop, size_t entry_bytes)
{
	memset(c, 0, sizeof(*c));
	c->loop = loop;
	c->entry_bytes = entry_bytes;
	list_init(&c->asked);
	list_init(&c->purging);
}

void
chain_add(struct chain *c, struct tier *tier)
{
	assert(c->count < CHAIN_TIERS_MAX);
	c->tiers[c->count++].tier = tier;
}

/* Offer a frame, which expires at 'expires_us', to one tier. */
static void
offer(struct tier *tier, const uint8_t key[CACHE_KEY_BYTES], const uint8_t *value, size_t len,
      uint64_t expires_us, uint64_t now_us)
{
	struct tier_put put = { .value = value, .len = len };

	if (expires_us <= now_us || (tier->max_value_bytes != 0 && len > tier->max_value_bytes))
		return;
	memcpy(put.key, key, sizeof(put.key));
	put.ttl_ms = (expires_us - now_us + US_PER_MS - 1) / US_PER_MS;
	if (put.ttl_ms > tier->ttl_ms)
		put.ttl_ms = tier->ttl_ms;
	tier->ops->put(tier, &put);
}

/* Lookups. */

static void ask_next(struct chain_get *get);

static void
finish(struct chain_get *get, const struct chain_found *found)
{
	list_remove(&get->node);
	get->done(get, found);
}

/* A frame that is no answer: it goes, and the tiers below may have a better one. */
static void
reject(struct chain_get *get, struct chain_tier *t)
{
	t->n.corrupt++;
	t->tier->ops->remove(t->tier, get->key);
	if ((t->n.corrupt & (t->n.corrupt - 1)) != 0)
		return; /* said for the 1st, 2nd, 4th, 8th…: a tier may answer garbage all day */
	log_error(
	    "a cached value is corrupt and was removed: check the memory or disk that keeps it",
	    LOG_STR("infermesh.cache.tier", t->tier->name),
	    LOG_UINT("infermesh.cache.corrupt", t->n.corrupt));
}

/* Is the frame an answer to the question? Its payload is then in 'payload'. */
static bool
accept(struct chain_get *get, struct chain_tier *t, const uint8_t *value, size_t len,
       struct chain_found *ret)
{
	struct chain *c = get->chain;
	uint64_t now_us = clock_wall_us();
	enum im_rc rc;

	buf_clear(&c->payload);
	rc = value_unpack(get->key, value, len, c->entry_bytes, &ret->meta, &c->payload);
	if (rc == IM_ECORRUPT) {
		reject(get, t);
		return false;
	}
	if (rc == IM_OK && ret->meta.created_us < now_us)
		ret->age_ms = (now_us - ret->meta.created_us) / US_PER_MS;
	if (rc != IM_OK || ret->meta.expires_us <= now_us ||
	    (get->max_age_ms != 0 && ret->age_ms > get->max_age_ms)) {
		t->n.misses++;
		return false;
	}
	t->n.hits++;
	ret->tier = t->tier->name;
	ret->payload = c->payload.data;
	ret->len = c->payload.len;
	return true;
}

static void
fill_above(struct chain_get *get, const struct value_meta *meta, const uint8_t *value, size_t len)
{
	struct chain *c = get->chain;
	uint64_t now_us = clock_wall_us();

	if (get->at == 0 || !list_empty(&c->purging) || get->purges_begun != c->purges_begun)
		return;
	for (size_t i = 0; i < get->at; i++)
		offer(c->tiers[i].tier, get->key, value, len, meta->expires_us, now_us);
}

static void
on_tier(struct tier_get *ask, enum tier_result result, const uint8_t *value, size_t len)
{
	struct chain_get *get = CONTAINER_OF(ask, struct chain_get, ask);
	struct chain_tier *t = &get->chain->tiers[get->at];
	struct chain_found found = { 0 };

	if (result == TIER_HIT && accept(get, t, value, len, &found)) {
		fill_above(get, &found.meta, value, len);
		finish(get, &found);
		return;
	}
	t->n.misses += result == TIER_MISS;
	t->n.failed += result == TIER_FAILED;
	get->at++;
	ask_next(get);
}

/* Memory answers at once, so that the first tier is asked even when it is late. */
static bool
late(const struct chain_get *get)
{
	return get->at > 0 && get->deadline_us != 0 && clock_mono_us() >= get->deadline_us;
}

static void
ask_next(struct chain_get *get)
{
	struct chain *c = get->chain;
	struct tier *tier;

	if (get->at == c->count || late(get)) {
		finish(get, NULL);
		return;
	}
	tier = c->tiers[get->at].tier;
	memset(&get->ask, 0, sizeof(get->ask));
	memcpy(get->ask.key, get->key, sizeof(get->ask.key));
	get->ask.deadline_us = get->deadline_us;
	get->ask.done = on_tier;
	tier->ops->get(tier, &get->ask);
}

void
chain_lookup(struct chain *c, struct chain_get *get)
{
	get->chain = c;
	get->at = 0;
	get->purges_begun = c->purges_begun;
	list_push_back(&c->asked, &get->node);
	ask_next(get);
}

void
chain_cancel(struct chain_get *get)
{
	struct tier *tier = get->chain->tiers[get->at].tier;

	list_remove(&get->node);
	tier->ops->cancel(tier, &get->ask);
}

/* Stores. */

static uint64_t
longest_ttl_ms(const struct chain *c)
{
	uint64_t ttl_ms = 0;

	for (size_t i = 0; i < c->count; i++)
		if (c->tiers[i].tier->ttl_ms > ttl_ms)
			ttl_ms = c->tiers[i].tier->ttl_ms;
	return ttl_ms;
}

static struct wire_bytes
label(const char *text)
{
	return (struct wire_bytes){ (const uint8_t *)text, text != NULL ? strlen(text) : 0 };
}

bool
chain_store(struct chain *c, const struct cache_store *store)
{
	uint64_t now_us = clock_wall_us(), ttl_ms = longest_ttl_ms(c);
	struct value_meta meta = { .key = store->key,
				   .tenant = label(store->tenant),
				   .model = label(store->model),
				   .created_us = now_us };

	if (store->ttl_ms != 0 && store->ttl_ms < ttl_ms)
		ttl_ms = store->ttl_ms;
	meta.expires_us = now_us + ttl_ms * US_PER_MS;
	buf_clear(&c->frame);
	if (store->value.len > c->entry_bytes ||
	    value_pack(&meta, store->value.data, store->value.len, &c->frame) != IM_OK)
		return false;
	for (size_t i = 0; i < c->count; i++)
		offer(c->tiers[i].tier, store->key, c->frame.data, c->frame.len, meta.expires_us,
		      now_us);
	return true;
}

/* Purges. */

static void
purged_one(struct chain_purge *purge)
{
	if (--purge->waiting > 0)
		return;
	list_remove(&purge->node);
	purge->done(purge);
}

static void
on_purged(struct tier_purge *ask, const struct im_err *err, uint64_t removed)
{
	struct chain_purge *purge = ask->user;
	struct chain_purged *result = &purge->result[ask - purge->ask];

	result->removed = removed;
	if (err != NULL)
		result->err = *err;
	purged_one(purge);
}

void
chain_purge(struct chain *c, struct chain_purge *purge)
{
	c->purges_begun++;
	purge->chain = c;
	purge->count = c->count;
	purge->waiting =
	    c->count + 1; /* one is ours, so that it does not end before all were asked */
	list_push_back(&c->purging, &purge->node);
	for (size_t i = 0; i < purge->count; i++) {
		struct tier *tier = c->tiers[i].tier;

		purge->result[i].tier = tier->name;
		purge->ask[i] =
		    (struct tier_purge){ .sel = purge->sel, .done = on_purged, .user = purge };
	}
	for (size_t i = 0; i < c->count; i++)
		c->tiers[i].tier->ops->purge(c->tiers[i].tier, &purge->ask[i]);
	purged_one(purge);
}

/* The end. */

static void
on_stopped(void *arg)
{
	struct chain *c = arg;

	if (--c->stopping > 0)
		return;
	c->count = 0;
	buf_done(&c->frame);
	buf_done(&c->payload);
	c->stopped(c->stopped_arg);
}

void
chain_stop(struct chain *c, loop_fn stopped, void *arg)
{
	assert(list_empty(&c->asked));
	c->stopped = stopped;
	c->stopped_arg = arg;
	c->stopping = c->count + 1;
	for (size_t i = 0; i < c->count; i++)
		c->tiers[i].tier->ops->stop(c->tiers[i].tier, on_stopped, c);
	on_stopped(c);
}
