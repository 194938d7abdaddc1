/*
 * cache/tier_redis.c - questions to Redis, and what is written to it; see tier_redis.h.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "cache/tier_redis_internal.h"

#define KEY_MAX      (TIER_REDIS_PREFIX_MAX + 2 * CACHE_KEY_BYTES + 1)
#define REPLY_SLACK  ((size_t)1024 * 1024) /* for a cluster's table of slots, and pages of keys */
#define OP_BYTES     512                   /* what a write takes besides its frame, about */
#define STOP_US      500000
#define PROBE_MIN_US 5000

/* One command that changes something. */
struct writing {
	struct tier_redis *tier;
	size_t bytes;
	bool put;
};

static struct tier_redis *
of(const struct tier *tier)
{
	return CONTAINER_OF(tier, struct tier_redis, tier);
}

static size_t
key_text(const struct tier_redis *t, const uint8_t key[CACHE_KEY_BYTES], char ret[KEY_MAX])
{
	memcpy(ret, t->prefix, t->prefix_len);
	hex_encode(key, CACHE_KEY_BYTES, ret + t->prefix_len);
	return t->prefix_len + 2 * (size_t)CACHE_KEY_BYTES;
}

/* The breaker. */

static void
arm_probe(struct tier_redis *t, uint64_t delay_us)
{
	if (loop_timer_set(t->loop, &t->probe_timer, delay_us) == IM_OK)
		return;
	log_warn("no memory for a timer: Redis is used again without a probe");
	(void)tier_breaker_well(&t->breaker);
}

static void
failed(struct tier_redis *t, bool probe)
{
	uint64_t now_us = clock_mono_us();

	if (tier_breaker_failed(&t->breaker, probe, now_us, t->answer_us, &t->prng))
		log_warn("Redis does not answer in time: the cache goes on without it",
			 LOG_UINT("infermesh.cache.timeout_us", t->answer_us));
	else if (!probe)
		return;
	arm_probe(t, t->breaker.probe_us - now_us);
}

static void
well(struct tier_redis *t)
{
	if (!tier_breaker_well(&t->breaker))
		return;
	loop_timer_cancel(t->loop, &t->probe_timer);
	log_info("Redis answers in time again: the cache uses it");
}

static void
on_probe(void *arg, const redisReply *reply)
{
	struct tier_redis *t = arg;

	t->probe = NULL;
	if (reply != NULL && redis_link_is_pong(reply))
		well(t);
	else
		failed(t, true);
}

static void
on_probe_timer(void *arg)
{
	static const char *const ping[] = { "PING" };
	static const size_t len[] = { 4 };
	struct tier_redis *t = arg;
	size_t node = redis_pool_next(t->pool, 0);

	if (t->probe != NULL) { /* it took too long */
		redis_op_forget(t->probe);
		t->probe = NULL;
		t->timeouts++;
		failed(t, true);
		return;
	}
	if (node < REDIS_NODES_MAX)
		t->probe = redis_pool_send_to(t->pool, node, REDIS_READ, 1, ping, len, on_probe, t);
	if (t->probe == NULL)
		failed(t, true);
	else
		arm_probe(t, t->answer_us > PROBE_MIN_US ? t->answer_us : PROBE_MIN_US);
}

/* Questions. */

static void
end_get(struct tier_redis *t, struct tier_get *get, enum tier_result result, const uint8_t *value,
	size_t len)
{
	list_remove(&get->node);
	loop_timer_cancel(t->loop, &get->timer);
	get->pending = NULL;
	get->done(get, result, value, len);
}

struct question {
	struct tier_redis *tier;
	struct tier_get *get;
	struct redis_op *op;
	bool ours; /* the time is up by our own limit, not by the caller's */
};

static void
on_value(void *arg, const redisReply *reply)
{
	struct question *q = arg;
	struct tier_redis *t = q->tier;
	struct tier_get *get = q->get;

	free(q);
	if (reply == NULL) {
		t->errors++; /* the connection is lost: the pool says so */
		end_get(t, get, TIER_FAILED, NULL, 0);
	} else if (reply->type == REDIS_REPLY_STRING) {
		well(t);
		end_get(t, get, TIER_HIT, (const uint8_t *)reply->str, (size_t)reply->len);
	} else if (reply->type == REDIS_REPLY_NIL) {
		well(t);
		end_get(t, get, TIER_MISS, NULL, 0);
	} else {
		t->errors++;
		failed(t, false);
		end_get(t, get, TIER_FAILED, NULL, 0);
	}
}

static void
on_late(void *arg)
{
	struct question *q = arg;
	struct tier_redis *t = q->tier;
	struct tier_get *get = q->get;

	redis_op_forget(q->op);
	t->timeouts++;
	if (q->ours)
		failed(t, false);
	free(q);
	end_get(t, get, TIER_FAILED, NULL, 0);
}

static bool
ask(struct tier_redis *t, struct tier_get *get)
{
	uint64_t now_us = clock_mono_us(), wait_us = tier_wait_us(get, now_us, t->answer_us);
	struct question *q = malloc(sizeof(*q));
	char key[KEY_MAX];
	const char *const argv[] = { "GET", key };
	const size_t len[] = { 3, key_text(t, get->key, key) };

	if (q == NULL)
		return false;
	*q = (struct question){ .tier = t, .get = get, .ours = wait_us == t->answer_us };
	get->timer = (struct loop_timer){ .fn = on_late, .arg = q };
	if (loop_timer_set(t->loop, &get->timer, wait_us) != IM_OK) {
		free(q);
		return false;
	}
	q->op = redis_pool_send(t->pool, REDIS_READ, 2, argv, len, on_value, q);
	if (q->op == NULL) {
		loop_timer_cancel(t->loop, &get->timer);
		free(q);
		return false;
	}
	get->pending = q;
	list_push_back(&t->gets, &get->node);
	return true;
}

static void
get(struct tier *tier, struct tier_get *g)
{
	struct tier_redis *t = of(tier);

	if (t->breaker.open || !ask(t, g))
		g->done(g, TIER_FAILED, NULL, 0);
}

static void
cancel(struct tier *tier, struct tier_get *g)
{
	struct question *q = g->pending;

	redis_op_forget(q->op);
	free(q);
	list_remove(&g->node);
	loop_timer_cancel(of(tier)->loop, &g->timer);
	g->pending = NULL;
}

/* Writes. */

static void
finish(struct tier_redis *t)
{
	loop_fn stopped = t->stopped;
	void *arg = t->stopped_arg;

	t->stopped = NULL; /* what is given up does not end it again */
	redis_pool_free(t->pool);
	loop_timer_cancel(t->loop, &t->stop_timer);
	loop_timer_cancel(t->loop, &t->probe_timer);
	free(t);
	stopped(arg);
}

static void
on_stop_timer(void *arg)
{
	finish(arg);
}

/* Told when it begins and when it is over, not each time. */
static void
tell_refusal(struct tier_redis *t, const redisReply *reply)
{
	bool refused = reply->type == REDIS_REPLY_ERROR;

	t->errors += refused;
	if (refused == t->refusing)
		return;
	t->refusing = refused;
	if (refused)
		log_warn("Redis refuses what the cache would keep there",
			 LOG_STR("error.message", reply->str));
	else
		log_info("Redis takes what the cache keeps there");
}

static void
on_written(void *arg, const redisReply *reply)
{
	struct writing *w = arg;
	struct tier_redis *t = w->tier;
	bool kept = reply != NULL && reply->type == REDIS_REPLY_STATUS;

	t->waiting--;
	t->waiting_bytes -= w->bytes;
	if (w->put) {
		t->stored += kept;
		t->dropped += !kept;
	}
	if (w->put && reply != NULL)
		tell_refusal(t, reply);
	free(w);
	/* The connections are in the middle of a callback: a moment later. */
	if (t->stopped != NULL && t->waiting == 0)
		(void)!loop_timer_set(t->loop, &t->stop_timer, 0);
}

static bool
write_command(struct tier_redis *t, int argc, const char *const *argv, const size_t *len,
	      bool is_put, size_t value_bytes)
{
	struct writing *w;

	if (t->breaker.open || t->stopped != NULL ||
	    value_bytes + OP_BYTES > t->queue_bytes - t->waiting_bytes)
		return false;
	w = malloc(sizeof(*w));
	if (w == NULL)
		return false;
	*w = (struct writing){ t, value_bytes + OP_BYTES, is_put };
	if (redis_pool_send(t->pool, REDIS_WRITE, argc, argv, len, on_written, w) == NULL) {
		free(w);
		return false;
	}
	t->waiting++;
	t->waiting_bytes += w->bytes;
	return true;
}

static void
put(struct tier *tier, const struct tier_put *p)
{
	struct tier_redis *t = of(tier);
	char key[KEY_MAX], ttl[24];
	const char *const argv[] = { "SET", key, (const char *)p->value, "PX", ttl };
	const size_t len[] = { 3, key_text(t, p->key, key), p->len, 2,
			       (size_t)snprintf(ttl, sizeof(ttl), "%llu",
						(unsigned long long)p->ttl_ms) };

	if (!write_command(t, 5, argv, len, true, p->len))
		t->dropped++;
}

static void
forget(struct tier *tier, const uint8_t key[CACHE_KEY_BYTES])
{
	struct tier_redis *t = of(tier);
	char text[KEY_MAX];
	const char *const argv[] = { "UNLINK", text };
	const size_t len[] = { 6, key_text(t, key, text) };

	/* If it cannot be sent it is found corrupt again. */
	(void)write_command(t, 2, argv, len, false, 0);
}

static void
stats(const struct tier *tier, struct tier_stats *ret)
{
	const struct tier_redis *t = of(tier);
	const char *state = "ready";

	if (t->breaker.open)
		state = "open";
	else if (!redis_pool_is_up(t->pool))
		state = "connecting";
	else if (!redis_pool_is_whole(t->pool))
		state = "partial";
	else if (t->refusing)
		state = "refusing";
	*ret = (struct tier_stats){
		.state = state,
		.stored = t->stored,
		.dropped = t->dropped,
		.waiting = t->waiting,
		.waiting_bytes = t->waiting_bytes,
		.timeouts = t->timeouts,
		.errors = t->errors,
		.reconnects = redis_pool_lost(t->pool),
	};
}

static void
stop(struct tier *tier, loop_fn stopped, void *arg)
{
	struct tier_redis *t = of(tier);

	assert(list_empty(&t->gets));
	tier_redis_purges_cancel(t);
	if (t->probe != NULL)
		redis_op_forget(t->probe);
	t->probe = NULL;
	t->stopped = stopped;
	t->stopped_arg = arg;
	if (t->waiting == 0 || loop_timer_set(t->loop, &t->stop_timer, STOP_US) != IM_OK)
		finish(t);
}

static void
on_changed(void *user, bool up, const struct im_err *why)
{
	struct tier_redis *t = user;

	if (up)
		log_info("Redis can be reached: the cache uses it",
			 LOG_BOOL("infermesh.cache.cluster", redis_pool_is_cluster(t->pool)));
	else
		log_warn("Redis cannot be reached: the cache goes on without it",
			 LOG_STR("error.message", why->text));
}

enum im_rc
tier_redis_config(struct loop *loop, const struct config *config, struct tier **ret_tier,
		  struct im_err *err)
{
	const char *urls[REDIS_NODES_MAX];
	struct tier_redis_params p = {
		.urls = urls,
		.url_count = config_strings_len(config, "cache.redis"),
		.password_file = config_str(config, "cache.redis_password_file"),
		.prefix = config_str(config, "cache.redis_prefix"),
		.connections = (unsigned)config_int(config, "cache.redis_connections"),
		.ttl_ms = (uint64_t)config_int(config, "cache.redis_ttl_ms"),
		.answer_us = (uint32_t)config_int(config, "cache.redis_ms") * 1000,
		.queue_bytes = (size_t)config_int(config, "cache.redis_queue_bytes"),
		.max_value_bytes = VALUE_HEAD_MAX + (size_t)config_int(config, "cache.entry_bytes"),
	};

	assert(p.url_count <= REDIS_NODES_MAX); /* config_check.c */
	for (size_t i = 0; i < p.url_count; i++)
		urls[i] = config_strings_at(config, "cache.redis", i);
	if (p.url_count == 1 && strcmp(urls[0], "off") == 0) {
		*ret_tier = NULL;
		return IM_OK;
	}
	return tier_redis_new(loop, &p, ret_tier, err);
}

enum im_rc
tier_redis_new(struct loop *loop, const struct tier_redis_params *params, struct tier **ret_tier,
	       struct im_err *err)
{
	static const struct tier_ops ops = {
		.get = get,
		.cancel = cancel,
		.put = put,
		.remove = forget,
		.purge = tier_redis_purge,
		.stats = stats,
		.stop = stop,
	};
	struct tier_redis *t = calloc(1, sizeof(*t));
	struct redis_pool_params pool = {
		.loop = loop,
		.urls = params->urls,
		.url_count = params->url_count,
		.password_file = params->password_file,
		.connections = params->connections,
		.reply_bytes = params->max_value_bytes + REPLY_SLACK,
		.changed = on_changed,
		.user = t,
	};
	enum im_rc rc;

	if (t == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the cache");
	t->tier = (struct tier){ &ops, "redis", params->ttl_ms, params->max_value_bytes };
	t->loop = loop;
	t->answer_us = params->answer_us;
	t->queue_bytes = params->queue_bytes;
	t->prefix_len = strlen(params->prefix);
	assert(t->prefix_len <= TIER_REDIS_PREFIX_MAX); /* config_check.c */
	memcpy(t->prefix, params->prefix, t->prefix_len + 1);
	t->probe_timer = (struct loop_timer){ .fn = on_probe_timer, .arg = t };
	t->stop_timer = (struct loop_timer){ .fn = on_stop_timer, .arg = t };
	list_init(&t->gets);
	list_init(&t->purges);
	random_bytes(&pool.seed, sizeof(pool.seed));
	prng_seed(&t->prng, pool.seed);
	rc = redis_pool_new(&pool, &t->pool, err);
	if (rc != IM_OK) {
		free(t);
		return rc;
	}
	*ret_tier = &t->tier;
	return IM_OK;
}
