/*
 * router/recent_test.c - counts and quantiles of the last minute, on virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/prng.h"
#include "router/recent.h"

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
test_times_quantiles_are_within_six_percent(void **state)
{
	static uint64_t us[20000];
	struct times t = { 0 };
	struct prng prng;

	(void)state;
	prng_seed(&prng, 7);
	for (size_t i = 0; i < 20000; i++) {
		us[i] = 100 + prng_below(&prng, 1U << (8 + prng_below(&prng, 20)));
		times_add(&t, us[i]);
	}
	qsort(us, 20000, sizeof(us[0]), by_value);
	for (size_t q = 1; q < 100; q++) {
		double want = (double)us[200 * q],
		       got = (double)times_quantile(&t, (double)q / 100.0);

		if (got < want * 0.94 || got > want * 1.06) {
			fail_msg("p%zu: %f instead of %f", q, got, want);
		}
	}
}

static void
test_times_out_of_range_fall_into_the_outer_buckets(void **state)
{
	struct times t = { 0 };

	(void)state;
	assert_int_equal(times_quantile(&t, 0.5), 0);
	times_add(&t, 0);
	assert_true(times_quantile(&t, 1) <= 64);
	times_add(&t, UINT64_MAX);
	assert_true(times_quantile(&t, 1) == 1ULL << 32);
}

static void
test_recent_forgets_after_a_minute(void **state)
{
	struct recent r = { 0 };
	struct recent_sum sum;

	(void)state;
	recent_add(&r, 1000, false, 5000);
	recent_add(&r, 16000, true, 9000000);
	recent_sum(&r, 17000, &sum);
	assert_int_equal(sum.requests, 2);
	assert_int_equal(sum.failed, 1);
	assert_in_range(sum.p99_us, 4700, 5300); /* the failed one has no time */
	recent_sum(&r, 60000, &sum);
	assert_int_equal(sum.requests, 1);
	recent_sum(&r, 76000, &sum);
	assert_int_equal(sum.requests, 0);
	assert_int_equal(sum.p50_us, 0);
	recent_add(&r, 61000, false, 100); /* into the slot of the first */
	recent_sum(&r, 61000, &sum);
	assert_int_equal(sum.requests, 2);
}

static void
test_recent_store_gives_empty_ones_apart_and_takes_them_back(void **state)
{
	struct recent_store store = { 0 };
	struct recent_sum sum;
	struct recent *some[150];

	(void)state;
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < 150; i++) {
			some[i] = recent_take(&store);
			assert_non_null(some[i]);
			recent_sum(some[i], 1000, &sum);
			assert_int_equal(sum.requests, 0);
			recent_add(some[i], 1000, false, 100 + i);
		}
		for (size_t i = 0; i < 150; i++) {
			recent_sum(some[i], 1000, &sum);
			assert_int_equal(sum.requests, 1); /* nobody else's */
			recent_give_back(&store, some[i]);
		}
	}
	recent_give_back(&store, NULL);
	recent_store_done(&store);
	recent_store_done(&store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_quantiles_are_within_six_percent),
		cmocka_unit_test(test_times_out_of_range_fall_into_the_outer_buckets),
		cmocka_unit_test(test_recent_forgets_after_a_minute),
		cmocka_unit_test(test_recent_store_gives_empty_ones_apart_and_takes_them_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
