/*
 * cache/tier_breaker_test.c - when a tier is left alone, and when it is tried again; on virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cache/tier_breaker.h"

static struct prng prng;

static void
open_it(struct tier_breaker *b, uint64_t now_us)
{
	for (int i = 1; i < TIER_BREAKER_FAILURES; i++)
		assert_false(tier_breaker_failed(b, false, now_us, 0, &prng));
	assert_false(b->open);
	assert_true(tier_breaker_failed(b, false, now_us, 0, &prng));
	assert_true(b->open);
}

static void
test_breaker_failures_in_a_row_open_it_once(void **state)
{
	struct tier_breaker b = { 0 };

	(void)state;
	prng_seed(&prng, 1);
	open_it(&b, 1000);
	assert_false(tier_breaker_failed(&b, false, 1000, 0, &prng));
	assert_int_equal(b.opened, 1);
	assert_in_range(b.probe_us, 1000 + TIER_BREAKER_PAUSE_US / 2, 1000 + TIER_BREAKER_PAUSE_US);
}

static void
test_breaker_success_between_failures_keeps_it_closed(void **state)
{
	struct tier_breaker b = { 0 };

	(void)state;
	prng_seed(&prng, 1);
	for (int i = 0; i < 100; i++) {
		assert_false(tier_breaker_failed(&b, false, 0, 0, &prng));
		if (i % (TIER_BREAKER_FAILURES - 1) == TIER_BREAKER_FAILURES - 2)
			assert_false(tier_breaker_well(&b));
	}
	assert_false(b.open);
}

static void
test_breaker_pause_doubles_up_to_the_longest_and_starts_over(void **state)
{
	struct tier_breaker b = { 0 };
	uint32_t pause_us = TIER_BREAKER_PAUSE_US;

	(void)state;
	prng_seed(&prng, 7);
	open_it(&b, 0);
	for (int i = 0; i < 10; i++) {
		assert_in_range(b.probe_us, pause_us / 2, pause_us);
		assert_false(tier_breaker_failed(&b, true, 0, 0, &prng));
		pause_us = pause_us * 2 < TIER_BREAKER_PAUSE_MAX_US ? pause_us * 2
								    : TIER_BREAKER_PAUSE_MAX_US;
	}
	assert_true(tier_breaker_well(&b));
	assert_false(tier_breaker_well(&b));
	open_it(&b, 0);
	assert_in_range(b.probe_us, TIER_BREAKER_PAUSE_US / 2, TIER_BREAKER_PAUSE_US);
}

static void
test_breaker_late_failure_of_an_old_question_moves_no_probe(void **state)
{
	struct tier_breaker b = { 0 };
	uint64_t probe_us;

	(void)state;
	prng_seed(&prng, 1);
	open_it(&b, 0);
	probe_us = b.probe_us;
	assert_false(tier_breaker_failed(&b, false, 100000, 0, &prng));
	assert_int_equal(b.probe_us, probe_us);
}

static void
test_breaker_many_failures_at_once_are_one(void **state)
{
	struct tier_breaker b = { 0 };

	(void)state;
	prng_seed(&prng, 1);
	for (int i = 0; i < 1000; i++)
		assert_false(tier_breaker_failed(&b, false, 1000 + (uint64_t)i, 5000, &prng));
	for (uint64_t n = 1; n < TIER_BREAKER_FAILURES; n++) {
		assert_false(b.open);
		(void)tier_breaker_failed(&b, false, 1000 + n * 5000, 5000, &prng);
	}
	assert_true(b.open);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_breaker_failures_in_a_row_open_it_once),
		cmocka_unit_test(test_breaker_success_between_failures_keeps_it_closed),
		cmocka_unit_test(test_breaker_pause_doubles_up_to_the_longest_and_starts_over),
		cmocka_unit_test(test_breaker_many_failures_at_once_are_one),
		cmocka_unit_test(test_breaker_late_failure_of_an_old_question_moves_no_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
