/*
 * wire/plain_event_test.c - what is coded by hand is what protobuf-c makes of it, or is left to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/plain_agrees.h"
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

/* What protobuf-c makes of the bytes is what they were made of, member by member, and it packs the same. */
static void
assert_packs_alike(struct audit_event *list, size_t count)
{
	const struct audit_append want = { list, count };
	struct buf by_hand = BUF_INIT(0);

	audit_append_encode(&want, &by_hand);
	assert_true(plain_events_are(&want, &by_hand));
	buf_done(&by_hand);
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

/* True if they were taken by hand. */
static bool
reads_alike(const uint8_t *bytes, size_t len)
{
	bool plain;

	assert_true(plain_events_agree(bytes, len, &plain));
	return plain;
}

static void
test_events_are_read_as_by_protobuf_also_when_cut_or_changed(void **state)
{
	struct buf bytes = BUF_INIT(0);
	size_t cut, changed;

	(void)state;
	audit_append_encode(&(struct audit_append){ events, EVENTS }, &bytes);
	assert_true(reads_alike(bytes.data, bytes.len));
	assert_true(plain_agrees_also_when_broken(plain_events_agree, &bytes, &cut, &changed));
	assert_int_equal(cut, EVENTS - 1);    /* behind each event but the last */
	assert_true(changed > 2 * bytes.len); /* letters for letters, at least */
	buf_done(&bytes);
}

static void
test_what_is_unusual_is_left_to_the_general_way(void **state)
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
		assert_true(plain_events_are(&back, &bytes));
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
		cmocka_unit_test(test_what_is_unusual_is_left_to_the_general_way),
		cmocka_unit_test(test_an_event_that_says_a_thing_twice_is_read_as_by_protobuf),
		cmocka_unit_test(test_an_event_of_very_many_fields_is_left_to_protobuf),
	};

	memset(long_text, 'x', sizeof(long_text) - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
