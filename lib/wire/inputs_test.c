/*
 * wire/inputs_test.c - requests that are no chat, and vectors: what is out of range.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/generate.h"

static enum im_rc
decode_request(const uint8_t *bytes, size_t len, struct im_err *err)
{
	struct generate_request r;
	struct arena arena = { 0 };
	enum im_rc rc = generate_request_decode(bytes, len, &arena, &r, err);

	arena_done(&arena);
	return rc;
}

static void
test_generate_request_inputs_out_of_range_name_the_member(void **state)
{
	static struct message user = { .role = "user", .content = "x" };
	static uint32_t tokens[1] = { 1 };
	static struct input many[GENERATE_INPUTS_MAX + 1];
	static struct input both[1] = { { "x", tokens, 1 } };
	struct generate_request ok = { .model = "m",
				       .operation = OPERATION_EMBEDDING,
				       .inputs = many,
				       .input_count = GENERATE_INPUTS_MAX };
	struct generate_request bad[7];
	static const char *const param[7] = { "inputs", "inputs",     "inputs",   "messages",
					      "inputs", "dimensions", "operation" };
	struct buf out = { 0 };
	struct im_err err;

	(void)state;
	generate_request_encode(&ok, &out);
	assert_int_equal(decode_request(out.data, out.len, &err), IM_OK);
	buf_done(&out);
	for (size_t i = 0; i < 7; i++)
		bad[i] = ok;
	bad[0].input_count = GENERATE_INPUTS_MAX + 1;
	bad[1].input_count = 0;
	bad[2].operation = OPERATION_COMPLETION;
	bad[2].input_count = 43;
	bad[2].n = 3;
	bad[3].messages = &user;
	bad[3].message_count = 1;
	bad[4].inputs = both;
	bad[4].input_count = 1;
	bad[5].dimensions = (struct opt_u32){ true, GENERATE_VECTOR_MAX + 1 };
	bad[6].operation = OPERATION_COUNT;
	for (size_t i = 0; i < 7; i++) {
		generate_request_encode(&bad[i], &out);
		assert_int_equal(decode_request(out.data, out.len, &err), IM_EINVAL);
		assert_string_equal(err.param, param[i]);
		buf_done(&out);
	}
}

static void
test_generate_frame_with_a_part_of_a_vector_is_refused(void **state)
{
	static const uint8_t bytes[12];
	struct delta delta = { .embedding = { bytes, sizeof(bytes) } };
	struct generate_frame frame = { .deltas = &delta, .delta_count = 1 }, back;
	static const uint32_t dimensions[] = { 0, 2, GENERATE_VECTOR_MAX + 1 };
	struct arena arena = { 0 };
	struct buf out = { 0 };
	struct im_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(dimensions) / sizeof(dimensions[0]); i++) {
		frame.dimensions = dimensions[i];
		generate_frame_encode(&frame, &out);
		assert_int_equal(generate_frame_decode(out.data, out.len, &arena, &back, &err),
				 IM_EPROTO);
		buf_done(&out);
	}
	frame.dimensions = 3;
	generate_frame_encode(&frame, &out);
	assert_int_equal(generate_frame_decode(out.data, out.len, &arena, &back, &err), IM_OK);
	assert_int_equal(back.deltas[0].embedding.len, sizeof(bytes));
	buf_done(&out);
	arena_done(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generate_request_inputs_out_of_range_name_the_member),
		cmocka_unit_test(test_generate_frame_with_a_part_of_a_vector_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
