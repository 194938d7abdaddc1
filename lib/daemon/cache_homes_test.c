/*
 * daemon/cache_homes_test.c - keys and the cache daemons at home for them: even shares, few moves, the same everywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "daemon/cache_homes.h"

#define KEYS 100000

static void
key_of(uint64_t n, uint8_t key[CACHE_HOMES_KEY_BYTES])
{
	for (unsigned i = 0; i < CACHE_HOMES_KEY_BYTES; i += 8) {
		uint64_t v = prng_splitmix(&n);

		memcpy(key + i, &v, sizeof(v));
	}
}

static const char *const five[] = { "tcp://cache-1:7102", "tcp://cache-2:7102",
				    "tcp://cache-3:7102", "tcp://cache-4:7102",
				    "tcp://cache-5:7102" };

static void
test_cache_homes_have_even_shares(void **state)
{
	struct cache_homes h;
	uint8_t key[CACHE_HOMES_KEY_BYTES];
	unsigned share[5] = { 0 };

	(void)state;
	assert_true(cache_homes_init(&h, five, 5));
	for (uint64_t n = 0; n < KEYS; n++) {
		key_of(n, key);
		share[cache_homes_find(&h, key)]++;
	}
	for (unsigned i = 0; i < 5; i++)
		assert_in_range(share[i], KEYS / 5 * 8 / 10, KEYS / 5 * 12 / 10);
	cache_homes_done(&h);
}

/* 'without' is 'five' in another order, less the one that went. */
static void
test_cache_homes_one_that_goes_moves_its_own_keys_only(void **state)
{
	static const char *const without[] = { "tcp://cache-5:7102", "tcp://cache-2:7102",
					       "tcp://cache-1:7102", "tcp://cache-4:7102" };
	struct cache_homes all, less;
	uint8_t key[CACHE_HOMES_KEY_BYTES];
	unsigned moved = 0;

	(void)state;
	assert_true(cache_homes_init(&all, five, 5));
	assert_true(cache_homes_init(&less, without, 4));
	for (uint64_t n = 0; n < KEYS; n++) {
		const char *before, *after;

		key_of(n, key);
		before = five[cache_homes_find(&all, key)];
		after = without[cache_homes_find(&less, key)];
		if (before == five[2])
			moved++;
		else
			assert_string_equal(before, after);
	}
	assert_true(moved > 0);
	cache_homes_done(&all);
	cache_homes_done(&less);
}

static void
test_cache_homes_only_one_has_all(void **state)
{
	struct cache_homes h;
	uint8_t key[CACHE_HOMES_KEY_BYTES];

	(void)state;
	assert_true(cache_homes_init(&h, five, 1));
	for (uint64_t n = 0; n < 1000; n++) {
		key_of(n, key);
		assert_int_equal(cache_homes_find(&h, key), 0);
	}
	cache_homes_done(&h);
}

/* As many as there may be; keys at both ends of the ring have a home. */
static void
test_cache_homes_ends_of_the_ring_are_at_home(void **state)
{
	char text[CACHE_HOMES_MAX][32];
	const char *addresses[CACHE_HOMES_MAX];
	uint8_t low[CACHE_HOMES_KEY_BYTES] = { 0 }, high[CACHE_HOMES_KEY_BYTES];
	struct cache_homes h;

	(void)state;
	memset(high, 0xff, sizeof(high));
	for (unsigned i = 0; i < CACHE_HOMES_MAX; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "tcp://10.0.0.%u:7102", i);
		addresses[i] = text[i];
	}
	assert_true(cache_homes_init(&h, addresses, CACHE_HOMES_MAX));
	assert_in_range(cache_homes_find(&h, low), 0, CACHE_HOMES_MAX - 1);
	assert_int_equal(cache_homes_find(&h, low), cache_homes_find(&h, high));
	cache_homes_done(&h);
}

/* Routers and command lines of different versions agree: these, computed by another program, must not change. */
static void
test_cache_homes_are_the_same_in_every_version(void **state)
{
	static const uint8_t home[] = { 1, 4, 1, 1, 3, 2, 1, 3, 4, 4, 0, 2, 0, 2, 1, 0 };
	struct cache_homes h;
	uint8_t key[CACHE_HOMES_KEY_BYTES] = { 0 };

	(void)state;
	assert_true(cache_homes_init(&h, five, 5));
	for (unsigned i = 0; i < sizeof(home); i++) {
		key[0] = (uint8_t)(i * 16);
		assert_int_equal(cache_homes_find(&h, key), home[i]);
	}
	cache_homes_done(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cache_homes_have_even_shares),
		cmocka_unit_test(test_cache_homes_one_that_goes_moves_its_own_keys_only),
		cmocka_unit_test(test_cache_homes_only_one_has_all),
		cmocka_unit_test(test_cache_homes_ends_of_the_ring_are_at_home),
		cmocka_unit_test(test_cache_homes_are_the_same_in_every_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
