/*
 * gateway/chat_request_test.c - JSON bodies in, structs or errors out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/chat_request.h"

static struct arena arena;
static struct chat_request req;
static struct im_err err;
static enum generate_op operation; /* of what is parsed */

static enum im_rc
parse_bytes(const void *body, size_t len)
{
	uint8_t *exact = malloc(len + 1); /* so that a sanitizer sees a read behind the end */
	enum im_rc rc;

	assert_non_null(exact);
	memcpy(exact, body, len);
	arena_done(&arena);
	memset(&req, 0xee, sizeof(req));
	memset(&err, 0, sizeof(err));
	exact = realloc(exact, len > 0 ? len : 1);
	rc = chat_request_parse(operation, exact, len, &arena, &req, &err);
	free(exact);
	return rc;
}

static enum im_rc
parse(const char *body)
{
	return parse_bytes(body, strlen(body));
}

static int
teardown(void **state)
{
	(void)state;
	arena_done(&arena);
	return 0;
}

/* Everything at once; the golden struct stands in the test below. */
static const char full[] =
    " {\"model\":\"m\\u00fc\\n\",\"messages\":["
    "{\"role\":\"system\",\"content\":\"be \\\"kind\\\" \\ud83d\\ude00\"},"
    "{\"role\":\"user\",\"name\":\"ann\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}, {\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\"}}]},"
    "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":[ {\"id\":\"c1\"} ],\"prefix\":true},"
    "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"42\"}],"
    "\"stream\":true,\"stream_options\":{\"include_usage\":true},"
    "\"temperature\":0.5,\"top_p\":1,\"min_p\":0.05,\"frequency_penalty\":-2,\"presence_penalty\":1.5,\"repeat_penalty\":1.1,"
    "\"top_k\":-1,\"top_logprobs\":5,\"max_completion_tokens\":64,\"max_tokens\":64.0,\"n\":2,\"seed\":-9223372036854775808,"
    "\"logprobs\":true,\"stop\":[\"a\",\"\\t\"],\"tools\":[{\"type\":\"function\"}],\"tool_choice\":\"auto\","
    "\"response_format\":{\"type\":\"json_object\"},\"user\":\"u\","
    "\"logit_bias\":{\"50256\":-100},\"big\":12345678901234567890,\"functions\":[ ],\"nothing\":null}\r\n";

static void
check_messages(void)
{
	const struct message *m = req.generate.messages;

	assert_int_equal(req.generate.message_count, 4);
	assert_string_equal(m[0].role, "system");
	assert_string_equal(m[0].content, "be \"kind\" \xf0\x9f\x98\x80");
	assert_string_equal(m[0].extra_json, "");
	assert_string_equal(m[1].name, "ann");
	assert_null(m[1].content);
	assert_string_equal(
	    m[1].content_json,
	    "[{\"type\":\"text\",\"text\":\"hi\"}, {\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\"}}]");
	assert_null(m[2].content);
	assert_string_equal(m[2].reasoning_content, "hm");
	assert_string_equal(m[2].tool_calls_json, "[ {\"id\":\"c1\"} ]");
	assert_string_equal(m[2].extra_json, "{\"prefix\":true}");
	assert_string_equal(m[3].tool_call_id, "c1");
}

static void
test_chat_request_full_body_fills_every_member(void **state)
{
	const struct generate_request *g = &req.generate;

	(void)state;
	assert_int_equal(parse(full), IM_OK);
	check_messages();
	assert_string_equal(g->model, "m\xc3\xbc\n");
	assert_true(g->stream && req.include_usage);
	assert_true(g->temperature.set && g->temperature.v == 0.5);
	assert_true(g->top_p.set && g->top_p.v == 1);
	assert_true(g->min_p.set && g->min_p.v == 0.05);
	assert_true(g->frequency_penalty.set && g->frequency_penalty.v == -2);
	assert_true(g->presence_penalty.set && g->presence_penalty.v == 1.5);
	assert_true(g->repeat_penalty.set && g->repeat_penalty.v == 1.1);
	assert_true(g->top_k.set && g->top_k.v == 0);
	assert_true(g->top_logprobs.set && g->top_logprobs.v == 5);
	assert_true(g->max_tokens.set && g->max_tokens.v == 64);
	assert_true(g->seed.set && g->seed.v == INT64_MIN);
	assert_true(g->logprobs.set && g->logprobs.v);
	assert_int_equal(g->n, 2);
	assert_int_equal(g->stop_count, 2);
	assert_string_equal(g->stop[1], "\t");
	assert_string_equal(g->tools_json, "[{\"type\":\"function\"}]");
	assert_string_equal(g->tool_choice_json, "\"auto\"");
	assert_string_equal(g->response_format_json, "{\"type\":\"json_object\"}");
	assert_string_equal(g->user, "u");
	assert_string_equal(
	    g->extra_json,
	    "{\"logit_bias\":{\"50256\":-100},\"big\":12345678901234567890,\"functions\":[ ],\"nothing\":null}");
}

static void
test_chat_request_small_body_leaves_the_rest_unset(void **state)
{
	const struct generate_request *g = &req.generate;

	(void)state;
	assert_int_equal(
	    parse(
		"{\"messages\":[{\"content\":\"x\",\"role\":\"user\"}],\"model\":\"m\",\"n\":null,\"stop\":null,\"temperature\":null}"),
	    IM_OK);
	assert_false(g->temperature.set || g->max_tokens.set || g->seed.set || g->logprobs.set ||
		     g->stream);
	assert_int_equal(g->n, 0);
	assert_int_equal(g->stop_count, 0);
	assert_null(g->tools_json);
	assert_string_equal(g->extra_json, "");
}

static void
test_chat_request_cut_anywhere_is_refused(void **state)
{
	size_t whole = strlen(full) - 2; /* the line end behind the value may go */

	(void)state;
	for (size_t len = 0; len < whole; len++) {
		if (parse_bytes(full, len) != IM_EINVAL)
			fail_msg("the first %zu bytes were taken for a request", len);
		assert_int_not_equal(err.text[0], '\0');
		assert_int_equal((uint8_t) * (char *)&req, 0xee);
	}
	assert_int_equal(parse_bytes(full, whole), IM_OK);
}

static void
test_chat_request_with_little_memory_fails_cleanly(void **state)
{
	struct arena small;
	enum im_rc rc = IM_ENOMEM;
	size_t max;

	(void)state;
	for (max = 1; max < 16384 && rc == IM_ENOMEM; max += 8) {
		arena_init(&small, max);
		rc = chat_request_parse(operation, (const uint8_t *)full, strlen(full), &small,
					&req, &err);
		arena_done(&small);
	}
	assert_int_equal(rc, IM_OK);
}

#define MSG "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

struct refusal {
	const char *body, *reason, *param, *text; /* text: a part of it; NULL = any */
};

static const struct refusal refusals[] = {
	{ "", "", "", "JSON" },
	{ "nonsense", "", "", "byte 0" },
	{ "{\"model\":\"m\"," MSG "} x", "", "", NULL },
	{ "{\"model\":\"m\\u0000\"," MSG "}", "", "", NULL },
	{ "{\"model\":\"\\ud800\"," MSG "}", "", "", NULL },
	{ "[]", "invalid_type", "", "an array" },
	{ "\"x\"", "invalid_type", "", "a string" },
	{ "{}", "missing_required_parameter", "model", "'model'" },
	{ "{\"model\":null," MSG "}", "missing_required_parameter", "model", NULL },
	{ "{\"model\":7," MSG "}", "invalid_type", "model", "a number" },
	{ "{\"model\":\"\"," MSG "}", "invalid_value", "model", NULL },
	{ "{\"model\":\"m\"}", "missing_required_parameter", "messages", NULL },
	{ "{\"model\":\"m\",\"messages\":\"hi\"}", "invalid_type", "messages", "a string" },
	{ "{\"model\":\"m\",\"messages\":[]}", "invalid_value", "messages", NULL },
	{ "{\"model\":\"m\",\"messages\":[7]}", "invalid_type", "messages[0]", NULL },
	{ "{\"model\":\"m\",\"messages\":[{\"content\":\"x\"}]}", "missing_required_parameter",
	  "messages[0].role", NULL },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":null,\"content\":\"x\"}]}", "invalid_type",
	  "messages[0].role", "null" },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"king\"}]}",
	  "invalid_value", "messages[1].role", "'assistant'" },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", "missing_required_parameter",
	  "messages[0].content", NULL },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":null}]}", "invalid_type",
	  "messages[0].content", NULL },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":{}}]}", "invalid_type",
	  "messages[0].content", "an object" },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}",
	  "invalid_type", "messages[0].content[0]", NULL },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}",
	  "missing_required_parameter", "messages[0].content[0].type", NULL },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
	  "missing_required_parameter", "messages[0].content[0].text", NULL },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
	  "missing_required_parameter", "messages[0].tool_call_id", NULL },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":{}}]}",
	  "invalid_type", "messages[0].tool_calls", NULL },
	{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"content\":\"y\"}]}",
	  "invalid_value", "messages[0].content", "twice" },
	{ "{\"model\":\"m\",\"model\":\"n\"," MSG "}", "invalid_value", "model", "twice" },
	{ "{\"model\":\"m\",\"mod\\u0065l\":\"n\"," MSG "}", "invalid_value", "model", "twice" },
	{ "{\"model\":\"m\",\"x\":1,\"y\":2,\"x\":1," MSG "}", "invalid_value", "x", "twice" },
	{ "{\"model\":\"m\",\"temperature\":\"hot\"," MSG "}", "invalid_type", "temperature",
	  "a string" },
	{ "{\"model\":\"m\",\"temperature\":2.1," MSG "}", "invalid_value", "temperature",
	  "from 0 to 2" },
	{ "{\"model\":\"m\",\"temperature\":1e999," MSG "}", "invalid_value", "temperature", NULL },
	{ "{\"model\":\"m\",\"n\":0," MSG "}", "invalid_value", "n", "1 to 128" },
	{ "{\"model\":\"m\",\"n\":1.5," MSG "}", "invalid_value", "n", NULL },
	{ "{\"model\":\"m\",\"max_tokens\":0," MSG "}", "invalid_value", "max_tokens", NULL },
	{ "{\"model\":\"m\",\"max_tokens\":4294967296," MSG "}", "invalid_value", "max_tokens",
	  NULL },
	{ "{\"model\":\"m\",\"max_tokens\":99999999999999999999999999999999999999," MSG "}",
	  "invalid_value", "max_tokens", NULL },
	{ "{\"model\":\"m\",\"max_tokens\":1,\"max_completion_tokens\":2," MSG "}", "invalid_value",
	  "max_completion_tokens", NULL },
	{ "{\"model\":\"m\",\"seed\":9223372036854775808," MSG "}", "invalid_value", "seed", NULL },
	{ "{\"model\":\"m\",\"stream\":1," MSG "}", "invalid_type", "stream", NULL },
	{ "{\"model\":\"m\",\"stream_options\":true," MSG "}", "invalid_type", "stream_options",
	  NULL },
	{ "{\"model\":\"m\",\"stream_options\":{\"include_usage\":1}," MSG "}", "invalid_type",
	  "stream_options.include_usage", NULL },
	{ "{\"model\":\"m\",\"stop\":7," MSG "}", "invalid_type", "stop", NULL },
	{ "{\"model\":\"m\",\"stop\":[\"a\",7]," MSG "}", "invalid_type", "stop[1]", NULL },
	{ "{\"model\":\"m\",\"stop\":\"\"," MSG "}", "invalid_value", "stop", NULL },
	{ "{\"model\":\"m\",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]," MSG
	  "}",
	  "invalid_value", "stop", "16" },
	{ "{\"model\":\"m\",\"tools\":{}," MSG "}", "invalid_type", "tools", NULL },
	{ "{\"model\":\"m\",\"tool_choice\":[]," MSG "}", "invalid_type", "tool_choice", NULL },
	{ "{\"model\":\"m\",\"response_format\":\"json\"," MSG "}", "invalid_type",
	  "response_format", NULL },
	{ "{\"model\":\"m\",\"user\":1," MSG "}", "invalid_type", "user", NULL },
};

static void
test_chat_request_mistakes_are_named_with_their_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *r = &refusals[i];

		if (parse(r->body) != IM_EINVAL || strcmp(err.reason, r->reason) != 0 ||
		    strcmp(err.param, r->param) != 0 ||
		    (r->text != NULL && strstr(err.text, r->text) == NULL))
			fail_msg("%s: rc %d, reason '%s', param '%s', text '%s'", r->body, err.rc,
				 err.reason, err.param, err.text);
	}
}

static void
test_chat_request_too_many_unknown_members_are_refused(void **state)
{
	struct buf body = { 0 };

	(void)state;
	(void)buf_append_str(&body, "{\"model\":\"m\"," MSG);
	for (int i = 0; i < 256; i++)
		(void)buf_printf(&body, ",\"x%d\":%d", i, i);
	(void)buf_append_byte(&body, '}');
	assert_int_equal(parse_bytes(body.data, body.len), IM_OK);
	body.len--;
	(void)buf_append_str(&body, ",\"y\":0}");
	assert_int_equal(parse_bytes(body.data, body.len), IM_EINVAL);
	assert_string_equal(err.param, "y");
	buf_done(&body);
}

static void
test_chat_request_parsed_body_survives_the_wire(void **state)
{
	struct generate_request back;
	struct buf bytes = { 0 };

	(void)state;
	assert_int_equal(parse(full), IM_OK);
	generate_request_encode(&req.generate, &bytes);
	assert_true(buf_ok(&bytes));
	assert_int_equal(generate_request_decode(bytes.data, bytes.len, &arena, &back, &err),
			 IM_OK);
	assert_string_equal(back.extra_json, req.generate.extra_json);
	assert_string_equal(back.messages[2].extra_json, "{\"prefix\":true}");
	assert_int_equal(back.seed.v, INT64_MIN);
	buf_done(&bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chat_request_full_body_fills_every_member),
		cmocka_unit_test(test_chat_request_small_body_leaves_the_rest_unset),
		cmocka_unit_test(test_chat_request_cut_anywhere_is_refused),
		cmocka_unit_test(test_chat_request_with_little_memory_fails_cleanly),
		cmocka_unit_test(test_chat_request_mistakes_are_named_with_their_place),
		cmocka_unit_test(test_chat_request_too_many_unknown_members_are_refused),
		cmocka_unit_test(test_chat_request_parsed_body_survives_the_wire),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
