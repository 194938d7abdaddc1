/*
 * cache/cache.c - the cache service; see cache.h. A call is answered inside its callback: nothing here waits.
 */
#include "cache/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache/chain.h"
#include "cache/entries.h"
#include "cache/operator.h"
#include "cache/tier_l1.h"
#include "cache/tier_redis.h"
#include "cache/tier_rocks.h"
#include "cache/tier_s3.h"
#include "wire/mesh.h"

/* Besides twice the request: what decoding a store may take. The value itself is copied once. */
#define STORE_ARENA_SLACK ((size_t)64 * 1024)

/* A lookup on its way. Kept for the next one when it is over. */
struct asked {
	struct chain_get get;
	struct list node; /* in 'spare' or 'waiting' of its cache */
	struct cache *cache;
	struct served *served;
};

struct cache {
	struct loop *loop;
	struct endpoint *listener;
	struct endpoint *inside; /* NULL but in a single process */
	struct chain chain;
	struct cache_operator operators;
	struct entries entries;
	struct list spare, waiting; /* asked.node */
	struct arena arena;         /* of one request */
	struct buf reply;
	loop_fn stopped;
	void *stopped_arg;
};

/* Lookups. */

static void
on_found(struct chain_get *get, const struct chain_found *found)
{
	struct asked *a = CONTAINER_OF(get, struct asked, get);
	struct cache *c = a->cache;
	struct cache_found reply = { 0 };
	struct im_err err;

	if (found != NULL)
		reply = (struct cache_found){ .hit = true,
					      .value = { found->payload, found->len },
					      .age_ms = found->age_ms,
					      .tier = found->tier };
	buf_clear(&c->reply);
	cache_found_encode(&reply, &c->reply);
	if (!buf_ok(&c->reply))
		(void)err_set(&err, IM_ENOMEM, "no memory for a cached answer");
	served_end(a->served, buf_ok(&c->reply) ? NULL : &err, c->reply.data, c->reply.len);
	a->served = NULL;
	list_remove(&a->node);
	list_push_front(&c->spare, &a->node);
}

/* The router has stopped waiting. */
static void
on_cancelled(void *user, struct served *served)
{
	struct asked *a = user;

	chain_cancel(&a->get);
	served_end(served, NULL, NULL, 0);
	list_remove(&a->node);
	list_push_front(&a->cache->spare, &a->node);
}

static struct asked *
asked_take(struct cache *c)
{
	struct list *node = list_pop_front(&c->spare);
	struct asked *a =
	    node != NULL ? CONTAINER_OF(node, struct asked, node) : malloc(sizeof(struct asked));

	if (a == NULL)
		return NULL;
	memset(a, 0, sizeof(*a));
	a->cache = c;
	list_push_back(&c->waiting, &a->node);
	return a;
}

static void
lookup(struct cache *c, struct served *served, const struct served_request *req)
{
	static const struct served_ops ops = { .cancelled = on_cancelled };
	struct cache_lookup ask;
	struct asked *a = NULL;
	struct im_err err;
	enum im_rc rc = cache_lookup_decode(req->body, req->body_len, &ask, &err);

	if (rc == IM_OK && (a = asked_take(c)) == NULL)
		rc = err_set(&err, IM_ENOMEM, "no memory for a lookup");
	if (rc != IM_OK) {
		served_end(served, &err, NULL, 0);
		return;
	}
	a->served = served;
	memcpy(a->get.key, ask.key, sizeof(a->get.key));
	a->get.max_age_ms = ask.max_age_ms;
	a->get.deadline_us = req->budget_ms != 0 ? clock_mono_us() + req->budget_ms * 1000ULL : 0;
	a->get.done = on_found;
	chain_lookup(&c->chain, &a->get);
	if (a->served != NULL)
		served_accept(served, &ops, a);
}

static void
store(struct cache *c, struct served *served, const struct served_request *req)
{
	struct cache_store put;
	struct im_err err;
	enum im_rc rc;

	arena_init(&c->arena, 2 * req->body_len + STORE_ARENA_SLACK);
	rc = cache_store_decode(req->body, req->body_len, &c->arena, &put, &err);
	if (rc == IM_OK)
		cache_stored_encode(chain_store(&c->chain, &put), &c->reply);
	served_end(served, rc == IM_OK ? NULL : &err, c->reply.data, c->reply.len);
	arena_done(&c->arena);
}

/* Of the memory tier, which is always the first. */
static void
stats(struct cache *c, struct served *served)
{
	const struct chain_tier *l1 = &c->chain.tiers[0];
	struct tier_stats n;
	struct cache_stats s;

	l1->tier->ops->stats(l1->tier, &n);
	s = (struct cache_stats){
		n.entries, n.bytes,   n.max_bytes, l1->n.hits,   l1->n.misses + l1->n.corrupt,
		n.stored,  n.evicted, n.expired,   l1->n.corrupt
	};
	cache_stats_encode(&s, &c->reply);
	served_end(served, NULL, c->reply.data, c->reply.len);
}

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	struct cache *c = user;
	struct im_err err;

	buf_clear(&c->reply);
	if (strcmp(req->method, METHOD_CACHE_LOOKUP) == 0) {
		lookup(c, served, req);
	} else if (strcmp(req->method, METHOD_CACHE_STORE) == 0) {
		store(c, served, req);
	} else if (strcmp(req->method, METHOD_CACHE_STATS) == 0) {
		stats(c, served);
	} else if (!entries_request(&c->entries, link_peer(link), served, req) &&
		   !cache_operator_request(&c->operators, link_peer(link), served, req)) {
		(void)err_set(&err, IM_EMETHOD, "the cache has no method %.64s", req->method);
		served_end(served, &err, NULL, 0);
	}
}

static void
on_trouble(void *user, const struct im_err *why)
{
	(void)user;
	log_warn("a peer was turned away", LOG_STR("error.message", why->text));
}

static void
on_entries_stopped(void *arg)
{
	struct cache *c = arg;
	loop_fn stopped = c->stopped;
	void *stopped_arg = c->stopped_arg;
	struct list *node;

	while ((node = list_pop_front(&c->spare)) != NULL)
		free(CONTAINER_OF(node, struct asked, node));
	cache_operator_done(&c->operators);
	entries_done(&c->entries);
	arena_done(&c->arena);
	buf_done(&c->reply);
	free(c);
	stopped(stopped_arg);
}

static void
on_tiers_stopped(void *arg)
{
	struct cache *c = arg;

	entries_stop(&c->entries, on_entries_stopped, c);
}

static void
release(struct cache *c, loop_fn stopped, void *arg)
{
	struct im_err err;

	c->stopped = stopped;
	c->stopped_arg = arg;
	(void)err_set(&err, IM_EUNAVAILABLE, "the cache is being stopped");
	LIST_FOREACH_SAFE (&c->waiting, a, struct asked, node) {
		chain_cancel(&a->get);
		served_end(a->served, &err, NULL, 0);
		list_remove(&a->node);
		list_push_front(&c->spare, &a->node);
	}
	cache_operator_stop(&c->operators);
	entries_end(&c->entries);
	endpoint_close(c->listener);
	endpoint_close(c->inside);
	chain_stop(&c->chain, on_tiers_stopped, c);
}

static void
on_half_made_stopped(void *arg)
{
	(void)arg;
}

static enum im_rc
add_tiers(struct cache *c, const struct service_env *env, struct im_err *err)
{
	struct tier *tier;
	enum im_rc rc = tier_l1_new(env->loop, (size_t)config_int(env->config, "cache.bytes"),
				    (uint64_t)config_int(env->config, "cache.ttl_ms"), &tier, err);

	if (rc == IM_OK) {
		chain_add(&c->chain, tier);
		rc = tier_redis_config(env->loop, env->config, &tier, err);
	}
	if (rc == IM_OK && tier != NULL)
		chain_add(&c->chain, tier);
	if (rc == IM_OK)
		rc = tier_rocks_config(env->loop, env->config, &tier, err);
	if (rc == IM_OK && tier != NULL)
		chain_add(&c->chain, tier);
	if (rc == IM_OK)
		rc = tier_s3_config(env->loop, env->config, &tier, err);
	if (rc == IM_OK && tier != NULL)
		chain_add(&c->chain, tier);
	return rc;
}

static enum im_rc
cache_start(const struct service_env *env, void **ret_service, struct im_err *err)
{
	static const struct endpoint_ops ops = { .request = on_request, .trouble = on_trouble };
	struct cache *c = calloc(1, sizeof(*c));
	enum im_rc rc;

	if (c == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the cache");
	c->loop = env->loop;
	list_init(&c->spare);
	list_init(&c->waiting);
	chain_init(&c->chain, env->loop, (size_t)config_int(env->config, "cache.entry_bytes"));
	cache_operator_init(&c->operators, &c->chain, env->reporter);
	rc = add_tiers(c, env, err);
	if (rc == IM_OK)
		rc = entries_init(&c->entries, env->loop, env->config, env->reporter, err);
	if (rc == IM_OK)
		rc = net_listen(env->net, config_str(env->config, "cache.listen"), &ops, c,
				&c->listener, err);
	if (rc == IM_OK && env->single_process)
		rc = net_listen(env->net, mesh_address(env, "cache"), &ops, c, &c->inside, err);
	if (rc != IM_OK) {
		release(c, on_half_made_stopped, NULL);
		return rc;
	}
	*ret_service = c;
	return IM_OK;
}

static bool
cache_drained(const void *service)
{
	const struct cache *c = service;

	return list_empty(&c->waiting) && cache_operator_idle(&c->operators) &&
	       entries_idle(&c->entries);
}

static void
cache_stop(void *service, loop_fn stopped, void *arg)
{
	if (service != NULL)
		release(service, stopped, arg);
	else
		stopped(arg);
}

static void
count_lookups(const struct chain_tier *t, struct metrics_page *page)
{
	const struct {
		const char *result;
		uint64_t n;
	} rows[] = { { "hit", t->n.hits },
		     { "miss", t->n.misses },
		     { "failed", t->n.failed },
		     { "corrupt", t->n.corrupt } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct metrics_label labels[] = { { "tier", t->tier->name },
							{ "result", rows[i].result } };

		metrics_value(page, "infermesh_cache_lookups_total", labels, 2, (double)rows[i].n);
	}
}

static void
cache_metrics(const void *service, struct metrics_page *page)
{
	static const struct {
		const char *name, *type, *help;
		size_t at; /* of a uint64_t in struct tier_stats */
	} families[] = {
		{ "infermesh_cache_stored_total", "counter", "Answers taken.",
		  offsetof(struct tier_stats, stored) },
		{ "infermesh_cache_dropped_total", "counter", "Answers not taken.",
		  offsetof(struct tier_stats, dropped) },
		{ "infermesh_cache_evicted_total", "counter", "Answers dropped for room.",
		  offsetof(struct tier_stats, evicted) },
		{ "infermesh_cache_expired_total", "counter", "Answers dropped for age.",
		  offsetof(struct tier_stats, expired) },
		{ "infermesh_cache_entries", "gauge", "Answers kept.",
		  offsetof(struct tier_stats, entries) },
		{ "infermesh_cache_bytes", "gauge", "Bytes in use, overhead included.",
		  offsetof(struct tier_stats, bytes) },
		{ "infermesh_cache_waiting", "gauge", "Answers that wait to be written.",
		  offsetof(struct tier_stats, waiting) },
		{ "infermesh_cache_waiting_bytes", "gauge", "Bytes that wait to be written.",
		  offsetof(struct tier_stats, waiting_bytes) },
		{ "infermesh_cache_timeouts_total", "counter", "Lookups that were given up.",
		  offsetof(struct tier_stats, timeouts) },
		{ "infermesh_cache_errors_total", "counter", "What a tier refused or got wrong.",
		  offsetof(struct tier_stats, errors) },
		{ "infermesh_cache_reconnects_total", "counter", "Connections that were lost.",
		  offsetof(struct tier_stats, reconnects) },
		{ "infermesh_cache_max_bytes", "gauge", "Bound of infermesh_cache_bytes.",
		  offsetof(struct tier_stats, max_bytes) },
	};
	const struct chain *chain = &((const struct cache *)service)->chain;
	struct tier_stats s[CHAIN_TIERS_MAX];

	metrics_family(page, "infermesh_cache_lookups_total", "counter",
		       "Lookups by tier and result.");
	for (size_t t = 0; t < chain->count; t++) {
		count_lookups(&chain->tiers[t], page);
		chain->tiers[t].tier->ops->stats(chain->tiers[t].tier, &s[t]);
	}
	metrics_family(
	    page, "infermesh_cache_tier_ready", "gauge",
	    "1: the tier is used as it should be; 0: the label says what it is instead.");
	for (size_t t = 0; t < chain->count; t++) {
		const struct metrics_label labels[] = { { "tier", chain->tiers[t].tier->name },
							{ "state", s[t].state } };

		metrics_value(page, "infermesh_cache_tier_ready", labels, 2,
			      strcmp(s[t].state, "ready") == 0);
	}
	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		metrics_family(page, families[f].name, families[f].type, families[f].help);
		for (size_t t = 0; t < chain->count; t++) {
			const struct metrics_label tier = { "tier", chain->tiers[t].tier->name };
			uint64_t v;

			memcpy(&v, (const char *)&s[t] + families[f].at, sizeof(v));
			metrics_value(page, families[f].name, &tier, 1, (double)v);
		}
	}
	entries_metrics(&((const struct cache *)service)->entries, page);
}

static void
cache_drain(void *service)
{
	(void)service; /* routers go on without us when the links close */
}

const struct service_ops cache_service = {
	.name = "cache",
	.summary = "keeps answers in tiers, by key, with time to live",
	.reports = true,
	.start = cache_start,
	.drain = cache_drain,
	.drained = cache_drained,
	.stop = cache_stop,
	.metrics = cache_metrics,
};
