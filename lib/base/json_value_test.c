/*
 * base/json_value_test.c - values out of checked JSON text: types, members, strings and numbers; UTF-8.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/json.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct json_span
span(const char *text)
{
	return (struct json_span){ text, strlen(text) };
}

static bool
span_is(struct json_span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static void
test_json_type_of_each_value_and_of_nothing(void **state)
{
	static const struct {
		const char *text;
		enum json_type type;
		const char *type_text;
	} table[] = {
		{ "null", JSON_NULL, "null" },       { "", JSON_NULL, "null" },
		{ "true", JSON_BOOL, "a boolean" },  { "false", JSON_BOOL, "a boolean" },
		{ "0", JSON_NUMBER, "a number" },    { "-1.5", JSON_NUMBER, "a number" },
		{ "\"\"", JSON_STRING, "a string" }, { "[1]", JSON_ARRAY, "an array" },
		{ "{}", JSON_OBJECT, "an object" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		assert_int_equal(json_type(span(table[i].text)), table[i].type);
		assert_string_equal(json_type_text(table[i].type), table[i].type_text);
	}
	assert_true(json_is_true(span("true")));
	assert_false(json_is_true(span("false")) || json_is_true(span("")));
	assert_true(json_is(span("\"text\""), "\"text\""));
	assert_false(json_is(span("\"text\""), "\"texts\"") || json_is(span("\"a\""), "\"b\""));
}

static void
test_json_trim_takes_blanks_off_both_ends(void **state)
{
	(void)state;
	assert_true(span_is(json_trim(" \t\r\n{ } \n", 9), "{ }"));
	assert_true(span_is(json_trim("1", 1), "1"));
	assert_int_equal(json_trim(" \n ", 3).len, 0);
	assert_int_equal(json_trim("", 0).len, 0);
}

static void
test_json_string_undoes_every_escape(void **state)
{
	static const char *const table[][2] = {
		{ "\"\"", "" },
		{ "\"plain\"", "plain" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"a\\u0041\\u00e9\\u20AC\\ud83D\\uDe00z\"",
		  "aA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z" },
		{ "\"\\uDBFF\\uDFFF\\uFFFF\\u07ff\\u0800\\u007f\"",
		  "\xf4\x8f\xbf\xbf\xef\xbf\xbf\xdf\xbf\xe0\xa0\x80\x7f" },
		{ "\"\xe4\xbd\xa0\\n\xe5\xa5\xbd\"", "\xe4\xbd\xa0\n\xe5\xa5\xbd" },
	};
	struct arena a = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		assert_int_equal(json_check(table[i][0], strlen(table[i][0]), 1, NULL), IM_OK);
		assert_string_equal(json_string(span(table[i][0]), &a), table[i][1]);
	}
	assert_string_equal(json_unescape(span("mod\\u0065l"), &a), "model");
	assert_string_equal(json_verbatim(span("[1, \"\\n\"]"), &a), "[1, \"\\n\"]");
	arena_done(&a);
}

static void
test_json_string_every_unit_goes_there_and_back(void **state)
{
	struct arena a = { 0 };
	struct buf b = BUF_INIT(0);
	char text[24];

	(void)state;
	for (unsigned cp = 1; cp <= 0x10ffff; cp += cp < 0x3000 ? 1 : 251) {
		const char *got;

		if (cp >= 0xd800 && cp <= 0xdfff)
			continue;
		if (cp < 0x10000)
			(void)snprintf(text, sizeof(text), "\"\\u%04x\"", cp);
		else
			(void)snprintf(text, sizeof(text), "\"\\u%04X\\u%04X\"",
				       0xd800 + ((cp - 0x10000) >> 10),
				       0xdc00 + ((cp - 0x10000) & 0x3ff));
		got = json_string(span(text), &a);
		assert_true(utf8_valid(got, strlen(got)));
		assert_int_equal(strlen(got), cp < 0x80      ? 1
					      : cp < 0x800   ? 2
					      : cp < 0x10000 ? 3
							     : 4);
		buf_clear(&b);
		assert_true(json_put_cstr(&b, got));
		assert_string_equal(json_string(span(buf_cstr(&b)), &a), got);
		arena_done(&a);
	}
	buf_done(&b);
}

static void
test_json_unescape_of_a_cut_text_stays_inside(void **state)
{
	static const char text[] = "a\\n\\ud83d\\ude00\\u00e9\\\\z";

	(void)state;
	for (size_t n = 0; n <= strlen(text); n++) {
		struct arena a = { 0 };
		char *copy = malloc(n > 0 ? n : 1); /* asan sees a read behind it */

		assert_non_null(copy);
		for (size_t i = 0; i < n; i++)
			copy[i] = text[i];
		assert_non_null(json_unescape((struct json_span){ copy, n }, &a));
		(void)json_name_is((struct json_span){ copy, n }, "a\n\xf0\x9f\x98\x80");
		free(copy);
		arena_done(&a);
	}
}

static void
test_json_string_without_memory_is_null(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 16);
	assert_null(json_string(span("\"longer than sixteen bytes\""), &a));
	assert_null(json_verbatim(span("[\"longer than sixteen bytes\"]"), &a));
	arena_done(&a);
}

static void
test_json_members_one_walk_last_one_wins(void **state)
{
	static const char *const names[] = { "a", "b", "missing", "model" };
	struct json_span v[4];

	(void)state;
	assert_true(json_members(
	    span("{\"b\":[1,{\"a\":0}],\"a\":1,\"x\":\"}\",\"mod\\u0065l\":7,\"a\":3}"), names, 4,
	    v));
	assert_true(span_is(v[0], "3") && span_is(v[1], "[1,{\"a\":0}]") && span_is(v[3], "7"));
	assert_int_equal(v[2].len, 0);
	assert_int_equal(json_type(v[2]), JSON_NULL);
	assert_false(json_members(span("[1]"), names, 4, v));
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(v[i].len, 0);
	assert_false(json_members(span(""), names, 4, v));
	assert_false(json_members(span("\"{\""), names, 4, v));
	assert_true(json_members(span("{}"), names, 4, v));
	assert_true(json_members(span("{\"a\":1}"), NULL, 0, NULL));
}

/* Strings of each length, so that quotes and backslashes fall on each place of the eight bytes that are looked at together. */
static void
test_json_members_behind_strings_of_any_length(void **state)
{
	static const char *const tails[] = { "", "\\\"", "\\\\", "\xc3\xa9", "\\\\\\\"", "}" };
	static const char *const names[] = { "z" };
	struct buf b = BUF_INIT(0);
	struct json_span v;

	(void)state;
	for (size_t t = 0; t < COUNT(tails); t++) {
		for (size_t n = 0; n < 40; n++) {
			buf_clear(&b);
			(void)buf_append_str(&b, "{\"s\":\"");
			for (size_t i = 0; i < n; i++)
				(void)buf_append_byte(&b, (uint8_t)(i % 3 == 2 ? '!' : '#'));
			(void)buf_printf(&b, "%s%s\",\"z\":\"%s\"}", tails[t], tails[t], tails[t]);
			assert_true(buf_ok(&b));
			assert_true(json_members((struct json_span){ (char *)b.data, b.len }, names,
						 1, &v));
			assert_int_equal(v.len, strlen(tails[t]) + 2);
			assert_memory_equal(v.at + 1, tails[t], strlen(tails[t]));
		}
	}
	buf_done(&b);
}

static void
test_json_name_is_compares_what_is_meant(void **state)
{
	(void)state;
	assert_true(json_name_is(span("model"), "model"));
	assert_true(json_name_is(span(""), ""));
	assert_true(json_name_is(span("\\u006dodel"), "model"));
	assert_true(json_name_is(span("a\\/\\n"), "a/\n"));
	assert_true(json_name_is(span("\\u00e9\\ud83d\\ude00"), "\xc3\xa9\xf0\x9f\x98\x80"));
	assert_false(json_name_is(span("models"), "model") || json_name_is(span("mode"), "model"));
	assert_false(json_name_is(span("mod\\u0065"), "model"));
	assert_false(json_name_is(span("\\\\n"), "\\\\n")); /* the bytes agree, the texts do not */
}

/* As a member, so that text follows the number. */
static struct json_span
number(struct buf *b, const char *text)
{
	buf_clear(b);
	(void)buf_printf(b, "%s}", text);
	return (struct json_span){ buf_cstr(b), strlen(text) };
}

static void
test_json_i64_takes_whole_numbers_however_written(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t n;
	} table[] = {
		{ "0", true, 0 },
		{ "-0", true, 0 },
		{ "2.0", true, 2 },
		{ "1e3", true, 1000 },
		{ "1E3", true, 1000 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775808", false, 0 },
		{ "1.5", false, 0 },
		{ "1e300", false, 0 },
		{ "1e999", false, 0 },
		{ "9007199254740992.0", true, 9007199254740992 },
		{ "9007199254740994.0", false, 0 },
		{ "10000000000000000000000000000000000", false, 0 },
	};
	struct buf b = BUF_INIT(0);

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		int64_t n = 77;

		assert_int_equal(json_i64(number(&b, table[i].text), &n), table[i].ok);
		assert_int_equal(n, table[i].ok ? table[i].n : 77);
	}
	assert_true(json_double(number(&b, "-2.5e1")) == -25.0);
	assert_true(isinf(json_double(number(&b, "1e999"))));
	buf_done(&b);
}

static void
test_json_u32_takes_digits_alone(void **state)
{
	static const char *const refused[] = { "",     "-1",   "1.0",   "1e3",        "4294967296",
					       "null", "true", "\"1\"", "99999999999" };
	uint32_t n = 77;

	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++)
		assert_false(json_u32(span(refused[i]), &n));
	assert_int_equal(n, 77);
	assert_true(json_u32(span("4294967295"), &n) && n == UINT32_MAX);
	assert_true(json_u32(span("0"), &n) && n == 0);
}

static void
test_utf8_valid_finds_a_bad_byte_at_any_place(void **state)
{
	static const char bad[] = { '\0', '\x80', '\xff', '\xc3' };
	char text[24];

	(void)state;
	for (size_t at = 0; at < sizeof(text); at++) {
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = i % 2 == 0 ? '\x01' : '\x7f';
		assert_true(utf8_valid(text, at));
		for (size_t i = 0; i < sizeof(bad); i++) {
			text[at] = bad[i];
			assert_false(utf8_valid(text, sizeof(text)));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_type_of_each_value_and_of_nothing),
		cmocka_unit_test(test_json_trim_takes_blanks_off_both_ends),
		cmocka_unit_test(test_json_string_undoes_every_escape),
		cmocka_unit_test(test_json_string_every_unit_goes_there_and_back),
		cmocka_unit_test(test_json_unescape_of_a_cut_text_stays_inside),
		cmocka_unit_test(test_json_string_without_memory_is_null),
		cmocka_unit_test(test_json_members_one_walk_last_one_wins),
		cmocka_unit_test(test_json_members_behind_strings_of_any_length),
		cmocka_unit_test(test_json_name_is_compares_what_is_meant),
		cmocka_unit_test(test_json_i64_takes_whole_numbers_however_written),
		cmocka_unit_test(test_json_u32_takes_digits_alone),
		cmocka_unit_test(test_utf8_valid_finds_a_bad_byte_at_any_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
