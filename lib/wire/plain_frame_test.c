/*
 * wire/plain_frame_test.c - what is coded by hand is what protobuf-c makes of it, or is left to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "infermesh/v1/inference.pb-c.h"
#include "wire/plain_frame.h"
#include "wire/text.h"
#include "wire/wire.h"

#define DELTAS_MAX 8

static char long_text[20000];

static struct delta deltas[] = {
	{ .content = "hello" },
	{ .index = 127, .role = "assistant", .content = "", .finish_reason = "stop" },
	{ .reasoning_content = "h\xc3\xa4", .logprobs_json = "{}", .refusal = "no" },
	{ .index = 1, .content = long_text },
	{ 0 },
};

#define DELTAS (sizeof(deltas) / sizeof(deltas[0]))

/* The way of protobuf-c, for frames without tool calls. */
static void
pack(const struct generate_frame *frame, struct buf *out)
{
	Infermesh__V1__GenerateFrame m = INFERMESH__V1__GENERATE_FRAME__INIT;
	Infermesh__V1__Delta d[DELTAS_MAX], *list[DELTAS_MAX];

	for (size_t i = 0; i < frame->delta_count; i++) {
		const struct delta *from = &frame->deltas[i];

		infermesh__v1__delta__init(&d[i]);
		d[i].index = from->index;
		d[i].role = text_out(from->role);
		d[i].content = text_out(from->content);
		d[i].reasoning_content = text_out(from->reasoning_content);
		d[i].finish_reason = text_out(from->finish_reason);
		d[i].logprobs_json = text_out(from->logprobs_json);
		d[i].refusal = text_out(from->refusal);
		d[i].embedding = bytes_out(from->embedding.data, from->embedding.len);
		list[i] = &d[i];
	}
	m.n_deltas = frame->delta_count;
	m.deltas = list;
	m.system_fingerprint = text_out(frame->system_fingerprint);
	m.dimensions = frame->dimensions;
	wire_pack(&m.base, out);
}

static void
assert_packs_alike(const struct generate_frame *frame)
{
	struct buf by_hand = BUF_INIT(0), packed = BUF_INIT(0);

	assert_true(plain_frame_encode(frame, &by_hand));
	assert_true(buf_ok(&by_hand));
	pack(frame, &packed);
	assert_int_equal(by_hand.len, packed.len);
	if (packed.len > 0)
		assert_memory_equal(by_hand.data, packed.data, packed.len);
	buf_done(&by_hand);
	buf_done(&packed);
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
	pack(&frame, &packed);
	for (size_t max = 1; max < packed.len; max += 97) {
		struct buf out = BUF_INIT(max);

		assert_true(plain_frame_encode(&frame, &out));
		assert_false(buf_ok(&out));
		buf_done(&out);
	}
	buf_done(&packed);
}

/* What is taken by hand protobuf-c takes too, and as the same. True if it was taken by hand. */
static bool
reads_alike(const uint8_t *bytes, size_t len)
{
	const Infermesh__V1__GenerateFrame *m;
	struct arena arena = { 0 }, other = { 0 };
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct generate_frame frame;
	ProtobufCMessage *msg;
	bool plain;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	plain = plain_frame_decode(copy, len, &arena, &frame);
	if (plain) {
		assert_int_equal(wire_unpack(&infermesh__v1__generate_frame__descriptor, copy, len,
					     &other, &msg, NULL),
				 IM_OK);
		m = (const Infermesh__V1__GenerateFrame *)msg;
		assert_null(m->head);
		assert_false(frame.has_head);
		assert_int_equal(frame.dimensions, m->dimensions);
		assert_string_equal(frame.system_fingerprint, m->system_fingerprint);
		assert_int_equal(frame.delta_count, m->n_deltas);
		for (size_t i = 0; i < m->n_deltas; i++) {
			const struct delta *d = &frame.deltas[i];

			assert_int_equal(d->index, m->deltas[i]->index);
			assert_string_equal(d->role, m->deltas[i]->role);
			assert_string_equal(d->content, m->deltas[i]->content);
			assert_string_equal(d->reasoning_content, m->deltas[i]->reasoning_content);
			assert_string_equal(d->finish_reason, m->deltas[i]->finish_reason);
			assert_string_equal(d->logprobs_json, m->deltas[i]->logprobs_json);
			assert_string_equal(d->refusal, m->deltas[i]->refusal);
			assert_int_equal(m->deltas[i]->n_tool_calls, 0);
			assert_int_equal(d->tool_call_count, 0);
			assert_int_equal(m->deltas[i]->embedding.len, d->embedding.len);
		}
	}
	arena_done(&arena);
	arena_done(&other);
	free(copy);
	return plain;
}

static void
test_plain_frame_is_read_as_by_protobuf_also_when_cut_or_changed(void **state)
{
	struct generate_frame frame = { .deltas = deltas,
					.delta_count = 3,
					.system_fingerprint = "fp_1" };
	struct buf bytes = BUF_INIT(0);
	size_t taken = 0;

	(void)state;
	assert_true(plain_frame_encode(&frame, &bytes));
	assert_true(reads_alike(bytes.data, bytes.len));
	for (size_t len = 0; len < bytes.len; len++)
		taken += reads_alike(bytes.data, len);
	for (size_t at = 0; at < bytes.len; at++) {
		uint8_t was = bytes.data[at];

		for (unsigned v = 0; v < 256; v++) {
			bytes.data[at] = (uint8_t)v;
			taken += reads_alike(bytes.data, bytes.len);
		}
		bytes.data[at] = was;
	}
	assert_true(taken > bytes.len); /* letters for letters, at least */
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
