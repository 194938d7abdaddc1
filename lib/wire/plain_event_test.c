/*
 * wire/plain_event_test.c - what is coded by hand is what protobuf-c makes of it, or is left to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "infermesh/v1/audit.pb-c.h"
#include "wire/plain_event.h"
#include "wire/wire.h"

static char long_text[300];

static struct audit_event events[] = {
	{ .kind = RECORD_REQUEST,
	  .request_id = { 1, 2 },
	  .has_request_id = true,
	  .caller = "ann",
	  .tenant = "acm\xc3\xa9",
	  .request_time_us = 1700000000000000,
	  .input_sha256 = { 3 },
	  .has_input = true,
	  .model = "demo",
	  .reporter = { 9 },
	  .has_reporter = true },
	{ .kind = RECORD_RESPONSE,
	  .response_time_us = 200,
	  .has_output = true,
	  .model = long_text,
	  .model_digest = "sha256:1",
	  .outcome = OUTCOME_CACHE_HIT,
	  .status_code = 200,
	  .has_routing = true,
	  .routing = { .worker = "w1",
		       .policy = "least_connections",
		       .reason = "r",
		       .seen = { { "w1", 3, SEEN_READY, SEEN_BREAKER_HALF_OPEN, 190 },
				 { .worker = "" } },
		       .seen_count = 2,
		       .cache_key = { 5 },
		       .has_cache_key = true,
		       .attempts = 2,
		       .route = "chat",
		       .arm = "v1",
		       .fallback = "model:small",
		       .rule = "policies[1]",
		       .leader = { 7 },
		       .has_leader = true },
	  .has_usage = true,
	  .usage = { 1, 200, 3, 40000 } },
	{ .kind = RECORD_CONFIG, .config_digest = { 4 }, .has_config_digest = true },
	{ .kind = RECORD_RESPONSE, .has_routing = true, .has_usage = true },
};

static struct audit_event unusual[] = {
	{ .kind = RECORD_GAP, .has_gap = true, .gap = { 1, 2, 3, "disk full" } },
	{ .kind = RECORD_RESPONSE,
	  .has_routing = true,
	  .routing = { .failed = { { "w2", "upstream_error" }, { "", "" } }, .failed_count = 2 } },
};

#define EVENTS (sizeof(events) / sizeof(events[0]))

/* What protobuf-c makes of the bytes and packs again is the same bytes: nothing is in another order, and nothing too much. */
static void
assert_packs_alike(struct audit_event *list, size_t count)
{
	struct buf by_hand = BUF_INIT(0), packed = BUF_INIT(0);
	struct arena arena = { 0 };
	ProtobufCMessage *msg;

	audit_append_encode(&(struct audit_append){ list, count }, &by_hand);
	assert_true(buf_ok(&by_hand));
	assert_int_equal(wire_unpack(&infermesh__v1__append_request__descriptor, by_hand.data,
				     by_hand.len, &arena, &msg, NULL),
			 IM_OK);
	assert_int_equal(((Infermesh__V1__AppendRequest *)msg)->n_events, count);
	wire_pack(msg, &packed);
	assert_int_equal(by_hand.len, packed.len);
	assert_memory_equal(by_hand.data, packed.data, packed.len);
	arena_done(&arena);
	buf_done(&by_hand);
	buf_done(&packed);
}

static void
test_events_are_encoded_as_by_protobuf(void **state)
{
	(void)state;
	for (size_t from = 0; from < EVENTS; from++)
		for (size_t to = from + 1; to <= EVENTS; to++)
			assert_packs_alike(events + from, to - from);
	assert_packs_alike(unusual, 2);
}

static void
test_events_without_memory_fail_the_buffer(void **state)
{
	struct buf whole = BUF_INIT(0);

	(void)state;
	audit_append_encode(&(struct audit_append){ events, EVENTS }, &whole);
	for (size_t max = 1; max < whole.len; max++) {
		struct buf out = BUF_INIT(max);

		audit_append_encode(&(struct audit_append){ events, EVENTS }, &out);
		assert_false(buf_ok(&out));
		buf_done(&out);
	}
	buf_done(&whole);
}

static void
assert_same(const struct audit_append *a, const struct audit_append *b)
{
	struct buf one = BUF_INIT(0), other = BUF_INIT(0);

	assert_int_equal(a->count, b->count);
	audit_append_encode(a, &one);
	audit_append_encode(b, &other);
	assert_int_equal(one.len, other.len);
	assert_memory_equal(one.data, other.data, one.len);
	for (size_t i = 0; i < a->count; i++) {
		const struct audit_event *e = &a->events[i];

		assert_true(e->caller != NULL && e->tenant != NULL && e->model != NULL);
		assert_true(e->model_digest != NULL && e->gap.reason != NULL);
		assert_true(e->routing.worker != NULL && e->routing.policy != NULL);
		assert_true(e->routing.reason != NULL && e->routing.route != NULL);
		assert_true(e->routing.arm != NULL && e->routing.fallback != NULL);
		assert_non_null(e->routing.rule);
		for (size_t k = 0; k < e->routing.seen_count; k++)
			assert_non_null(e->routing.seen[k].worker);
	}
	buf_done(&one);
	buf_done(&other);
}

/* What is taken by hand protobuf-c takes too, and as the same. True if it was taken by hand. */
static bool
reads_alike(const uint8_t *bytes, size_t len)
{
	struct arena arena = { 0 }, other = { 0 };
	uint8_t *copy = malloc(
	    len > 0 ? len : 1); /* of its own length, so that a byte read too many is found */
	struct audit_append by_hand, unpacked;
	bool plain;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	plain = plain_events_decode(copy, len, &arena, &by_hand);
	if (plain) {
		assert_int_equal(audit_append_unpack(copy, len, &other, &unpacked, NULL), IM_OK);
		memset(copy, 0xff, len); /* nothing points into it */
		assert_same(&by_hand, &unpacked);
	}
	arena_done(&arena);
	arena_done(&other);
	free(copy);
	return plain;
}

static void
test_events_are_read_as_by_protobuf_also_when_cut_or_changed(void **state)
{
	struct buf bytes = BUF_INIT(0);
	size_t taken = 0;

	(void)state;
	audit_append_encode(&(struct audit_append){ events, EVENTS }, &bytes);
	assert_true(reads_alike(bytes.data, bytes.len));
	for (size_t len = 0; len < bytes.len; len++)
		taken += reads_alike(bytes.data, len);
	assert_int_equal(taken, EVENTS - 1); /* behind each event but the last */
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
test_what_is_unusual_is_left_to_protobuf(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct buf bytes = BUF_INIT(0);
		struct arena arena = { 0 };
		struct audit_append back;

		audit_append_encode(&(struct audit_append){ &unusual[i], 1 }, &bytes);
		assert_false(reads_alike(bytes.data, bytes.len));
		assert_int_equal(audit_append_decode(bytes.data, bytes.len, &arena, &back, NULL),
				 IM_OK);
		assert_same(&back, &(struct audit_append){ &unusual[i], 1 });
		arena_done(&arena);
		buf_done(&bytes);
	}
}

/* What becomes of two usages is for protobuf-c to say; of two texts the last counts. */
static void
test_an_event_that_says_a_thing_twice_is_read_as_by_protobuf(void **state)
{
	static const uint8_t usages[] = { 0x0a, 10, 0x08, 2, 0x7a, 2, 0x08, 1, 0x7a, 2, 0x10, 2 };
	static const uint8_t callers[] = { 0x0a, 8, 0x08, 2, 0x1a, 1, 'a', 0x1a, 1, 'b' };
	/* A request's id, and then none: nothing of the first is left. */
	static const uint8_t ids[] = { 0x0a, 22, 0x08, 5, 0x12, 16, 1, 1, 1, 1, 1,    1,
				       1,    1,  1,    1, 1,    1,  1, 1, 1, 1, 0x12, 0 };
	static const uint8_t none[16] = { 0 };
	struct arena arena = { 0 };
	struct audit_append back;

	(void)state;
	assert_false(reads_alike(ids, sizeof(ids)));
	assert_int_equal(audit_append_decode(ids, sizeof(ids), &arena, &back, NULL), IM_OK);
	assert_false(back.events[0].has_request_id);
	assert_memory_equal(back.events[0].request_id, none, sizeof(none));
	assert_false(reads_alike(usages, sizeof(usages)));
	assert_int_equal(audit_append_decode(usages, sizeof(usages), &arena, &back, NULL), IM_OK);
	assert_true(reads_alike(callers, sizeof(callers)));
	arena_done(&arena);
}

/* One of more fields than one may be there: by hand nobody counts them. */
static void
test_an_event_of_very_many_fields_is_left_to_protobuf(void **state)
{
	static uint8_t bytes[4 + 2 * (WIRE_ELEMENTS_MAX + 1)] = { 0x0a, 0x82, 0x80, 0x08 };
	struct arena arena = { 0 };
	struct audit_append back;

	(void)state;
	for (size_t at = 4; at < sizeof(bytes); at += 2) {
		bytes[at] = 0x08; /* the kind */
		bytes[at + 1] = RECORD_CONFIG;
	}
	assert_false(reads_alike(bytes, sizeof(bytes)));
	assert_int_equal(audit_append_decode(bytes, sizeof(bytes), &arena, &back, NULL), IM_EPROTO);
	arena_done(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_are_encoded_as_by_protobuf),
		cmocka_unit_test(test_events_without_memory_fail_the_buffer),
		cmocka_unit_test(test_events_are_read_as_by_protobuf_also_when_cut_or_changed),
		cmocka_unit_test(test_what_is_unusual_is_left_to_protobuf),
		cmocka_unit_test(test_an_event_that_says_a_thing_twice_is_read_as_by_protobuf),
		cmocka_unit_test(test_an_event_of_very_many_fields_is_left_to_protobuf),
	};

	memset(long_text, 'x', sizeof(long_text) - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
