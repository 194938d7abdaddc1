/*
 * inference/local_prefix_test.c - which sequence a prompt gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inference/local_prefix.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
expect(const struct prefix_view *v, uint32_t count, struct prefix_choice want)
{
	struct prefix_choice got = prefix_choose(v, count, 1024);

	assert_int_equal(got.seat, want.seat);
	assert_int_equal(got.donor, want.donor);
	assert_int_equal(got.common, want.common);
}

static void
test_prefix_common_stops_at_the_first_difference(void **state)
{
	static const int32_t a[] = { 1, 2, 3, 4 }, b[] = { 1, 2, 9, 4, 5 };

	(void)state;
	assert_int_equal(prefix_common(a, 4, b, 5), 2);
	assert_int_equal(prefix_common(a, 4, a, 4), 4);
	assert_int_equal(prefix_common(a, 4, a, 3), 3);
	assert_int_equal(prefix_common(a, 0, b, 5), 0);
	assert_int_equal(prefix_common(NULL, 0, NULL, 0), 0);
}

static void
test_prefix_next_turn_goes_where_the_last_one_was(void **state)
{
	static const struct prefix_view v[] = { { true, 0, 0, 0 },
						{ true, 500, 20, 9 },
						{ true, 1500, 1490, 3 } };

	(void)state;
	expect(v, COUNT(v), (struct prefix_choice){ 2, 2, 1490 });
}

static void
test_prefix_shared_beginning_is_copied_and_the_rest_kept(void **state)
{
	static const struct prefix_view v[] = { { true, 1500, 300, 9 },
						{ true, 700, 0, 2 },
						{ true, 700, 0, 4 } };

	(void)state;
	expect(v, COUNT(v), (struct prefix_choice){ 1, 0, 300 });
}

static void
test_prefix_of_a_busy_sequence_is_copied(void **state)
{
	static const struct prefix_view v[] = { { false, 1500, 1400, 9 }, { true, 40, 40, 2 } };

	(void)state;
	expect(v, COUNT(v), (struct prefix_choice){ 1, 0, 1400 });
}

static void
test_prefix_short_one_is_not_worth_a_copy(void **state)
{
	static const struct prefix_view v[] = { { false, 1500, 31, 9 },
						{ true, 400, 0, 2 },
						{ true, 400, 10, 1 } };

	(void)state;
	expect(v, COUNT(v), (struct prefix_choice){ 2, 2, 10 }); /* the eldest, and what it has */
	assert_int_equal(prefix_copy_min(512), 32);
	assert_int_equal(prefix_copy_min(8192), 256);
}

static void
test_prefix_empty_sequence_is_taken_before_an_old_one(void **state)
{
	static const struct prefix_view v[] = { { true, 10, 0, 1 },
						{ true, 0, 0, 5 },
						{ true, 10, 1, 2 } };

	(void)state;
	expect(v, COUNT(v), (struct prefix_choice){ 1, 1, 0 });
}

static void
test_prefix_one_that_holds_little_is_taken_beside_busy_ones(void **state)
{
	static const struct prefix_view v[] = { { true, 100, 0, 1 },  { true, 100, 0, 5 },
						{ false, 100, 0, 6 }, { true, 100, 0, 4 },
						{ true, 100, 0, 2 },  { false, 100, 0, 7 } };
	static const struct prefix_view gap[] = {
		{ true, 100, 0, 1 }, { false, 100, 0, 6 }, { true, 100, 0, 5 }, { false, 100, 0, 7 }
	};
	static const struct prefix_view unused[] = {
		{ true, 100, 0, 1 }, { false, 100, 0, 6 }, { true, 0, 0, 0 }, { true, 0, 0, 0 }
	};

	(void)state;
	expect(v, COUNT(v), (struct prefix_choice){ 4, 4, 0 }); /* of those the eldest */
	expect(gap, COUNT(gap), (struct prefix_choice){ 2, 2, 0 });
	expect(unused, COUNT(unused), (struct prefix_choice){ 2, 2, 0 });
	expect(v, 2, (struct prefix_choice){ 0, 0, 0 }); /* nobody is busy there */
}

static void
test_prefix_conversation_is_not_lost_for_a_place_beside_busy_ones(void **state)
{
	static const struct prefix_view v[] = {
		{ true, 10, 0, 1 }, { true, 10, 0, 2 }, { true, 129, 0, 3 }, { false, 100, 0, 7 }
	};

	(void)state;
	expect(v, COUNT(v), (struct prefix_choice){ 0, 0, 0 });
}

static void
test_prefix_last_free_one_is_taken_whatever_it_holds(void **state)
{
	static const struct prefix_view v[] = { { false, 10, 0, 1 }, { true, 1500, 300, 5 } };

	(void)state;
	expect(v, COUNT(v), (struct prefix_choice){ 1, 1, 300 });
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefix_common_stops_at_the_first_difference),
		cmocka_unit_test(test_prefix_next_turn_goes_where_the_last_one_was),
		cmocka_unit_test(test_prefix_shared_beginning_is_copied_and_the_rest_kept),
		cmocka_unit_test(test_prefix_of_a_busy_sequence_is_copied),
		cmocka_unit_test(test_prefix_short_one_is_not_worth_a_copy),
		cmocka_unit_test(test_prefix_empty_sequence_is_taken_before_an_old_one),
		cmocka_unit_test(test_prefix_one_that_holds_little_is_taken_beside_busy_ones),
		cmocka_unit_test(test_prefix_conversation_is_not_lost_for_a_place_beside_busy_ones),
		cmocka_unit_test(test_prefix_last_free_one_is_taken_whatever_it_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
