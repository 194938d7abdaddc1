/*
 * cli/child_test.c - back-off and states on virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/child.h"

static void
test_child_that_dies_again_and_again_waits_longer(void **state)
{
	static const uint32_t waits[] = { 100, 200, 400, 800, 1600, 5000, 5000, 5000 };
	struct child c = { 0 };
	uint64_t now = 1000;

	(void)state;
	child_started(&c, now);
	child_ready(&c);
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		child_exited(&c, now + 50);
		assert_int_equal(c.state, CHILD_WAITING);
		if (waits[i] < 5000)
			assert_int_equal(c.restart_at_ms, now + 50 + waits[i]);
		else
			assert_in_range(c.restart_at_ms, now + 50 + 3200, now + 50 + 5000);
		now = c.restart_at_ms;
		child_started(&c, now);
		assert_true(child_alive(&c));
	}
	/* A long life is forgiven. */
	child_exited(&c, now + CHILD_STEADY_MS);
	assert_int_equal(c.restart_at_ms, now + CHILD_STEADY_MS + CHILD_BACKOFF_MIN_MS);
}

static void
test_child_that_was_never_ready_is_not_started_again(void **state)
{
	struct child c = { 0 };

	(void)state;
	child_started(&c, 0);
	child_exited(&c, 10);
	assert_int_equal(c.state, CHILD_FAILED);
	assert_false(child_stop(&c));
	assert_int_equal(c.state, CHILD_FAILED);
}

static void
test_child_that_is_told_to_stop_is_gone_after_its_exit(void **state)
{
	struct child c = { 0 };

	(void)state;
	child_started(&c, 0);
	assert_true(child_stop(&c));
	child_ready(&c);
	assert_int_equal(c.state, CHILD_STOPPING);
	child_exited(&c, 10);
	assert_int_equal(c.state, CHILD_GONE);
	assert_false(child_alive(&c));
}

static void
test_child_that_waits_is_gone_at_once_when_told(void **state)
{
	struct child c = { 0 };

	(void)state;
	child_started(&c, 0);
	child_ready(&c);
	child_exited(&c, 10);
	assert_false(child_stop(&c));
	assert_int_equal(c.state, CHILD_GONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_child_that_dies_again_and_again_waits_longer),
		cmocka_unit_test(test_child_that_was_never_ready_is_not_started_again),
		cmocka_unit_test(test_child_that_is_told_to_stop_is_gone_after_its_exit),
		cmocka_unit_test(test_child_that_waits_is_gone_at_once_when_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
