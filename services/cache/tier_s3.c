/*
 * cache/tier_s3.c - see tier_s3.h. Purges and sweeps: tier_s3_walk.c.
 */
#include "cache/tier_s3.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/le.h"
#include "base/log.h"
#include "cache/tier_s3_internal.h"

#define JOB_BYTES 1024   /* what a write takes besides its frame, about */
#define STOP_US   500000 /* what waits to be written when the tier is stopped gets so long */
#define SWEEP_US  3600000000ULL

/* One question. It lives as long as its request, which goes on when nobody waits for it any more: giving up costs no connection. */
struct asking {
	struct list node;
	struct tier_s3 *tier;
	struct tier_get *get; /* NULL = given up */
	bool probe;
	bool ours; /* the time is up by our own limit, not by the caller's */
};

/* One change, waiting or sent. */
struct writing {
	struct list node;
	struct tier_s3 *tier;
	uint64_t n;
	uint8_t key[CACHE_KEY_BYTES];
	bool put;
	size_t len;
	uint8_t body[];
};

static struct tier_s3 *
of(const struct tier *tier)
{
	return CONTAINER_OF(tier, struct tier_s3, tier);
}

/* Questions. */

static const char *
trouble_of(enum s3_said said)
{
	return said == S3_REFUSED ? "refusing" : said == S3_BROKEN ? "failing" : "away";
}

static void
failed(struct tier_s3 *t, bool probe, const char *trouble, const char *why)
{
	t->trouble = trouble;
	if (tier_breaker_failed(&t->breaker, probe, clock_mono_us(), t->answer_us, &t->prng))
		log_warn("the object store cannot be used: the cache goes on without it",
			 LOG_STR("error.message", why),
			 LOG_UINT("infermesh.cache.timeout_us", t->answer_us));
}

static void
well(struct tier_s3 *t)
{
	if (tier_breaker_well(&t->breaker))
		log_info("the object store answers again: the cache uses it");
}

static void
end_get(struct tier_s3 *t, struct asking *a, enum tier_result result, const uint8_t *frame,
	size_t len)
{
	struct tier_get *get = a->get;

	a->get = NULL;
	get->pending = NULL;
	loop_timer_cancel(t->loop, &get->timer);
	get->done(get, result, frame, len);
}

static void
on_object(void *arg, const struct s3_answer *answer)
{
	struct asking *a = arg;
	struct tier_s3 *t = a->tier;
	bool is_there = answer->said == S3_OK && answer->len > TIER_S3_EXPIRY_BYTES &&
			get_le(answer->body, TIER_S3_EXPIRY_BYTES) > clock_wall_us();

	t->reads--;
	list_remove(&a->node);
	if (a->get != NULL && (answer->said == S3_OK || answer->said == S3_NONE)) {
		well(t);
		if (is_there)
			end_get(t, a, TIER_HIT, answer->body + TIER_S3_EXPIRY_BYTES,
				answer->len - TIER_S3_EXPIRY_BYTES);
		else
			end_get(t, a, TIER_MISS, NULL, 0);
	} else if (a->get != NULL) {
		t->errors++;
		failed(t, a->probe, trouble_of(answer->said), answer->why);
		end_get(t, a, TIER_FAILED, NULL, 0);
	}
	free(a);
}

static void
on_late(void *arg)
{
	struct asking *a = arg;
	struct tier_s3 *t = a->tier;

	t->timeouts++;
	if (a->ours || a->probe)
		failed(t, a->probe, "open", "it did not answer in time");
	end_get(t, a, TIER_FAILED, NULL, 0);
}

static bool
send_question(struct tier_s3 *t, struct asking *a, const uint8_t *key)
{
	const struct s3_request req = { .kind = S3_GET, .key = key };
	struct im_err err;

	if (s3_send(t->s3, &req, on_object, a, &err) != NULL)
		return true;
	t->errors++;
	failed(t, a->probe, "refusing", err.text);
	return false;
}

static bool
ask(struct tier_s3 *t, struct tier_get *get)
{
	uint64_t now_us = clock_mono_us(), wait_us = tier_wait_us(get, now_us, t->answer_us);
	bool probe = t->breaker.open;
	struct asking *a;

	if (t->reads >= t->reads_max || (probe && now_us < t->breaker.probe_us))
		return false;
	a = malloc(sizeof(*a));
	if (a == NULL)
		return false;
	*a = (struct asking){
		.tier = t, .get = get, .probe = probe, .ours = wait_us == t->answer_us
	};
	get->timer = (struct loop_timer){ .fn = on_late, .arg = a };
	if (loop_timer_set(t->loop, &get->timer, wait_us) != IM_OK) {
		free(a);
		return false;
	}
	if (!send_question(t, a, get->key)) {
		loop_timer_cancel(t->loop, &get->timer);
		free(a);
		return false;
	}
	if (probe) /* one alone; the next one when this has failed, or after the longest pause */
		t->breaker.probe_us = now_us + TIER_BREAKER_PAUSE_MAX_US;
	get->pending = a;
	t->reads++;
	list_push_back(&t->asked, &a->node);
	return true;
}

static void
get(struct tier *tier, struct tier_get *g)
{
	if (!ask(of(tier), g))
		g->done(g, TIER_FAILED, NULL, 0);
}

static void
cancel(struct tier *tier, struct tier_get *g)
{
	struct asking *a = g->pending;

	a->get = NULL;
	g->pending = NULL;
	loop_timer_cancel(of(tier)->loop, &g->timer);
}

/* Writes. */

static void send_writes(struct tier_s3 *t);

/* What the store says to writes; told when it changes. */
static void
tell_refusal(struct tier_s3 *t, const struct s3_answer *answer)
{
	bool refused = answer->said == S3_REFUSED;

	if (refused == t->refusing || (!refused && answer->said != S3_OK))
		return;
	t->refusing = refused;
	if (refused)
		log_error("the object store takes nothing from the cache: check its credentials "
			  "and what they may do",
			  LOG_STR("error.message", answer->why));
	else
		log_info("the object store takes what the cache keeps there");
}

static void
end_write(struct tier_s3 *t, struct writing *w, bool done)
{
	list_remove(&w->node);
	t->waiting--;
	t->waiting_bytes -= w->len + JOB_BYTES;
	if (w->put) {
		t->stored += done;
		t->dropped += !done;
	}
	t->errors += !done;
	free(w);
}

static void
on_written(void *arg, const struct s3_answer *answer)
{
	struct writing *w = arg;
	struct tier_s3 *t = w->tier;

	t->writing--;
	if (w->put)
		tell_refusal(t, answer);
	end_write(t, w, answer->said == S3_OK || (!w->put && answer->said == S3_NONE));
	send_writes(t);
	tier_s3_walks_go_on(t);
	/* libcurl's loop is in the middle of a callback: a moment later. */
	if (t->stopped != NULL && t->waiting == 0)
		(void)!loop_timer_set(t->loop, &t->stop_timer, 0);
}

static void
send_writes(struct tier_s3 *t)
{
	struct im_err err;

	while (t->writing < t->writes_max && !list_empty(&t->queue)) {
		struct writing *w = CONTAINER_OF(list_pop_front(&t->queue), struct writing, node);
		const struct s3_request req = { .kind = w->put ? S3_PUT : S3_DELETE,
						.key = w->key,
						.body = w->body,
						.len = w->len };

		list_push_back(&t->sent, &w->node);
		if (s3_send(t->s3, &req, on_written, w, &err) != NULL)
			t->writing++;
		else
			end_write(t, w, false);
	}
}

bool
tier_s3_written(const struct tier_s3 *t, uint64_t n)
{
	LIST_FOREACH (&t->sent, w, struct writing, node)
		if (w->n <= n)
			return false;
	return list_empty(&t->queue) || CONTAINER_OF(t->queue.next, struct writing, node)->n > n;
}

static struct writing *
write_new(struct tier_s3 *t, const uint8_t key[CACHE_KEY_BYTES], size_t len)
{
	struct writing *w;

	if (t->breaker.open || t->stopped != NULL ||
	    len + JOB_BYTES > t->queue_bytes - t->waiting_bytes)
		return NULL;
	w = calloc(1, sizeof(*w) + len);
	if (w == NULL)
		return NULL;
	w->tier = t;
	w->n = ++t->writes_begun;
	w->len = len;
	memcpy(w->key, key, CACHE_KEY_BYTES);
	t->waiting++;
	t->waiting_bytes += len + JOB_BYTES;
	list_push_back(&t->queue, &w->node);
	return w;
}

static void
put(struct tier *tier, const struct tier_put *p)
{
	struct tier_s3 *t = of(tier);
	struct writing *w = write_new(t, p->key, TIER_S3_EXPIRY_BYTES + p->len);
	uint64_t expires_us = clock_wall_us() + p->ttl_ms * 1000;

	if (w == NULL) {
		t->dropped++;
		return;
	}
	w->put = true;
	put_le(w->body, expires_us, TIER_S3_EXPIRY_BYTES);
	memcpy(w->body + TIER_S3_EXPIRY_BYTES, p->value, p->len);
	send_writes(t);
}

static void
forget(struct tier *tier, const uint8_t key[CACHE_KEY_BYTES])
{
	/* If it cannot be done now it is found corrupt again. */
	if (write_new(of(tier), key, 0) != NULL)
		send_writes(of(tier));
}

static void
stats(const struct tier *tier, struct tier_stats *ret)
{
	const struct tier_s3 *t = of(tier);
	const char *state = "ready";

	if (t->breaker.open)
		state = t->trouble;
	else if (t->refusing)
		state = "refusing";
	*ret = (struct tier_stats){
		.state = state,
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
	};
}

void
tier_s3_sweep_later(struct tier_s3 *t)
{
	uint64_t half_us = t->sweep_us / 2, pause_us = half_us + prng_next(&t->prng) % half_us;

	if (t->stopped == NULL && loop_timer_set(t->loop, &t->sweep_timer, pause_us) != IM_OK)
		log_error("no memory for a timer: the object store is not swept any more");
}

static void
on_sweep_timer(void *arg)
{
	tier_s3_sweep(arg);
}

/* The end. */

static void
free_writes(struct list *l)
{
	struct list *node;

	while ((node = list_pop_front(l)) != NULL)
		free(CONTAINER_OF(node, struct writing, node));
}

static void
finish(struct tier_s3 *t)
{
	loop_fn stopped = t->stopped;
	void *arg = t->stopped_arg;
	struct list *node;

	s3_free(t->s3); /* from here on nothing comes back */
	loop_timer_cancel(t->loop, &t->stop_timer);
	loop_timer_cancel(t->loop, &t->sweep_timer);
	tier_s3_walks_free(t);
	free_writes(&t->queue);
	free_writes(&t->sent);
	while ((node = list_pop_front(&t->asked)) != NULL)
		free(CONTAINER_OF(node, struct asking, node));
	free(t);
	stopped(arg);
}

static void
on_stop_timer(void *arg)
{
	finish(arg);
}

static void
stop(struct tier *tier, loop_fn stopped, void *arg)
{
	struct tier_s3 *t = of(tier);

	tier_s3_walks_cancel(t);
	t->stopped = stopped;
	t->stopped_arg = arg;
	if (loop_timer_set(t->loop, &t->stop_timer, t->waiting == 0 ? 0 : STOP_US) != IM_OK)
		finish(t);
}

enum im_rc
tier_s3_new(struct loop *loop, const struct tier_s3_params *params, struct tier **ret_tier,
	    struct im_err *err)
{
	static const struct tier_ops ops = {
		.get = get,
		.cancel = cancel,
		.put = put,
		.remove = forget,
		.purge = tier_s3_purge,
		.stats = stats,
		.stop = stop,
	};
	struct s3_params s3 = params->s3;
	struct tier_s3 *t = calloc(1, sizeof(*t));
	enum im_rc rc;
	uint64_t seed;

	if (t == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the object store");
	t->tier = (struct tier){ &ops, "l3", params->ttl_ms, params->max_value_bytes };
	t->loop = loop;
	t->answer_us = params->answer_us;
	t->reads_max = s3.connections;
	t->writes_max = (s3.connections + 3) / 4;
	t->queue_bytes = params->queue_bytes;
	t->max_bytes = params->max_bytes;
	t->sweep_us = params->sweep_us;
	list_init(&t->asked);
	list_init(&t->queue);
	list_init(&t->sent);
	list_init(&t->walks);
	t->sweep_timer = (struct loop_timer){ .fn = on_sweep_timer, .arg = t };
	t->stop_timer = (struct loop_timer){ .fn = on_stop_timer, .arg = t };
	random_bytes(&seed, sizeof(seed));
	prng_seed(&t->prng, seed);
	s3.body_bytes = params->max_value_bytes + TIER_S3_EXPIRY_BYTES;
	rc = s3_new(loop, &s3, &t->s3, err);
	if (rc != IM_OK) {
		free(t);
		return rc;
	}
	tier_s3_sweep_later(t);
	*ret_tier = &t->tier;
	return IM_OK;
}

enum im_rc
tier_s3_config(struct loop *loop, const struct config *config, struct tier **ret_tier,
	       struct im_err *err)
{
	const struct tier_s3_params p = {
		.s3 = { .url = config_str(config, "cache.l3"),
			.region = config_str(config, "cache.l3_region"),
			.credentials_file = config_str(config, "cache.l3_credentials_file"),
			.credentials_env = config_str(config, "cache.l3_credentials_env"),
			.ca_file = config_str(config, "cache.l3_ca_file"),
			.connections = (unsigned)config_int(config, "cache.l3_connections") },
		.ttl_ms = (uint64_t)config_int(config, "cache.l3_ttl_ms"),
		.max_bytes = (uint64_t)config_int(config, "cache.l3_bytes"),
		.answer_us = (uint32_t)config_int(config, "cache.l3_ms") * 1000,
		.queue_bytes = (size_t)config_int(config, "cache.l3_queue_bytes"),
		.max_value_bytes = VALUE_HEAD_MAX + (size_t)config_int(config, "cache.entry_bytes"),
		.sweep_us = SWEEP_US,
	};

	*ret_tier = NULL;
	return strcmp(p.s3.url, "off") == 0 ? IM_OK : tier_s3_new(loop, &p, ret_tier, err);
}
