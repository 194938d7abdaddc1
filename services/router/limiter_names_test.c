/*
 * router/limiter_names_test.c - many names: what is forgotten, what is kept, and that nobody can make them costly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/limiter_rig.h"

static void
test_limiter_idle_buckets_are_forgotten_and_busy_ones_kept(void **state)
{
	struct limit_rule rules[] = { { LIMIT_KEY, NULL, { rate(60, 2), rate(60, 50) }, 0, NULL },
				      { LIMIT_KEY, "pinned", { rate(60, 2), none }, 0, NULL } };
	struct limit_verdict v;
	struct limit_hold hold, debt;
	struct limiter l;
	char name[16];

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 2, 7, 0), IM_OK);
	assert_int_equal(ask_for(&l, "t", "open", 0, 1, 0, &hold, &v), LIMIT_OK);
	assert_int_equal(ask_for(&l, "t", "debt", 0, 50, 0, &debt, &v), LIMIT_OK);
	limiter_settle(&l, &debt, 110, 0); /* full again in 110 s */
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "k%d", i);
		assert_int_equal(knock(&l, "t", name, 0), LIMIT_OK);
	}
	assert_int_equal(l.count, 1003);
	for (int i = 0; i < 5; i++) {
		limiter_sweep(&l, 999); /* not full yet */
	}
	assert_int_equal(l.count, 1003);
	for (int i = 0; i < 5; i++) {
		limiter_sweep(&l, 5000);
	}
	assert_int_equal(l.count, 3);
	assert_int_equal(rules[0].buckets, 2);
	limiter_settle(&l, &hold, 1, 5000);
	limiter_sweep(&l, 109999);
	assert_int_equal(l.count, 2);
	limiter_sweep(&l, 110000);
	assert_int_equal(l.count, 1);
	limiter_done(&l);
}

static void
test_limiter_more_names_than_fit_are_refused_until_some_are_idle(void **state)
{
	struct limit_rule rules[] = { { LIMIT_KEY, NULL, { rate(60, 1), none }, 0, NULL } };
	struct limiter l;
	char name[16];

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 0), IM_OK);
	for (int i = 0; i < LIMITER_BUCKETS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "k%d", i);
		assert_int_equal(knock(&l, "t", name, 0), LIMIT_OK);
	}
	assert_int_equal(knock(&l, "t", "one-more", 0), LIMIT_CROWDED);
	assert_int_equal(knock(&l, "t", "k17", 1000), LIMIT_OK); /* those that are in go on */
	limiter_sweep(&l, 1000);
	assert_int_equal(knock(&l, "t", "one-more", 1000), LIMIT_OK);
	assert_int_equal(l.count, LIMITER_BUCKETS_MAX - LIMITER_SWEEP + 2);
	limiter_done(&l);
}

static void
test_limiter_chains_stay_short_for_any_seed(void **state)
{
	struct limit_rule rules[] = { { LIMIT_KEY, NULL, { rate(60, 1), none }, 0, NULL } };
	struct limiter l;
	char name[16];

	(void)state;
	for (uint64_t seed = 0; seed < 3; seed++) {
		uint32_t longest = 0;

		assert_int_equal(limiter_init(&l, rules, 1, seed, 0), IM_OK);
		for (int i = 0; i < 4096; i++) {
			(void)snprintf(name, sizeof(name), "k%d", i);
			assert_int_equal(knock(&l, "t", name, 0), LIMIT_OK);
		}
		for (uint32_t i = 0; i < l.slot_count; i++) {
			uint32_t length = 0;

			for (const struct limit_entry *e = l.slots[i]; e != NULL; e = e->next) {
				length++;
			}
			longest = length > longest ? length : longest;
		}
		assert_in_range(longest, 1, 12);
		limiter_done(&l);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limiter_idle_buckets_are_forgotten_and_busy_ones_kept),
		cmocka_unit_test(test_limiter_more_names_than_fit_are_refused_until_some_are_idle),
		cmocka_unit_test(test_limiter_chains_stay_short_for_any_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
