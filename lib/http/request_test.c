/*
 * http/request_test.c - which bytes are a request and which are refused, with no socket. Each case is read whole and byte
 * by byte: how the network cuts the bytes must not matter.
 */
#include "http/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEADER_MAX 2048
#define BODY_MAX   64
#define HOST       "Host: a\r\n"

/* Feed the bytes in pieces of 'step'; what it ended with. '*ret_at' is how many were taken. */
static enum reader_event
feed(struct reader *r, const char *bytes, size_t len, size_t step, size_t *ret_at)
{
	enum reader_event ev = READER_MORE;
	size_t at = 0;

	while (at < len && (ev == READER_MORE || ev == READER_HEAD)) {
		size_t n = len - at < step ? len - at : step;
		/* A copy of its own, so that a sanitizer sees a read beyond the piece. */
		uint8_t *piece = malloc(n > 0 ? n : 1);
		size_t used;

		assert_non_null(piece);
		memcpy(piece, bytes + at, n);
		ev = http_reader_feed(r, piece, n, &used);
		free(piece);
		assert_true(used <= n);
		if (ev == READER_MORE)
			assert_int_equal(used, n);
		at += used;
	}
	*ret_at = at;
	return ev;
}

struct refused_case {
	int status;
	const char *bytes;
};

static const struct refused_case refused[] = {
	/* The request line. */
	{ 400, " GET / HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET  / HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /  HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET / HTTP/1.1 \r\n" HOST "\r\n" },
	{ 400, "GET /\r\n" HOST "\r\n" },
	{ 400, "GET / http/1.1\r\n" HOST "\r\n" },
	{ 400, "GET / HTTP/1.10\r\n" HOST "\r\n" },
	{ 400, "GET / HTTP/11\r\n" HOST "\r\n" },
	{ 400, "G(T / HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET a HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET * HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET http:///a HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /#a HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /\x01 HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /\x7f HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /%00 HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /%zz HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /a% HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /a%2 HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /a%2?b HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "\rGET / HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "\x16\x03\x01 TLS hello on a plain port" },
	{ 501, "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n" },
	{ 505, "GET / HTTP/2.0\r\n" HOST "\r\n" },
	{ 505, "GET / HTTP/0.9\r\n" HOST "\r\n" },
	{ 505, "GET / HTTP/1.2\r\n" HOST "\r\n" },
	/* Line ends and headers. */
	{ 400, "GET / HTTP/1.1\n" HOST "\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A: b\x01\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A: b\x7f\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n A: b\r\n" HOST "\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A(: b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "\xc3: b\r\n\r\n" },
	/* Host. */
	{ 400, "GET / HTTP/1.1\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n" },
	{ 400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n" },
	/* Framing. */
	{ 400,
	  "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" },
	{ 400,
	  "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\nContent-Length: 0\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 1\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1 \v\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n" },
	{ 413, "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n\r\n" },
	{ 413, "POST / HTTP/1.1\r\n" HOST "Content-Length: 65\r\n\r\n" },
	{ 501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n" },
	{ 501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n" },
	{ 501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \r\n\r\n" },
	{ 501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;a\r\n\r\n" },
	{ 501, "POST / HTTP/1.1\r\n" HOST
	       "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" },
	{ 501, "POST / HTTP/1.1\r\n" HOST
	       "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" },
	{ 400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n" },
	{ 417, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nExpect: 200-ok\r\n\r\n" },
/* Chunks. */
#define CHUNKED "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
	{ 400, CHUNKED "\r\n" },
	{ 400, CHUNKED "g\r\n" },
	{ 400, CHUNKED " 1\r\na\r\n0\r\n\r\n" },
	{ 400, CHUNKED "1 \r\na\r\n0\r\n\r\n" },
	{ 400, CHUNKED "0x1\r\na\r\n0\r\n\r\n" },
	{ 400, CHUNKED "1\na\r\n0\r\n\r\n" },
	{ 400, CHUNKED "1\r\nab\r\n0\r\n\r\n" },
	{ 400, CHUNKED "2\r\na\r\n0\r\n\r\n" },
	{ 400, CHUNKED "1\r\na\n0\r\n\r\n" },
	{ 400, CHUNKED "1;a\rb\r\na\r\n0\r\n\r\n" },
	{ 400, CHUNKED "1;a\x01\r\na\r\n0\r\n\r\n" },
	{ 400, CHUNKED "0\r\n\n" },
	{ 400, CHUNKED "0\r\nA: b\n\r\n" },
	{ 400, CHUNKED "0\r\nA: b\x01\r\n\r\n" },
	{ 400, CHUNKED "10000000000000001\r\n" },
	{ 413, CHUNKED "ffffffffffffffff\r\n" },
	{ 413, CHUNKED "41\r\n" },
	{ 413, CHUNKED "1\r\na\r\n40\r\n" },
};

static void
test_reader_bad_request_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		for (size_t step = 1; step < 8192; step *= 2) {
			struct reader r;
			size_t at;
			enum reader_event ev;

			http_reader_init(&r, HEADER_MAX, BODY_MAX);
			ev = feed(&r, refused[i].bytes, strlen(refused[i].bytes), step, &at);
			if (ev != READER_REFUSED || r.refusal.status != refused[i].status)
				fail_msg("case %zu, step %zu: event %d, status %d, not %d: %s", i,
					 step, (int)ev, r.refusal.status, refused[i].status,
					 refused[i].bytes);
			assert_true(r.refusal.text[0] != '\0');
			http_reader_done(&r);
		}
	}
}

static void
test_reader_nul_anywhere_in_head_is_refused(void **state)
{
	static const char good[] = "GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
	size_t len = sizeof(good) - 1;

	(void)state;
	for (size_t i = 0; i < len; i++) {
		char bytes[sizeof(good)];
		struct reader r;
		size_t at;

		memcpy(bytes, good, sizeof(good));
		bytes[i] = '\0';
		http_reader_init(&r, HEADER_MAX, BODY_MAX);
		/* Where the NUL breaks a line end more must come; then the next line end shows it. */
		if (feed(&r, bytes, len, len, &at) == READER_MORE)
			assert_int_equal(feed(&r, "\r\n\r\n", 4, 4, &at), READER_REFUSED);
		assert_int_equal(r.refusal.status, 400);
		http_reader_done(&r);
	}
}

struct taken_case {
	const char *bytes, *method, *path, *query, *header_a, *body;
	bool close, expect_continue;
};

static const struct taken_case taken[] = {
	{ "GET / HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "", NULL, "", false, false },
	{ "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "", NULL, "", false, false },
	{ "GET /a%20b%2Fc?d=%00&e HTTP/1.1\r\nhost:\r\n\r\n", "GET", "/a b/c", "d=%00&e", NULL, "",
	  false, false },
	{ "GET /a?b?c HTTP/1.1\r\n" HOST "A:b\r\n\r\n", "GET", "/a", "b?c", "b", "", false, false },
	{ "GET http://h:1/x?y HTTP/1.1\r\n" HOST "\r\n", "GET", "/x", "y", NULL, "", false, false },
	{ "GET HTTPS://h HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "", NULL, "", false, false },
	{ "GET http://h?q HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "q", NULL, "", false, false },
	{ "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS", "*", "", NULL, "", false, false },
	{ "get / HTTP/1.1\r\n" HOST "\r\n", "get", "/", "", NULL, "", false, false },
	{ "GET / HTTP/1.0\r\n\r\n", "GET", "/", "", NULL, "", true, false },
	{ "GET / HTTP/1.1\r\n" HOST "a: \t b c \t\r\n\r\n", "GET", "/", "", "b c", "", false,
	  false },
	{ "GET / HTTP/1.1\r\n" HOST "A: \xc3\xa4\r\n\r\n", "GET", "/", "", "\xc3\xa4", "", false,
	  false },
	{ "GET / HTTP/1.1\r\n" HOST "A: 1\r\nB: 2\r\na:\r\nA: 3\r\n\r\n", "GET", "/", "", "1, , 3",
	  "", false, false },
	{ "GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", "GET", "/", "", NULL, "", true,
	  false },
	{ "GET / HTTP/1.1\r\n" HOST "Connection: closed, keep-alive\r\n\r\n", "GET", "/", "", NULL,
	  "", false, false },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", "POST", "/", "", NULL, "abc",
	  false, false },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 003\r\nContent-Length: 3\r\n\r\nabc", "POST",
	  "/", "", NULL, "abc", false, false },
	{ "POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: x\r\n\r\nabc", "POST", "/", "", NULL,
	  "abc", true, false },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\na", "POST",
	  "/", "", NULL, "a", false, true },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n", "POST",
	  "/", "", NULL, "", false, false },
	{ CHUNKED "0\r\n\r\n", "POST", "/", "", NULL, "", false, false },
	{ CHUNKED "1\r\na\r\n02\r\nbc\r\n00\r\n\r\n", "POST", "/", "", NULL, "abc", false, false },
	{ CHUNKED "A;x=\"y\";z\r\n0123456789\r\n0\r\nTrailer: a\r\nB: c\r\n\r\n", "POST", "/", "",
	  NULL, "0123456789", false, false },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n1\r\n\r\r\n0\r\n\r\n",
	  "POST", "/", "", NULL, "\r", false, false },
};

static void
check_taken(const struct taken_case *c, struct request *req)
{
	const char *a = http_request_header(req, "A");

	assert_string_equal(req->text + req->head->method.at, c->method);
	assert_string_equal(req->head->path.len > 0 ? req->text + req->head->path.at : "/",
			    c->path);
	assert_string_equal(req->text + req->head->query.at, c->query);
	assert_int_equal(req->head->close, c->close);
	assert_int_equal(req->head->expect_continue, c->expect_continue);
	assert_int_equal(req->body.len, strlen(c->body));
	assert_memory_equal(req->body.len > 0 ? (char *)req->body.data : "", c->body,
			    req->body.len);
	if (c->header_a == NULL)
		assert_null(a);
	else
		assert_string_equal(a, c->header_a);
	assert_null(http_request_header(req, "Nothing"));
}

static void
test_reader_good_request_is_taken_and_the_next_left(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		size_t len = strlen(taken[i].bytes);
		char bytes[512];

		(void)snprintf(bytes, sizeof(bytes), "%sGET /next", taken[i].bytes);
		for (size_t step = 1; step < 1024; step *= 2) {
			struct reader r;
			size_t at;
			enum reader_event ev;
			struct request *req;

			http_reader_init(&r, HEADER_MAX, BODY_MAX);
			ev = feed(&r, bytes, strlen(bytes), step, &at);
			if (ev != READER_REQUEST || at != len)
				fail_msg("case %zu, step %zu: event %d (%s), %zu of %zu", i, step,
					 (int)ev, r.refusal.text != NULL ? r.refusal.text : "", at,
					 len);
			req = http_reader_take(&r);
			check_taken(&taken[i], req);
			http_request_free(req);
			assert_int_equal(r.state, READER_IDLE);
			http_reader_done(&r);
		}
	}
}

static void
test_reader_truncated_request_waits_for_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		size_t len = strlen(taken[i].bytes);

		for (size_t cut = 0; cut < len; cut++) {
			struct reader r;
			size_t at;
			enum reader_event ev;

			http_reader_init(&r, HEADER_MAX, BODY_MAX);
			ev = feed(&r, taken[i].bytes, cut, cut, &at);
			assert_true(ev == READER_MORE || ev == READER_HEAD);
			http_reader_done(&r); /* frees whatever was begun */
		}
	}
}

/* What a head of a given kind and size is answered with; 0 = taken. */
static int
size_status(const char *before, size_t fill, const char *after, size_t header_max)
{
	size_t len = strlen(before) + fill + strlen(after);
	char *bytes = malloc(len + 1);
	int status[3] = { 0 }, n = 0;

	assert_non_null(bytes);
	(void)snprintf(bytes, len + 1, "%s%*s%s", before, (int)fill, "", after);
	memset(bytes + strlen(before), 'a', fill);
	for (size_t step = 1; step <= len; step = step == 1 ? 1000 : len + (step == len)) {
		struct reader r;
		size_t at;

		http_reader_init(&r, header_max, BODY_MAX);
		(void)feed(&r, bytes, len, step, &at);
		status[n++] = r.refusal.status;
		http_reader_done(&r);
	}
	free(bytes);
	for (int i = 1; i < n; i++)
		assert_int_equal(status[i], status[0]);
	return status[0];
}

static void
test_reader_long_target_is_414(void **state)
{
	(void)state;
	assert_int_equal(size_status("GET /", 8191, " HTTP/1.1\r\n" HOST "\r\n", 32768), 0);
	assert_int_equal(size_status("GET /", 8192, " HTTP/1.1\r\n" HOST "\r\n", 32768), 414);
	assert_int_equal(size_status("GET /", 20000, "", 32768), 414);
	assert_int_equal(size_status("GET /", 3000, " HTTP/1.1\r\n" HOST "\r\n", 2048), 414);
}

static void
test_reader_large_headers_are_431(void **state)
{
	static const char before[] = "GET / HTTP/1.1\r\n" HOST "A: ";
	size_t rest = strlen(before) + 4;

	(void)state;
	assert_int_equal(size_status(before, 2048 - rest, "\r\n\r\n", 2048), 0);
	assert_int_equal(size_status(before, 2049 - rest, "\r\n\r\n", 2048), 431);
	assert_int_equal(size_status(before, 5000, "", 2048), 431);
}

static void
test_reader_too_many_headers_are_431(void **state)
{
	(void)state;
	for (int count = 99; count <= 100; count++) {
		char bytes[2048];
		int n = snprintf(bytes, sizeof(bytes), "GET / HTTP/1.1\r\n" HOST);
		struct reader r;
		size_t at;

		for (int i = 0; i < count; i++)
			n += snprintf(bytes + n, sizeof(bytes) - (size_t)n, "a:b\r\n");
		n += snprintf(bytes + n, sizeof(bytes) - (size_t)n, "\r\n");
		http_reader_init(&r, HEADER_MAX, BODY_MAX);
		(void)feed(&r, bytes, (size_t)n, (size_t)n, &at);
		assert_int_equal(r.refusal.status, count == 100 ? 431 : 0);
		http_reader_done(&r);
	}
}

static void
test_reader_long_chunk_line_and_trailer_are_refused(void **state)
{
	(void)state;
	assert_int_equal(size_status(CHUNKED "1;", 253, "\r\na\r\n0\r\n\r\n", 2048), 0);
	assert_int_equal(size_status(CHUNKED "1;", 254, "\r\na\r\n0\r\n\r\n", 2048), 400);
	assert_int_equal(size_status(CHUNKED "0\r\nA:", 8188, "\r\n\r\n", 2048), 0);
	assert_int_equal(size_status(CHUNKED "0\r\nA:", 8192, "\r\n\r\n", 2048), 400);
}

static void
test_field_valid_refuses_injection(void **state)
{
	(void)state;
	assert_true(http_field_valid("X-A", "b c\t\xc3\xa4"));
	assert_true(http_field_valid("X-A", ""));
	assert_false(http_field_valid("", "a"));
	assert_false(http_field_valid("X A", "a"));
	assert_false(http_field_valid("X:", "a"));
	assert_false(http_field_valid("X\r\nY", "a"));
	assert_false(http_field_valid("X", "a\r\nSet-Cookie: b"));
	assert_false(http_field_valid("X", "a\nb"));
	assert_false(http_field_valid("X", "a\x7f"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader_bad_request_is_refused),
		cmocka_unit_test(test_reader_nul_anywhere_in_head_is_refused),
		cmocka_unit_test(test_reader_good_request_is_taken_and_the_next_left),
		cmocka_unit_test(test_reader_truncated_request_waits_for_more),
		cmocka_unit_test(test_reader_long_target_is_414),
		cmocka_unit_test(test_reader_large_headers_are_431),
		cmocka_unit_test(test_reader_too_many_headers_are_431),
		cmocka_unit_test(test_reader_long_chunk_line_and_trailer_are_refused),
		cmocka_unit_test(test_field_valid_refuses_injection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
