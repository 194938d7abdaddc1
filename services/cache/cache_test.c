/*
 * cache/cache_test.c - the service over an in-process link: what a router sees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/cache_rig.h"
#include "wire/cache_admin.h"

static int
setup(void **state)
{
	(void)state;
	cache_rig_start("", "router");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	cache_rig_stop();
	return 0;
}

static bool
store(uint8_t mark, const char *value, size_t len)
{
	struct cache_store s = { { mark }, { (const uint8_t *)value, len }, 0, "acme", "demo" };
	struct buf body = { 0 };
	bool stored = false;

	cache_store_encode(&s, &body);
	cache_rig_ask(METHOD_CACHE_STORE, &body);
	assert_false(peer.failed);
	assert_int_equal(cache_stored_decode(peer.reply.data, peer.reply.len, &stored, NULL),
			 IM_OK);
	return stored;
}

static bool
lookup(uint8_t mark, struct arena *arena, struct cache_found *ret)
{
	struct cache_lookup l = { { mark }, 0 };
	struct buf body = { 0 };

	cache_lookup_encode(&l, &body);
	cache_rig_ask(METHOD_CACHE_LOOKUP, &body);
	assert_false(peer.failed);
	assert_int_equal(cache_found_decode(peer.reply.data, peer.reply.len, arena, ret, NULL),
			 IM_OK);
	return ret->hit;
}

static void
test_cache_stored_value_is_found_with_its_tier(void **state)
{
	struct arena arena = { 0 };
	struct cache_found f;

	(void)state;
	assert_false(lookup(1, &arena, &f));
	assert_true(store(1, "answer", 6));
	assert_true(lookup(1, &arena, &f));
	assert_int_equal(f.value.len, 6);
	assert_memory_equal(f.value.data, "answer", 6);
	assert_string_equal(f.tier, "l1");
	assert_false(lookup(2, &arena, &f));
	arena_done(&arena);
}

static void
test_cache_value_over_the_entry_limit_is_not_stored(void **state)
{
	char *large = calloc(1, 65537);
	struct arena arena = { 0 };
	struct cache_found f;

	(void)state;
	assert_non_null(large);
	assert_false(store(1, large, 65537));
	assert_false(lookup(1, &arena, &f));
	assert_true(store(1, large, 65536));
	free(large);
	arena_done(&arena);
}

static void
test_cache_key_of_wrong_length_is_an_error(void **state)
{
	struct buf body = { 0 };

	(void)state;
	(void)buf_append(&body, "\x0a\x01k", 3);
	cache_rig_ask(METHOD_CACHE_LOOKUP, &body);
	assert_true(peer.failed);
	assert_int_equal(peer.err.rc, IM_EINVAL);
}

/* Fields of a later version are skipped, however many there are: they take no memory. */
static void
test_cache_request_full_of_unknown_fields_is_served(void **state)
{
	static const struct {
		const char *method;
		unsigned fields;
	} cases[] = { { METHOD_CACHE_LOOKUP, 100 },
		      { METHOD_CACHE_STORE, 100 },
		      { METHOD_CACHE_LOOKUP, 1000000 },
		      { METHOD_CACHE_STORE, 1000000 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cache_lookup l = { { 1 }, 0 };
		struct buf body = { 0 };

		cache_lookup_encode(&l, &body); /* a store without a value looks the same */
		for (unsigned k = 0; k < cases[i].fields; k++)
			(void)buf_append(&body, "\x78\x01", 2); /* 15: 1 */
		cache_rig_ask(cases[i].method, &body);
		assert_false(peer.failed);
	}
	assert_true(store(1, "still", 5));
}

static void
test_cache_unknown_method_is_an_error(void **state)
{
	struct buf body = { 0 };

	(void)state;
	cache_rig_ask("Cache/Burn", &body);
	assert_true(peer.failed);
	assert_int_equal(peer.err.rc, IM_EMETHOD);
}

static void
test_cache_stats_count_what_happened(void **state)
{
	struct arena arena = { 0 };
	struct buf body = { 0 };
	struct cache_found f;
	struct cache_stats s;

	(void)state;
	assert_true(store(1, "a", 1));
	assert_true(lookup(1, &arena, &f));
	assert_false(lookup(2, &arena, &f));
	cache_rig_ask(METHOD_CACHE_STATS, &body);
	assert_int_equal(cache_stats_decode(peer.reply.data, peer.reply.len, &s, NULL), IM_OK);
	assert_int_equal(s.entries, 1);
	assert_int_equal(s.hits, 1);
	assert_int_equal(s.misses, 1);
	assert_int_equal(s.stored, 1);
	assert_int_equal(s.max_bytes, 1 << 20);
	arena_done(&arena);
}

/* What an operator may do, nobody else may: this peer is a router. */
static void
test_cache_methods_of_operators_are_refused_to_others(void **state)
{
	static const char *const methods[] = { METHOD_CACHE_TIERS, METHOD_CACHE_GET,
					       METHOD_CACHE_PURGE };

	(void)state;
	assert_true(store(1, "kept", 4));
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		struct buf body = { 0 };

		cache_rig_ask(methods[i], &body);
		assert_true(peer.failed);
		assert_int_equal(peer.err.rc, IM_EPERM);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cache_stored_value_is_found_with_its_tier,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_value_over_the_entry_limit_is_not_stored,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_key_of_wrong_length_is_an_error, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_cache_request_full_of_unknown_fields_is_served,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_unknown_method_is_an_error, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_cache_stats_count_what_happened, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
		    test_cache_methods_of_operators_are_refused_to_others, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
