/*
 * cli/when_test.c - dates and "ago".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/when.h"

#define NOW UINT64_C(1800000000000000)

static void
test_when_is_a_date_a_time_or_so_long_ago(void **state)
{
	static const struct {
		const char *text;
		uint64_t us;
	} rows[] = {
		{ "2026-01-31", UINT64_C(1769817600000000) },
		{ "2026-01-31T12:00:01Z", UINT64_C(1769860801000000) },
		{ "90s", NOW - UINT64_C(90000000) },
		{ "2h", NOW - UINT64_C(7200000000) },
		{ "7d", NOW - UINT64_C(604800000000) },
		{ "0m", NOW },
		{ "36500d", 1 }, /* before 1970 */
	};
	uint64_t us;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(when_parse(rows[i].text, NOW, &us));
		assert_int_equal(us, rows[i].us);
	}
}

static void
test_when_is_nothing_else(void **state)
{
	static const char *const bad[] = { "",
					   "now",
					   "12",
					   "5x",
					   "-2h",
					   "2h ",
					   "36501d",
					   "1234567890s",
					   "h",
					   "2026-13-01",
					   "2026-01-31T",
					   "2026-01-31T12:00:00",
					   "1969-12-31",
					   "2026-01-31 12:00:00Z",
					   "2hh" };
	uint64_t us = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(when_parse(bad[i], NOW, &us));
	assert_int_equal(us, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_when_is_a_date_a_time_or_so_long_ago),
		cmocka_unit_test(test_when_is_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
