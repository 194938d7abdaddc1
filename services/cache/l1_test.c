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
	assert_int_equal(n.bytes, 20 + L1_ENTRY_OVERHEAD);
	l1_free(l1);
}

static void
test_l1_larger_than_the_cache_is_refused_and_forgets_the_old(void **state)
{
	struct l1 *l1 = l1_with(1000);
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
	struct l1 *l1 = l1_with((size_t)100 * (100 + L1_ENTRY_OVERHEAD));

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
		dropped += l1_sweep(l1, 500, 10);
	assert_int_equal(dropped, 50);
	l1_counters(l1, &n);
	assert_int_equal(n.entries, 50);
	l1_free(l1);
}

/* Against a model that remembers what was put last under each key: a hit is always that, never older, never another's. */
static void
test_l1_random_operations_never_give_a_wrong_value(void **state)
{
	enum {
		KEYS = 3000,
		MAX = 200000
	};
	static struct {
		uint32_t len;
		uint64_t expires_ms;
		uint8_t mark;
		bool there;
	} model[KEYS];
	struct l1 *l1 = l1_with(MAX);
	uint64_t now_ms = 0, hits = 0;
	unsigned seed = 42;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		uint32_t n = (uint32_t)rand_r(&seed) % KEYS;
		uint8_t key[CACHE_KEY_BYTES], data[512];
		struct l1_counters c;
		struct l1_found f;

		now_ms += (uint64_t)rand_r(&seed) % 3;
		key_of(n, key);
		if (rand_r(&seed) % 3 == 0) {
			model[n].len = (uint32_t)rand_r(&seed) % sizeof(data);
			model[n].mark = (uint8_t)i;
			model[n].expires_ms = now_ms + (uint64_t)rand_r(&seed) % 5000;
			model[n].there = true;
			memset(data, model[n].mark, sizeof(data));
			assert_int_equal(l1_put(l1, key, data, model[n].len, now_ms,
						model[n].expires_ms - now_ms),
					 IM_OK);
		} else if (l1_get(l1, key, now_ms, &f)) {
			hits++;
			assert_true(model[n].there && now_ms < model[n].expires_ms);
			assert_int_equal(f.len, model[n].len);
			for (size_t b = 0; b < f.len; b++)
				assert_int_equal(f.data[b], model[n].mark);
		}
		l1_counters(l1, &c);
		assert_true(c.bytes <= MAX);
	}
	assert_true(hits > 10000);
	l1_free(l1);
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
		cmocka_unit_test(test_l1_random_operations_never_give_a_wrong_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
