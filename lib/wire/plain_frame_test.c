/*
 * wire/plain_frame_test.c - what is coded by hand is what protobuf-c makes of it, or is left to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/plain_agrees.h"
#include "wire/plain_frame.h"

static char long_text[20000];

static struct delta deltas[] = {
	{ .content = "hello" },
	{ .index = 127, .role = "assistant", .content = "", .finish_reason = "stop" },
	{ .reasoning_content = "h\xc3\xa4", .logprobs_json = "{}", .refusal = "no" },
	{ .index = 1, .content = long_text },
	{ 0 },
};

#define DELTAS (sizeof(deltas) / sizeof(deltas[0]))

static void
assert_packs_alike(const struct generate_frame *frame)
{
	struct buf by_hand = BUF_INIT(0);

	assert_true(plain_frame_encode(frame, &by_hand));
	assert_true(plain_frame_is(frame, &by_hand));
	buf_done(&by_hand);
}

static void
test_plain_frame_is_encoded_as_by_protobuf(void **state)
{
	static const uint8_t vector[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct delta one = { .index = 3, .embedding = { vector, sizeof(vector) } };

	(void)state;
	for (size_t from = 0; from <= DELTAS; from++) {
		for (size_t to = from; to <= DELTAS; to++) {
			struct generate_frame frame = { .deltas = deltas + from,
							.delta_count = to - from };

			assert_packs_alike(&frame);
			frame.system_fingerprint = "fp_1";
			assert_packs_alike(&frame);
		}
	}
	assert_packs_alike(
	    &(struct generate_frame){ .deltas = &one, .delta_count = 1, .dimensions = 300 });
}

static void
test_plain_frame_leaves_heads_and_tool_calls_alone(void **state)
{
	struct tool_call_delta call = { .id = "a", .name = "b", .arguments = "{}" };
	struct delta d[] = { { .content = "x" }, { .tool_calls = &call, .tool_call_count = 1 } };
	struct generate_frame with_tool = { .deltas = d, .delta_count = 2 };
	struct generate_frame with_head = { .has_head = true };
	struct buf out = BUF_INIT(0);

	(void)state;
	assert_false(plain_frame_encode(&with_tool, &out));
	assert_false(plain_frame_encode(&with_head, &out));
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

static void
test_plain_frame_without_memory_fails_the_buffer(void **state)
{
	struct generate_frame frame = { .deltas = deltas, .delta_count = DELTAS };
	struct buf packed = BUF_INIT(0);

	(void)state;
	assert_true(plain_frame_encode(&frame, &packed));
	for (size_t max = 1; max < packed.len; max += 97) {
		struct buf out = BUF_INIT(max);

		assert_true(plain_frame_encode(&frame, &out));
		assert_false(buf_ok(&out));
		buf_done(&out);
	}
	buf_done(&packed);
}

/* True if it was taken by hand. */
static bool
reads_alike(const uint8_t *bytes, size_t len)
{
	bool plain;

	assert_true(plain_frame_agrees(bytes, len, &plain));
	return plain;
}

static void
test_plain_frame_is_read_as_by_protobuf_also_when_cut_or_changed(void **state)
{
	struct generate_frame frame = { .deltas = deltas,
					.delta_count = 3,
					.system_fingerprint = "fp_1" };
	struct buf bytes = BUF_INIT(0);
	size_t cut, changed;

	(void)state;
	assert_true(plain_frame_encode(&frame, &bytes));
	assert_true(reads_alike(bytes.data, bytes.len));
	assert_true(plain_agrees_also_when_broken(plain_frame_agrees, &bytes, &cut, &changed));
	assert_int_equal(cut, frame.delta_count); /* behind each of them */
	assert_true(changed > bytes.len);         /* letters for letters, at least */
	buf_done(&bytes);
}

static void
test_plain_frames_behind_each_other_are_one(void **state)
{
	struct generate_frame frame = { .deltas = &deltas[1],
					.delta_count = 1,
					.system_fingerprint = "fp_1" };
	struct generate_frame more = { .deltas = &deltas[3], .delta_count = 1 }, back;
	struct buf bytes = BUF_INIT(0);
	struct arena arena = { 0 };

	(void)state;
	assert_true(plain_frame_encode(&frame, &bytes));
	assert_true(plain_frame_encode(&more, &bytes));
	assert_true(reads_alike(bytes.data, bytes.len));
	assert_true(plain_frame_decode(bytes.data, bytes.len, &arena, &back));
	assert_int_equal(back.delta_count, 2);
	assert_string_equal(back.system_fingerprint, "fp_1");
	assert_string_equal(back.deltas[1].content, long_text);
	arena_done(&arena);
	buf_done(&bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_frame_is_encoded_as_by_protobuf),
		cmocka_unit_test(test_plain_frame_leaves_heads_and_tool_calls_alone),
		cmocka_unit_test(test_plain_frame_without_memory_fails_the_buffer),
		cmocka_unit_test(test_plain_frame_is_read_as_by_protobuf_also_when_cut_or_changed),
		cmocka_unit_test(test_plain_frames_behind_each_other_are_one),
	};

	memset(long_text, 'x', sizeof(long_text) - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
