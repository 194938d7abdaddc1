/*
 * http/listen_test.c - the addresses that a server listens on, good and bad.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/harness.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static int
start(void **state)
{
	static struct harness h;

	harness_start(&h, (struct http_params){ 0 });
	*state = &h;
	return 0;
}

static int
stop(void **state)
{
	harness_stop(*state);
	return 0;
}

/* What a process that was killed leaves behind. */
static void
leave_stale_socket(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	(void)close(fd);
}

static enum im_rc
try_open(struct harness *h, const char *address, struct im_err *err)
{
	const struct http_ops none = { 0 };
	struct http_server *s = NULL;
	enum im_rc rc;

	loop_enter(h->loop);
	rc = http_server_open(h->loop, &(struct http_params){ .listen = address }, &none, NULL, &s,
			      err);
	if (rc == IM_OK)
		http_server_close(s);
	loop_leave(h->loop);
	return rc;
}

static void
test_listen_unix_socket_is_private_and_replaces_a_stale_one(void **state)
{
	char dir[] = "/tmp/http-test-XXXXXX", address[64];
	struct harness h;
	struct response r;
	struct im_err err;
	struct stat st;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(address, sizeof(address), "unix:%s/s", dir);
	leave_stale_socket(address + 5);
	harness_start(&h, (struct http_params){ .listen = address });
	assert_int_equal(stat(address + 5, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	fd = client_connect(h.address, 0);
	client_ask(fd, GET("/hello"), 200, &r);
	response_done(&r);
	(void)close(fd);
	assert_int_equal(try_open(&h, address, &err), IM_EEXIST);
	assert_int_equal(stat(address + 5, &st), 0);
	harness_stop(&h);
	assert_int_equal(access(address + 5, F_OK), -1);
	assert_int_equal(rmdir(dir), 0);
}

static void
test_listen_bad_address_says_why(void **state)
{
	static const char *const bad[] = {
		"",      "127.0.0.1",       "127.0.0.1:", "127.0.0.1:x", ":1",
		"::1:1", "127.0.0.1:99999", "[::1:80",    "unix:",       "unix:/no/such/folder/s"
	};
	struct harness *h = *state;
	struct im_err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (try_open(h, bad[i], &err) != IM_EINVAL)
			fail_msg("%s was taken", bad[i]);
		assert_non_null(strstr(err.text, bad[i]));
	}
	assert_int_equal(try_open(h, h->address, &err), IM_EEXIST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listen_unix_socket_is_private_and_replaces_a_stale_one),
		cmocka_unit_test_setup_teardown(test_listen_bad_address_says_why, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
