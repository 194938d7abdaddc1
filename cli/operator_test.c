/*
 * cli/operator_test.c - the numbers that operators write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/operator.h"

const struct command *
command_at(size_t i)
{
	static const struct command none = { .name = "none" };

	return i == 0 ? &none : NULL;
}

static void
test_operator_times_have_units(void **state)
{
	static const struct {
		const char *text;
		uint32_t ms;
	} good[] = { { "500ms", 500 },  { "30s", 30000 }, { "5m", 300000 },
		     { "2h", 7200000 }, { "7", 7000 },    { "0s", 0 } };
	static const char *const bad[] = { "",     "s",  "30 s", "30sec",       "-1s",
					   "1.5s", "1d", "s30",  "9999999999s", "999999999h" };
	uint32_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(operator_parse_ms(good[i].text, 1000, &ms));
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (operator_parse_ms(bad[i], 1000, &ms))
			fail_msg("'%s' was taken as %u", bad[i], ms);
}

static void
test_operator_shares_are_percent_or_fractions(void **state)
{
	static const struct {
		const char *text;
		uint32_t ppm;
	} good[] = { { "1%", 10000 },     { "0.5%", 5000 }, { "0.01", 10000 },
		     { "100%", 1000000 }, { "1", 1000000 }, { "0", 0 } };
	static const char *const bad[] = { "",    "%",   "101%", "1.1", "-1%",
					   "1 %", "nan", "1e-2", "one" };
	uint32_t ppm;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(operator_parse_share(good[i].text, &ppm));
		assert_int_equal(ppm, good[i].ppm);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (operator_parse_share(bad[i], &ppm))
			fail_msg("'%s' was taken as %u", bad[i], ppm);
}

static void
test_operator_numbers_keep_their_bounds(void **state)
{
	uint32_t n;

	(void)state;
	assert_true(operator_parse_number("10000", 1, 10000, &n));
	assert_int_equal(n, 10000);
	assert_false(operator_parse_number("10001", 1, 10000, &n));
	assert_false(operator_parse_number("0", 1, 10000, &n));
	assert_false(operator_parse_number("1x", 1, 10000, &n));
	assert_false(operator_parse_number("", 0, 10000, &n));
}

static void
test_operator_actor_is_named_where_it_is_known(void **state)
{
	char out[64];

	(void)state;
	operator_actor("uid:0", out, sizeof(out));
	assert_string_equal(out, "root");
	operator_actor("uid:4294967290", out, sizeof(out));
	assert_string_equal(out, "uid:4294967290");
	operator_actor("operator:ann", out, sizeof(out));
	assert_string_equal(out, "operator:ann");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operator_times_have_units),
		cmocka_unit_test(test_operator_shares_are_percent_or_fractions),
		cmocka_unit_test(test_operator_numbers_keep_their_bounds),
		cmocka_unit_test(test_operator_actor_is_named_where_it_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
