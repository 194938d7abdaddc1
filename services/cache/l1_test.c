/*
 * cache/l1_test.c - the memory tier on virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/l1.h"

static void
key_of(uint32_t n, uint8_t key[CACHE_KEY_BYTES])
{
	memset(key, 0, CACHE_KEY_BYTES);
	memcpy(key, &n, sizeof(n));
}

static struct l1 *
l1_with(size_t max_bytes)
{
	struct l1 *l1;

	assert_int_equal(l1_new(max_bytes, &l1), IM_OK);
	return l1;
}

static void
put(struct l1 *l1, uint32_t n, size_t len, uint64_t now_ms, uint64_t ttl_ms)
{
	uint8_t key[CACHE_KEY_BYTES];
	uint8_t *data = malloc(len + 1);

	assert_non_null(data);
	memset(data, (int)(n & 0xff), len);
	key_of(n, key);
	assert_int_equal(l1_put(l1, key, data, len, now_ms, ttl_ms), IM_OK);
	free(data);
}

static bool
has(struct l1 *l1, uint32_t n, uint64_t now_ms)
{
	uint8_t key[CACHE_KEY_BYTES];
	struct l1_found f;

	key_of(n, key);
	return l1_get(l1, key, now_ms, &f);
}

static void
test_l1_entry_is_there_until_its_time_is_up(void **state)
{
	struct l1 *l1 = l1_with(10000);
	struct l1_counters n;

	(void)state;
	put(l1, 1, 10, 1000, 500);
	assert_true(has(l1, 1, 1499));
	assert_false(has(l1, 1, 1500));
	l1_counters(l1, &n);
	assert_int_equal(n.entries, 0);
	assert_int_equal(n.bytes, 0);
	assert_int_equal(n.expired, 1);
	l1_free(l1);
}

static void
test_l1_put_again_replaces(void **state)
{
	struct l1 *l1 = l1_with(10000);
	struct l1_counters n;

	(void)state;
	put(l1, 1, 10, 0, 5000);
	put(l1, 1, 20, 0, 5000);
	l1_counters(l1, &n);
	assert_int_equal(n.entries, 1);
	assert_int_equal(n.bytes, l1_cost(20));
	l1_free(l1);
}

static void
test_l1_larger_than_the_cache_is_refused_and_forgets_the_old(void **state)
{
	struct l1 *l1 = l1_with(1100);
	uint8_t key[CACHE_KEY_BYTES], data[1000] = { 0 };

	(void)state;
	put(l1, 1, 10, 0, 5000);
	key_of(1, key);
	assert_int_equal(l1_put(l1, key, data, sizeof(data), 0, 5000), IM_ETOOBIG);
	assert_false(has(l1, 1, 0));
	l1_free(l1);
}

static void
test_l1_scan_does_not_push_out_what_is_asked_for(void **state)
{
	struct l1 *l1 = l1_with(100 * l1_cost(100));

	(void)state;
	for (uint32_t i = 0; i < 50; i++)
		put(l1, i, 100, 0, 100000);
	for (uint32_t scan = 0; scan < 1000; scan++) {
		put(l1, 1000 + scan, 100, 0, 100000);
		assert_true(has(l1, scan % 50, 0));
	}
	l1_free(l1);
}

static void
test_l1_sweep_drops_what_nobody_asks_for(void **state)
{
	struct l1 *l1 = l1_with(1 << 20);
	struct l1_counters n;
	size_t dropped = 0;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		put(l1, i, 10, 0, i % 2 == 0 ? 100 : 1000);
	for (int i = 0; i < 10; i++)
		dropped += l1_sweep(l1, 500, 103); /* of 1024 places */
	assert_int_equal(dropped, 50);
	l1_counters(l1, &n);
	assert_int_equal(n.entries, 50);
	l1_free(l1);
}

static bool
is_odd(void *arg, const uint8_t *data, size_t len)
{
	(void)arg;
	return len > 0 && data[0] % 2 == 1;
}

static void
test_l1_purge_in_slices_finds_all_while_the_table_grows(void **state)
{
	struct l1 *l1 = l1_with(4 << 20);
	uint64_t removed = 0;
	size_t cursor = 0;
	uint32_t n = 0;

	(void)state;
	for (; n < 1000; n++)
		put(l1, n, 10, 0, 1000);
	for (unsigned slice = 0; !l1_purge(l1, &cursor, 100, is_odd, NULL, &removed); slice++)
		for (unsigned i = 0; i < 200 && slice < 10; i++, n++)
			put(l1, n, 10, 0, 1000);
	assert_true(n > 2048); /* it grew, twice */
	assert_true(removed >= 500);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(has(l1, i, 0), i % 2 == 0);
	l1_free(l1);
}

/* What a cache without a bound would have. */
enum {
	MODEL_KEYS = 3000
};
static struct model {
	uint32_t len;
	uint64_t expires_ms;
	uint8_t mark;
	bool there;
} model[MODEL_KEYS];

static struct model *
model_at(uint32_t n, uint64_t now_ms)
{
	return model[n].there && now_ms < model[n].expires_ms ? &model[n] : NULL;
}

static void
check_hit(const struct model *m, const struct l1_found *f)
{
	assert_non_null(m);
	assert_int_equal(f->len, m->len);
	for (size_t b = 0; b < f->len; b++)
		if (f->data[b] != m->mark)
			fail_msg("byte %zu of a hit is %d instead of %d", b, f->data[b], m->mark);
}

/* One request of a random kind; 'exact': every answer that the model has is there. Returns whether it was a hit. */
static bool
step(struct l1 *l1, unsigned *seed, uint64_t now_ms, bool exact)
{
	uint32_t n = (uint32_t)rand_r(seed) % MODEL_KEYS;
	const struct model *m = model_at(n, now_ms);
	uint8_t key[CACHE_KEY_BYTES], data[2048];
	struct l1_found f;
	int kind = rand_r(seed) % 30;

	key_of(n, key);
	if (kind < 10) {
		model[n] = (struct model){ (uint32_t)rand_r(seed) % sizeof(data),
					   now_ms + (uint64_t)rand_r(seed) % 5000,
					   (uint8_t)rand_r(seed), true };
		memset(data, model[n].mark, sizeof(data));
		assert_int_equal(
		    l1_put(l1, key, data, model[n].len, now_ms, model[n].expires_ms - now_ms),
		    IM_OK);
		return false;
	}
	if (kind == 10) {
		model[n].there = false;
		l1_remove(l1, key);
		return false;
	}
	if (!l1_get(l1, key, now_ms, &f)) {
		assert_true(m == NULL || !exact);
		return false;
	}
	check_hit(m, &f);
	return true;
}

static void
run_model(size_t max_bytes, bool exact, unsigned requests)
{
	struct l1 *l1 = l1_with(max_bytes);
	uint64_t now_ms = 0, hits = 0;
	unsigned seed = 42;
	struct l1_counters c;

	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < requests; i++) {
		now_ms += (uint64_t)rand_r(&seed) % 3;
		hits += step(l1, &seed, now_ms, exact);
		if (i % 1000 == 0)
			(void)l1_sweep(l1, now_ms, 100);
		l1_counters(l1, &c);
		assert_true(c.bytes <= max_bytes);
	}
	assert_true(hits > requests / 30);
	assert_true(exact == (c.evicted == 0));
	l1_free(l1);
}

static void
test_l1_with_room_a_million_requests_hit_what_the_model_has(void **state)
{
	(void)state;
	run_model((size_t)64 << 20, true, 1000000);
}

static void
test_l1_short_of_room_never_gives_a_wrong_value(void **state)
{
	(void)state;
	run_model(1000000, false, 300000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_l1_entry_is_there_until_its_time_is_up),
		cmocka_unit_test(test_l1_put_again_replaces),
		cmocka_unit_test(test_l1_larger_than_the_cache_is_refused_and_forgets_the_old),
		cmocka_unit_test(test_l1_scan_does_not_push_out_what_is_asked_for),
		cmocka_unit_test(test_l1_sweep_drops_what_nobody_asks_for),
		cmocka_unit_test(test_l1_purge_in_slices_finds_all_while_the_table_grows),
		cmocka_unit_test(test_l1_with_room_a_million_requests_hit_what_the_model_has),
		cmocka_unit_test(test_l1_short_of_room_never_gives_a_wrong_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
