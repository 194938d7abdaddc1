/*
 * router/least_connections_test.c - the policy as a table of decisions.
 */
#include "router/least_connections.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_least_connections_lower_cost_wins(void **state)
{
	static const struct {
		struct lc_candidate a, b;
		bool a_better, b_better;
	} rows[] = {
		{ { 0, 4, 1, 0 }, { 1, 4, 1, 0 }, true, false },
		{ { 3, 4, 1, 0 }, { 2, 4, 1, 9 }, false, true },
		{ { 1, 4, 1, 5 },
		  { 1, 4, 1, 6 },
		  true,
		  false }, /* a tie: the one picked longer ago */
		{ { 1, 4, 1, 5 }, { 1, 4, 1, 5 }, false, false }, /* strict */
		{ { 3, 9, 2, 0 }, { 1, 9, 1, 0 }, false, false }, /* 4/2 = 2/1 */
		{ { 2, 9, 2, 0 }, { 1, 9, 1, 0 }, true, false },  /* 3/2 < 2/1 */
		{ { 0, 9, 1, 0 },
		  { 0, 9, 3, 7 },
		  false,
		  true }, /* idle workers: the weight counts too */
		{ { UINT32_MAX, 1, 1, 0 }, { 0, 1, 1, 0 }, false, true }, /* no overflow */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(least_connections_better(&rows[i].a, &rows[i].b),
				 rows[i].a_better);
		assert_int_equal(least_connections_better(&rows[i].b, &rows[i].a),
				 rows[i].b_better);
	}
}

static void
test_least_connections_capacity_is_never_passed(void **state)
{
	struct lc_candidate c = { .in_flight = 3, .capacity = 4, .weight = 1 };

	(void)state;
	assert_true(least_connections_fits(&c));
	c.in_flight = 4;
	assert_false(least_connections_fits(&c));
	c.in_flight = 5;
	assert_false(least_connections_fits(&c));
	c.in_flight = c.capacity = 0;
	assert_false(least_connections_fits(&c));
}

static void
test_least_connections_equal_workers_share_evenly(void **state)
{
	struct lc_candidate c[3] = { { 0, 100, 1, 0 }, { 0, 100, 1, 0 }, { 0, 100, 1, 0 } };

	(void)state;
	for (uint64_t n = 1; n <= 30; n++) {
		size_t best = 0;

		for (size_t i = 1; i < 3; i++) {
			best = least_connections_better(&c[i], &c[best]) ? i : best;
		}
		c[best].in_flight++;
		c[best].last_pick = n;
	}
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(c[i].in_flight, 10);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_least_connections_lower_cost_wins),
		cmocka_unit_test(test_least_connections_capacity_is_never_passed),
		cmocka_unit_test(test_least_connections_equal_workers_share_evenly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
