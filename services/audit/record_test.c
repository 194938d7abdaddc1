/*
 * audit/record_test.c - records to bytes and back, strictly; pseudonyms and commitments against values that another program
 * computed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/commitment.h"
#include "audit/note.h"
#include "audit/pseudonym.h"
#include "audit/record.h"
#include "base/hex.h"

static void
assert_hex(const uint8_t *data, size_t len, const char *hex)
{
	char *text = malloc(2 * len + 1);

	assert_non_null(text);
	hex_encode(data, len, text);
	assert_string_equal(text, hex);
	free(text);
}

static void
sample(struct record *r)
{
	*r = (struct record){
		.kind = RECORD_RESPONSE,
		.has_request_id = true,
		.prev_index = 300,
		.has_caller = true,
		.has_tenant = true,
		.request_time_us = 1000000,
		.response_time_us = 1000001,
		.log_time_us = 1000002,
		.has_input = true,
		.has_output = true,
		.model = "demo",
		.model_digest = "d1",
		.has_config_digest = true,
		.outcome = OUTCOME_OK,
		.status_code = 200,
		.routing = { .worker = "w1",
			     .policy = "least",
			     .reason = "r",
			     .seen = { { "w1", 1, SEEN_READY, SEEN_BREAKER_OPEN, 50 },
				       { .worker = "w2" } },
			     .seen_count = 2,
			     .has_cache_key = true,
			     .attempts = 1,
			     .route = "chat",
			     .arm = "v2",
			     .fallback = "model:small",
			     .rule = "policies[0]",
			     .has_leader = true,
			     .failed = { { "w2", "timeout" } },
			     .failed_count = 1 },
		.has_routing = true,
		.usage = { 7, 9, 0, 0 },
		.has_usage = true,
		.has_subject_key = true,
		.has_reporter = true,
	};
	memset(r->reporter, 0xbb, sizeof(r->reporter));
	memset(r->subject_key, 0xaa, sizeof(r->subject_key));
	memset(r->request_id, 0x11, sizeof(r->request_id));
	memset(r->caller, 0x22, sizeof(r->caller));
	memset(r->tenant, 0x33, sizeof(r->tenant));
	memset(&r->input_commitment, 0x44, HASH_BYTES);
	memset(&r->output_commitment, 0x55, HASH_BYTES);
	memset(r->config_digest, 0x66, sizeof(r->config_digest));
	memset(r->routing.cache_key, 0x77, sizeof(r->routing.cache_key));
	memset(r->routing.leader, 0x99, sizeof(r->routing.leader));
	memset(r->blind, 0x88, sizeof(r->blind));
}

static void
test_record_golden_bytes_of_a_small_one(void **state)
{
	struct record r = { .kind = RECORD_GAP,
			    .log_time_us = 300,
			    .has_gap = true,
			    .gap = { .count = 2, .from_us = 5, .to_us = 6, .reason = "full" } };
	struct buf b = { 0 };

	(void)state;
	assert_true(record_encode(&r, &b));
	assert_hex(b.data, b.len,
		   "01"
		   "0808"
		   "40ac02"
		   "92010c0802100518062204"
		   "66756c6c"
		   "9a0110"
		   "00000000000000000000000000000000");
	buf_done(&b);
}

/* A log that was written must be read as it is for ever: these are the bytes of the version that wrote them with protobuf-c. */
static void
test_record_golden_bytes_of_whole_ones(void **state)
{
	struct record r;
	struct buf b = { 0 };

	(void)state;
	sample(&r);
	assert_true(record_encode(&r, &b));
	assert_hex(b.data, b.len,
		   "01080212101111111111111111111111111111111118ac022210222222222222"
		   "222222222222222222222a103333333333333333333333333333333330c0843d"
		   "38c1843d40c2843d4a2044444444444444444444444444444444444444444444"
		   "4444444444444444444452205555555555555555555555555555555555555555"
		   "5555555555555555555555555a0464656d6f620264316a206666666666666666"
		   "666666666666666666666666666666666666666666666666700178c80182018b"
		   "010a02773112056c656173741a0c0a02773110011802200228321a040a027732"
		   "2220777777777777777777777777777777777777777777777777777777777777"
		   "777728013201723a0463686174420276324a0b6d6f64656c3a736d616c6c520b"
		   "706f6c69636965735b305d5a1099999999999999999999999999999999620d0a"
		   "027732120774696d656f75748a0104080710099a011088888888888888888888"
		   "888888888888a20108aaaaaaaaaaaaaaaac20108bbbbbbbbbbbbbbbb");
	buf_clear(&b);
	r = (struct record){ .kind = RECORD_PRUNE,
			     .log_time_us = 7,
			     .prune = { 256, 300, { { 1, 2, 3 } }, 1000 },
			     .has_prune = true };
	assert_true(record_encode(&r, &b));
	assert_hex(b.data, b.len,
		   "01080940079a011000000000000000000000000000000000aa012b08800210ac"
		   "021a200102030000000000000000000000000000000000000000000000000000"
		   "00000020e807");
	buf_clear(&b);
	r = (struct record){ .kind = RECORD_KEY_ROTATE,
			     .log_time_us = 7,
			     .has_reporter = true,
			     .reporter = { 4, 5 },
			     .next = { "log/2", "key2" },
			     .has_next = true,
			     .previous = { "log", 300, { { 6 } }, 1, 301 },
			     .has_previous = true };
	assert_true(record_encode(&r, &b));
	assert_hex(b.data, b.len,
		   "01080740079a011000000000000000000000000000000000b2010d0a056c6f67"
		   "2f3212046b657932ba012f0a036c6f6710ac021a200600000000000000000000"
		   "000000000000000000000000000000000000000000200128ad02c20108040500"
		   "0000000000");
	buf_done(&b);
}

static void
test_record_with_every_member_comes_back(void **state)
{
	struct record r, back;
	struct arena arena = { 0 };
	struct buf b = { 0 }, again = { 0 };

	(void)state;
	sample(&r);
	assert_true(record_encode(&r, &b));
	assert_int_equal(record_decode(b.data, b.len, &arena, &back, NULL), IM_OK);
	assert_int_equal(back.kind, r.kind);
	assert_int_equal(back.prev_index, 300);
	assert_memory_equal(back.request_id, r.request_id, 16);
	assert_memory_equal(&back.output_commitment, &r.output_commitment, 32);
	assert_string_equal(back.model, "demo");
	assert_int_equal(back.routing.seen_count, 2);
	assert_string_equal(back.routing.seen[1].worker, "w2");
	assert_int_equal(back.routing.seen[0].breaker, SEEN_BREAKER_OPEN);
	assert_string_equal(back.routing.arm, "v2");
	assert_string_equal(back.routing.failed[0].reason, "timeout");
	assert_memory_equal(back.routing.leader, r.routing.leader, 16);
	assert_int_equal(back.usage.completion_tokens, 9);
	assert_int_equal(back.log_time_us, 1000002);
	assert_true(back.has_reporter);
	assert_memory_equal(back.reporter, r.reporter, AUDIT_REPORTER_BYTES);
	assert_true(back.has_subject_key);
	assert_memory_equal(back.subject_key, r.subject_key, RECORD_KEY_ID_BYTES);
	assert_true(record_encode(&back, &again));
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	buf_done(&b);
	buf_done(&again);
	arena_done(&arena);
}

static enum im_rc
recode_prune(enum record_kind kind, bool has, uint64_t min_index, uint64_t size)
{
	struct record back,
	    r = { .kind = kind, .has_prune = has, .prune = { min_index, size, { { 1 } }, 0 } };
	struct arena arena = { 0 };
	struct buf b = { 0 };
	enum im_rc rc;

	assert_true(record_encode(&r, &b));
	rc = record_decode(b.data, b.len, &arena, &back, NULL);
	if (rc == IM_OK)
		assert_memory_equal(&back.prune, &r.prune, sizeof(r.prune));
	arena_done(&arena);
	buf_done(&b);
	return rc;
}

static void
test_record_prune_with_an_impossible_minimum_is_refused(void **state)
{
	(void)state;
	assert_int_equal(recode_prune(RECORD_PRUNE, true, 512, 513), IM_OK);
	assert_int_equal(recode_prune(RECORD_PRUNE, true, 512, 512), IM_OK);
	assert_int_equal(recode_prune(RECORD_PRUNE, true, 512, 511), IM_EPROTO);
	assert_int_equal(recode_prune(RECORD_PRUNE, true, 100, 512), IM_EPROTO);
	assert_int_equal(recode_prune(RECORD_PRUNE, true, 513, 513), IM_OK); /* all of a shard */
	assert_int_equal(recode_prune(RECORD_PRUNE, false, 0, 0), IM_EPROTO);
	assert_int_equal(recode_prune(RECORD_ERASE, true, 512, 513), IM_EPROTO);
}

static enum im_rc
recode_ends(struct record *r)
{
	struct record back;
	struct arena arena = { 0 };
	struct buf b = { 0 }, again = { 0 };
	enum im_rc rc;

	assert_true(record_encode(r, &b));
	rc = record_decode(b.data, b.len, &arena, &back, NULL);
	if (rc == IM_OK) {
		assert_int_equal(back.has_next, r->has_next);
		assert_int_equal(back.previous.first, r->previous.first);
		assert_memory_equal(&back.previous.root, &r->previous.root, HASH_BYTES);
		assert_true(record_encode(&back, &again));
		assert_memory_equal(again.data, b.data, b.len);
	}
	arena_done(&arena);
	buf_done(&b);
	buf_done(&again);
	return rc;
}

static void
test_record_ends_of_a_shard_are_in_a_key_rotate_alone_and_bounded(void **state)
{
	static char endless[NOTE_KEYTEXT_MAX + 1];
	struct record next = { .kind = RECORD_KEY_ROTATE,
			       .has_next = true,
			       .next = { "a.test/log/2027h1-1", "key" } };
	struct record previous = { .kind = RECORD_KEY_ROTATE,
				   .has_previous = true,
				   .previous = { "a.test/log", 7, { { 1 } }, 1, 7 } };

	(void)state;
	assert_int_equal(recode_ends(&next), IM_OK);
	assert_int_equal(recode_ends(&previous), IM_OK);
	next.kind = RECORD_CONFIG;
	assert_int_equal(recode_ends(&next), IM_EPROTO);
	next.kind = RECORD_KEY_ROTATE;
	memset(endless, 'x', sizeof(endless) - 1);
	next.next.vkey = endless;
	assert_int_equal(recode_ends(&next), IM_EPROTO);
	next.next = (struct record_next){ "two words", "key" };
	assert_int_equal(recode_ends(&next), IM_EPROTO);
	previous.previous.first = 6; /* fewer records than the shard before has */
	assert_int_equal(recode_ends(&previous), IM_EPROTO);
	previous.previous = (struct record_previous){ "a.test/log", 7, { { 1 } }, 0, 7 };
	assert_int_equal(recode_ends(&previous), IM_EPROTO);
	previous.previous.ordinal = 1;
	previous.has_next = true;
	previous.next = (struct record_next){ "a.test/log/2027h1-1", "key" };
	assert_int_equal(recode_ends(&previous), IM_EPROTO);
}

static void
test_record_cut_anywhere_is_refused(void **state)
{
	struct record r, back;
	struct arena arena = { 0 };
	struct buf b = { 0 };

	(void)state;
	sample(&r);
	r.has_subject_key = r.has_reporter = false; /* without them the record is whole */
	assert_true(record_encode(&r, &b));
	for (size_t len = 0; len < b.len; len++) {
		uint8_t *exact =
		    malloc(len + 1); /* on the heap, so that reading past it is noticed */

		assert_non_null(exact);
		memcpy(exact, b.data, len);
		assert_int_equal(record_decode(exact, len, &arena, &back, NULL), IM_EPROTO);
		free(exact);
		arena_done(&arena);
	}
	buf_done(&b);
}

/* Decode hexadecimal in which '@' stands for a blind. */
static enum im_rc
decode_spelled(const char *spelled)
{
	static const char blind[] = "9a011000000000000000000000000000000000";
	struct arena arena = { 0 };
	struct record r;
	struct buf hex = { 0 };
	uint8_t raw[128];
	enum im_rc rc;

	for (const char *p = spelled; *p != '\0'; p++)
		if (*p == '@')
			(void)buf_append_str(&hex, blind);
		else
			(void)buf_append_byte(&hex, (uint8_t)*p);
	assert_true(hex_decode(buf_cstr(&hex), raw, hex.len / 2));
	rc = record_decode(raw, hex.len / 2, &arena, &r, NULL);
	arena_done(&arena);
	buf_done(&hex);
	return rc;
}

/* Each is a record that protobuf would take, but not the one encoding. */
static void
test_record_glance_says_what_decode_says_or_nothing(void **state)
{
	(void)state;
	for (int kind = RECORD_REQUEST; kind <= RECORD_STOP; kind++) {
		struct record r = { .kind = (enum record_kind)kind,
				    .has_request_id = true,
				    .request_id = { 1, 2, 3 },
				    .prev_index = 7,
				    .request_time_us = 5,
				    .log_time_us = UINT64_C(1700000000000000),
				    .model = "demo" };
		struct record_glance g;
		struct buf b = { 0 };

		assert_true(record_encode(&r, &b));
		if (kind != RECORD_REQUEST && kind != RECORD_RESPONSE) {
			assert_false(record_glance(b.data, b.len, &g));
			buf_done(&b);
			continue;
		}
		assert_true(record_glance(b.data, b.len, &g));
		assert_int_equal(g.kind, kind);
		assert_memory_equal(g.request_id, r.request_id, RECORD_ID_BYTES);
		assert_int_equal(g.log_time_us, r.log_time_us);
		for (size_t len = 0; len < b.len; len++) /* never past the end */
			(void)record_glance(b.data, len, &g);
		b.data[0] ^= 1;
		assert_false(record_glance(b.data, b.len, &g));
		buf_clear(&b);
		r.has_request_id = false;
		assert_true(record_encode(&r, &b));
		assert_false(record_glance(b.data, b.len, &g));
		buf_done(&b);
	}
}

static void
test_record_in_another_encoding_is_refused(void **state)
{
	static const char *const bad[] = {
		"01"
		"888000"
		"@", /* kind 8 in a long varint */
		"01"
		"0808"
		"1800"
		"@", /* prev_index 0 written out */
		"01"
		"40ac02"
		"0808"
		"@", /* tags out of order */
		"01"
		"0807"
		"0808"
		"@", /* a member twice */
		"01"
		"0808"
		"@"
		"a00601", /* an unknown member */
		"01"
		"0808"
		"5200"
		"@", /* an empty string written out */
		"01"
		"0863"
		"@", /* an unknown kind */
		"01"
		"@", /* no kind */
		"01"
		"0808"
		"7007"
		"@", /* an unknown outcome */
		"01"
		"0808"
		"1201ff"
		"@", /* a request id of one byte */
		"01"
		"0808", /* no blind */
		"01"
		"0808"
		"9a010100", /* a blind of one byte */
		"02"
		"0808"
		"@", /* another version */
		"01"
		"0808"
		"9a0110"
		"000000", /* cut */
		"01"
		"0802"
		"8201071a050a01771809"
		"@", /* a load with an unknown state */
		"01"
		"0802"
		"8201035a0101"
		"@", /* a leader of one byte */
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (decode_spelled(bad[i]) != IM_EPROTO)
			fail_msg("number %zu was taken", i);
	assert_int_equal(decode_spelled("01"
					"0808"
					"@"),
			 IM_OK); /* and the one that they vary is fine */
}

/* The bytes are what the service wrote before there were routes and breakers. */
static void
test_record_with_routing_of_an_older_router_is_read(void **state)
{
	(void)state;
	assert_int_equal(decode_spelled("01"
					"0802"
					"82010e0a0277311a060a02773110032801"
					"@"),
			 IM_OK);
}

static void
test_pseudonym_and_commitment_match_an_independent_computation(void **state)
{
	struct pseudonym_keys k = { .epoch = 1 };
	uint8_t id[16], name[PSEUDONYM_BYTES], digest[32];
	struct hasher h;
	struct hash subject, opening, c;
	struct hmac_key opener;

	(void)state;
	assert_int_equal(hasher_init(&h, NULL), IM_OK);
	for (unsigned i = 0; i < 32; i++)
		k.master.b[i] = (uint8_t)i;
	for (unsigned i = 0; i < 16; i++)
		id[i] = (uint8_t)(0x10 + i);
	pseudonym_make(&h, &k, "acme", PSEUDONYM_CALLER, "alice", name);
	assert_hex(name, 16, "fa4733dc2249ee8d5b6177c4c646f361");
	pseudonym_make(&h, &k, "acme", PSEUDONYM_TENANT, "acme", name);
	assert_hex(name, 16, "f26f03fc3d9b57d12a3ffedc7d17528e");
	pseudonym_subject(&h, &k, "acme", "alice", &subject);
	assert_hex(subject.b, 32,
		   "aa9684f506b8a5c493abf9c9eda7521be7bc912c15e7610daa3635a412a68d9b");
	hasher_hmac_key(&subject, &opener);
	commitment_opening(&opener, id, COMMITMENT_INPUT, &opening);
	assert_hex(opening.b, 32,
		   "6b6b27c3a3fbe7b0adde9688f2692d61e2048f0406eccec6c369f236f94c3eca");
	assert_true(hex_decode("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
			       digest, 32));
	commitment_make(&h, &opening, COMMITMENT_INPUT, digest, &c);
	assert_hex(c.b, 32, "335f1231de01bf51dab4a952d9dc0952a6b5fd0af5c39bb60ca432e4b0fa0040");
	hasher_done(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_golden_bytes_of_a_small_one),
		cmocka_unit_test(test_record_golden_bytes_of_whole_ones),
		cmocka_unit_test(test_record_with_every_member_comes_back),
		cmocka_unit_test(test_record_prune_with_an_impossible_minimum_is_refused),
		cmocka_unit_test(test_record_ends_of_a_shard_are_in_a_key_rotate_alone_and_bounded),
		cmocka_unit_test(test_record_cut_anywhere_is_refused),
		cmocka_unit_test(test_record_glance_says_what_decode_says_or_nothing),
		cmocka_unit_test(test_record_in_another_encoding_is_refused),
		cmocka_unit_test(test_record_with_routing_of_an_older_router_is_read),
		cmocka_unit_test(test_pseudonym_and_commitment_match_an_independent_computation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
