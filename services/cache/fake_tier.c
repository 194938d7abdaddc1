/*
 * cache/fake_tier.c - a tier for tests; see fake_tier.h.
 */
#include "cache/fake_tier.h"

#include <string.h>

static struct fake_tier *
of(const struct tier *tier)
{
	return CONTAINER_OF(tier, struct fake_tier, tier);
}

void
fake_tier_answer(struct fake_tier *f)
{
	struct tier_get *ask = f->asked;

	f->asked = NULL;
	if (f->failing)
		ask->done(ask, TIER_FAILED, NULL, 0);
	else if (f->value.len == 0)
		ask->done(ask, TIER_MISS, NULL, 0);
	else
		ask->done(ask, TIER_HIT, f->value.data, f->value.len);
}

static void
get(struct tier *tier, struct tier_get *ask)
{
	struct fake_tier *f = of(tier);

	f->gets++;
	f->asked = ask;
	if (!f->slow)
		fake_tier_answer(f);
}

static void
cancel(struct tier *tier, struct tier_get *ask)
{
	(void)ask;
	of(tier)->cancels++;
	of(tier)->asked = NULL;
}

static void
put(struct tier *tier, const struct tier_put *p)
{
	struct fake_tier *f = of(tier);

	f->puts++;
	f->put_ttl_ms = p->ttl_ms;
	buf_clear(&f->value);
	(void)buf_append(&f->value, p->value, p->len);
}

static void
forget(struct tier *tier, const uint8_t key[CACHE_KEY_BYTES])
{
	(void)key;
	of(tier)->removes++;
	buf_clear(&of(tier)->value);
}

static void
purge(struct tier *tier, struct tier_purge *p)
{
	of(tier)->purging = p;
}

void
fake_tier_purged(struct fake_tier *f, uint64_t removed, const struct im_err *err)
{
	struct tier_purge *p = f->purging;

	f->purging = NULL;
	p->done(p, err, removed);
}

static void
stats(const struct tier *tier, struct tier_stats *ret)
{
	(void)tier;
	*ret = (struct tier_stats){ .state = "ready" };
}

static void
stop(struct tier *tier, loop_fn stopped, void *arg)
{
	of(tier)->stopped = true;
	stopped(arg);
}

struct tier *
fake_tier_init(struct fake_tier *f, const char *name, uint64_t ttl_ms)
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

	memset(f, 0, sizeof(*f));
	f->tier = (struct tier){ .ops = &ops, .name = name, .ttl_ms = ttl_ms };
	return &f->tier;
}

void
fake_tier_done(struct fake_tier *f)
{
	buf_done(&f->value);
}
