/*
 * inference/local_text_test.c - stop strings and characters, however the bytes are cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "inference/local_text.h"

static void
assert_text(const char *in, size_t len, const char *const *stops, size_t stop_count,
	    const char *want)
{
	for (size_t step = 1; step <= len; step++) {
		struct local_text t = { .stops = stops, .stop_count = stop_count };
		struct buf out = BUF_INIT(0);

		for (size_t at = 0; at < len; at += step) {
			size_t n = len - at < step ? len - at : step;

			assert_true(local_text_push(&t, in + at, n, &out));
			assert_true(utf8_valid((const char *)out.data, out.len));
			/* What is out can never be taken back. */
			assert_true(out.len <= strlen(want));
			assert_memory_equal(out.data, want, out.len);
		}
		assert_true(local_text_finish(&t, &out));
		assert_string_equal(buf_cstr(&out), want);
		buf_done(&out);
		local_text_done(&t);
	}
}

#define TEXT(in, want, ...)                                                                        \
	do {                                                                                       \
		static const char *const stops_[] = { __VA_ARGS__ };                               \
		assert_text((in), sizeof(in) - 1, stops_, sizeof(stops_) / sizeof(stops_[0]),      \
			    (want));                                                               \
	} while (0)

static void
test_text_stop_string_however_cut_is_never_given_out(void **state)
{
	(void)state;
	TEXT("hello END world", "hello ", "END");
	TEXT("ENDhello", "", "END");
	TEXT("hello EN", "hello EN", "END"); /* begun, but the text is over */
	TEXT("EEEND", "EE", "END");
	TEXT("aabaabaaac", "aabaab", "aaac");
	TEXT("one two three", "one ", "three", "two");
	TEXT("abcd", "ab", "cd", "bcdef");
	TEXT("x\n\nUser: y", "x", "\n\nUser:", "never");
	TEXT("nothing here", "nothing here", "", "zzz");
	TEXT("\xe4\xbd\xa0\xe5\xa5\xbd\xe3\x80\x82\xe5\xa5\xbd", "\xe4\xbd\xa0\xe5\xa5\xbd",
	     "\xe3\x80\x82");
}

static void
test_text_earliest_stop_wins_when_both_are_there(void **state)
{
	static const char *const stops[] = { "d", "bc" };
	struct local_text t = { .stops = stops, .stop_count = 2 };
	struct buf out = BUF_INIT(0);

	(void)state;
	assert_true(local_text_push(&t, "abcd", 4, &out));
	assert_true(t.stopped);
	assert_true(local_text_push(&t, "more", 4, &out));
	assert_true(local_text_finish(&t, &out));
	assert_string_equal(buf_cstr(&out), "a");
	buf_done(&out);
	local_text_done(&t);
}

static void
test_text_characters_are_whole_and_rubbish_is_mended(void **state)
{
	static const char *const none[] = { "never" };

	(void)state;
	assert_text("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10, none, 1,
		    "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	assert_text("a\xff\xc3", 3, none, 1, "a\xef\xbf\xbd\xef\xbf\xbd");
	assert_text("a\0b", 3, none, 1,
		    "a\xef\xbf\xbd"
		    "b");
	assert_text("\xf0\x9f\x98", 3, none, 1, "\xef\xbf\xbd");
}

static void
test_text_bound_reached_says_so(void **state)
{
	struct local_text t = { 0 };
	struct buf out = BUF_INIT(4);

	(void)state;
	assert_true(local_text_push(&t, "abc", 3, &out));
	assert_false(local_text_push(&t, "def", 3, &out));
	buf_done(&out);
	local_text_done(&t);
	local_text_done(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_stop_string_however_cut_is_never_given_out),
		cmocka_unit_test(test_text_earliest_stop_wins_when_both_are_there),
		cmocka_unit_test(test_text_characters_are_whole_and_rubbish_is_mended),
		cmocka_unit_test(test_text_bound_reached_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
