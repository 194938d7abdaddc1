/*
 * base/json_test.c - the strict check, the walker and the writers of JSON, and UTF-8.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static enum im_rc
check(const char *text, unsigned max_depth)
{
	size_t len = strlen(text);
	char *copy =
	    malloc(len > 0 ? len : 1); /* no longer than said, so that asan sees a read behind it */
	enum im_rc rc;

	assert_non_null(copy);
	for (size_t i = 0; i < len; i++)
		copy[i] = text[i];
	rc = json_check(copy, len, max_depth, NULL);
	free(copy);
	return rc;
}

static const char *const valid[] = {
	"0",
	"-0",
	"-1",
	"10",
	"1.5",
	"1e5",
	"1E5",
	"1e+5",
	"1e-5",
	"0e0",
	"0.0e-0",
	"-0.1e1",
	"123456789012345678901234567890",
	"true",
	"false",
	"null",
	" 1 ",
	"\t\r\n1\n",
	"\"\"",
	"\"a\"",
	"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
	"\"\\u0001\"",
	"\"\\uFFFF\"",
	"\"\\u00e9\"",
	"\"\\uD83D\\uDE00\"",
	"\"\\ud83d\\ude00\"",
	"\"\\uDBFF\\uDFFF\"",
	"\"\xc3\xa9\"",
	"\"\xe2\x82\xac\"",
	"\"\xf0\x9f\x98\x80\"",
	"\"\xf4\x8f\xbf\xbf\"",
	"\"\xee\x80\x80\"",
	"\"\x7f\"",
	"[]",
	"[ ]",
	"{}",
	"{ }",
	"[1]",
	"[1,2]",
	"[ 1 , 2 ]",
	"[[],[]]",
	"[{}]",
	"{\"a\":1}",
	"{\"a\":{},\"b\":[]}",
	"{ \"a\" : 1 , \"b\" : 2 }",
	"{\"a\":1,\"a\":2}",
	"{\"\":0}",
	"[null]",
	"[\"\xe4\xbd\xa0\xe5\xa5\xbd\"]",
	"[[[[[[[[1]]]]]]]]",
	"\"0123456789abcdef0123456789abcdef \\\" 0123456789abcdef\"",
};

static const char *const invalid[] = {
	"",
	" ",
	"a",
	"tru",
	"True",
	"truee",
	"nul",
	"NaN",
	"Infinity",
	"-Infinity",
	"undefined",
	"-",
	"+1",
	"01",
	"-01",
	"1.",
	".5",
	"-.5",
	"1.e5",
	"1e",
	"1e+",
	"1ee5",
	"0x10",
	"1 2",
	"1,",
	",",
	"[",
	"]",
	"[1",
	"[1,",
	"[1,]",
	"[,1]",
	"[1,,2]",
	"[1 2]",
	"[1}",
	"{",
	"}",
	"{]",
	"{\"a\"",
	"{\"a\":",
	"{\"a\":1",
	"{\"a\":1,",
	"{\"a\":1,}",
	"{,\"a\":1}",
	"{\"a\" 1}",
	"{\"a\"::1}",
	"{a:1}",
	"{'a':1}",
	"{1:1}",
	"{\"a\":1]",
	"[\"a\":1]",
	"{\"a\"}",
	"{\"a\",\"b\"}",
	"\"",
	"\"a",
	"'a'",
	"\"\\",
	"\"\\\"",
	"\"\\x\"",
	"\"\\a\"",
	"\"\\u\"",
	"\"\\u12\"",
	"\"\\u123\"",
	"\"\\u123g\"",
	"\"\\u 123\"",
	"\"\\u-123\"",
	"\"\\u0000\"",
	"\"\\uD800\"",
	"\"\\uDC00\"",
	"\"\\uD800\\n\"",
	"\"\\uD800\\uD800\"",
	"\"\\uD800\\u0041\"",
	"\"\\uDC00\\uD800\"",
	"\"\\uD83D\\uDE0\"",
	"\"\\uD83Dx\\uDE00\"",
	"\"\n\"",
	"\"\t\"",
	"\"\x01\"",
	"\"\x1f\"",
	"\"\x80\"",
	"\"\xc0\x80\"",
	"\"\xc1\xbf\"",
	"\"\xc3\"",
	"\"\xe0\x80\x80\"",
	"\"\xe0\x9f\xbf\"",
	"\"\xed\xa0\x80\"",
	"\"\xed\xbf\xbf\"",
	"\"\xe2\x82\"",
	"\"\xf0\x80\x80\x80\"",
	"\"\xf0\x8f\xbf\xbf\"",
	"\"\xf4\x90\x80\x80\"",
	"\"\xf5\x80\x80\x80\"",
	"\"\xff\"",
	"\"\xfe\"",
	"\xef\xbb\xbf{}",
	"\xc2\xa0[]",
	"[1]x",
	"{} {}",
	"[1]\f",
	"[1]//",
	"/**/1",
	"[\v1]",
	"\"a\"\"b\"",
	"[true false]",
	"--1",
	"1-",
	"1.2.3",
	"1e5.5",
	"[-]",
	"[1e]",
	"\"\\u00zz\"",
	"\"abcdefgh\x01ijklmnop\"",
	"\"abcdefgh\xffijklmnop\"",
};

static void
test_json_check_table_of_valid_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(valid); i++)
		if (check(valid[i], 64) != IM_OK)
			fail_msg("refused: %s", valid[i]);
}

static void
test_json_check_table_of_invalid_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(invalid); i++)
		if (check(invalid[i], 64) != IM_EINVAL)
			fail_msg("accepted: %s", invalid[i]);
}

static void
test_json_check_nul_bytes_are_refused(void **state)
{
	(void)state;
	assert_int_equal(json_check("1\0", 2, 8, NULL), IM_EINVAL);
	assert_int_equal(json_check("\0", 1, 8, NULL), IM_EINVAL);
	assert_int_equal(json_check("\"\0\"", 3, 8, NULL), IM_EINVAL);
	assert_int_equal(json_check("\"\\\0\"", 4, 8, NULL), IM_EINVAL);
}

static void
test_json_check_error_names_offset_and_cause(void **state)
{
	struct im_err err;

	(void)state;
	assert_int_equal(json_check("{\"a\": tru}", 10, 8, &err), IM_EINVAL);
	assert_string_equal(err.reason, "invalid_json");
	assert_string_equal(err.text, "not valid JSON at byte 6: a value was expected");
}

static void
test_json_check_depth_is_bounded(void **state)
{
	static char deep[4096];

	(void)state;
	assert_int_equal(check("1", 0), IM_OK);
	assert_int_equal(check("[]", 0), IM_EINVAL);
	assert_int_equal(check("[[]]", 1), IM_EINVAL);
	assert_int_equal(check("[[],{\"a\":[]}]", 3), IM_OK);
	assert_int_equal(check("[[],{\"a\":[]}]", 2), IM_EINVAL);
	for (size_t n = 1; n <= 2000; n += n < 1020 ? 103 : 1) {
		memset(deep, '[', n);
		memset(deep + n, ']', n);
		deep[2 * n] = '\0';
		/* Beyond 1024 levels the answer is no, whatever the caller allows. */
		assert_int_equal(check(deep, 1000000), n <= 1024 ? IM_OK : IM_EINVAL);
		if (n > 1030)
			break;
	}
	memset(deep, '[', sizeof(deep) - 1);
	assert_int_equal(check(deep, 100000), IM_EINVAL);
}

static void
test_json_check_truncation_at_every_offset_fails(void **state)
{
	static const char text[] =
	    "{\"model\":\"a\\u00e9\\ud83d\\ude00\xe2\x82\xac\",\"n\":-1.5e+10,"
	    "\"messages\":[{\"role\":\"user\",\"content\":null},true,false]}";

	(void)state;
	assert_int_equal(check(text, 8), IM_OK);
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		char *cut = malloc(n > 0 ? n : 1);

		assert_non_null(cut);
		memcpy(cut, text, n);
		assert_int_equal(json_check(cut, n, 8, NULL), IM_EINVAL);
		free(cut);
	}
}

static bool
span_is(struct json_span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static struct json_span
span(const char *text)
{
	return (struct json_span){ text, strlen(text) };
}

static void
test_json_iter_walks_members_and_elements(void **state)
{
	struct json_iter it, inner;
	struct json_span n, v;

	(void)state;
	assert_true(json_iter_init(
	    &it,
	    span(
		" { \"a\" : [1, \"]}\\\"\", {\"x\":[]}] ,\"b\":-1.5e3 , \"c,\\\"\":\"{\\\\\" } ")));
	assert_true(json_iter_next(&it, &n, &v) && span_is(n, "a") &&
		    span_is(v, "[1, \"]}\\\"\", {\"x\":[]}]"));
	assert_true(json_iter_init(&inner, v));
	assert_true(json_iter_next(&inner, &n, &v) && span_is(n, "") && span_is(v, "1"));
	assert_true(json_iter_next(&inner, &n, &v) && span_is(v, "\"]}\\\"\""));
	assert_true(json_iter_next(&inner, &n, &v) && span_is(v, "{\"x\":[]}"));
	assert_false(json_iter_next(&inner, &n, &v));
	assert_false(json_iter_next(&inner, &n, &v));
	assert_true(json_iter_next(&it, &n, &v) && span_is(n, "b") && span_is(v, "-1.5e3"));
	assert_true(json_iter_next(&it, &n, &v) && span_is(n, "c,\\\"") && span_is(v, "\"{\\\\\""));
	assert_false(json_iter_next(&it, &n, &v));
	assert_true(json_iter_init(&it, span("[]")));
	assert_false(json_iter_next(&it, &n, &v));
	assert_true(json_iter_init(&it, span("{ }")));
	assert_false(json_iter_next(&it, &n, &v));
	assert_false(json_iter_init(&it, span("1")));
	assert_false(json_iter_init(&it, span("\"{\"")));
	assert_false(json_iter_init(&it, span("")));
}

static void
test_json_member_last_one_wins_and_escapes_count(void **state)
{
	struct json_span v;

	(void)state;
	assert_true(json_member(span("{\"a\":1,\"b\":2,\"a\":3}"), "a", &v) && span_is(v, "3"));
	assert_false(json_member(span("{\"a\":1}"), "b", &v));
	assert_false(json_member(span("{\"ab\":1}"), "a", &v));
	assert_false(json_member(span("[1]"), "", &v));
	/* A parser behind us reads these as "model", so we must too. */
	assert_true(json_member(span("{\"mod\\u0065l\":7}"), "model", &v) && span_is(v, "7"));
	assert_true(json_member(span("{\"model\":1,\"\\u006dodel\":2}"), "model", &v) &&
		    span_is(v, "2"));
	assert_true(json_member(span("{\"\\u00e9\\ud83d\\ude00\\u20ac\":1}"),
				"\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac", &v));
	assert_true(json_member(span("{\"a\\/\\n\":1}"), "a/\n", &v));
	assert_false(json_member(span("{\"mod\\u0065\":7}"), "model", &v));
}

static void
assert_put(const char *in, size_t len, const char *want)
{
	struct buf b = BUF_INIT(0);

	assert_true(json_put_string(&b, in, len));
	assert_string_equal(buf_cstr(&b), want);
	assert_int_equal(json_check((const char *)b.data, b.len, 1, NULL), IM_OK);
	buf_done(&b);
}

static void
test_json_put_string_escapes_and_mends(void **state)
{
	(void)state;
	assert_put("", 0, "\"\"");
	assert_put(NULL, 0, "\"\"");
	assert_true(utf8_valid(NULL, 0) && utf8_whole_prefix(NULL, 0) == 0);
	assert_int_equal(json_check(NULL, 0, 1, NULL), IM_EINVAL);
	assert_put("plain text that is longer than eight", 36,
		   "\"plain text that is longer than eight\"");
	assert_put("\"\\/\b\f\n\r\t\x01\x1f\x7f", 11,
		   "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
	assert_put("\xe2\x82\xac", 3, "\"\xe2\x82\xac\"");
	assert_put("a\0b", 3,
		   "\"a\xef\xbf\xbd"
		   "b\"");
	assert_put("\xff", 1, "\"\xef\xbf\xbd\"");
	/* One replacement for each longest piece that could have begun a character. */
	assert_put("\xe2\x82"
		   "A",
		   3,
		   "\"\xef\xbf\xbd"
		   "A\"");
	assert_put("\xe2\x82", 2, "\"\xef\xbf\xbd\"");
	assert_put("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	assert_put("\xf0\x9f\x98", 3, "\"\xef\xbf\xbd\"");
	assert_put("\x80\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void
test_json_put_string_any_two_bytes_give_json(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	for (unsigned i = 0; i < 65536; i++) {
		char in[2] = { (char)(i >> 8), (char)i };

		buf_clear(&b);
		assert_true(json_put_string(&b, in, 2));
		assert_int_equal(json_check((const char *)b.data, b.len, 1, NULL), IM_OK);
	}
	buf_done(&b);
}

static void
test_json_put_string_bound_reached_says_so(void **state)
{
	struct buf b = BUF_INIT(4);

	(void)state;
	assert_false(json_put_cstr(&b, "abc"));
	assert_false(buf_ok(&b));
	buf_done(&b);
}

static void
test_json_put_double_reads_back(void **state)
{
	static const double values[] = { 0.0,
					 -0.0,
					 0.1,
					 0.7,
					 1.0 / 3,
					 1e300,
					 5e-324,
					 1.7976931348623157e308,
					 123456789012345678.0,
					 -2.5,
					 9007199254740993.0,
					 3.14159 };
	struct buf b = BUF_INIT(0);

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		double back;

		buf_clear(&b);
		assert_true(json_put_double(&b, values[i]));
		back = strtod(buf_cstr(&b), NULL);
		assert_memory_equal(&back, &values[i], sizeof(back));
		assert_int_equal(json_check((const char *)b.data, b.len, 1, NULL), IM_OK);
	}
	buf_clear(&b);
	assert_true(json_put_double(&b, 0.7));
	assert_string_equal(buf_cstr(&b), "0.7");
	buf_clear(&b);
	assert_true(json_put_double(&b, NAN) && json_put_double(&b, INFINITY));
	assert_string_equal(buf_cstr(&b), "nullnull");
	buf_done(&b);
}

static void
test_utf8_whole_prefix_never_splits(void **state)
{
	static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";

	(void)state;
	assert_true(utf8_valid(text, strlen(text)));
	assert_false(utf8_valid("a\0b", 3));
	for (size_t n = 0; n <= strlen(text); n++) {
		size_t whole = utf8_whole_prefix(text, n);

		assert_true(whole <= n && n - whole <= 3);
		assert_true(utf8_valid(text, whole));
	}
	/* What can become nothing any more is not held back. */
	assert_int_equal(utf8_whole_prefix("a\x80", 2), 2);
	assert_int_equal(utf8_whole_prefix("\x80\x80\x80\x80", 4), 4);
	assert_int_equal(utf8_whole_prefix("\xe0\x80", 2), 2);
	assert_int_equal(utf8_whole_prefix("\xf0\x9f\x98", 3), 0);
	assert_int_equal(utf8_whole_prefix("\xff", 1), 1);
	assert_int_equal(utf8_whole_prefix("", 0), 0);
}

static void
test_utf8_mend_replaces_each_piece_once(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	assert_true(utf8_mend(&b, "a\xe2\x82\xac", 4) &&
		    utf8_mend(&b,
			      "\xe2\x82"
			      "z\xff",
			      4) &&
		    utf8_mend(&b, "\0\xc3", 2) && utf8_mend(&b, "", 0));
	assert_string_equal(buf_cstr(&b),
			    "a\xe2\x82\xac\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	assert_true(utf8_valid((const char *)b.data, b.len));
	buf_done(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_check_table_of_valid_texts),
		cmocka_unit_test(test_json_check_table_of_invalid_texts),
		cmocka_unit_test(test_json_check_nul_bytes_are_refused),
		cmocka_unit_test(test_json_check_error_names_offset_and_cause),
		cmocka_unit_test(test_json_check_depth_is_bounded),
		cmocka_unit_test(test_json_check_truncation_at_every_offset_fails),
		cmocka_unit_test(test_json_iter_walks_members_and_elements),
		cmocka_unit_test(test_json_member_last_one_wins_and_escapes_count),
		cmocka_unit_test(test_json_put_string_escapes_and_mends),
		cmocka_unit_test(test_json_put_string_any_two_bytes_give_json),
		cmocka_unit_test(test_json_put_string_bound_reached_says_so),
		cmocka_unit_test(test_json_put_double_reads_back),
		cmocka_unit_test(test_utf8_whole_prefix_never_splits),
		cmocka_unit_test(test_utf8_mend_replaces_each_piece_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
