/*
 * inference/sse_test.c - the event reader: golden bytes, every split, every truncation, bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/sse.h"

/* Events joined with '|'. */
struct seen {
	char text[4096];
	int count;
	int stop_after;
};

static enum im_rc
gather(void *user, const char *data, size_t len, struct im_err *err)
{
	struct seen *s = user;
	size_t at = strlen(s->text);

	assert_int_equal(strnlen(data, len), len);
	assert_true(at + len + 2 < sizeof(s->text));
	(void)snprintf(s->text + at, sizeof(s->text) - at, "%s%.*s", s->count++ > 0 ? "|" : "",
		       (int)len, data);
	if (s->count == s->stop_after)
		return err_set(err, IM_EUPSTREAM, "enough");
	return IM_OK;
}

static enum im_rc
read_all(const char *bytes, size_t len, size_t step, struct seen *seen, struct im_err *err)
{
	enum im_rc rc = IM_OK;
	struct sse s;

	memset(seen, 0, sizeof(*seen));
	sse_init(&s, 64);
	for (size_t at = 0; at < len && rc == IM_OK; at += step)
		rc = sse_feed(&s, bytes + at, step < len - at ? step : len - at, gather, seen, err);
	if (rc == IM_OK)
		rc = sse_end(&s, err);
	sse_done(&s);
	return rc;
}

static const struct {
	const char *bytes, *events;
} golden[] = {
	{ "data: a\n\ndata: b\n\ndata: [DONE]\n\n", "a|b" },
	{ "data: a\r\n\r\ndata: b\r\n\r\ndata: [DONE]\r\n\r\n", "a|b" },
	{ "data: a\r\rdata: b\r\rdata: [DONE]\r\r", "a|b" },
	{ "data:a\n\ndata:  b\n\ndata:[DONE]\n\n", "a| b" },
	{ "data: a\ndata: b\n\ndata: [DONE]\n\n", "a\nb" },
	{ "data\ndata: b\n\ndata: [DONE]\n\n", "\nb" },
	{ ": keep-alive\n\n: again\n\ndata: a\n\ndata: [DONE]\n\n", "a" },
	{ "event: x\nid: 7\nretry: 5\ndata: a\n\ndata: [DONE]\n\n", "a" },
	{ "\xEF\xBB\xBF"
	  "data: a\n\ndata: [DONE]\n\n",
	  "a" },
	{ "data: \n\ndata:\n\ndata\n\ndatum: x\n\ndata: [DONE]\n\n", "" },
	{ "data: a\n\ndata: [DONE]\n\ndata: late\n\n", "a" },
	{ "data: \xE4\xB8\xAD\n\ndata: [DONE]\n\n", "\xE4\xB8\xAD" },
	{ "\n\n\r\n\ndata: {\"a\": 1}\n\n\n\ndata: [DONE]\n\n", "{\"a\": 1}" },
};

static void
test_sse_golden_streams_give_their_events_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		size_t len = strlen(golden[i].bytes);

		for (size_t step = 1; step <= len; step++) {
			struct im_err err = { 0 };
			struct seen seen;

			assert_int_equal(read_all(golden[i].bytes, len, step, &seen, &err), IM_OK);
			assert_string_equal(seen.text, golden[i].events);
		}
	}
}

static void
test_sse_truncated_at_any_offset_is_a_failure(void **state)
{
	static const char bytes[] = ": hi\r\ndata: a\r\n\r\ndata: b\n\ndata: [DONE]\n\n";

	(void)state;
	for (size_t len = 0; len < sizeof(bytes) - 1; len++) {
		struct im_err err = { 0 };
		struct seen seen;

		assert_int_equal(read_all(bytes, len, len + 1, &seen, &err), IM_EUPSTREAM);
		assert_string_equal(err.reason, "upstream_error");
		assert_non_null(strstr(err.text, "[DONE]"));
		/* Nothing is given that was not whole. */
		assert_true(strncmp("a|b", seen.text, strlen(seen.text)) == 0);
	}
}

static void
test_sse_event_over_the_bound_is_refused(void **state)
{
	static const char many[] = "data: 12345678901234567890123\ndata: 12345678901234567890123\n"
				   "data: 12345678901234567890123\n\n";
	char line[256];
	struct im_err err;
	struct seen seen;

	(void)state;
	/* one line; then many short ones of one event; then a line without end, byte by byte */
	(void)snprintf(line, sizeof(line), "data: %0100d\n\n", 1);
	assert_int_equal(read_all(line, strlen(line), strlen(line), &seen, &err), IM_EUPSTREAM);
	assert_non_null(strstr(err.text, "64 bytes"));
	assert_int_equal(read_all(many, strlen(many), strlen(many), &seen, &err), IM_EUPSTREAM);
	memset(line, 'x', sizeof(line));
	assert_int_equal(read_all(line, sizeof(line), 1, &seen, &err), IM_EUPSTREAM);
	/* a comment counts too, in one piece or in many */
	line[0] = ':';
	line[sizeof(line) - 1] = '\n';
	assert_int_equal(read_all(line, sizeof(line), sizeof(line), &seen, &err), IM_EUPSTREAM);
	assert_non_null(strstr(err.text, "64 bytes"));
	assert_int_equal(seen.count, 0);
}

static void
test_sse_event_at_the_bound_is_taken(void **state)
{
	char line[256];
	struct im_err err;
	struct seen seen;

	(void)state;
	(void)snprintf(line, sizeof(line), "data: %064d\n\ndata: [DONE]\n\n", 1);
	for (size_t step = 1; step < strlen(line); step++)
		assert_int_equal(read_all(line, strlen(line), step, &seen, &err), IM_OK);
	assert_int_equal(strlen(seen.text), 64);
}

static void
test_sse_callback_that_fails_stops_the_reader(void **state)
{
	static const char bytes[] = "data: a\n\ndata: b\n\ndata: c\n\n";
	struct seen seen = { .stop_after = 2 };
	struct im_err err;
	struct sse s;

	(void)state;
	sse_init(&s, 64);
	assert_int_equal(sse_feed(&s, bytes, sizeof(bytes) - 1, gather, &seen, &err), IM_EUPSTREAM);
	assert_string_equal(seen.text, "a|b");
	assert_string_equal(err.text, "enough");
	sse_done(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sse_golden_streams_give_their_events_however_they_are_cut),
		cmocka_unit_test(test_sse_truncated_at_any_offset_is_a_failure),
		cmocka_unit_test(test_sse_event_over_the_bound_is_refused),
		cmocka_unit_test(test_sse_event_at_the_bound_is_taken),
		cmocka_unit_test(test_sse_callback_that_fails_stops_the_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
