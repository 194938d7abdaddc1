/*
 * base/loop_wait_test.c - when a loop asks again and again for its descriptors, and when it sleeps.
 */
#include "base/loop_wait.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define LONG_US  1000000 /* that a machine never takes for a wait that is over at once */
#define SHORT_US UINT64_C(100)

static int epfd, fd;

static int
setup(void **state)
{
	struct epoll_event ev = { .events = EPOLLIN };

	(void)state;
	epfd = epoll_create1(EPOLL_CLOEXEC);
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return epfd >= 0 && fd >= 0 && epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	return close(fd) + close(epfd);
}

static void
set_ready(bool ready)
{
	uint64_t n = 1;

	if (ready)
		assert_int_equal(write(fd, &n, sizeof(n)), sizeof(n));
	else
		assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
}

static int
wait_for(struct loop_wait *w, uint64_t us)
{
	struct epoll_event ev;

	return loop_wait_fds(w, epfd, &ev, 1, us == UINT64_MAX ? us : clock_mono_us() + us);
}

static void
test_loop_wait_that_was_short_often_enough_is_polled_until_one_is_in_vain(void **state)
{
	struct loop_wait w = { .poll_us = LONG_US };

	(void)state;
	set_ready(true);
	for (unsigned i = 1; i <= 8; i++) {
		assert_int_equal(wait_for(&w, UINT64_MAX), 1);
		assert_int_equal(w.quick, i);
	}
	assert_int_equal(wait_for(&w, UINT64_MAX), 1);
	assert_int_equal(w.quick, 8); /* found by polling */
	set_ready(false);
	w.poll_us = SHORT_US;
	assert_int_equal(wait_for(&w, 5 * SHORT_US), 0);
	assert_int_equal(w.quick, 0);
}

static void
test_loop_wait_that_is_long_begins_the_count_anew(void **state)
{
	struct loop_wait w = { .poll_us = SHORT_US, .quick = 7 };

	(void)state;
	assert_int_equal(wait_for(&w, 3 * SHORT_US), 0);
	assert_int_equal(w.quick, 0);
}

static void
test_loop_wait_never_polls_where_it_may_not(void **state)
{
	struct loop_wait never = { .poll_us = 0 };
	struct loop_wait beside = { .poll_us = LONG_US, .quick = 8, .beside = 1 };

	(void)state;
	set_ready(true);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(wait_for(&never, UINT64_MAX), 1);
	assert_int_equal(never.quick, 0);
	set_ready(false);
	/* In vain, but it was not polled: what was learned of quick waits stays. */
	assert_int_equal(wait_for(&beside, SHORT_US), 0);
	assert_int_equal(beside.quick, 8);
}

static void
test_loop_wait_ends_when_the_next_timer_is_due(void **state)
{
	struct loop_wait w = { .poll_us = 100 * LONG_US, .quick = 8 };

	(void)state;
	assert_int_equal(wait_for(&w, SHORT_US), 0); /* else ctest ends it */
	w.quick = 8;
	set_ready(true);
	assert_int_equal(wait_for(&w, 0), 1);
	set_ready(false);
	assert_int_equal(loop_wait_fds(&w, epfd, &(struct epoll_event){ 0 }, 1, 0), 0);
	assert_int_equal(w.quick, 8); /* not a wait at all */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_loop_wait_that_was_short_often_enough_is_polled_until_one_is_in_vain,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_loop_wait_that_is_long_begins_the_count_anew,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_loop_wait_never_polls_where_it_may_not, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_loop_wait_ends_when_the_next_timer_is_due,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
