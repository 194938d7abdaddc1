/*
 * cache/tier_l1.c - memory as a tier; see tier_l1.h.
 *
 * A purge walks through the table in slices; the next one waits in line for it. What is put meanwhile may be walked over too
 * or not: either is right, as it was not there before.
 */
#include "cache/tier_l1.h"

#include <stdlib.h>

#include "base/clock.h"
#include "cache/l1.h"

#define SWEEP_US     1000000
#define SWEEP_PLACES 10000
#define PURGE_PLACES 2000 /* of one slice: some 200 us */

_Static_assert(L1_SEEN_BYTES >= VALUE_HEAD_MAX, "a purge sees all that it asks about");

struct tier_l1 {
	struct tier tier;
	struct loop *loop;
	struct l1 *l1;
	struct loop_timer sweep;
	struct loop_task slice;
	struct list purges; /* tier_purge.node; the first is under way */
	size_t cursor;      /* of the first */
	uint64_t dropped;
};

static struct tier_l1 *
of(const struct tier *tier)
{
	return CONTAINER_OF(tier, struct tier_l1, tier);
}

static void
get(struct tier *tier, struct tier_get *ask)
{
	struct l1_found found;

	if (l1_get(of(tier)->l1, ask->key, clock_mono_ms(), &found))
		ask->done(ask, TIER_HIT, found.data, found.len);
	else
		ask->done(ask, TIER_MISS, NULL, 0);
}

static void
cancel(struct tier *tier, struct tier_get *ask)
{
	(void)tier; /* nothing is ever under way */
	(void)ask;
}

static void
put(struct tier *tier, const struct tier_put *p)
{
	struct tier_l1 *t = of(tier);

	if (l1_put(t->l1, p->key, p->value, p->len, clock_mono_ms(), p->ttl_ms) != IM_OK)
		t->dropped++;
}

static void
forget(struct tier *tier, const uint8_t key[CACHE_KEY_BYTES])
{
	l1_remove(of(tier)->l1, key);
}

/* Purges. */

static bool
selected(void *arg, const uint8_t *value, size_t len)
{
	const struct tier_purge *purge = arg;
	struct value_meta meta;

	return value_head(value, len, &meta) == IM_OK && value_selected(&purge->sel, &meta);
}

static void
on_slice(void *arg)
{
	struct tier_l1 *t = arg;
	struct tier_purge *purge = CONTAINER_OF(t->purges.next, struct tier_purge, node);

	if (list_empty(&t->purges))
		return;
	if (l1_purge(t->l1, &t->cursor, PURGE_PLACES, selected, purge, &purge->removed)) {
		(void)list_pop_front(&t->purges);
		t->cursor = 0;
		purge->done(purge, NULL, purge->removed);
	}
	if (!list_empty(&t->purges))
		loop_post(t->loop, &t->slice);
}

static void
purge(struct tier *tier, struct tier_purge *p)
{
	struct tier_l1 *t = of(tier);

	p->removed = 0;
	list_push_back(&t->purges, &p->node);
	loop_post(t->loop, &t->slice);
}

static void
on_sweep(void *arg)
{
	struct tier_l1 *t = arg;

	(void)l1_sweep(t->l1, clock_mono_ms(), SWEEP_PLACES);
	/* Cannot fail: the timer that has just fired gave its place back. */
	(void)!loop_timer_set(t->loop, &t->sweep, SWEEP_US);
}

static void
stats(const struct tier *tier, struct tier_stats *ret)
{
	const struct tier_l1 *t = of(tier);
	struct l1_counters n;

	l1_counters(t->l1, &n);
	*ret = (struct tier_stats){
		.state = "ready",
		.sized = true,
		.entries = n.entries,
		.bytes = n.bytes,
		.max_bytes = n.max_bytes,
		.stored = n.stored,
		.evicted = n.evicted,
		.expired = n.expired,
		.dropped = t->dropped,
	};
}

static void
release(struct tier_l1 *t)
{
	loop_timer_cancel(t->loop, &t->sweep);
	loop_cancel(t->loop, &t->slice);
	l1_free(t->l1);
	free(t);
}

static void
stop(struct tier *tier, loop_fn stopped, void *arg)
{
	release(of(tier));
	stopped(arg);
}

enum im_rc
tier_l1_new(struct loop *loop, size_t max_bytes, uint64_t ttl_ms, struct tier **ret_tier,
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
	struct tier_l1 *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the cache");
	t->tier = (struct tier){ .ops = &ops, .name = "l1", .ttl_ms = ttl_ms };
	t->loop = loop;
	t->sweep = (struct loop_timer){ .fn = on_sweep, .arg = t };
	t->slice = (struct loop_task){ .fn = on_slice, .arg = t };
	list_init(&t->purges);
	if (l1_new(max_bytes, &t->l1) != IM_OK ||
	    loop_timer_set(loop, &t->sweep, SWEEP_US) != IM_OK) {
		release(t);
		return err_set(err, IM_ENOMEM, "no memory for the cache");
	}
	*ret_tier = &t->tier;
	return IM_OK;
}
