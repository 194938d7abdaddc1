/*
 * http/response_test.c - which bytes are a response and where its body ends, with no socket. Each case is read whole and byte by byte: how
 * the network cuts the bytes must not matter.
 */
#include "http/response_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct seen {
	struct http_response head;
	char type[32], again[8];
	struct buf body;
	unsigned heads;
	size_t stop_at; /* bytes of the body; 0 = never */
	size_t used;
};

static void
on_head(void *user, const struct http_response *head, const uint8_t *bytes, size_t len)
{
	struct seen *s = user;

	s->heads++;
	s->head = *head;
	(void)http_response_field(bytes, len, "content-type", s->type, sizeof(s->type));
	(void)http_response_field(bytes, len, "retry-after", s->again, sizeof(s->again));
}

static bool
on_body(void *user, const uint8_t *bytes, size_t len)
{
	struct seen *s = user;

	assert_true(len > 0);
	(void)buf_append(&s->body, bytes, len);
	return s->stop_at == 0 || s->body.len < s->stop_at;
}

static const struct response_ops ops = { .head = on_head, .body = on_body };

/* Feed the bytes in pieces of 'step'; what it ended with, and s->used of all of them. The reader is reset. */
static enum response_event
feed(const char *bytes, size_t len, size_t step, struct seen *s, bool *ret_eof)
{
	struct response_reader r = { 0 };
	struct buf scratch = { 0 };
	enum response_event ev = RESPONSE_MORE;
	size_t at = 0;

	while (at < len && ev == RESPONSE_MORE) {
		size_t n = len - at < step ? len - at : step, used = n;
		/* A copy of its own, so that a sanitizer sees a read beyond the piece. */
		uint8_t *piece = malloc(n);

		assert_non_null(piece);
		memcpy(piece, bytes + at, n);
		ev = http_response_feed(&r, piece, n, &scratch, &ops, s, &used);
		free(piece);
		at += ev == RESPONSE_END ? used : n;
	}
	s->used = at;
	*ret_eof = http_response_eof(&r);
	http_response_reset(&r);
	buf_done(&scratch);
	return ev;
}

#define OK   "HTTP/1.1 200 OK\r\n"
#define MORE RESPONSE_MORE
#define END  RESPONSE_END

static void
test_response_body_ends_where_its_head_says(void **state)
{
	static const struct {
		const char *bytes, *body;
		enum response_event ev;
		unsigned status, rest; /* bytes that are not the response's */
		bool keep, eof;        /* a close would end the body */
	} rows[] = {
		{ OK "Content-Length: 3\r\n\r\nabc", "abc", END, 200, 0, true, false },
		{ OK "Content-Length: 3\r\n\r\nabcd", "abc", END, 200, 1, true, false },
		{ OK "Content-Length: 3\r\n\r\nab", "ab", MORE, 200, 0, true, false },
		{ OK "Content-Length: 0\r\n\r\n", "", END, 200, 0, true, false },
		{ OK "Content-Length: 1\r\ncontent-length:1\r\n\r\na", "a", END, 200, 0, true,
		  false },
		{ OK "Content-Length : 1 \r\n\r\na", "a", END, 200, 0, true, false },
		{ OK "Transfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: r\r\n\r\n",
		  "abc", END, 200, 0, true, false },
		{ OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP", "", END, 200, 4, true,
		  false },
		{ OK "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "ab", MORE, 200, 0, true,
		  false },
		{ OK "Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n1\r\na\r\n0\r\n\r\n",
		  "a", END, 200, 0, false, false },
		{ OK "\r\nabc", "abc", MORE, 200, 0, false, true },
		{ OK "Connection: keep-alive\r\n\r\nabc", "abc", MORE, 200, 0, false, true },
		{ OK "Connection: x, Close\r\nContent-Length: 1\r\n\r\na", "a", END, 200, 0, false,
		  false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "a", END, 200, 0, false, false },
		{ "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na", "a",
		  END, 200, 0, true, false },
		{ "HTTP/1.1 204\r\nContent-Length: 5\r\n\r\n", "", END, 204, 0, true, false },
		{ "HTTP/1.1 304 Not Modified\r\n\r\n", "", END, 304, 0, true, false },
		{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		  "", END, 200, 0, false, false },
		/* Preliminary ones are passed over. */
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: x\r\n\r\n" OK
		  "Content-Length: 1\r\n\r\na",
		  "a", END, 200, 0, true, false },
		/* Lines that end in LF alone, and a folded value. */
		{ "HTTP/1.1 200\nX: a\n b\nContent-Length: 1\n\na", "a", END, 200, 0, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].bytes);

		for (size_t step = 1; step <= len; step += len - 1) {
			struct seen s = { 0 };
			bool eof;

			assert_int_equal(feed(rows[i].bytes, len, step, &s, &eof), rows[i].ev);
			assert_int_equal(s.heads, 1);
			assert_int_equal(s.head.status, rows[i].status);
			assert_int_equal(s.head.keep, rows[i].keep);
			assert_string_equal(buf_cstr(&s.body), rows[i].body);
			assert_int_equal(len - s.used, rows[i].rest);
			assert_int_equal(eof, rows[i].eof);
			buf_done(&s.body);
		}
	}
}

static void
test_response_that_is_none_or_has_no_sure_end_is_refused(void **state)
{
	static const char *const rows[] = {
		"SSH-2.0-x\r\n",
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.2 200 OK\r\n\r\n",
		"HTTP/1.1  200 OK\r\n\r\n",
		"HTTP/1.1 20\r\n\r\n",
		"HTTP/1.1 2000\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 099 OK\r\n\r\n",
		"HTTP/1.1 600 OK\r\n\r\n",
		"HTTP/1.1 101 Switching\r\n\r\n",
		OK "no colon\r\n\r\n",
		OK ": no name\r\n\r\n",
		OK "Content-Length: \r\n\r\n",
		OK "Content-Length: -1\r\n\r\n",
		OK "Content-Length: 1a\r\n\r\n",
		OK "Content-Length: 18446744073709551616\r\n\r\n",
		OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
		OK "Content-Length: 1, 1\r\n\r\n",
		OK "Content-Length: 1\r\n 0\r\n\r\n",
		OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
		OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		OK "Transfer-Encoding: chunked\r\n\r\nx\r\n",
		OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i]);

		for (size_t step = 1; step <= len; step += len - 1) {
			struct seen s = { 0 };
			bool eof;

			assert_int_equal(feed(rows[i], len, step, &s, &eof), RESPONSE_BAD);
			buf_done(&s.body);
		}
	}
}

static void
test_response_head_has_a_limit(void **state)
{
	struct buf text = { 0 };
	struct seen s = { 0 };
	bool eof;

	(void)state;
	(void)buf_append_str(&text, OK "X: ");
	while (text.len < HTTP_RESPONSE_HEAD_MAX - 2)
		(void)buf_append_byte(&text, 'x');
	assert_int_equal(feed((char *)text.data, text.len, 4096, &s, &eof), RESPONSE_MORE);
	(void)buf_append_str(&text, "xx\r\n\r\n");
	assert_int_equal(feed((char *)text.data, text.len, 4096, &s, &eof), RESPONSE_BAD);
	assert_int_equal(feed((char *)text.data, text.len, text.len, &s, &eof), RESPONSE_BAD);
	assert_int_equal(s.heads, 0);
	buf_done(&text);
}

static void
test_response_fields_are_found_by_name(void **state)
{
	static const char bytes[] =
	    OK "content-TYPE:\ttext/plain \r\nX-Content-Type: no\r\n"
	       "Retry-After: longer than there is room\r\nContent-Length: 0\r\n\r\n";
	struct seen s = { 0 };
	bool eof;

	(void)state;
	assert_int_equal(feed(bytes, sizeof(bytes) - 1, sizeof(bytes), &s, &eof), RESPONSE_END);
	assert_string_equal(s.type, "text/plain");
	assert_string_equal(s.again, "");
}

static void
test_response_stops_when_its_reader_says_so(void **state)
{
	static const char bytes[] = OK "Content-Length: 9\r\n\r\nabcdefghi";
	struct seen s = { .stop_at = 3 };
	bool eof;

	(void)state;
	assert_int_equal(feed(bytes, sizeof(bytes) - 1, 1, &s, &eof), RESPONSE_STOPPED);
	assert_string_equal(buf_cstr(&s.body), "abc");
	buf_done(&s.body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_response_body_ends_where_its_head_says),
		cmocka_unit_test(test_response_that_is_none_or_has_no_sure_end_is_refused),
		cmocka_unit_test(test_response_head_has_a_limit),
		cmocka_unit_test(test_response_fields_are_found_by_name),
		cmocka_unit_test(test_response_stops_when_its_reader_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
