/*
 * wire/unpack_test.c - what the unpacker takes is what protobuf-c makes of it, and packed as by it; fields of a later version cost nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "infermesh/v1/inference.pb-c.h"
#include "infermesh/v1/router.pb-c.h"
#include "wire/unpack_agrees.h"
#include "wire/wire_samples.h"

/* A copy of its own, so that a read past the end is seen. */
static bool
agrees(size_t type, const uint8_t *bytes, size_t len, size_t *taken)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	bool is_taken, same;

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, bytes, len);
	same = unpack_agrees(type, copy, len, &is_taken);
	*taken += is_taken;
	free(copy);
	return same;
}

static void
test_unpack_agrees_with_protobuf_on_every_sample_as_every_type(void **state)
{
	size_t taken = 0;

	(void)state;
	for (size_t i = 0; i < wire_samples_len; i++) {
		struct buf in = { 0 };

		wire_samples[i].encode(&in);
		for (size_t type = 0; type < unpack_types; type++)
			if (!agrees(type, in.data, in.len, &taken))
				fail_msg("%s as type %zu", wire_samples[i].name, type);
		buf_done(&in);
	}
	assert_true(taken >= wire_samples_len);
}

/* Cut anywhere, and with any byte changed to what is likely to mean something else. */
static void
test_unpack_agrees_with_protobuf_on_what_is_cut_or_changed(void **state)
{
	static const uint8_t changes[] = { 0x01, 0x02, 0x08, 0x10, 0x80, 0xff };
	size_t taken = 0;

	(void)state;
	for (size_t i = 0; i < wire_samples_len; i++) {
		size_t type = i % unpack_types;
		struct buf in = { 0 };

		wire_samples[i].encode(&in);
		for (size_t t = 0; t < unpack_types; t++) {
			bool own;

			assert_true(unpack_agrees(t, in.data, in.len, &own));
			if (own)
				type = t; /* the last that takes it whole */
		}
		for (size_t at = 0; at < in.len; at++) {
			if (!agrees(type, in.data, at, &taken))
				fail_msg("%s cut at %zu", wire_samples[i].name, at);
			for (size_t k = 0; k < sizeof(changes); k++) {
				in.data[at] ^= changes[k];
				if (!agrees(type, in.data, in.len, &taken))
					fail_msg("%s, byte %zu ^ %02x", wire_samples[i].name, at,
						 changes[k]);
				in.data[at] ^= changes[k];
			}
		}
		buf_done(&in);
	}
	assert_true(taken > wire_samples_len);
}

static void
test_unpack_packed_and_single_elements_are_one_list(void **state)
{
	/* inputs { tokens: [1, 300], 2, [], [3] } */
	static const uint8_t bytes[] = { 0xb2, 0x02, 0x0c, 0x12, 0x03, 0x01, 0xac, 0x02,
					 0x10, 0x02, 0x12, 0x00, 0x12, 0x01, 0x03 };
	static const uint32_t want[] = { 1, 300, 2, 3 };
	const Infermesh__V1__GenerateRequest *m;
	struct arena arena = { 0 };
	ProtobufCMessage *msg;

	(void)state;
	assert_int_equal(wire_unpack(&infermesh__v1__generate_request__descriptor, bytes,
				     sizeof(bytes), &arena, &msg, NULL),
			 IM_OK);
	m = (const Infermesh__V1__GenerateRequest *)msg;
	assert_int_equal(m->n_inputs, 1);
	assert_int_equal(m->inputs[0]->n_tokens, 4);
	assert_memory_equal(m->inputs[0]->tokens, want, sizeof(want));
	arena_done(&arena);
}

/* As protobuf has it: what is behind each other is one message. */
static void
test_unpack_a_message_there_twice_is_one(void **state)
{
	/* head { model: "a", cache: "x", limits {} }, head { cache: "y", age_ms: 7, limits {}, limits {} } */
	static const uint8_t bytes[] = { 0x0a, 0x08, 0x0a, 0x01, 'a',  0x12, 0x01,
					 'x',  0x32, 0x00, 0x0a, 0x09, 0x12, 0x01,
					 'y',  0x20, 0x07, 0x32, 0x00, 0x32, 0x00 };
	const Infermesh__V1__GenerateFrame *m;
	struct arena arena = { 0 };
	ProtobufCMessage *msg;

	(void)state;
	assert_int_equal(wire_unpack(&infermesh__v1__generate_frame__descriptor, bytes,
				     sizeof(bytes), &arena, &msg, NULL),
			 IM_OK);
	m = (const Infermesh__V1__GenerateFrame *)msg;
	assert_string_equal(m->head->model, "a");
	assert_string_equal(m->head->cache, "y");
	assert_int_equal(m->head->age_ms, 7);
	assert_int_equal(m->head->n_limits, 3);
	for (size_t i = 0; i < 3; i++)
		assert_ptr_equal(m->head->limits[i]->base.descriptor,
				 &infermesh__v1__rate_limit__descriptor);
	arena_done(&arena);
}

static void
test_unpack_fields_of_a_later_version_take_no_memory(void **state)
{
	struct buf plain = { 0 }, more = { 0 };
	struct arena arena = { 0 };
	ProtobufCMessage *msg;
	size_t used;

	(void)state;
	(void)buf_append(&plain, "\x0a\x01m\x62\x01s", 6); /* model, stop */
	assert_int_equal(wire_unpack(&infermesh__v1__generate_request__descriptor, plain.data,
				     plain.len, &arena, &msg, NULL),
			 IM_OK);
	used = arena.used_bytes;
	arena_done(&arena);
	for (unsigned i = 0; i < 100000; i++)
		(void)buf_append(&more, "\xf2\x7f\x03new\xf8\x7f\x01", 9); /* 2046, 2047 */
	(void)buf_append(&more, plain.data, plain.len);
	assert_int_equal(wire_unpack(&infermesh__v1__generate_request__descriptor, more.data,
				     more.len, &arena, &msg, NULL),
			 IM_OK);
	assert_int_equal(arena.used_bytes, used);
	assert_string_equal(((const Infermesh__V1__GenerateRequest *)msg)->stop[0], "s");
	arena_done(&arena);
	buf_done(&plain);
	buf_done(&more);
}

/* Memory ends before the walk comes to what is wrong. */
static void
test_unpack_malformed_is_called_so_also_without_memory(void **state)
{
	static const uint8_t bytes[] = { 0x0a, 0x01, 'm', 0x62, 0x01, 0xff };
	struct arena arena;
	ProtobufCMessage *msg = NULL;
	struct im_err err;

	(void)state;
	arena_init(&arena, 16);
	assert_int_equal(wire_unpack(&infermesh__v1__generate_request__descriptor, bytes,
				     sizeof(bytes), &arena, &msg, &err),
			 IM_EPROTO);
	assert_string_equal(err.param, "stop[0]");
	assert_int_equal(
	    wire_unpack(&infermesh__v1__generate_request__descriptor, bytes, 3, &arena, &msg, &err),
	    IM_ENOMEM);
	assert_null(msg);
	arena_done(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpack_agrees_with_protobuf_on_every_sample_as_every_type),
		cmocka_unit_test(test_unpack_agrees_with_protobuf_on_what_is_cut_or_changed),
		cmocka_unit_test(test_unpack_packed_and_single_elements_are_one_list),
		cmocka_unit_test(test_unpack_a_message_there_twice_is_one),
		cmocka_unit_test(test_unpack_fields_of_a_later_version_take_no_memory),
		cmocka_unit_test(test_unpack_malformed_is_called_so_also_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
