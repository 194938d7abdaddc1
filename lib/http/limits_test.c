/*
 * http/limits_test.c - what a stranger may not do, over real sockets: too large, too slow, too many. Each refusal must be
 * readable by the client that earned it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/harness.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define MIB       ((size_t)1048576)
#define SOON_MS   50

static int
start(void **state)
{
	static struct harness h;

	harness_start(&h, (struct http_params){ .body_bytes = MIB, .max_connections = 8 });
	*state = &h;
	return 0;
}

static int
start_hasty(void **state)
{
	static struct harness h;

	harness_start(&h, (struct http_params){ .header_bytes = MIB,
						.header_timeout_ms = SOON_MS,
						.body_timeout_ms = SOON_MS,
						.idle_timeout_ms = SOON_MS,
						.write_timeout_ms = SOON_MS });
	*state = &h;
	return 0;
}

static int
stop(void **state)
{
	harness_stop(*state);
	return 0;
}

/* The reply is a refusal in the owner's format, and the connection ends. */
static void
expect_refusal(int fd, int status, const char *common)
{
	struct response r;
	char start_of_body[32];

	client_read(fd, &r, false);
	if (r.status != status || !r.complete)
		fail_msg("status %d, not %d: %s%s", r.status, status, r.head, r.body);
	(void)snprintf(start_of_body, sizeof(start_of_body), "refused %d: ", status);
	assert_memory_equal(r.body, start_of_body, strlen(start_of_body));
	assert_string_equal(response_header(&r, "Content-Type"), "text/x-refused");
	assert_string_equal(response_header(&r, "Connection"), "close");
	assert_string_equal(response_header(&r, "X-Common"), common);
	response_done(&r);
	assert_true(client_at_end(fd));
}

static void
test_limits_too_large_body_is_413_while_it_is_sent(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	char *body = calloc(1, 2 * MIB);

	assert_non_null(body);
	client_send(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2097152\r\n\r\n");
	/* A client that writes all before it reads: what it writes must not reset the connection. */
	client_send_bytes(fd, body, 2 * MIB);
	expect_refusal(fd, 413, "exchange");
	(void)close(fd);

	fd = client_connect(h->address, 0);
	client_send(
	    fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n");
	client_send_bytes(fd, body, MIB);
	expect_refusal(fd, 413, "exchange");
	(void)close(fd);
	free(body);
	harness_await_connections(h, 0);
	assert_int_equal(atomic_load(&h->requests), 0);
}

static void
test_limits_endless_body_after_a_refusal_is_cut(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	static char block[65536];
	size_t sent = 0;

	client_send(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n");
	while (sent < 64 * MIB && client_try_send(fd, block, sizeof(block)))
		sent += sizeof(block);
	assert_true(sent < 64 * MIB);
	(void)close(fd);
	harness_await_connections(h, 0);
}

static void
test_limits_body_of_exactly_the_limit_is_taken(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	char *body = calloc(1, MIB);
	struct response r;

	assert_non_null(body);
	client_send(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
	client_send_bytes(fd, body, MIB);
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.len, MIB);
	response_done(&r);
	free(body);
	(void)close(fd);
}

static void
send_filled(int fd, const char *before, size_t fill, const char *after)
{
	char *bytes = malloc(fill);

	assert_non_null(bytes);
	memset(bytes, 'a', fill);
	client_send(fd, before);
	client_send_bytes(fd, bytes, fill);
	client_send(fd, after);
	free(bytes);
}

static void
test_limits_long_target_and_large_head_are_readable_refusals(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);

	send_filled(fd, "GET /", 200000, " HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_refusal(fd, 414, "none");
	(void)close(fd);
	fd = client_connect(h->address, 0);
	send_filled(fd, "GET / HTTP/1.1\r\nHost: a\r\nCookie: ", 200000, "\r\n\r\n");
	expect_refusal(fd, 431, "none");
	(void)close(fd);
}

static void
test_limits_refused_expectation_gets_no_continue(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);

	client_send(
	    fd,
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n");
	expect_refusal(fd, 413, "exchange");
	(void)close(fd);
}

static void
test_limits_requests_before_a_bad_one_are_answered(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	client_send(fd, GET("/hello") "GET / HTTP/1.1\r\n\r\n" GET("/hello"));
	client_read(fd, &r, false);
	assert_string_equal(r.body, "hello");
	response_done(&r);
	expect_refusal(fd, 400, "none");
	(void)close(fd);
	assert_int_equal(atomic_load(&h->requests), 1);
}

static void
test_limits_too_many_connections_get_503(void **state)
{
	struct harness *h = *state;
	int fds[8], extra;
	struct response r;

	for (int i = 0; i < 8; i++) {
		fds[i] = client_connect(h->address, 0);
		client_ask(fds[i], GET("/hello"), 200, &r);
		response_done(&r);
	}
	extra = client_connect(h->address, 0);
	client_send(extra, GET("/hello"));
	expect_refusal(extra, 503, "none");
	(void)close(extra);
	for (int i = 0; i < 8; i++)
		(void)close(fds[i]);
	harness_await_connections(h, 0);
	extra = client_connect(h->address, 0);
	client_ask(extra, GET("/hello"), 200, &r);
	response_done(&r);
	(void)close(extra);
}

/* With no descriptor left a client is turned away, and when there are some again clients are served. */
static void
test_limits_no_descriptors_left_recovers(void **state)
{
	struct harness *h = *state;
	struct rlimit was, now;
	int fd = client_connect(h->address, 0);
	int first = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fillers[64] = { 0 }, n = 0, waiting;
	struct response r;

	client_ask(fd, GET("/hello"), 200, &r);
	response_done(&r);
	(void)close(first);
	waiting =
	    client_connect(h->address, 0); /* takes 'first'; the server's end needs one more */
	harness_await_connections(h, 2);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	now = was;
	now.rlim_cur = (rlim_t)waiting + 8;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	while (n < 64 && (fillers[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	assert_true(n < 64);
	(void)close(fillers[--n]);
	first = client_connect(h->address, 0);
	assert_true(client_at_end(first));
	client_ask(fd, GET("/hello"), 200, &r); /* those who are in are served */
	response_done(&r);
	(void)close(first);
	while (n > 0)
		(void)close(fillers[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	first = client_connect(h->address, 0);
	client_ask(first, GET("/hello"), 200, &r);
	response_done(&r);
	(void)close(first);
	(void)close(waiting);
	(void)close(fd);
}

static void
test_limits_slow_head_is_408(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);

	/* However busily it trickles. */
	for (const char *c = "GET / HTTP/1.1\r\nA: "; *c != '\0'; c++)
		client_send_bytes(fd, c, 1);
	while (client_try_send(fd, "a", 1) &&
	       recv(fd, &(char){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
		continue;
	expect_refusal(fd, 408, "none");
	(void)close(fd);
}

static void
test_limits_slow_body_is_408(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);

	client_send(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
	expect_refusal(fd, 408, "exchange");
	(void)close(fd);
	assert_int_equal(atomic_load(&h->requests), 0);
}

static void
test_limits_idle_connection_is_closed(void **state)
{
	struct harness *h = *state;
	int fresh = client_connect(h->address, 0);
	int used = client_connect(h->address, 0);
	struct response r;

	client_ask(used, GET("/hello"), 200, &r);
	response_done(&r);
	assert_true(client_at_end(fresh));
	assert_true(client_at_end(used));
	(void)close(fresh);
	(void)close(used);
}

static void
test_limits_pending_reply_is_not_hurried(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	int idle;
	struct response r;

	client_send(fd, GET("/hold"));
	harness_await(&h->held_count, 1);
	/* All deadlines pass on another connection, which is later, meanwhile. */
	idle = client_connect(h->address, 0);
	assert_true(client_at_end(idle));
	(void)close(idle);
	harness_release(h);
	client_read(fd, &r, false);
	assert_string_equal(r.body, "held");
	response_done(&r);
	(void)close(fd);
}

static void
test_limits_client_that_reads_nothing_is_dropped(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 65536);

	client_send(fd, GET("/stream?67108864"));
	harness_await(&h->gone, 1);
	harness_await_connections(h, 0);
	assert_false(atomic_load(&h->produced_all));
	(void)close(fd);
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_limits_too_large_body_is_413_while_it_is_sent, start),
		T(test_limits_endless_body_after_a_refusal_is_cut, start),
		T(test_limits_body_of_exactly_the_limit_is_taken, start),
		T(test_limits_long_target_and_large_head_are_readable_refusals, start),
		T(test_limits_refused_expectation_gets_no_continue, start),
		T(test_limits_requests_before_a_bad_one_are_answered, start),
		T(test_limits_too_many_connections_get_503, start),
		T(test_limits_no_descriptors_left_recovers, start),
		T(test_limits_slow_head_is_408, start_hasty),
		T(test_limits_slow_body_is_408, start_hasty),
		T(test_limits_idle_connection_is_closed, start_hasty),
		T(test_limits_pending_reply_is_not_hurried, start_hasty),
		T(test_limits_client_that_reads_nothing_is_dropped, start_hasty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
