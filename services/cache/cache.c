/*
 * cache/cache.c - the cache service; see cache.h. A call is answered inside its callback: nothing here waits.
 */
#include "cache/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache/l1.h"
#include "cache/value.h"
#include "wire/mesh.h"

#define SWEEP_US      1000000
#define SWEEP_ENTRIES 10000
/* Besides twice the request: what decoding a store may take. The value itself is copied once. */
#define STORE_ARENA_SLACK ((size_t)64 * 1024)

struct cache {
	struct loop *loop;
	struct endpoint *listener;
	struct loop_timer sweep;
	struct l1 *l1;
	uint64_t ttl_ms;
	size_t entry_bytes;
	uint64_t corrupt;
	struct arena arena; /* of one request */
	struct buf scratch; /* value, packed or raw */
	struct buf reply;
};

static void
lookup(struct cache *c, struct served *served, const struct served_request *req)
{
	struct cache_found found = { .tier = "l1" };
	struct cache_lookup ask;
	struct l1_found kept;
	struct im_err err;
	enum im_rc rc = cache_lookup_decode(req->body, req->body_len, &ask, &err);

	if (rc != IM_OK) {
		served_end(served, &err, NULL, 0);
		return;
	}
	if (l1_get(c->l1, ask.key, clock_mono_ms(), ask.max_age_ms, &kept)) {
		rc = value_unpack(ask.key, kept.data, kept.len, c->entry_bytes, &c->scratch);
		found.hit = rc == IM_OK;
		found.age_ms = kept.age_ms;
		if (rc == IM_ECORRUPT || rc == IM_ETOOBIG) {
			c->corrupt++;
			l1_remove(c->l1, ask.key);
			log_error(
			    "a cached value failed its checksum: check the memory of this machine",
			    LOG_UINT("infermesh.cache.corrupt", c->corrupt));
		}
	}
	found.value = (struct wire_bytes){ c->scratch.data, found.hit ? c->scratch.len : 0 };
	cache_found_encode(&found, &c->reply);
	(void)err_set(&err, IM_ENOMEM, "no memory for a cached answer");
	served_end(served, buf_ok(&c->reply) ? NULL : &err, c->reply.data, c->reply.len);
}

static void
store(struct cache *c, struct served *served, const struct served_request *req)
{
	struct cache_store put;
	struct im_err err;
	bool stored = false;
	enum im_rc rc;

	arena_init(&c->arena, 2 * req->body_len + STORE_ARENA_SLACK);
	rc = cache_store_decode(req->body, req->body_len, &c->arena, &put, &err);
	if (rc != IM_OK) {
		served_end(served, &err, NULL, 0);
		return;
	}
	if (put.value.len <= c->entry_bytes &&
	    value_pack(put.key, put.value.data, put.value.len, &c->scratch) == IM_OK)
		stored = l1_put(c->l1, put.key, c->scratch.data, c->scratch.len, clock_mono_ms(),
				put.ttl_ms != 0 ? put.ttl_ms : c->ttl_ms) == IM_OK;
	cache_stored_encode(stored, &c->reply);
	served_end(served, NULL, c->reply.data, c->reply.len);
}

/* A corrupt value was found in L1 and is a miss all the same. */
static void
count(const struct cache *c, struct l1_counters *ret)
{
	l1_counters(c->l1, ret);
	ret->hits -= c->corrupt;
	ret->misses += c->corrupt;
}

static void
stats(struct cache *c, struct served *served)
{
	struct l1_counters n;
	struct cache_stats s;

	count(c, &n);
	s = (struct cache_stats){ n.entries, n.bytes,   n.max_bytes, n.hits,    n.misses,
				  n.stored,  n.evicted, n.expired,   c->corrupt };
	cache_stats_encode(&s, &c->reply);
	served_end(served, NULL, c->reply.data, c->reply.len);
}

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	struct cache *c = user;
	struct im_err err;

	(void)link;
	buf_clear(&c->scratch);
	buf_clear(&c->reply);
	if (strcmp(req->method, METHOD_CACHE_LOOKUP) == 0) {
		lookup(c, served, req);
	} else if (strcmp(req->method, METHOD_CACHE_STORE) == 0) {
		store(c, served, req);
		arena_done(&c->arena);
	} else if (strcmp(req->method, METHOD_CACHE_STATS) == 0) {
		stats(c, served);
	} else {
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
on_sweep(void *arg)
{
	struct cache *c = arg;

	(void)l1_sweep(c->l1, clock_mono_ms(), SWEEP_ENTRIES);
	if (loop_timer_set(c->loop, &c->sweep, SWEEP_US) != IM_OK)
		log_warn("no memory for a timer: expired answers leave memory only when asked for");
}

static void
release(struct cache *c)
{
	loop_timer_cancel(c->loop, &c->sweep);
	endpoint_close(c->listener);
	l1_free(c->l1);
	arena_done(&c->arena);
	buf_done(&c->scratch);
	buf_done(&c->reply);
	free(c);
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
	c->sweep.fn = on_sweep;
	c->sweep.arg = c;
	c->ttl_ms = (uint64_t)config_int(env->config, "cache.ttl_ms");
	c->entry_bytes = (size_t)config_int(env->config, "cache.entry_bytes");
	rc = l1_new((size_t)config_int(env->config, "cache.bytes"), &c->l1);
	if (rc != IM_OK)
		(void)err_set(err, rc, "no memory for the cache");
	if (rc == IM_OK)
		rc = net_listen(env->net,
				env->single_process ? mesh_address(env, "cache")
						    : config_str(env->config, "cache.listen"),
				&ops, c, &c->listener, err);
	if (rc == IM_OK && (rc = loop_timer_set(c->loop, &c->sweep, SWEEP_US)) != IM_OK)
		(void)err_set(err, rc, "no memory for the cache");
	if (rc != IM_OK) {
		release(c);
		return rc;
	}
	*ret_service = c;
	return IM_OK;
}

static bool
cache_drained(const void *service)
{
	(void)service; /* nothing here outlives its callback */
	return true;
}

static void
cache_stop(void *service, loop_fn stopped, void *arg)
{
	if (service != NULL)
		release(service);
	stopped(arg);
}

static void
cache_metrics(const void *service, struct metrics_page *page)
{
	const struct cache *c = service;
	const struct metrics_label hit[] = { { "tier", "l1" }, { "result", "hit" } };
	const struct metrics_label miss[] = { { "tier", "l1" }, { "result", "miss" } };
	struct l1_counters n;

	count(c, &n);
	metrics_family(page, "infermesh_cache_lookups_total", "counter",
		       "Lookups by tier and result.");
	metrics_value(page, "infermesh_cache_lookups_total", hit, 2, (double)n.hits);
	metrics_value(page, "infermesh_cache_lookups_total", miss, 2, (double)n.misses);
	metrics_counter(page, "infermesh_cache_stored_total", "Answers taken.", n.stored);
	metrics_counter(page, "infermesh_cache_evicted_total", "Answers dropped for room.",
			n.evicted);
	metrics_counter(page, "infermesh_cache_expired_total", "Answers dropped for age.",
			n.expired);
	metrics_counter(page, "infermesh_cache_corrupt_total",
			"Answers that failed their checksum.", c->corrupt);
	metrics_gauge(page, "infermesh_cache_entries", "Answers kept.", (double)n.entries);
	metrics_gauge(page, "infermesh_cache_bytes", "Memory in use, overhead included.",
		      (double)n.bytes);
	metrics_gauge(page, "infermesh_cache_max_bytes", "Bound of infermesh_cache_bytes.",
		      (double)n.max_bytes);
}

static void
cache_drain(void *service)
{
	(void)service; /* routers go on without us when the links close */
}

const struct service_ops cache_service = {
	.name = "cache",
	.summary = "keeps answers in memory, by key, with time to live",
	.reports = true,
	.start = cache_start,
	.drain = cache_drain,
	.drained = cache_drained,
	.stop = cache_stop,
	.metrics = cache_metrics,
};
