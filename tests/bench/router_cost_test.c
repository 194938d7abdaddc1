/*
 * tests/bench/router_cost_test.c - what a pick costs grows no faster than the logarithm of the number of workers. Counted in
 * instructions, so that no clock and no cache decides.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "router_field.h"

static void
test_router_pick_costs_no_more_than_the_logarithm_of_the_workers(void **state)
{
	double few[FIELD_WHATS], many[FIELD_WHATS];

	(void)state;
	assert_true(field_instructions(100, few));
	assert_true(field_instructions(10000, many));
	for (int what = 0; what < POLICY_COUNT; what++) {
		print_message("%-28s %6.0f %6.0f instructions, growth %.2f\n", field_name(what),
			      few[what], many[what], many[what] / few[what]);
		assert_true(few[what] > 100);
		assert_true(many[what] / few[what] <= log2(10000) / log2(100));
	}
	/* So that it is seen that this can fail. */
	assert_true(many[FIELD_SCAN] / few[FIELD_SCAN] > 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_router_pick_costs_no_more_than_the_logarithm_of_the_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
