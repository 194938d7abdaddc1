/*
 * inference/gguf_header_test.c - whole, cut, foreign and damaged GGUF headers, and the real demo model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "inference/gguf_header.h"

static void
put(struct buf *b, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		assert_true(buf_append_byte(b, (uint8_t)(v >> (8 * i))));
}

static void
put_str(struct buf *b, const char *s)
{
	put(b, strlen(s), 8);
	assert_true(buf_append_str(b, s));
}

/* What a test may spoil. */
struct recipe {
	const char *magic;
	uint32_t version, alignment, dims, type;
	uint64_t keys, row, offset;
	uint16_t split;
};

static const struct recipe good = { .magic = "GGUF",
				    .version = 3,
				    .alignment = 64,
				    .dims = 2,
				    .type = 8,
				    .keys = 4,
				    .row = 64,
				    .offset = 64,
				    .split = 1 };

/* Two tensors: 64 bytes of F32 and 64 x 2 of Q8_0, which is 136 bytes. */
static void
make(struct buf *b, const struct recipe *r)
{
	buf_init(b, 0);
	assert_true(buf_append(b, r->magic, 4));
	put(b, r->version, 4);
	put(b, 2, 8);
	put(b, r->keys, 8);
	put_str(b, "general.alignment");
	put(b, 4, 4);
	put(b, r->alignment, 4);
	put_str(b, "general.name");
	put(b, 8, 4);
	put_str(b, "tiny");
	put_str(b, "tokens");
	put(b, 9, 4);
	put(b, 8, 4);
	put(b, 2, 8);
	put_str(b, "a");
	put_str(b, "bc");
	put_str(b, "split.count");
	put(b, 2, 4);
	put(b, r->split, 2);
	put_str(b, "norm");
	put(b, 1, 4);
	put(b, 16, 8);
	put(b, 0, 4);
	put(b, 0, 8);
	put_str(b, "weight");
	put(b, r->dims, 4);
	put(b, r->row, 8);
	put(b, 2, 8);
	put(b, r->type, 4);
	put(b, r->offset, 8);
	while (b->len % 64 != 0)
		put(b, 0, 1);
	for (size_t i = 0; i < 64 + 136; i++)
		put(b, 0x55, 1);
}

static void
test_gguf_whole_file_is_accepted(void **state)
{
	struct gguf_header h;
	struct im_err err;
	struct buf b;

	(void)state;
	make(&b, &good);
	assert_int_equal(gguf_header_check(b.data, b.len, &h, &err), IM_OK);
	assert_int_equal(h.version, 3);
	assert_int_equal(h.tensors, 2);
	assert_int_equal(h.data_offset + 64 + 136, b.len);
	buf_done(&b);
}

static void
test_gguf_cut_at_every_offset_is_refused(void **state)
{
	struct gguf_header h;
	struct im_err err;
	struct buf b;

	(void)state;
	make(&b, &good);
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *cut = malloc(n > 0 ? n : 1);

		assert_non_null(cut);
		for (size_t i = 0; i < n; i++)
			cut[i] = b.data[i];
		assert_int_equal(gguf_header_check(cut, n, &h, &err), IM_ECORRUPT);
		assert_true(strlen(err.text) > 20);
		free(cut);
	}
	buf_done(&b);
}

static void
test_gguf_damaged_headers_are_refused(void **state)
{
	struct recipe r[14];
	struct gguf_header h;
	struct im_err err;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < 14; i++)
		r[i] = good;
	r[0].magic = "GGML";
	r[1].version = 1;
	r[2].version = 4;
	r[3].version = 0x03000000; /* the other byte order */
	r[4].alignment = 48;
	r[5].alignment = 0;
	r[6].dims = 5;
	r[7].type = 4; /* was removed */
	r[8].type = 1000;
	r[9].keys = 1ULL << 40;
	r[10].row = 33; /* no whole block */
	r[11].row = UINT64_MAX / 2;
	r[12].offset = 1ULL << 62;
	r[13].split = 3;
	for (size_t i = 0; i < 14; i++) {
		make(&b, &r[i]);
		if (gguf_header_check(b.data, b.len, &h, &err) != IM_ECORRUPT)
			fail_msg("recipe %zu was accepted", i);
		buf_done(&b);
	}
}

static void
test_gguf_flipped_bytes_never_leave_the_file(void **state)
{
	struct gguf_header h;
	struct im_err err;
	struct buf b;

	(void)state;
	make(&b, &good);
	for (size_t i = 0; i < b.len; i++) {
		uint8_t was = b.data[i];

		for (unsigned v = 0; v < 256; v += 15) {
			b.data[i] = (uint8_t)v;
			if (gguf_header_check(b.data, b.len, &h, &err) == IM_OK)
				assert_true(h.data_offset <= b.len);
		}
		b.data[i] = was;
	}
	buf_done(&b);
}

static void
test_gguf_demo_model_is_accepted(void **state)
{
	FILE *f = fopen("deploy/models/demo-q8_0.gguf", "rbe");
	struct gguf_header h;
	struct im_err err;
	uint8_t *data;
	long size;

	(void)state;
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	assert_true(size > 1000000);
	rewind(f);
	data = malloc((size_t)size);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, (size_t)size, f), (size_t)size);
	assert_int_equal(fclose(f), 0);
	if (gguf_header_check(data, (size_t)size, &h, &err) != IM_OK)
		fail_msg("%s", err.text);
	assert_int_equal(gguf_header_check(data, (size_t)size - 1000, &h, &err), IM_ECORRUPT);
	assert_non_null(strstr(err.text, "cut"));
	free(data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gguf_whole_file_is_accepted),
		cmocka_unit_test(test_gguf_cut_at_every_offset_is_refused),
		cmocka_unit_test(test_gguf_damaged_headers_are_refused),
		cmocka_unit_test(test_gguf_flipped_bytes_never_leave_the_file),
		cmocka_unit_test(test_gguf_demo_model_is_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
