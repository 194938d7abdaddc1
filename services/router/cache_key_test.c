/*
 * router/cache_key_test.c - golden keys, and that every member which shapes an answer shapes the key.
 */
#include "router/cache_key.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"

static struct message hello = { .role = "user",
				.content = "Hi",
				.content_json = "",
				.name = "",
				.tool_call_id = "",
				.tool_calls_json = "",
				.reasoning_content = "",
				.extra_json = "" };

static struct generate_request
plain(void)
{
	return (struct generate_request){ .model = "demo",
					  .messages = &hello,
					  .message_count = 1,
					  .temperature = { true, 0 },
					  .tools_json = "",
					  .tool_choice_json = "",
					  .response_format_json = "",
					  .user = "",
					  .extra_json = "",
					  .request_id = "",
					  .caller = "",
					  .tenant = "" };
}

static void
key_hex(const struct generate_request *req, const char *tenant, const char *digest,
	char out[2 * CACHE_KEY_BYTES + 1])
{
	uint8_t key[CACHE_KEY_BYTES];

	assert_true(cache_key_make(req, tenant, digest, key));
	hex_encode(key, sizeof(key), out);
}

static void
test_cache_key_golden(void **state)
{
	struct generate_request req = plain();
	char hex[2 * CACHE_KEY_BYTES + 1];

	(void)state;
	key_hex(&req, "default", "", hex);
	assert_string_equal(hex,
			    "cbe39fbf9e8140f6887c7c1cb947bc47772437c351908df3ece5ce570880d84b");
}

/* Computed from docs/cache.md alone, by another program. */
static void
test_cache_key_golden_with_every_member(void **state)
{
	struct message messages[] = { { .role = "system",
					.content = "S",
					.content_json = "",
					.name = "n",
					.tool_call_id = "",
					.tool_calls_json = "",
					.reasoning_content = "",
					.extra_json = "{\"x\":1}" },
				      { .role = "assistant",
					.content_json = "[1]",
					.name = "",
					.tool_call_id = "i",
					.tool_calls_json = "[2]",
					.reasoning_content = "R",
					.extra_json = "" } };
	const char *stop[] = { "a", "\xc3\xa9" };
	struct generate_request req = { .model = "m",
					.messages = messages,
					.message_count = 2,
					.temperature = { true, 0.5 },
					.top_p = { true, 0.25 },
					.min_p = { true, 0.125 },
					.frequency_penalty = { true, -1 },
					.presence_penalty = { true, 1.5 },
					.repeat_penalty = { true, 2 },
					.top_k = { true, 40 },
					.max_tokens = { true, 100 },
					.top_logprobs = { true, 5 },
					.seed = { true, -7 },
					.logprobs = { true, true },
					.stop = stop,
					.stop_count = 2,
					.n = 3,
					.tools_json = "[3]",
					.tool_choice_json = "\"auto\"",
					.response_format_json = "{\"type\":\"text\"}",
					.extra_json = "{\"y\":2}" };
	char hex[2 * CACHE_KEY_BYTES + 1];

	(void)state;
	key_hex(&req, "acme", "00ff", hex);
	assert_string_equal(hex,
			    "cc83fb5809ce101ef5e316201b26bbee0a42fe4ca8ad6d80d4d2ee8ffa8998be");
}

static void
test_cache_key_ignores_how_the_answer_is_wanted(void **state)
{
	struct generate_request req = plain();
	char a[2 * CACHE_KEY_BYTES + 1], b[2 * CACHE_KEY_BYTES + 1];

	(void)state;
	key_hex(&req, "t", "", a);
	req.stream = true;
	req.user = "somebody";
	req.request_id = "00112233445566778899aabbccddeeff";
	req.caller = "somebody else";
	req.tenant = "not this one";
	req.received_us = 17;
	req.has_input_sha256 = true;
	req.cache_no_cache = true;
	req.cache_max_age_ms = 5;
	req.n = 1; /* as 0 */
	req.temperature.v = -0.0;
	key_hex(&req, "t", "", b);
	assert_string_equal(a, b);
}

static const char *const stops[] = { "ab", "c" }, *const other_stops[] = { "a", "bc" };

/* Each number makes the request another one. */
static void
change_message(struct generate_request *r, struct message *m, size_t which)
{
	switch (which) {
	case 0:
		r->model = "demo2";
		break;
	case 1:
		m->role = "system";
		break;
	case 2:
		m->content = "Hi ";
		break;
	case 3:
		m->content = NULL;
		break;
	case 4:
		m->content = "";
		break;
	case 5:
		m->content_json = "[]";
		break;
	case 6:
		m->name = "n";
		break;
	case 7:
		m->tool_call_id = "n";
		break;
	case 8:
		m->tool_calls_json = "[]";
		break;
	case 9:
		m->reasoning_content = "n";
		break;
	case 10:
		m->extra_json = "{}";
		break;
	default:
		break;
	}
}

static void
change_sampling(struct generate_request *r, size_t which)
{
	switch (which) {
	case 11:
		r->temperature.v = 0.1;
		break;
	case 12:
		r->temperature.set = false;
		break;
	case 13:
		r->top_p = (struct opt_double){ true, 0 };
		break;
	case 14:
		r->min_p = (struct opt_double){ true, 0 };
		break;
	case 15:
		r->frequency_penalty = (struct opt_double){ true, 0 };
		break;
	case 16:
		r->presence_penalty = (struct opt_double){ true, 0 };
		break;
	case 17:
		r->repeat_penalty = (struct opt_double){ true, 0 };
		break;
	case 18:
		r->top_k = (struct opt_u32){ true, 0 };
		break;
	case 19:
		r->max_tokens = (struct opt_u32){ true, 0 };
		break;
	case 20:
		r->top_logprobs = (struct opt_u32){ true, 0 };
		break;
	case 21:
		r->seed = (struct opt_i64){ true, 0 };
		break;
	case 22:
		r->seed = (struct opt_i64){ true, -1 };
		break;
	case 23:
		r->logprobs = (struct opt_bool){ true, false };
		break;
	default:
		break;
	}
}

static void
change_rest(struct generate_request *r, size_t which)
{
	switch (which) {
	case 24:
		r->stop = (const char **)stops;
		r->stop_count = 1;
		break;
	case 25:
		r->stop = (const char **)stops;
		r->stop_count = 2;
		break;
	case 26:
		r->stop = (const char **)other_stops;
		r->stop_count = 2;
		break;
	case 27:
		r->n = 2;
		break;
	case 28:
		r->tools_json = "x";
		break;
	case 29:
		r->tool_choice_json = "x";
		break;
	case 30:
		r->response_format_json = "x";
		break;
	case 31:
		r->extra_json = "x";
		break;
	case 32:
		r->message_count = 0;
		break;
	default:
		break;
	}
}

static void
change(struct generate_request *r, struct message *m, size_t which)
{
	change_message(r, m, which);
	change_sampling(r, which);
	change_rest(r, which);
}

#define CHANGES 33

static void
test_cache_key_every_member_counts(void **state)
{
	char hex[CHANGES + 3][2 * CACHE_KEY_BYTES + 1];
	struct generate_request req;

	(void)state;
	for (size_t i = 0; i <= CHANGES; i++) { /* the last one is unchanged */
		struct message m = hello;

		req = plain();
		req.messages = &m;
		change(&req, &m, i);
		key_hex(&req, "t", "", hex[i]);
	}
	req = plain();
	key_hex(&req, "u", "", hex[CHANGES + 1]);
	key_hex(&req, "t", "00", hex[CHANGES + 2]);
	for (size_t i = 0; i < CHANGES + 3; i++) {
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(hex[i], hex[j]);
		}
	}
}

/* Computed from docs/cache.md by another program. */
static void
test_cache_key_golden_of_an_embedding(void **state)
{
	static uint32_t tokens[] = { 1, 300, 70000 };
	static struct input inputs[2] = { { .text = "a" }, { .tokens = tokens, .token_count = 3 } };
	struct generate_request req = { .model = "demo",
					.operation = OPERATION_EMBEDDING,
					.inputs = inputs,
					.input_count = 2,
					.dimensions = { true, 64 } };
	char hex[2 * CACHE_KEY_BYTES + 1], other[2 * CACHE_KEY_BYTES + 1];

	(void)state;
	key_hex(&req, "default", "", hex);
	assert_string_equal(hex,
			    "dab226adc2a7539ac5c9d3d149b2161a382473cf64a14d02247a530e4eaf0730");
	req.operation = OPERATION_COMPLETION;
	key_hex(&req, "default", "", other);
	assert_string_not_equal(hex, other);
	req.operation = OPERATION_EMBEDDING;
	req.dimensions.set = false;
	key_hex(&req, "default", "", other);
	assert_string_not_equal(hex, other);
	req.dimensions.set = true;
	req.input_count = 1;
	key_hex(&req, "default", "", other);
	assert_string_not_equal(hex, other);
	/* Nothing is drawn, so it may be kept; a caller who says no is heard. */
	assert_true(cache_wanted(&req, 0));
	assert_false(cache_wanted(&req, CACHE_OFF));
	req.cache_no_store = true;
	assert_false(cache_wanted(&req, 0));
}

static void
test_cache_wanted_follows_temperature_seed_and_policy(void **state)
{
	struct generate_request req = plain();

	(void)state;
	assert_true(cache_wanted(&req, 0.3));
	req.temperature.v = 0.3;
	assert_true(cache_wanted(&req, 0.3));
	req.temperature.v = 0.31;
	assert_false(cache_wanted(&req, 0.3));
	req.seed.set = true;
	assert_true(cache_wanted(&req, 0.3));
	req.cache_no_store = true;
	assert_false(cache_wanted(&req, 0.3));
	req.cache_no_store = false;
	req.logprobs = (struct opt_bool){ true, true };
	assert_false(cache_wanted(&req, 0.3));
	req = plain();
	req.temperature.set = false; /* the model's default is not known */
	assert_false(cache_wanted(&req, 2));
	assert_true(cache_wanted(&req, CACHE_ALL));
	req.cache_max_age_ms = 1000; /* an answer given before will do */
	assert_true(cache_wanted(&req, 0));
	assert_false(cache_wanted(&req, CACHE_OFF));
	req = plain();
	req.seed.set = true;
	assert_false(cache_wanted(&req, CACHE_OFF));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cache_key_golden),
		cmocka_unit_test(test_cache_key_golden_with_every_member),
		cmocka_unit_test(test_cache_key_ignores_how_the_answer_is_wanted),
		cmocka_unit_test(test_cache_key_every_member_counts),
		cmocka_unit_test(test_cache_key_golden_of_an_embedding),
		cmocka_unit_test(test_cache_wanted_follows_temperature_seed_and_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
