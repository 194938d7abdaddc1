/*
 * cache/tier_rig.c - see tier_rig.h.
 */
#include "cache/tier_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define PATIENCE_US 20000000
#define KEPT_FOR_US 3600000000

/* Not loop_rig.h's: a lookup's time is looked at here, so nothing polls while one is under way. */
struct asked {
	struct tier_get get;
	struct tier_rig *rig;
	unsigned n;
	uint64_t since_us;
	size_t *due;
	enum tier_result result;
};

static void
on_alarm(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for 20 s");
}

/* On the loop at first; not on it when it returns. */
static void
wait_for(struct tier_rig *r, const bool *done)
{
	struct loop_timer alarm = { .fn = on_alarm };

	assert_int_equal(loop_timer_set(r->loop, &alarm, PATIENCE_US), IM_OK);
	loop_leave(r->loop);
	while (!*done)
		loop_run(r->loop);
	loop_enter(r->loop);
	loop_timer_cancel(r->loop, &alarm);
	loop_leave(r->loop);
}

void
tier_rig_open(struct tier_rig *r)
{
	memset(r, 0, sizeof(*r));
	assert_int_equal(loop_new(&r->loop, NULL), IM_OK);
}

struct flag {
	struct loop *loop;
	bool up;
};

static void
on_flag(void *arg)
{
	struct flag *f = arg;

	f->up = true;
	loop_stop(f->loop);
}

void
tier_rig_stop(struct tier_rig *r)
{
	struct flag f = { .loop = r->loop };
	struct tier *tier = r->tier;

	r->tier = NULL;
	if (tier == NULL)
		return;
	loop_enter(r->loop);
	tier->ops->stop(tier, on_flag, &f);
	wait_for(r, &f.up);
}

void
tier_rig_close(struct tier_rig *r)
{
	tier_rig_stop(r);
	loop_free(r->loop);
	assert_int_equal(r->wrong, 0);
}

void
tier_rig_run(struct tier_rig *r, unsigned ms)
{
	struct flag f = { .loop = r->loop };
	struct loop_timer timer = { .fn = on_flag, .arg = &f };

	loop_enter(r->loop);
	assert_int_equal(loop_timer_set(r->loop, &timer, ms * 1000ULL), IM_OK);
	wait_for(r, &f.up);
}

static void
key_of(unsigned n, uint8_t ret[CACHE_KEY_BYTES])
{
	memset(ret, 0x5a, CACHE_KEY_BYTES);
	memcpy(ret, &n, sizeof(n));
}

static bool
is_right(const struct asked *a, const uint8_t *value, size_t len)
{
	struct buf payload = { 0 };
	uint8_t key[CACHE_KEY_BYTES];
	unsigned n = 0;
	bool right;

	key_of(a->n, key);
	right = value_unpack(key, value, len, VALUE_RAW_MAX, NULL, &payload) == IM_OK &&
		payload.len >= sizeof(n);
	if (right)
		memcpy(&n, payload.data, sizeof(n));
	buf_done(&payload);
	return right && n == a->n;
}

static void
on_done(struct tier_get *get, enum tier_result result, const uint8_t *value, size_t len)
{
	struct asked *a = CONTAINER_OF(get, struct asked, get);
	uint64_t took_us = clock_mono_us() - a->since_us;

	if (took_us > a->rig->took_us)
		a->rig->took_us = took_us;
	if (result == TIER_HIT && !is_right(a, value, len))
		a->rig->wrong++;
	a->result = result;
	if (--*a->due == 0)
		loop_stop(a->rig->loop);
}

static unsigned
ask(struct tier_rig *r, unsigned first, unsigned count, enum tier_result *ret_last)
{
	struct asked *a = calloc(count, sizeof(*a));
	struct loop_timer alarm = { .fn = on_alarm };
	size_t due = count;
	unsigned hits = 0;

	assert_non_null(a);
	r->took_us = 0;
	loop_enter(r->loop);
	assert_int_equal(loop_timer_set(r->loop, &alarm, PATIENCE_US), IM_OK);
	for (unsigned i = 0; i < count; i++) {
		a[i].rig = r;
		a[i].n = first + i;
		a[i].due = &due;
		a[i].get.done = on_done;
		a[i].since_us = clock_mono_us();
		key_of(a[i].n, a[i].get.key);
		r->tier->ops->get(r->tier, &a[i].get);
	}
	loop_leave(r->loop);
	while (due > 0)
		loop_run(r->loop);
	loop_enter(r->loop);
	loop_timer_cancel(r->loop, &alarm);
	loop_leave(r->loop);
	for (unsigned i = 0; i < count; i++)
		hits += a[i].result == TIER_HIT;
	*ret_last = a[count - 1].result;
	free(a);
	return hits;
}

enum tier_result
tier_rig_get(struct tier_rig *r, unsigned n)
{
	enum tier_result result;

	(void)ask(r, n, 1, &result);
	return result;
}

unsigned
tier_rig_get_many(struct tier_rig *r, unsigned first, unsigned count)
{
	enum tier_result last;

	return ask(r, first, count, &last);
}

void
tier_rig_put(struct tier_rig *r, unsigned n, size_t bytes, uint64_t ttl_ms)
{
	uint8_t *payload = calloc(1, bytes + sizeof(n));
	struct tier_put put = { .ttl_ms = ttl_ms };
	struct buf frame = { 0 };
	char tenant[8], model[8];
	struct value_meta meta = { .key = put.key,
				   .created_us = clock_wall_us(),
				   .expires_us = clock_wall_us() + KEPT_FOR_US };
	uint32_t noise = n + 1;

	assert_non_null(payload);
	/* What does not compress, so that a frame is as long as it is meant to be. */
	for (size_t i = 0; i < bytes; i++) {
		noise = noise * 1664525 + 1013904223;
		payload[sizeof(n) + i] = (uint8_t)(noise >> 24);
	}
	memcpy(payload, &n, sizeof(n));
	meta.tenant = (struct wire_bytes){ (const uint8_t *)tenant,
					   (size_t)snprintf(tenant, sizeof(tenant), "t%u", n % 3) };
	meta.model = (struct wire_bytes){ (const uint8_t *)model,
					  (size_t)snprintf(model, sizeof(model), "m%u", n % 5) };
	key_of(n, put.key);
	assert_int_equal(value_pack(&meta, payload, bytes + sizeof(n), &frame), IM_OK);
	put.value = frame.data;
	put.len = frame.len;
	loop_enter(r->loop);
	r->tier->ops->put(r->tier, &put);
	loop_leave(r->loop);
	buf_done(&frame);
	free(payload);
}

void
tier_rig_remove(struct tier_rig *r, unsigned n)
{
	uint8_t key[CACHE_KEY_BYTES];

	key_of(n, key);
	loop_enter(r->loop);
	r->tier->ops->remove(r->tier, key);
	loop_leave(r->loop);
}

struct purging {
	struct tier_purge purge;
	struct loop *loop;
	bool ended;
	int64_t removed;
};

static void
on_purged(struct tier_purge *purge, const struct im_err *err, uint64_t removed)
{
	struct purging *p = CONTAINER_OF(purge, struct purging, purge);

	p->removed = err == NULL ? (int64_t)removed : -1;
	p->ended = true;
	loop_stop(p->loop);
}

int64_t
tier_rig_purge(struct tier_rig *r, const char *tenant, const char *model, const unsigned *n)
{
	struct purging p = { .purge = { .sel = { .tenant = tenant, .model = model },
					.done = on_purged },
			     .loop = r->loop };

	if (n != NULL) {
		p.purge.sel.has_key = true;
		key_of(*n, p.purge.sel.key);
	}
	loop_enter(r->loop);
	r->tier->ops->purge(r->tier, &p.purge);
	wait_for(r, &p.ended);
	return p.removed;
}

struct tier_stats
tier_rig_stats(struct tier_rig *r)
{
	struct tier_stats s;

	loop_enter(r->loop);
	r->tier->ops->stats(r->tier, &s);
	loop_leave(r->loop);
	return s;
}

void
tier_rig_until(struct tier_rig *r, const char *state)
{
	uint64_t end_us = clock_mono_us() + PATIENCE_US;

	while (strcmp(tier_rig_stats(r).state, state) != 0) {
		if (clock_mono_us() > end_us)
			fail_msg("the tier is %s, not %s", tier_rig_stats(r).state, state);
		tier_rig_run(r, 2);
	}
}

void
tier_rig_settle(struct tier_rig *r)
{
	uint64_t end_us = clock_mono_us() + PATIENCE_US;

	while (tier_rig_stats(r).waiting > 0) {
		assert_true(clock_mono_us() < end_us);
		tier_rig_run(r, 1);
	}
}
