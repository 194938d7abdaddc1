/*
 * http/server_test.c - the server over real sockets: replies, streams, keep-alive, clients that leave.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

static void
test_server_reply_has_the_headers_it_must(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	client_ask(fd, GET("/hello"), 200, &r);
	assert_memory_equal(r.head, "HTTP/1.1 200 OK\r\n", 17);
	assert_string_equal(r.body, "hello");
	assert_string_equal(response_header(&r, "Content-Length"), "5");
	assert_string_equal(response_header(&r, "Content-Type"), "text/plain");
	assert_int_equal(strlen(response_header(&r, "Date")),
			 strlen("Sun, 06 Nov 1994 08:49:37 GMT"));
	assert_string_equal(response_header(&r, "X-Common"), "exchange");
	assert_string_equal(response_header(&r, "X-Last"), "1");
	assert_null(response_header(&r, "X-Next"));
	assert_null(response_header(&r, "X-Split"));
	assert_null(response_header(&r, "X Bad"));
	assert_null(response_header(&r, "Connection"));
	response_done(&r);
	(void)close(fd);
}

static void
test_server_keeps_the_connection_for_many_requests(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	for (int i = 0; i < 100; i++) {
		client_ask(fd, GET("/hello"), 200, &r);
		response_done(&r);
	}
	client_ask(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, &r);
	assert_string_equal(response_header(&r, "Connection"), "close");
	assert_true(client_at_end(fd));
	response_done(&r);
	(void)close(fd);
}

static void
test_server_request_parts_reach_the_handler(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	client_ask(fd, "PUT /%65cho?a=%20b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz",
		   200, &r);
	assert_string_equal(response_header(&r, "X-Path"), "/echo");
	assert_string_equal(response_header(&r, "X-Query"), "a=%20b");
	assert_string_equal(response_header(&r, "X-Method"), "PUT");
	assert_string_equal(r.body, "xyz");
	response_done(&r);
	(void)close(fd);
}

static void
test_server_chunked_request_is_read(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	client_ask(fd,
		   "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		   "3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n" GET("/hello"),
		   200, &r);
	assert_string_equal(r.body, "abcde");
	response_done(&r);
	client_read(fd, &r, false);
	assert_string_equal(r.body, "hello");
	response_done(&r);
	(void)close(fd);
}

static void
test_server_pipelined_requests_are_answered_in_order(void **state)
{
	enum {
		N = 500
	};
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	char *all = calloc(N, 128);
	size_t len = 0;
	struct response r;

	assert_non_null(all);
	for (int i = 0; i < N; i++)
		len += (size_t)sprintf(all + len, "GET /echo?%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
	client_send_bytes(fd, all, len);
	free(all);
	for (int i = 0; i < N; i++) {
		client_read(fd, &r, false);
		assert_int_equal(r.status, 200);
		assert_int_equal(strtol(response_header(&r, "X-Query"), NULL, 10), i);
		response_done(&r);
	}
	(void)close(fd);
}

static void
test_server_second_request_waits_for_the_first(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	client_send(fd, GET("/hold") GET("/hello"));
	harness_await(&h->held_count, 1);
	client_send(fd, GET("/hello")); /* comes while the server is busy */
	assert_int_equal(atomic_load(&h->requests), 1);
	harness_release(h);
	client_read(fd, &r, false);
	assert_string_equal(r.body, "held");
	response_done(&r);
	for (int i = 0; i < 2; i++) {
		client_read(fd, &r, false);
		assert_string_equal(r.body, "hello");
		response_done(&r);
	}
	(void)close(fd);
}

static void
test_server_head_gets_headers_only(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	client_ask(fd, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200, &r);
	assert_string_equal(response_header(&r, "Content-Length"), "5");
	response_done(&r);
	client_ask(fd, "HEAD /stream?100000 HTTP/1.1\r\nHost: a\r\n\r\n", 200, &r);
	response_done(&r);
	client_ask(fd, GET("/hello"), 200, &r);
	assert_string_equal(r.body, "hello");
	response_done(&r);
	(void)close(fd);
}

static void
test_server_http10_is_closed_and_never_chunked(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	client_ask(fd, "GET /stream?100000 HTTP/1.0\r\n\r\n", 200, &r);
	assert_null(response_header(&r, "Transfer-Encoding"));
	assert_string_equal(response_header(&r, "Connection"), "close");
	assert_int_equal(r.len, 100000);
	response_done(&r);
	(void)close(fd);
}

static void
test_server_expect_continue_is_answered_before_the_body(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	client_ask(
	    fd,
	    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
	    100, &r);
	response_done(&r);
	client_ask(fd, "abc", 200, &r);
	assert_string_equal(r.body, "abc");
	response_done(&r);
	(void)close(fd);
}

static void
test_server_header_injection_is_dropped(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	client_ask(fd, GET("/inject"), 200, &r);
	assert_string_equal(response_header(&r, "X-Good"), "1");
	assert_null(response_header(&r, "X-Evil"));
	assert_null(response_header(&r, "X-Bad"));
	assert_null(response_header(&r, "Transfer-Encoding"));
	assert_string_equal(response_header(&r, "Content-Length"), "4");
	response_done(&r);
	(void)close(fd);
}

static void
test_server_slow_reader_bounds_the_output(void **state)
{
	enum {
		TOTAL = 64 * 1024 * 1024,
		BOUND = 16 * 1024 * 1024
	};
	struct harness *h = *state;
	int fd = client_connect(h->address, 65536);
	static char buf[65536];
	size_t got = 0, most = 0;
	ssize_t n;

	client_send(fd, "GET /stream?67108864 HTTP/1.0\r\n\r\n");
	harness_await(&h->requests, 1);
	/* Connections of others are served meanwhile. */
	for (int i = 0; i < 100; i++) {
		int other = client_connect(h->address, 0);
		struct response r;

		client_ask(other, GET("/hello"), 200, &r);
		response_done(&r);
		(void)close(other);
	}
	assert_false(atomic_load(&h->produced_all));
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		size_t ahead = atomic_load(&h->produced);

		ahead = ahead > got ? ahead - got : 0;
		most = ahead > most ? ahead : most;
		got += (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_true(got > TOTAL);
	assert_true(most < BOUND); /* what the kernel holds for a client, and write_high_bytes */
	(void)close(fd);
}

static void
test_server_client_that_leaves_is_noticed(void **state)
{
	struct harness *h = *state;
	int a = client_connect(h->address, 0);
	int b = client_connect(h->address, 65536);
	int c = client_connect(h->address, 0);

	client_send(a, GET("/hold"));
	client_send(c, GET("/hold") GET("/hello")); /* also with more behind it */
	client_send(b, GET("/stream?67108864"));
	harness_await(&h->requests, 3);
	(void)close(a);
	harness_await(&h->gone, 1);
	(void)close(b);
	harness_await(&h->gone, 2);
	(void)shutdown(c, SHUT_WR);
	harness_await(&h->gone, 3);
	assert_true(client_at_end(c));
	(void)close(c);
	harness_await_connections(h, 0);
	assert_int_equal(atomic_load(&h->requests), 3);
}

static void
test_server_half_closed_client_gets_a_ready_reply(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 65536);
	struct response r;

	client_send(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	(void)shutdown(fd, SHUT_WR);
	client_read(fd, &r, false);
	assert_string_equal(r.body, "hello");
	response_done(&r);
	assert_true(client_at_end(fd));
	(void)close(fd);
}

static void
test_server_abort_breaks_the_chunked_stream(void **state)
{
	struct harness *h = *state;
	int fd = client_connect(h->address, 0);
	struct response r;

	client_send(fd, GET("/abort"));
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "part");
	assert_false(r.complete);
	response_done(&r);
	(void)close(fd);
	fd = client_connect(h->address, 0);
	client_send(fd, GET("/drop"));
	assert_true(client_at_end(fd));
	(void)close(fd);
	harness_await_connections(h, 0);
}

static unsigned
open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL) /* NOLINT(concurrency-mt-unsafe): a stream of our own */
		n++;
	(void)closedir(d);
	return n;
}

static void
test_server_thousand_connections_leave_no_descriptor(void **state)
{
	struct harness *h = *state;
	unsigned before = open_descriptors();

	for (int i = 0; i < 1000; i++) {
		int fd = client_connect(h->address, 0);
		struct response r;

		switch (i % 4) {
		case 0:
			client_ask(fd, GET("/hello"), 200, &r);
			response_done(&r);
			break;
		case 1:
			client_send(fd, "GET /hel");
			break;
		case 2:
			client_ask(fd, "rubbish\r\n\r\n", 400, &r);
			response_done(&r);
			break;
		default:
			client_send(fd, GET("/hold"));
			break;
		}
		(void)close(fd);
	}
	harness_await_connections(h, 0);
	harness_await(&h->held_count, 0);
	assert_int_equal(open_descriptors(), before);
}

static void
drain(struct harness *h)
{
	http_server_drain(h->server);
}

static void
test_server_drain_finishes_what_has_begun(void **state)
{
	struct harness *h = *state;
	int idle = client_connect(h->address, 0);
	int busy = client_connect(h->address, 0);
	struct response r;

	client_ask(idle, GET("/hello"), 200, &r);
	response_done(&r);
	client_send(busy, GET("/hold"));
	harness_await(&h->held_count, 1);
	harness_on_loop(h, drain);
	assert_true(client_at_end(idle));
	harness_release(h);
	client_read(busy, &r, false);
	assert_string_equal(r.body, "held");
	assert_string_equal(response_header(&r, "Connection"), "close");
	response_done(&r);
	assert_true(client_at_end(busy));
	(void)close(idle);
	(void)close(busy);
	harness_await_connections(h, 0);
}

static void
test_server_close_with_open_exchanges_leaves_nothing(void **state)
{
	struct harness *h = *state;
	int a = client_connect(h->address, 0);
	int b = client_connect(h->address, 65536);

	client_send(a, GET("/hold"));
	client_send(b, GET("/stream?67108864"));
	harness_await(&h->requests, 2);
	harness_stop(h); /* leak and loop checks are there */
	assert_int_equal(atomic_load(&h->gone), 0);
	assert_true(client_at_end(a));
	(void)close(a);
	(void)close(b);
	harness_start(h, (struct http_params){ 0 });
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_server_reply_has_the_headers_it_must),
		T(test_server_keeps_the_connection_for_many_requests),
		T(test_server_request_parts_reach_the_handler),
		T(test_server_chunked_request_is_read),
		T(test_server_pipelined_requests_are_answered_in_order),
		T(test_server_second_request_waits_for_the_first),
		T(test_server_head_gets_headers_only),
		T(test_server_http10_is_closed_and_never_chunked),
		T(test_server_expect_continue_is_answered_before_the_body),
		T(test_server_header_injection_is_dropped),
		T(test_server_slow_reader_bounds_the_output),
		T(test_server_client_that_leaves_is_noticed),
		T(test_server_half_closed_client_gets_a_ready_reply),
		T(test_server_abort_breaks_the_chunked_stream),
		T(test_server_thousand_connections_leave_no_descriptor),
		T(test_server_drain_finishes_what_has_begun),
		T(test_server_close_with_open_exchanges_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
