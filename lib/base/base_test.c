/*
 * base/base_test.c - the small parts of base: buffers, arenas, errors, hexadecimal and base64, lists, log lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
test_buf_appends_grow_and_keep_order(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(buf_printf(&b, "%03d,", i));
	assert_int_equal(b.len, 4000);
	assert_memory_equal(b.data, "000,001,", 8);
	assert_string_equal(buf_cstr(&b) + 3996, "999,");
	buf_consume(&b, 3996);
	assert_string_equal(buf_cstr(&b), "999,");
	buf_done(&b);
	assert_null(b.data);
}

static void
test_buf_bound_reached_fails_until_cleared(void **state)
{
	struct buf b = BUF_INIT(8);

	(void)state;
	assert_true(buf_append_str(&b, "12345678"));
	assert_false(buf_append_byte(&b, '9'));
	assert_false(buf_ok(&b));
	assert_int_equal(b.len, 8);
	assert_string_equal(buf_cstr(&b),
			    "12345678"); /* the NUL is beyond the bound, but no contents */
	assert_false(buf_append(&b, "", 0));
	buf_clear(&b);
	assert_true(buf_printf(&b, "%s", "abcdefgh")); /* exactly the bound */
	assert_false(buf_printf(&b, "%s", "i"));
	assert_int_equal(b.len, 8);
	buf_done(&b);
	assert_int_equal(b.max_bytes, 8);
}

static void
test_buf_printf_fills_any_room_that_is_left(void **state)
{
	(void)state;
	for (size_t before = 0; before <= 130; before++) {
		struct buf b = BUF_INIT(140);

		for (size_t i = 0; i < before; i++)
			assert_true(buf_append_byte(&b, 'x'));
		assert_true(buf_printf(&b, "%s%d", "abcdefg", 123)); /* 10: 140 is the bound */
		assert_int_equal(b.len, before + 10);
		assert_memory_equal(b.data + before, "abcdefg123", 10);
		assert_true(buf_printf(&b, "%s", ""));
		assert_int_equal(b.len, before + 10);
		buf_done(&b);
	}
}

static void
test_buf_absurd_size_is_refused(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	assert_true(buf_append_byte(&b, 1));
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_false(buf_ok(&b));
	buf_done(&b);
	assert_string_equal(buf_cstr(&b), "");
	buf_done(&b);
	buf_done(NULL);
}

static void
test_buf_take_hands_the_memory_over(void **state)
{
	struct buf b = BUF_INIT(0);
	size_t len;
	uint8_t *data;

	(void)state;
	assert_true(buf_append_str(&b, "abc"));
	data = buf_take(&b, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(data, "abc", 3);
	assert_int_equal(b.len, 0);
	assert_null(b.data);
	free(data);
}

static void
test_arena_alloc_is_zeroed_aligned_and_bounded(void **state)
{
	struct arena a;
	uint8_t *p;

	(void)state;
	arena_init(&a, 100000);
	for (size_t size = 0; size < 300; size++) {
		p = arena_alloc(&a, size);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, size);
	}
	p = arena_alloc(&a, 40000); /* larger than a chunk */
	assert_non_null(p);
	memset(p, 0xff, 40000);
	assert_null(arena_alloc(&a, 40000)); /* over the bound */
	assert_non_null(arena_alloc(&a, 8)); /* what fits still fits */
	arena_done(&a);
	assert_int_equal(a.used_bytes, 0);
	assert_string_equal(arena_strdup(&a, "again"), "again");
	assert_string_equal(arena_strndup(&a, "again", 2), "ag");
	arena_done(&a);
	arena_done(NULL);
}

static void
test_arena_overflowing_sizes_are_refused(void **state)
{
	struct arena a = { 0 };

	(void)state;
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 40)); /* with the chunk's own fields it is over */
	assert_null(arena_calloc(&a, SIZE_MAX / 2, 3));
	assert_null(arena_strndup(&a, "x", SIZE_MAX));
	arena_done(&a);
}

static void
test_err_texts_are_set_prefixed_and_cut(void **state)
{
	char longer[2000];
	struct im_err err;

	(void)state;
	assert_int_equal(err_reason(&err, IM_ENOTFOUND, "model_not_found", "no model '%s'", "x"),
			 IM_ENOTFOUND);
	assert_string_equal(err.reason, "model_not_found");
	err_prefix(&err, "router %d", 1);
	assert_string_equal(err.text, "router 1: no model 'x'");
	assert_int_equal(err_errno(&err, IM_EIO, 2, "open"), IM_EIO);
	assert_string_equal(err.text, "open: No such file or directory");
	assert_string_equal(err.reason, "");
	assert_int_equal(err_set(NULL, IM_EINVAL, "nobody listens"), IM_EINVAL);
	err_prefix(NULL, "nobody");

	memset(longer, 'a', sizeof(longer));
	longer[0] = 'b';
	for (size_t i = 1; i + 3 < sizeof(longer); i += 3)
		memcpy(longer + i, "\xe2\x82\xac", 3); /* euro signs: some cut falls inside one */
	longer[sizeof(longer) - 1] = '\0';
	for (size_t shift = 0; shift < 4; shift++) {
		(void)err_set(&err, IM_EINVAL, "%s", longer + (shift == 0 ? 0 : shift * 3 - 2));
		assert_true(strlen(err.text) > sizeof(err.text) - 5);
		assert_true(utf8_valid(err.text, strlen(err.text)));
	}
}

static void
test_err_codes_have_text_status_and_number(void **state)
{
	(void)state;
#define X(name, num, http, text)                                                                   \
	assert_int_equal(name, num);                                                               \
	assert_int_equal(im_rc_from_wire(num), name);                                              \
	assert_int_equal(im_rc_http(name), http);                                                  \
	assert_string_equal(im_rc_text(name), text);
	IM_RC_MAP(X)
#undef X
	assert_int_equal(im_rc_from_wire(99999), IM_EINTERNAL);
	assert_int_equal(im_rc_http((enum im_rc)99999), 500);
	assert_non_null(im_rc_text((enum im_rc)99999));
}

static void
test_hex_round_trip_and_refusals(void **state)
{
	static const char *const bad[] = { "",
					   "0",
					   "00",
					   "000102030405060g",
					   "00010203040506",
					   "000102030405060700",
					   "0001020304050g07",
					   "000102030405060" };
	uint8_t in[8] = { 0, 1, 0x7f, 0x80, 0xab, 0xcd, 0xef, 0xff }, out[8];
	char text[17];

	(void)state;
	hex_encode(in, 8, text);
	assert_string_equal(text, "00017f80abcdefff");
	assert_true(hex_decode(text, out, 8));
	assert_memory_equal(in, out, 8);
	assert_true(hex_decode("00017F80ABCDEFFF", out, 8));
	assert_memory_equal(in, out, 8);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(hex_decode(bad[i], out, 8));
	assert_true(hex_decode("", out, 0));
}

static void
test_base64_golden_and_strict(void **state)
{
	/* The vectors of RFC 4648, section 10. */
	static const struct {
		const char *plain, *text;
	} good[] = { { "", "" },
		     { "f", "Zg==" },
		     { "fo", "Zm8=" },
		     { "foo", "Zm9v" },
		     { "foob", "Zm9vYg==" },
		     { "fooba", "Zm9vYmE=" },
		     { "foobar", "Zm9vYmFy" },
		     { "\xff\xef\xbf", "/++/" } };
	static const char *const bad[] = { "Zg",   "Zg=",  "Zg===", "Z===",   "====",
					   "Zh==", "Zm9=", "Zm 9",  "Zm9v\n", "Zg==Zg==",
					   "Zm9-", "=m9v", "Z=9v" };
	char text[16];
	uint8_t out[16];
	size_t len;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		size_t n = strlen(good[i].plain);

		base64_encode((const uint8_t *)good[i].plain, n, text);
		assert_string_equal(text, good[i].text);
		assert_int_equal(strlen(text), BASE64_LEN(n));
		assert_true(base64_decode(text, strlen(text), out, n, &len));
		assert_int_equal(len, n);
		assert_memory_equal(out, good[i].plain, n);
		if (n > 0)
			assert_false(base64_decode(text, strlen(text), out, n - 1, &len));
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(base64_decode(bad[i], strlen(bad[i]), out, sizeof(out), &len));
}

static void
test_random_bytes_differ(void **state)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 };

	(void)state;
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

struct item {
	int n;
	struct list node;
};

static void
test_list_order_and_removal_while_walking(void **state)
{
	struct item items[6] = { 0 };
	struct list head;
	int sum = 0;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_false(list_linked(&items[0].node));
	list_remove(&items[0].node); /* nothing happens */
	for (int i = 0; i < 6; i++) {
		items[i].n = i;
		list_push_back(&head, &items[i].node);
	}
	LIST_FOREACH_SAFE (&head, it, struct item, node)
		if (it->n % 2 == 0)
			list_remove(&it->node);
	LIST_FOREACH (&head, it, struct item, node)
		sum = sum * 10 + it->n;
	assert_int_equal(sum, 135);
	list_push_front(&head, &items[0].node);
	assert_ptr_equal(list_pop_front(&head), &items[0].node);
	assert_false(list_linked(&items[0].node));
	for (int i = 0; i < 3; i++)
		assert_non_null(list_pop_front(&head));
	assert_null(list_pop_front(&head));
}

static void
test_clock_goes_forward(void **state)
{
	uint64_t a = clock_mono_us();

	(void)state;
	assert_true(clock_mono_us() >= a);
	assert_true(clock_mono_ms() >= a / 1000);
	assert_true(clock_wall_us() > 1600000000ULL * 1000000);
}

struct lines {
	unsigned count;
	char last[70000];
};

static void
keep_line(void *arg, const char *line)
{
	struct lines *l = arg;

	l->count++;
	assert_true(strlen(line) < sizeof(l->last));
	memcpy(l->last, line, strlen(line) + 1);
}

static void
assert_member(const char *line, const char *name, const char *value)
{
	struct json_span text = { line, strlen(line) }, v;

	assert_true(json_member(text, name, &v));
	assert_int_equal(v.len, strlen(value));
	assert_memory_equal(v.at, value, v.len);
}

static void
test_log_line_is_json_with_ecs_names(void **state)
{
	static struct lines l;
	struct im_err err;

	(void)state;
	log_capture(keep_line, &l);
	log_setup("router", LOG_INFO);
	log_debug("not seen");
	assert_int_equal(l.count, 0);
	log_warn("worker \"w1\" left", LOG_STR("worker.name", "w\n1\xff"), LOG_INT("a", -5),
		 LOG_UINT("b", UINT64_MAX), LOG_BOOL("c", true), LOG_STR("none", NULL));
	log_capture(NULL, NULL);
	log_setup("infermesh", LOG_INFO);
	assert_int_equal(l.count, 1);
	assert_int_equal(json_check(l.last, strlen(l.last), 4, &err), IM_OK);
	assert_member(l.last, "log.level", "\"warn\"");
	assert_member(l.last, "message", "\"worker \\\"w1\\\" left\"");
	assert_member(l.last, "service.name", "\"router\"");
	assert_member(l.last, "worker.name", "\"w\\n1\xef\xbf\xbd\"");
	assert_member(l.last, "a", "-5");
	assert_member(l.last, "b", "18446744073709551615");
	assert_member(l.last, "c", "true");
	assert_member(l.last, "none", "null");
}

static void
test_log_long_string_is_cut_between_characters(void **state)
{
	static struct lines l;
	struct json_span text, v;
	char s[3001] = "";
	struct im_err err;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		memcpy(s + 3 * i, "\xe2\x82\xac", 4);
	log_capture(keep_line, &l);
	log_info("cut", LOG_STR("long", s));
	log_capture(NULL, NULL);
	text = (struct json_span){ l.last, strlen(l.last) };
	assert_int_equal(json_check(l.last, text.len, 4, &err), IM_OK);
	assert_true(json_member(text, "long", &v));
	assert_int_equal(v.len, 1023 + 2); /* 341 whole characters and the quotes */
}

static void
test_log_text_is_one_harmless_line_for_people(void **state)
{
	static struct lines l;

	(void)state;
	log_setup("test", LOG_INFO);
	log_capture(keep_line, &l);
	log_set_text(true, false);
	log_warn("worker lost", LOG_STR("worker.name", "a-1"), LOG_INT("event.duration", 1500000),
		 LOG_STR("error.message", "it said \x1b[2J\n\xc2\x9b"
					  "31m"),
		 LOG_STR("x.none", NULL), LOG_BOOL("tls", true));
	log_set_text(false, false);
	log_capture(NULL, NULL);
	log_setup("infermesh", LOG_INFO);
	assert_int_equal(l.count, 1);
	/* The time is before it: HH:MM:SS and a blank. */
	assert_string_equal(l.last + 9,
			    "test           warning: worker lost name=a-1 duration=1.5ms "
			    "message=\"it said \\u001b[2J\\n??31m\" none=null tls=yes");
}

static void
test_log_levels_parse(void **state)
{
	enum log_level level = LOG_INFO;

	(void)state;
	assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
	assert_true(log_level_parse("error", &level) && level == LOG_ERROR);
	assert_false(log_level_parse("loud", &level));
	assert_false(log_level_parse("", &level));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_appends_grow_and_keep_order),
		cmocka_unit_test(test_buf_bound_reached_fails_until_cleared),
		cmocka_unit_test(test_buf_printf_fills_any_room_that_is_left),
		cmocka_unit_test(test_buf_absurd_size_is_refused),
		cmocka_unit_test(test_buf_take_hands_the_memory_over),
		cmocka_unit_test(test_arena_alloc_is_zeroed_aligned_and_bounded),
		cmocka_unit_test(test_arena_overflowing_sizes_are_refused),
		cmocka_unit_test(test_err_texts_are_set_prefixed_and_cut),
		cmocka_unit_test(test_err_codes_have_text_status_and_number),
		cmocka_unit_test(test_hex_round_trip_and_refusals),
		cmocka_unit_test(test_base64_golden_and_strict),
		cmocka_unit_test(test_random_bytes_differ),
		cmocka_unit_test(test_list_order_and_removal_while_walking),
		cmocka_unit_test(test_clock_goes_forward),
		cmocka_unit_test(test_log_line_is_json_with_ecs_names),
		cmocka_unit_test(test_log_long_string_is_cut_between_characters),
		cmocka_unit_test(test_log_text_is_one_harmless_line_for_people),
		cmocka_unit_test(test_log_levels_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
