/*
 * cache/value_test.c - the kept form of a value.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "cache/value.h"

static const uint8_t key[CACHE_KEY_BYTES] = { 1, 2, 3 };
static const struct value_meta meta = {
	.key = key,
	.tenant = { (const uint8_t *)"acme", 4 },
	.model = { (const uint8_t *)"demo", 4 },
	.created_us = 0x0102030405060708,
	.expires_us = 0x1112131415161718,
};
#define HEAD (VALUE_HEADER_BYTES + 8)

static void
fill_text(uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)("{\"content\":\"hello\"}"[i % 19]);
}

static void
test_value_short_is_kept_raw_with_golden_bytes(void **state)
{
	static const char golden[] =
	    "696d6376" /* magic */
	    "01"       /* version */
	    "00"       /* raw */
	    "0000"
	    "02000000" /* bytes once unpacked */
	    "04000400" /* of tenant and model */
	    "0807060504030201"
	    "1817161514131211"
	    "0102030000000000000000000000000000000000000000000000000000000000"
	    "fafee68b492b4bdd"
	    "61636d65"
	    "64656d6f"
	    "6869";
	char hex[2 * (HEAD + 2) + 1];
	struct buf out = { 0 };

	(void)state;
	assert_int_equal(value_pack(&meta, (const uint8_t *)"hi", 2, &out), IM_OK);
	assert_int_equal(out.len, HEAD + 2);
	hex_encode(out.data, out.len, hex);
	assert_string_equal(hex, golden);
	buf_done(&out);
}

static void
test_value_head_says_what_was_said(void **state)
{
	struct buf out = { 0 };
	struct value_meta m;

	(void)state;
	assert_int_equal(value_pack(&meta, (const uint8_t *)"hi", 2, &out), IM_OK);
	assert_int_equal(value_head(out.data, HEAD, &m), IM_OK);
	assert_int_equal(value_check(key, out.data, out.len, &m), IM_OK);
	assert_memory_equal(m.key, key, sizeof(key));
	assert_int_equal(m.tenant.len, 4);
	assert_memory_equal(m.tenant.data, "acme", 4);
	assert_int_equal(m.model.len, 4);
	assert_memory_equal(m.model.data, "demo", 4);
	assert_int_equal(m.created_us, meta.created_us);
	assert_int_equal(m.expires_us, meta.expires_us);
	assert_int_equal(m.raw_bytes, 2);
	for (size_t cut = 0; cut < HEAD; cut++)
		assert_int_equal(value_head(out.data, cut, &m), IM_ECORRUPT);
	buf_done(&out);
}

static void
test_value_with_a_label_too_long_is_not_packed(void **state)
{
	static const uint8_t name[VALUE_LABEL_MAX + 1];
	struct value_meta m = meta;
	struct buf out = { 0 };

	(void)state;
	m.tenant = (struct wire_bytes){ name, VALUE_LABEL_MAX };
	assert_int_equal(value_pack(&m, (const uint8_t *)"hi", 2, &out), IM_OK);
	m.model = (struct wire_bytes){ name, VALUE_LABEL_MAX + 1 };
	assert_int_equal(value_pack(&m, (const uint8_t *)"hi", 2, &out), IM_ETOOBIG);
	assert_int_equal(out.len, VALUE_HEADER_BYTES + VALUE_LABEL_MAX + 4 + 2);
	buf_done(&out);
}

static void
test_value_is_selected_when_all_that_is_asked_holds(void **state)
{
	static const uint8_t other[CACHE_KEY_BYTES] = { 9 };
	static const struct {
		struct value_selector sel;
		bool selected;
	} cases[] = {
		{ { 0 }, true },
		{ { .tenant = "", .model = "" }, true },
		{ { .tenant = "acme" }, true },
		{ { .tenant = "acm" }, false },
		{ { .tenant = "acme2" }, false },
		{ { .model = "demo" }, true },
		{ { .model = "acme" }, false },
		{ { .tenant = "acme", .model = "demo" }, true },
		{ { .tenant = "acme", .model = "other" }, false },
		{ { .created_before_us = 0x0102030405060708 }, false },
		{ { .created_before_us = 0x0102030405060709 }, true },
		{ { .tenant = "x", .created_before_us = 0x0102030405060709 }, false },
	};
	struct value_selector by_key = { .has_key = true };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(value_selected(&cases[i].sel, &meta), cases[i].selected);
	memcpy(by_key.key, key, sizeof(key));
	assert_true(value_selected(&by_key, &meta));
	memcpy(by_key.key, other, sizeof(other));
	assert_false(value_selected(&by_key, &meta));
}

static void
test_value_round_trip_at_every_size_near_the_limits(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, VALUE_LZ4_MIN - 1, VALUE_LZ4_MIN, 5000, 300000 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *raw = malloc(sizes[i] + 1);
		struct buf packed = { 0 }, out = { 0 };

		assert_non_null(raw);
		fill_text(raw, sizes[i]);
		assert_int_equal(value_pack(&meta, raw, sizes[i], &packed), IM_OK);
		if (sizes[i] >= VALUE_LZ4_MIN)
			assert_true(packed.len < sizes[i]); /* it was compressed */
		assert_int_equal(value_unpack(key, packed.data, packed.len, sizes[i], NULL, &out),
				 IM_OK);
		assert_int_equal(out.len, sizes[i]);
		if (out.len > 0)
			assert_memory_equal(out.data, raw, out.len);
		free(raw);
		buf_done(&packed);
		buf_done(&out);
	}
}

static void
test_value_incompressible_is_kept_raw(void **state)
{
	uint8_t raw[4096];
	struct buf packed = { 0 };

	(void)state;
	random_bytes(raw, sizeof(raw));
	assert_int_equal(value_pack(&meta, raw, sizeof(raw), &packed), IM_OK);
	assert_int_equal(packed.len, HEAD + sizeof(raw));
	buf_done(&packed);
}

static void
test_value_any_flipped_bit_is_corrupt(void **state)
{
	uint8_t raw[2000];
	struct buf packed = { 0 };

	(void)state;
	fill_text(raw, sizeof(raw));
	assert_int_equal(value_pack(&meta, raw, sizeof(raw), &packed), IM_OK);
	for (size_t bit = 0; bit < packed.len * 8; bit++) {
		struct buf out = { 0 };
		enum im_rc rc;

		packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		rc = value_unpack(key, packed.data, packed.len, sizeof(raw), NULL, &out);
		assert_int_equal(rc, IM_ECORRUPT);
		assert_int_equal(out.len, 0);
		packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		buf_done(&out);
	}
	buf_done(&packed);
}

static void
test_value_truncated_anywhere_is_corrupt(void **state)
{
	uint8_t raw[2000];
	struct buf packed = { 0 };

	(void)state;
	fill_text(raw, sizeof(raw));
	assert_int_equal(value_pack(&meta, raw, sizeof(raw), &packed), IM_OK);
	for (size_t cut = 0; cut < packed.len; cut++) {
		uint8_t *part = malloc(cut + 1);
		struct buf out = { 0 };

		assert_non_null(part);
		memcpy(part, packed.data, cut);
		assert_int_equal(value_unpack(key, part, cut, sizeof(raw), NULL, &out),
				 IM_ECORRUPT);
		free(part);
		buf_done(&out);
	}
	buf_done(&packed);
}

static void
test_value_of_another_key_is_corrupt(void **state)
{
	static const uint8_t other[CACHE_KEY_BYTES] = { 1, 2, 4 };
	struct buf packed = { 0 }, out = { 0 };

	(void)state;
	assert_int_equal(value_pack(&meta, (const uint8_t *)"hi", 2, &packed), IM_OK);
	assert_int_equal(value_unpack(other, packed.data, packed.len, 10, NULL, &out), IM_ECORRUPT);
	buf_done(&packed);
	buf_done(&out);
}

static void
test_value_over_the_limit_is_refused_before_allocation(void **state)
{
	uint8_t raw[2000];
	struct buf packed = { 0 }, out = { 0 };

	(void)state;
	fill_text(raw, sizeof(raw));
	assert_int_equal(value_pack(&meta, raw, sizeof(raw), &packed), IM_OK);
	assert_int_equal(value_unpack(key, packed.data, packed.len, sizeof(raw) - 1, NULL, &out),
			 IM_ETOOBIG);
	assert_null(out.data);
	memset(packed.data + 8, 0xff, 4); /* claims 4 GiB */
	assert_int_equal(value_unpack(key, packed.data, packed.len, SIZE_MAX, NULL, &out),
			 IM_ECORRUPT);
	assert_null(out.data);
	buf_done(&packed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_value_short_is_kept_raw_with_golden_bytes),
		cmocka_unit_test(test_value_head_says_what_was_said),
		cmocka_unit_test(test_value_with_a_label_too_long_is_not_packed),
		cmocka_unit_test(test_value_is_selected_when_all_that_is_asked_holds),
		cmocka_unit_test(test_value_round_trip_at_every_size_near_the_limits),
		cmocka_unit_test(test_value_incompressible_is_kept_raw),
		cmocka_unit_test(test_value_any_flipped_bit_is_corrupt),
		cmocka_unit_test(test_value_truncated_anywhere_is_corrupt),
		cmocka_unit_test(test_value_of_another_key_is_corrupt),
		cmocka_unit_test(test_value_over_the_limit_is_refused_before_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
