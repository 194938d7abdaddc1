/* daemon/manager_test.c - what a manager hears, at an address of either kind, and what it never does. */
#include "daemon/manager.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* NOLINTBEGIN(concurrency-mt-unsafe): this program has one thread */

/* A manager that listens at 'name', which becomes NOTIFY_SOCKET. */
static int
manager_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void
assert_heard(int fd, const char *text)
{
	char heard[2048] = "";

	assert_int_equal(recv(fd, heard, sizeof(heard) - 1, 0), strlen(text));
	assert_string_equal(heard, text);
}

static void
test_manager_with_a_path_hears_lines(void **state)
{
	char name[64];
	int fd;

	(void)state;
	(void)snprintf(name, sizeof(name), "/tmp/im-manager-%d", (int)getpid());
	(void)unlink(name);
	fd = manager_at(name);
	manager_say("READY=1\nSTATUS=serving at %s", "ipc:///x");
	assert_heard(fd, "READY=1\nSTATUS=serving at ipc:///x");
	(void)close(fd);
	(void)unlink(name);
	manager_say("STOPPING=1"); /* nobody is there any more */
}

static void
test_manager_with_an_abstract_name_hears_lines(void **state)
{
	char name[64], longest[2000];
	int fd;

	(void)state;
	(void)snprintf(name, sizeof(name), "@im-manager-%d", (int)getpid());
	fd = manager_at(name);
	manager_say("WATCHDOG=1");
	assert_heard(fd, "WATCHDOG=1");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	manager_say("%s", longest);
	longest[1023] = '\0';
	assert_heard(fd, longest);
	(void)close(fd);
}

static void
test_manager_that_cannot_be_is_told_nothing(void **state)
{
	char too_long[200];

	(void)state;
	memset(too_long, 'a', sizeof(too_long));
	too_long[0] = '/';
	too_long[sizeof(too_long) - 1] = '\0';
	(void)setenv("NOTIFY_SOCKET", too_long, 1);
	manager_say("READY=1");
	(void)setenv("NOTIFY_SOCKET", "", 1);
	manager_say("READY=1");
	(void)setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
	manager_say("READY=1");
	(void)unsetenv("NOTIFY_SOCKET");
	manager_say("READY=1");
}

static void
test_watchdog_is_for_the_process_that_it_names(void **state)
{
	char pid[24];

	(void)state;
	(void)unsetenv("WATCHDOG_PID");
	(void)unsetenv("WATCHDOG_USEC");
	assert_int_equal(manager_watchdog_us(), 0);
	(void)setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(manager_watchdog_us(), 30000000);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(manager_watchdog_us(), 30000000);
	(void)setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(manager_watchdog_us(), 0);
	(void)setenv("WATCHDOG_PID", "", 1);
	assert_int_equal(manager_watchdog_us(), 0);
	(void)unsetenv("WATCHDOG_PID");
	(void)setenv("WATCHDOG_USEC", "-1", 1);
	assert_int_equal(manager_watchdog_us(), 0);
	(void)setenv("WATCHDOG_USEC", "30s", 1);
	assert_int_equal(manager_watchdog_us(), 0);
	(void)setenv("WATCHDOG_USEC", "99999999999999999999999", 1);
	assert_int_equal(manager_watchdog_us(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manager_with_a_path_hears_lines),
		cmocka_unit_test(test_manager_with_an_abstract_name_hears_lines),
		cmocka_unit_test(test_manager_that_cannot_be_is_told_nothing),
		cmocka_unit_test(test_watchdog_is_for_the_process_that_it_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
/* NOLINTEND(concurrency-mt-unsafe) */
