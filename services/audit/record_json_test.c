/*
 * audit/record_json_test.c - records as JSON: every member, nothing that is not there, and hostile names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/record_json.h"
#include "base/json.h"

static void
expect(uint64_t index, const struct record *r, const char *want)
{
	struct buf b = { 0 };

	assert_true(record_json(&b, index, r));
	assert_int_equal(json_check(buf_cstr(&b), b.len, 8, NULL), IM_OK);
	assert_string_equal(buf_cstr(&b), want);
	buf_done(&b);
}

#define BLIND  "\"blind\":\"00000000000000000000000000000000\"}"
#define ZERO16 "00000000000000000000000000000000"
#define ZERO32 ZERO16 ZERO16

static void
test_record_json_of_an_empty_record_names_nothing_else(void **state)
{
	const struct record r = { .kind = RECORD_STOP };

	(void)state;
	expect(0, &r, "{\"index\":0,\"kind\":\"STOP\"," BLIND);
}

static void
test_record_json_of_an_answer_has_every_member(void **state)
{
	const struct record r = {
		.kind = RECORD_RESPONSE,
		.has_request_id = true,
		.prev_index = 1,
		.has_caller = true,
		.has_tenant = true,
		.request_time_us = 1,
		.response_time_us = 2,
		.log_time_us = 3,
		.has_output = true,
		.has_subject_key = true,
		.model = "demo",
		.model_digest = "d",
		.has_config_digest = true,
		.outcome = OUTCOME_OK,
		.status_code = 200,
		.has_routing = true,
		.routing = { .worker = "w1",
			     .policy = "least",
			     .attempts = 2,
			     .has_cache_key = true,
			     .has_leader = true,
			     .route = "chat",
			     .arm = "a",
			     .seen = { { "w1", 1, SEEN_READY, SEEN_BREAKER_OPEN, 50 } },
			     .seen_count = 1,
			     .failed = { { "w2", "refused" } },
			     .failed_count = 1 },
		.has_usage = true,
		.usage = { 1, 2, 3, 4 },
		.has_reporter = true,
	};

	(void)state;
	expect(
	    18446744073709551615U, &r,
	    "{\"index\":18446744073709551615,\"kind\":\"RESPONSE\",\"request_id\":\"" ZERO16
	    "\",\"request_index\":0,\"caller\":\"" ZERO16 "\",\"tenant\":\"" ZERO16
	    "\",\"request_time_us\":1,\"response_time_us\":2,\"log_time_us\":3,"
	    "\"output_commitment\":\"" ZERO32 "\",\"subject_key\":\"0000000000000000\","
	    "\"model\":\"demo\",\"model_digest\":\"d\",\"config_digest\":\"" ZERO32
	    "\",\"outcome\":\"OK\",\"status_code\":200,\"reporter\":\"0000000000000000\","
	    "\"routing\":{\"attempts\":2,\"worker\":\"w1\",\"policy\":\"least\",\"route\":\"chat\",\"arm\":\"a\","
	    "\"cache_key\":\"" ZERO32 "\",\"leader\":\"" ZERO16 "\","
	    "\"seen\":[{\"worker\":\"w1\",\"in_flight\":1,\"state\":\"ready\",\"breaker\":\"open\",\"weight\":50}],"
	    "\"failed\":[{\"worker\":\"w2\",\"reason\":\"refused\"}]},"
	    "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"cached_tokens\":3,\"reasoning_tokens\":4}," BLIND);
}

static void
test_record_json_of_gap_and_prune(void **state)
{
	const struct record gap = { .kind = RECORD_GAP,
				    .has_gap = true,
				    .gap = { 5, 10, 20, "audit was away" } };
	const struct record prune = { .kind = RECORD_PRUNE,
				      .has_prune = true,
				      .prune = { .min_index = 256, .size = 300 } };

	(void)state;
	expect(1, &gap,
	       "{\"index\":1,\"kind\":\"GAP\",\"gap\":{\"count\":5,\"from_us\":10,\"to_us\":20,"
	       "\"reason\":\"audit was away\"}," BLIND);
	expect(
	    2, &prune,
	    "{\"index\":2,\"kind\":\"PRUNE\",\"prune\":{\"min_index\":256,\"size\":300,\"root\":\"" ZERO32
	    "\"}," BLIND);
}

static void
test_record_json_of_the_ends_of_a_shard(void **state)
{
	const struct record next = { .kind = RECORD_KEY_ROTATE,
				     .has_next = true,
				     .next = { "a/2027h1-1", "k" } };
	const struct record previous = { .kind = RECORD_KEY_ROTATE,
					 .has_previous = true,
					 .previous = { "a", 5, { { 0 } }, 1, 5 } };

	(void)state;
	expect(4, &next,
	       "{\"index\":4,\"kind\":\"KEY_ROTATE\",\"next\":{\"origin\":\"a/2027h1-1\","
	       "\"vkey\":\"k\"}," BLIND);
	expect(5, &previous,
	       "{\"index\":5,\"kind\":\"KEY_ROTATE\",\"previous\":{\"origin\":\"a\",\"size\":5,"
	       "\"root\":\"" ZERO32 "\",\"ordinal\":1,\"first\":5}," BLIND);
}

static void
test_record_json_of_a_hostile_name_stays_one_string(void **state)
{
	const struct record r = { .kind = RECORD_MODEL_LOAD, .model = "a\",\"kind\":\"\n\x1b[2J" };

	(void)state;
	expect(
	    7, &r,
	    "{\"index\":7,\"kind\":\"MODEL_LOAD\",\"model\":\"a\\\",\\\"kind\\\":\\\"\\n\\u001b[2J\"," BLIND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_json_of_an_empty_record_names_nothing_else),
		cmocka_unit_test(test_record_json_of_an_answer_has_every_member),
		cmocka_unit_test(test_record_json_of_gap_and_prune),
		cmocka_unit_test(test_record_json_of_the_ends_of_a_shard),
		cmocka_unit_test(test_record_json_of_a_hostile_name_stays_one_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
