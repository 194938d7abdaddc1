/*
 * wire/wire_test.c - every message: golden bytes, round trip, truncation at every offset, bounded memory, hostile bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "wire/operator.h"
#include "wire/wire_samples.h"

static char *
golden_line(const char *name)
{
	static char line[8192];
	FILE *f = fopen("tests/vectors/wire-v1.txt", "re");
	size_t len = strlen(name);

	if (f == NULL)
		return NULL;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, name, len) != 0 || line[len] != ' ')
			continue;
		line[strcspn(line, "\n")] = '\0';
		(void)fclose(f);
		return line + len + 1;
	}
	(void)fclose(f);
	return NULL;
}

static void
test_wire_samples_match_golden_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < wire_samples_len; i++) {
		struct buf out = { 0 };
		char *hex, *want = golden_line(wire_samples[i].name);

		wire_samples[i].encode(&out);
		assert_true(buf_ok(&out));
		hex = malloc(out.len * 2 + 1);
		assert_non_null(hex);
		hex_encode(out.data, out.len, hex);
		if (want == NULL)
			fail_msg("tests/vectors/wire-v1.txt lacks: %s %s", wire_samples[i].name,
				 hex);
		else
			assert_string_equal(hex, want);
		free(hex);
		buf_done(&out);
	}
}

static void
test_wire_recode_gives_the_same_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < wire_samples_len; i++) {
		struct buf in = { 0 }, out = { 0 };
		struct arena arena = { 0 };
		struct im_err err;

		wire_samples[i].encode(&in);
		assert_int_equal(wire_samples[i].recode(in.data, in.len, &arena, &out, &err),
				 IM_OK);
		assert_int_equal(out.len, in.len);
		assert_memory_equal(out.data, in.data, in.len);
		arena_done(&arena);
		buf_done(&in);
		buf_done(&out);
	}
}

static void
test_wire_truncated_anywhere_is_refused_or_shorter(void **state)
{
	(void)state;
	for (size_t i = 0; i < wire_samples_len; i++) {
		struct buf in = { 0 };

		wire_samples[i].encode(&in);
		for (size_t cut = 0; cut < in.len; cut++) {
			/* An exact allocation, so that a read past the end is seen. */
			uint8_t *part = malloc(cut + 1);
			struct arena arena = { 0 };
			struct buf out = { 0 }, again = { 0 };
			struct im_err err = { 0 };
			enum im_rc rc;

			assert_non_null(part);
			memcpy(part, in.data, cut);
			rc = wire_samples[i].recode(part, cut, &arena, &out, &err);
			/* What is left may be a message of its own; then it must be a sound one. */
			if (rc == IM_OK)
				assert_int_equal(
				    wire_samples[i].recode(out.data, out.len, &arena, &again, &err),
				    IM_OK);
			else
				assert_true((rc == IM_EPROTO || rc == IM_EINVAL) &&
					    err.text[0] != '\0');
			free(part);
			arena_done(&arena);
			buf_done(&out);
			buf_done(&again);
		}
		buf_done(&in);
	}
}

static void
test_wire_memory_bound_is_met_with_enomem(void **state)
{
	(void)state;
	for (size_t i = 0; i < wire_samples_len; i++) {
		struct buf in = { 0 };
		enum im_rc rc = IM_ENOMEM;

		wire_samples[i].encode(&in);
		for (size_t max = 1; rc != IM_OK && max < 1 << 16; max += 16) {
			struct arena arena;
			struct buf out = { 0 };
			struct im_err err;

			arena_init(&arena, max);
			rc = wire_samples[i].recode(in.data, in.len, &arena, &out, &err);
			assert_true(rc == IM_OK || rc == IM_ENOMEM);
			assert_true(arena.used_bytes <= max);
			arena_done(&arena);
			buf_done(&out);
		}
		assert_int_equal(rc, IM_OK);
		buf_done(&in);
	}
}

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
test_wire_string_not_utf8_names_its_place(void **state)
{
	/* messages (tag 2) { role (tag 1): ff } */
	static const uint8_t bytes[] = { 0x12, 0x03, 0x0a, 0x01, 0xff };
	struct im_err err;

	(void)state;
	assert_int_equal(decode_request(bytes, sizeof(bytes), &err), IM_EPROTO);
	assert_string_equal(err.param, "messages[0].role");
}

static void
test_wire_string_with_nul_is_refused(void **state)
{
	static const uint8_t bytes[] = { 0x0a, 0x03, 'a', 0, 'b' };
	struct im_err err;

	(void)state;
	assert_int_equal(decode_request(bytes, sizeof(bytes), &err), IM_EPROTO);
	assert_string_equal(err.param, "model");
}

static void
test_wire_hostile_bytes_are_refused(void **state)
{
	static const struct {
		const char *what;
		uint8_t bytes[16];
		size_t len;
	} cases[] = {
		{ "length over the end", { 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f }, 6 },
		{ "length of 2^63",
		  { 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
		  10 },
		{ "varint of 11 bytes",
		  { 0x68, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 },
		  12 },
		{ "length of 6 bytes", { 0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00 }, 7 },
		{ "key of 6 bytes", { 0x8a, 0x80, 0x80, 0x80, 0x80, 0x00, 0x00 }, 7 },
		{ "tag 0", { 0x00, 0x00 }, 2 },
		{ "group", { 0x0b, 0x0c }, 2 },
		{ "wire type 7", { 0x0f }, 1 },
		{ "string as varint", { 0x08, 0x01 }, 2 },
		{ "fixed64 cut", { 0x19, 1, 2, 3 }, 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct im_err err;

		if (decode_request(cases[i].bytes, cases[i].len, &err) != IM_EPROTO)
			fail_msg("%s: not refused", cases[i].what);
	}
}

static void
test_wire_too_many_elements_are_refused(void **state)
{
	size_t count = WIRE_ELEMENTS_MAX + 1;
	uint8_t *bytes = malloc(count * 2);
	struct im_err err;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < count; i++) {
		bytes[2 * i] = 0x62; /* stop, an empty string */
		bytes[2 * i + 1] = 0;
	}
	assert_int_equal(decode_request(bytes, count * 2, &err), IM_EPROTO);
	free(bytes);
}

static void
test_generate_request_out_of_range_names_the_member(void **state)
{
	static struct message user = { .role = "user", .content = "x" };
	static struct message wizard = { .role = "wizard", .content = "x" };
	static const char *stops[17] = { 0 };
	struct generate_request ok = { .model = "m", .messages = &user, .message_count = 1 };
	struct generate_request bad[9];
	static const char *const param[9] = {
		"temperature", "top_p",      "n",   "messages[0].role", "model", "messages",
		"tools",       "request_id", "stop"
	};

	(void)state;
	for (size_t i = 0; i < 9; i++)
		bad[i] = ok;
	bad[0].temperature = (struct opt_double){ true, 2.5 };
	bad[1].top_p = (struct opt_double){ true, __builtin_nan("") };
	bad[2].n = 129;
	bad[3].messages = &wizard;
	bad[4].model = "";
	bad[5].message_count = 0;
	bad[6].tools_json = "[1";
	bad[7].request_id = "ABC";
	bad[8].stop = stops;
	bad[8].stop_count = 17;
	for (size_t i = 0; i < 17; i++)
		stops[i] = "x";
	for (size_t i = 0; i < 9; i++) {
		struct buf out = { 0 };
		struct im_err err;

		generate_request_encode(&bad[i], &out);
		assert_int_equal(decode_request(out.data, out.len, &err), IM_EINVAL);
		assert_string_equal(err.param, param[i]);
		buf_done(&out);
	}
}

static void
test_generate_request_keeps_absent_apart_from_empty(void **state)
{
	struct message m[2] = { { .role = "assistant" }, { .role = "user", .content = "" } };
	struct generate_request in = { .model = "m", .messages = m, .message_count = 2 }, r;
	struct arena arena = { 0 };
	struct buf out = { 0 };

	(void)state;
	in.temperature = (struct opt_double){ true, 0 };
	generate_request_encode(&in, &out);
	assert_int_equal(generate_request_decode(out.data, out.len, &arena, &r, NULL), IM_OK);
	assert_null(r.messages[0].content);
	assert_string_equal(r.messages[1].content, "");
	assert_true(r.temperature.set && r.temperature.v == 0);
	assert_false(r.top_p.set);
	arena_done(&arena);
	buf_done(&out);
}

static void
test_announce_weight_beyond_the_bound_is_refused(void **state)
{
	static const uint8_t most[] = { 0x0a, 0x01, 'w', 0x30, 0x90, 0x4e }; /* 10000 */
	static const uint8_t more[] = { 0x0a, 0x01, 'w', 0x30, 0x91, 0x4e };
	struct arena arena = { 0 };
	struct announce a;
	struct im_err err;

	(void)state;
	assert_int_equal(announce_decode(most, sizeof(most), &arena, &a, &err), IM_OK);
	assert_int_equal(a.weight, ANNOUNCE_WEIGHT_MAX);
	assert_false(a.backup);
	assert_int_equal(announce_decode(more, sizeof(more), &arena, &a, &err), IM_EINVAL);
	assert_string_equal(err.text, "weight: 10001, allowed is at most 10000");
	arena_done(&arena);
}

static void
test_end_frame_limits_keep_the_first_of_each_kind(void **state)
{
	/* Error.limits: requests 60, requests 7, an unknown kind, tokens 9. */
	static const uint8_t bytes[] = { 0x0a, 0x1a, 0x08, 0x06, 0x32, 0x04, 0x08, 0x01, 0x10, 0x3c,
					 0x32, 0x04, 0x08, 0x01, 0x10, 0x07, 0x32, 0x04, 0x08, 0x63,
					 0x10, 0x05, 0x32, 0x04, 0x08, 0x02, 0x10, 0x09 };
	struct end_frame end;

	(void)state;
	assert_int_equal(end_frame_decode(bytes, sizeof(bytes), &end, NULL), IM_OK);
	assert_true(end.failed);
	assert_int_equal(end.err.rc, IM_ELIMIT);
	assert_int_equal(end.err.rates.requests.limit, 60);
	assert_int_equal(end.err.rates.tokens.limit, 9);
	assert_int_equal(end.err.rates.tokens.remaining, 0);
}

static void
test_route_out_of_range_names_the_member(void **state)
{
	static const struct route_spec ok = { .model = "chat",
					      .arms = { { "v1", 1 } },
					      .arm_count = 1,
					      .sticky = STICKY_OFF,
					      .answer = "" };
	static char long_name[GENERATE_MODEL_MAX + 2], long_answer[ROUTE_ANSWER_MAX + 2];
	struct route_spec bad[8];
	static const char *const param[8] = { "model", "sticky", "fallback", "fallback_answer",
					      "arms",  "arms",   "arms",     "arms" };
	struct im_err err;

	(void)state;
	assert_int_equal(route_spec_check(&ok, &err), IM_OK);
	memset(long_name, 'x', GENERATE_MODEL_MAX + 1);
	memset(long_answer, 'x', ROUTE_ANSWER_MAX + 1);
	for (size_t i = 0; i < 8; i++)
		bad[i] = ok;
	bad[0].model = "";
	bad[1].sticky = STICKY_UNSAID;
	bad[2].fallback[0] = long_name;
	bad[2].fallback_count = 1;
	bad[3].answer = long_answer;
	bad[4].arm_count = 0;
	bad[5].arms[0].weight = 0;
	bad[6].arms[0].weight = ROUTE_WEIGHT_MAX + 1;
	bad[7].arms[1] = bad[7].arms[0];
	bad[7].arm_count = 2;
	for (size_t i = 0; i < 8; i++) {
		struct buf out = { 0 };
		struct route_status s = { .route = bad[i] };
		struct arena arena = { 0 };
		struct route_list list;

		assert_int_equal(route_spec_check(&bad[i], &err), IM_EINVAL);
		assert_string_equal(err.param, param[i]);
		route_list_encode(&(struct route_list){ .routes = &s, .count = 1 }, &out);
		assert_int_equal(route_list_decode(out.data, out.len, &arena, &list, NULL),
				 IM_EINVAL);
		arena_done(&arena);
		buf_done(&out);
	}
}

static void
test_ramp_out_of_range_names_the_member(void **state)
{
	static const struct ramp_spec ok = { "v2", 10, 30000, 10000, 500, 100 };
	struct ramp_spec bad[6] = { ok, ok, ok, ok, ok, ok };
	static const char *const param[6] = { "arm",     "step",        "every", "max-error-rate",
					      "max-p99", "min-requests" };
	struct im_err err;

	(void)state;
	assert_int_equal(ramp_spec_check(&ok, &err), IM_OK);
	bad[0].arm = "";
	bad[1].step_percent = 101;
	bad[2].every_ms = RAMP_EVERY_MIN_MS - 1;
	bad[3].max_error_ppm = 1000001;
	bad[4].max_p99_ms = RAMP_P99_MAX_MS + 1;
	bad[5].min_requests = 0;
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(ramp_spec_check(&bad[i], &err), IM_EINVAL);
		assert_string_equal(err.param, param[i]);
	}
}

static void
test_end_frame_error_of_code_zero_is_an_error(void **state)
{
	static const uint8_t bytes[] = { 0x0a, 0x00 }; /* error {} */
	struct end_frame end;

	(void)state;
	assert_int_equal(end_frame_decode(bytes, sizeof(bytes), &end, NULL), IM_OK);
	assert_true(end.failed);
	assert_int_equal(end.err.rc, IM_EINTERNAL);
}

static void
test_end_frame_error_that_is_not_utf8_is_masked(void **state)
{
	struct im_err err = { .rc = IM_EUPSTREAM,
			      .reason = "r\xff",
			      .param = "\xc3\xa9\xc3",
			      .text = "\xe4\xb8\xad then half of one: \xe4\xb8" };
	struct buf out = { 0 };
	struct end_frame end;

	(void)state;
	end_frame_encode(2, &err, NULL, 0, &out);
	assert_int_equal(end_frame_decode(out.data + FRAME_HEADER_BYTES,
					  out.len - FRAME_HEADER_BYTES, &end, NULL),
			 IM_OK);
	assert_string_equal(end.err.reason, "r?");
	assert_string_equal(end.err.param, "\xc3\xa9?");
	assert_string_equal(end.err.text, "\xe4\xb8\xad then half of one: ??");
	buf_done(&out);
}

static void
test_frame_header_is_little_endian(void **state)
{
	static const uint8_t want[FRAME_HEADER_BYTES] = { 4, 3, 2, 1, 8, 7, 6, 5, 3, 0, 0, 0 };
	struct frame_header h = { 0x01020304, 0x05060708, FRAME_DATA, 0 }, back;
	uint8_t out[FRAME_HEADER_BYTES];

	(void)state;
	frame_header_put(out, &h);
	assert_memory_equal(out, want, sizeof(want));
	frame_header_get(out, &back);
	assert_int_equal(back.body_len, h.body_len);
	assert_int_equal(back.call_id, h.call_id);
	assert_int_equal(back.kind, h.kind);
}

static void
test_append_count_is_what_decoding_finds(void **state)
{
	struct audit_event events[3] = { { .kind = RECORD_CONFIG },
					 { .kind = RECORD_GAP },
					 { .kind = RECORD_CONFIG } };
	struct buf out = BUF_INIT(0);
	size_t decoded = 0;

	(void)state;
	audit_append_encode(&(struct audit_append){ events, 3 }, &out);
	assert_int_equal(audit_append_count(out.data, out.len), 3);
	for (size_t len = 0; len < out.len; len++) {
		struct arena arena;
		struct audit_append back;

		arena_init(&arena, 1 << 20);
		if (audit_append_decode(out.data, len, &arena, &back, NULL) == IM_OK) {
			decoded++;
			assert_int_equal(audit_append_count(out.data, len), back.count);
		}
		arena_done(&arena);
	}
	assert_int_equal(decoded, 2); /* at the borders */
	buf_clear(&out);
	for (size_t i = 0; i <= AUDIT_EVENTS_MAX; i++)
		audit_append_encode(&(struct audit_append){ events, 1 }, &out);
	assert_int_equal(audit_append_count(out.data, out.len), 0); /* one too many */
	assert_int_equal(audit_append_count(NULL, 0), 0);
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire_samples_match_golden_bytes),
		cmocka_unit_test(test_wire_recode_gives_the_same_bytes),
		cmocka_unit_test(test_wire_truncated_anywhere_is_refused_or_shorter),
		cmocka_unit_test(test_wire_memory_bound_is_met_with_enomem),
		cmocka_unit_test(test_wire_string_not_utf8_names_its_place),
		cmocka_unit_test(test_wire_string_with_nul_is_refused),
		cmocka_unit_test(test_wire_hostile_bytes_are_refused),
		cmocka_unit_test(test_wire_too_many_elements_are_refused),
		cmocka_unit_test(test_generate_request_out_of_range_names_the_member),
		cmocka_unit_test(test_generate_request_keeps_absent_apart_from_empty),
		cmocka_unit_test(test_announce_weight_beyond_the_bound_is_refused),
		cmocka_unit_test(test_end_frame_limits_keep_the_first_of_each_kind),
		cmocka_unit_test(test_route_out_of_range_names_the_member),
		cmocka_unit_test(test_ramp_out_of_range_names_the_member),
		cmocka_unit_test(test_end_frame_error_of_code_zero_is_an_error),
		cmocka_unit_test(test_end_frame_error_that_is_not_utf8_is_masked),
		cmocka_unit_test(test_frame_header_is_little_endian),
		cmocka_unit_test(test_append_count_is_what_decoding_finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
