/*
 * http/alloc_test.c - memory that runs out at each allocation in turn: a request is taken whole or refused with 503, and
 * nothing leaks. Linked with --wrap for malloc, calloc and realloc.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/request.h"

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
/* NOLINTEND(bugprone-reserved-identifier) */

static unsigned countdown; /* the allocation that fails; 0 = none */
static bool failed;

static bool
fails(void)
{
	bool now = countdown > 0 && --countdown == 0;

	failed = failed || now;
	return now;
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

/* Read 'bytes' in two pieces; the body's length, or -1 if it was refused for want of memory. */
static long
read_request(const char *bytes, size_t cut)
{
	struct http_refusal refusal = { .status = 0 };
	size_t len = strlen(bytes), at = 0;
	enum reader_event ev = READER_MORE;
	struct reader r;
	long body = -1;

	http_reader_init(&r, 4096, 4096);
	while (at < len && (ev == READER_MORE || ev == READER_HEAD)) {
		size_t used, n = at < cut ? cut - at : len - at;

		ev = http_reader_feed(&r, (const uint8_t *)bytes + at, n, &used);
		at += used;
	}
	refusal = r.refusal;
	if (ev == READER_REQUEST) {
		struct request *req = http_reader_take(&r);
		const char *joined = http_request_header(req, "a");

		body = (long)req->body.len;
		if (!failed)
			assert_string_equal(joined, "b, c");
		http_request_free(req);
	} else {
		assert_int_equal(ev, READER_REFUSED);
		assert_int_equal(refusal.status, 503);
	}
	http_reader_done(&r);
	return body;
}

static void
test_reader_without_memory_refuses_and_leaks_nothing(void **state)
{
	static const char *const requests[] = {
		"POST / HTTP/1.1\r\nHost: a\r\nA: b\r\nA: c\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a\r\nA: b\r\nA: c\r\nTransfer-Encoding: chunked\r\n\r\n"
		"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		for (size_t cut = 1; cut < strlen(requests[i]); cut++) {
			unsigned n = 0;

			do {
				long body;

				countdown = ++n;
				failed = false;
				body = read_request(requests[i], cut);
				assert_true(body == 5 || (failed && body == -1));
			} while (failed);
			countdown = 0;
			assert_true(n > 2); /* something was allocated, so something failed */
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader_without_memory_refuses_and_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
