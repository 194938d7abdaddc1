/*
 * cache/tier_rocks.c - see tier_rocks.h. The disk's side: rocks_worker.c.
 */
#include "cache/tier_rocks.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/prng.h"
#include "cache/rocks_late.h"
#include "cache/rocks_worker.h"
#include "cache/tier_breaker.h"

#define GETS_MAX  4096 /* questions that wait for the disk */
#define JOB_BYTES 1024 /* what a write takes besides its frame, about */

struct tier_rocks {
	struct tier tier;
	struct loop *loop;
	struct rocks_worker *worker;
	struct prng prng;
	struct tier_breaker breaker;
	struct rocks_state state;
	bool told_open, told_away;
	uint32_t answer_us;
	size_t queue_bytes, waiting_bytes;
	unsigned gets;
	uint64_t waiting, stored, dropped, timeouts, errors, reopened;
	uint64_t max_bytes;
	struct list purges; /* asked.node */
	loop_fn stopped;
	void *stopped_arg;
};

/* A job, and whose it is. */
struct asked {
	struct tier_rocks *tier;
	struct tier_get *get; /* ROCKS_GET; NULL = given up */
	struct tier_purge *purge;
	bool probe;
	struct list node; /* of a purge */
	char labels[2][VALUE_LABEL_MAX + 2];
	struct rocks_job job; /* last: it has a tail */
};

static struct tier_rocks *
of(const struct tier *tier)
{
	return CONTAINER_OF(tier, struct tier_rocks, tier);
}

static void on_job(void *arg);

static struct asked *
asked_new(struct tier_rocks *t, enum rocks_job_kind kind, const uint8_t *key, size_t tail)
{
	struct asked *a = malloc(sizeof(*a) + tail);

	if (a == NULL)
		return NULL;
	memset(a, 0, sizeof(*a));
	a->tier = t;
	a->job.kind = kind;
	a->job.task = (struct loop_task){ .fn = on_job, .arg = a };
	if (key != NULL)
		memcpy(a->job.key, key, CACHE_KEY_BYTES);
	return a;
}

/* Questions. */

static void
failed(struct tier_rocks *t, bool probe)
{
	if (tier_breaker_failed(&t->breaker, probe, clock_mono_us(), t->answer_us, &t->prng))
		log_warn(
		    "the disk of the cache does not answer in time: the cache goes on without it",
		    LOG_UINT("infermesh.cache.timeout_us", t->answer_us));
}

static void
end_get(struct tier_rocks *t, struct asked *a, enum tier_result result, const uint8_t *frame,
	size_t len)
{
	struct tier_get *get = a->get;

	a->get = NULL;
	loop_timer_cancel(t->loop, &get->timer);
	get->pending = NULL;
	get->done(get, result, frame, len);
}

static void
on_late(void *arg)
{
	struct asked *a = arg;
	struct tier_rocks *t = a->tier;

	t->timeouts++;
	failed(t, a->probe);
	end_get(t, a, TIER_FAILED, NULL, 0);
}

static void
on_answer(struct tier_rocks *t, struct asked *a)
{
	char *kept = a->job.kept;

	t->gets--;
	t->errors += a->job.err.rc == IM_EIO;
	if (a->get != NULL && a->job.err.rc == IM_OK && tier_breaker_well(&t->breaker))
		log_info("the disk of the cache answers in time again");
	if (a->get != NULL && a->job.err.rc != IM_OK)
		end_get(t, a, TIER_FAILED, NULL, 0);
	else if (a->get != NULL && kept != NULL)
		end_get(t, a, TIER_HIT, rocks_frame(kept), a->job.len);
	else if (a->get != NULL)
		end_get(t, a, TIER_MISS, NULL, 0);
	rocks_frame_free(kept);
}

static bool
ask(struct tier_rocks *t, struct tier_get *get)
{
	uint64_t now_us = clock_mono_us();
	bool probe = t->breaker.open;
	struct asked *a;

	if (!t->state.open || t->gets >= GETS_MAX || (probe && now_us < t->breaker.probe_us))
		return false;
	a = asked_new(t, ROCKS_GET, get->key, 0);
	if (a == NULL)
		return false;
	get->timer = (struct loop_timer){ .fn = on_late, .arg = a };
	if (loop_timer_set(t->loop, &get->timer, tier_wait_us(get, now_us, t->answer_us)) !=
	    IM_OK) {
		free(a);
		return false;
	}
	if (probe) /* one alone; the next one when this has failed, or after the longest pause */
		t->breaker.probe_us = now_us + TIER_BREAKER_PAUSE_MAX_US;
	a->probe = probe;
	a->get = get;
	get->pending = a;
	t->gets++;
	rocks_worker_do(t->worker, &a->job);
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
	struct asked *a = g->pending;

	a->get = NULL;
	g->pending = NULL;
	loop_timer_cancel(of(tier)->loop, &g->timer);
}

/* Writes. */

static bool
change(struct tier_rocks *t, enum rocks_job_kind kind, const uint8_t *key, uint64_t expires_us,
       const uint8_t *frame, size_t len)
{
	struct asked *a;

	if (!t->state.open || len + JOB_BYTES > t->queue_bytes - t->waiting_bytes)
		return false;
	a = asked_new(t, kind, key, len);
	if (a == NULL)
		return false;
	a->job.expires_us = expires_us;
	a->job.len = len;
	if (len > 0)
		memcpy(a->job.frame, frame, len);
	t->waiting++;
	t->waiting_bytes += len + JOB_BYTES;
	rocks_worker_do(t->worker, &a->job);
	return true;
}

static void
put(struct tier *tier, const struct tier_put *p)
{
	struct tier_rocks *t = of(tier);

	if (!change(t, ROCKS_PUT, p->key, clock_wall_us() + p->ttl_ms * 1000, p->value, p->len))
		t->dropped++;
}

static void
forget(struct tier *tier, const uint8_t key[CACHE_KEY_BYTES])
{
	/* If it cannot be done now it is found corrupt again. */
	(void)change(of(tier), ROCKS_REMOVE, key, 0, NULL, 0);
}

static void
on_changed_entry(struct tier_rocks *t, struct asked *a)
{
	bool done = a->job.err.rc == IM_OK;

	t->waiting--;
	t->waiting_bytes -= a->job.len + JOB_BYTES;
	t->errors += !done;
	if (a->job.kind == ROCKS_PUT) {
		t->stored += done;
		t->dropped += !done;
	}
}

/* Purges. */

static const char *
copy_label(char to[VALUE_LABEL_MAX + 2], const char *label)
{
	size_t len = label != NULL ? strlen(label) : 0;

	if (len == 0)
		return NULL;
	/* One that is too long is nobody's, also cut to one byte more than a frame can have. */
	memcpy(to, label, len <= VALUE_LABEL_MAX ? len : VALUE_LABEL_MAX + 1);
	return to;
}

static void
purge(struct tier *tier, struct tier_purge *p)
{
	struct tier_rocks *t = of(tier);
	struct asked *a = t->state.open ? asked_new(t, ROCKS_PURGE, NULL, 0) : NULL;
	struct im_err err;

	if (a == NULL) {
		(void)err_set(&err, IM_EUNAVAILABLE,
			      "the cache on disk is not open; purge again when it is");
		p->done(p, &err, 0);
		return;
	}
	a->purge = p;
	a->job.sel = p->sel;
	a->job.sel.tenant = copy_label(a->labels[0], p->sel.tenant);
	a->job.sel.model = copy_label(a->labels[1], p->sel.model);
	list_push_back(&t->purges, &a->node);
	rocks_worker_do(t->worker, &a->job);
}

static void
on_purged(struct asked *a)
{
	struct tier_purge *p = a->purge;

	list_remove(&a->node);
	if (p != NULL)
		p->done(p, a->job.err.rc != IM_OK ? &a->job.err : NULL, a->job.removed);
}

static void
on_job(void *arg)
{
	struct asked *a = arg;
	struct tier_rocks *t = a->tier;

	switch (a->job.kind) {
	case ROCKS_GET:
		on_answer(t, a);
		break;
	case ROCKS_PUT:
	case ROCKS_REMOVE:
		on_changed_entry(t, a);
		break;
	case ROCKS_PURGE:
		on_purged(a);
		break;
	}
	free(a);
}

/* The folder came or went: told once. */
static void
on_state(void *arg)
{
	struct tier_rocks *t = arg;

	rocks_worker_state(t->worker, &t->state);
	if (t->state.lost)
		log_error("the cache on disk was damaged and has been emptied");
	if (t->state.open && !t->told_open) {
		t->reopened += t->told_away;
		log_info("the cache on disk is open");
	} else if (!t->state.open && !t->told_away) {
		log_error("the cache on disk cannot be used: the cache goes on without it",
			  LOG_STR("error.message", t->state.why.text));
	}
	t->told_open = t->state.open;
	t->told_away = !t->state.open;
}

static void
stats(const struct tier *tier, struct tier_stats *ret)
{
	const struct tier_rocks *t = of(tier);
	const char *state = "ready";

	if (!t->state.open)
		state = t->told_away ? "away" : "opening";
	else if (t->breaker.open)
		state = "open";
	*ret = (struct tier_stats){
		.state = state,
		.sized = t->state.open,
		.entries = t->state.size.entries,
		.bytes = t->state.size.bytes,
		.max_bytes = t->max_bytes,
		.stored = t->stored,
		.dropped = t->dropped,
		.waiting = t->waiting,
		.waiting_bytes = t->waiting_bytes,
		.timeouts = t->timeouts,
		.errors = t->errors,
		.reconnects = t->reopened,
	};
}

static void
on_stopped(void *arg)
{
	struct tier_rocks *t = arg;
	loop_fn stopped = t->stopped;
	void *stopped_arg = t->stopped_arg;

	free(t);
	stopped(stopped_arg);
}

static void
stop(struct tier *tier, loop_fn stopped, void *arg)
{
	struct tier_rocks *t = of(tier);

	LIST_FOREACH (&t->purges, a, struct asked, node)
		a->purge = NULL;
	t->stopped = stopped;
	t->stopped_arg = arg;
	rocks_worker_stop(t->worker, on_stopped, t);
}

enum im_rc
tier_rocks_new(struct loop *loop, const struct tier_rocks_params *params, struct tier **ret_tier,
	       struct im_err *err)
{
	static const struct tier_ops ops = {
		.get = get,
		.cancel = cancel,
		.put = put,
		.remove = forget,
		.purge = purge,
		.stats = stats,
		.stop = stop,
	};
	struct tier_rocks *t;
	enum im_rc rc = rocks_late_load(err);
	uint64_t seed;

	if (rc != IM_OK)
		return rc;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the cache on disk");
	t->tier = (struct tier){ &ops, "l2", params->rocks.ttl_ms, params->max_value_bytes };
	t->loop = loop;
	t->answer_us = params->answer_us;
	t->queue_bytes = params->queue_bytes;
	t->max_bytes = params->rocks.max_bytes;
	list_init(&t->purges);
	random_bytes(&seed, sizeof(seed));
	prng_seed(&t->prng, seed);
	rc = rocks_worker_new(loop, &params->rocks, on_state, t, &t->worker, err);
	if (rc != IM_OK) {
		free(t);
		return rc;
	}
	*ret_tier = &t->tier;
	return IM_OK;
}

enum im_rc
tier_rocks_config(struct loop *loop, const struct config *config, struct tier **ret_tier,
		  struct im_err *err)
{
	const struct tier_rocks_params p = {
		.rocks = { .dir = config_str(config, "cache.l2_dir"),
			   .max_bytes = (uint64_t)config_int(config, "cache.l2_bytes"),
			   .ttl_ms = (uint64_t)config_int(config, "cache.l2_ttl_ms"),
			   .memory_bytes = (size_t)config_int(config, "cache.l2_memory_bytes") },
		.answer_us = (uint32_t)config_int(config, "cache.l2_ms") * 1000,
		.queue_bytes = (size_t)config_int(config, "cache.l2_queue_bytes"),
		.max_value_bytes = VALUE_HEAD_MAX + (size_t)config_int(config, "cache.entry_bytes"),
	};

	*ret_tier = NULL;
	return strcmp(p.rocks.dir, "off") == 0 ? IM_OK : tier_rocks_new(loop, &p, ret_tier, err);
}
