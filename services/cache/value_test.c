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
	    "0100000002000000"
	    "07b8e2ffebe3202f"
	    "0102030000000000000000000000000000000000000000000000000000000000"
	    "6869";
	char hex[2 * (VALUE_HEADER_BYTES + 2) + 1];
	struct buf out = { 0 };

	(void)state;
	assert_int_equal(value_pack(key, (const uint8_t *)"hi", 2, &out), IM_OK);
	assert_int_equal(out.len, VALUE_HEADER_BYTES + 2);
	hex_encode(out.data, out.len, hex);
	assert_string_equal(hex, golden);
	buf_done(&out);
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
		assert_int_equal(value_pack(key, raw, sizes[i], &packed), IM_OK);
		if (sizes[i] >= VALUE_LZ4_MIN)
			assert_true(packed.len < sizes[i]); /* it was compressed */
		assert_int_equal(value_unpack(key, packed.data, packed.len, sizes[i], &out), IM_OK);
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
	assert_int_equal(value_pack(key, raw, sizeof(raw), &packed), IM_OK);
	assert_int_equal(packed.len, VALUE_HEADER_BYTES + sizeof(raw));
	buf_done(&packed);
}

static void
test_value_any_flipped_bit_is_corrupt(void **state)
{
	uint8_t raw[2000];
	struct buf packed = { 0 };

	(void)state;
	fill_text(raw, sizeof(raw));
	assert_int_equal(value_pack(key, raw, sizeof(raw), &packed), IM_OK);
	for (size_t bit = 0; bit < packed.len * 8; bit++) {
		struct buf out = { 0 };
		enum im_rc rc;

		packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		rc = value_unpack(key, packed.data, packed.len, sizeof(raw), &out);
		/* A bit of lz4's that does not change the bytes it stands for is no corruption. */
		if (rc == IM_OK)
			assert_memory_equal(out.data, raw, sizeof(raw));
		else
			assert_true((rc == IM_ECORRUPT || rc == IM_ETOOBIG) && out.len == 0);
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
	assert_int_equal(value_pack(key, raw, sizeof(raw), &packed), IM_OK);
	for (size_t cut = 0; cut < packed.len; cut++) {
		uint8_t *part = malloc(cut + 1);
		struct buf out = { 0 };

		assert_non_null(part);
		memcpy(part, packed.data, cut);
		assert_int_equal(value_unpack(key, part, cut, sizeof(raw), &out), IM_ECORRUPT);
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
	assert_int_equal(value_pack(key, (const uint8_t *)"hi", 2, &packed), IM_OK);
	assert_int_equal(value_unpack(other, packed.data, packed.len, 10, &out), IM_ECORRUPT);
	buf_done(&packed);
	buf_done(&out);
}

static void
test_value_over_the_limit_is_refused_before_allocation(void **state)
{
	struct buf packed = { 0 }, out = { 0 };

	(void)state;
	assert_int_equal(value_pack(key, (const uint8_t *)"hello", 5, &packed), IM_OK);
	memset(packed.data + 4, 0xff, 4); /* claims 4 GiB */
	assert_int_equal(value_unpack(key, packed.data, packed.len, 1 << 20, &out), IM_ETOOBIG);
	assert_null(out.data);
	buf_done(&packed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_value_short_is_kept_raw_with_golden_bytes),
		cmocka_unit_test(test_value_round_trip_at_every_size_near_the_limits),
		cmocka_unit_test(test_value_incompressible_is_kept_raw),
		cmocka_unit_test(test_value_any_flipped_bit_is_corrupt),
		cmocka_unit_test(test_value_truncated_anywhere_is_corrupt),
		cmocka_unit_test(test_value_of_another_key_is_corrupt),
		cmocka_unit_test(test_value_over_the_limit_is_refused_before_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
