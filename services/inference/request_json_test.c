/*
 * inference/request_json_test.c - golden bytes of the bodies that go upstream, and who may say what in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "inference/request_json.h"

static const struct request_extra no_extra[1];

static void
expect(const struct generate_request *req, const struct request_extra *extra, size_t extra_count,
       const char *wanted)
{
	struct buf out = { 0 };
	struct im_err err = { 0 };

	assert_int_equal(request_json_write(req, "up-model", extra, extra_count, &out, &err),
			 IM_OK);
	assert_string_equal(buf_cstr(&out), wanted);
	assert_int_equal(json_check((const char *)out.data, out.len, 64, NULL), IM_OK);
	buf_done(&out);
}

#define HEAD                                                                                             \
	"{\"model\":\"up-model\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true," \
	"\"stream_options\":{\"include_usage\":true}"

#define WHOLE_HEAD                                                                                 \
	"{\"model\":\"up-model\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"           \
	"\"stream\":false"

static struct message hi = { .role = "user", .content = "hi" };

static void
test_request_json_smallest_stream_asks_for_usage(void **state)
{
	struct generate_request req = {
		.model = "m", .stream = true, .messages = &hi, .message_count = 1
	};

	(void)state;
	expect(&req, no_extra, 0, HEAD "}");
}

static void
test_request_json_embedding_has_inputs_and_no_extras(void **state)
{
	static const struct request_extra extra[] = { { "thinking", "{}" }, { "user_id", "null" } };
	static const struct request_extra plain[] = { { "encoding_format", "null" } };
	static uint32_t tokens[] = { 1, 300 };
	static struct input inputs[2] = { { .text = "a\"" },
					  { .tokens = tokens, .token_count = 2 } };
	struct generate_request req = { .model = "m",
					.operation = OPERATION_EMBEDDING,
					.inputs = inputs,
					.input_count = 2,
					.dimensions = { true, 64 },
					.extra_json =
					    "{\"truncate\":1,\"stream\":true,\"input\":\"x\"}" };

	(void)state;
	expect(
	    &req, extra, 2,
	    "{\"model\":\"up-model\",\"input\":[\"a\\\"\",[1,300]],\"encoding_format\":\"base64\","
	    "\"dimensions\":64,\"truncate\":1}");
	req.input_count = 1;
	req.dimensions.set = false;
	req.extra_json = NULL;
	expect(&req, plain, 1, "{\"model\":\"up-model\",\"input\":\"a\\\"\"}");
}

static void
test_request_json_completion_has_a_prompt_and_a_count_of_logprobs(void **state)
{
	static struct input inputs[2] = { { .text = "a" }, { .text = "" } };
	struct generate_request req = { .model = "m",
					.operation = OPERATION_COMPLETION,
					.inputs = inputs,
					.input_count = 1,
					.logprobs = { true, true },
					.top_logprobs = { true, 3 },
					.echo = true,
					.extra_json = "{\"suffix\":\"s\",\"messages\":[]}" };

	(void)state;
	expect(
	    &req, no_extra, 0,
	    "{\"model\":\"up-model\",\"prompt\":\"a\",\"stream\":false,\"logprobs\":3,\"echo\":true,\"suffix\":\"s\"}");
	req = (struct generate_request){ .model = "m",
					 .operation = OPERATION_COMPLETION,
					 .inputs = inputs,
					 .input_count = 2,
					 .stream = true };
	expect(&req, no_extra, 0,
	       "{\"model\":\"up-model\",\"prompt\":[\"a\",\"\"],\"stream\":true,"
	       "\"stream_options\":{\"include_usage\":true}}");
}

static void
test_request_json_whole_answer_is_not_streamed_whatever_others_say(void **state)
{
	static const struct request_extra extra[] = {
		{ "stream", "true" },
		{ "stream_options", "{\"include_usage\":true}" },
	};
	struct generate_request req = { .model = "m", .messages = &hi, .message_count = 1 };

	(void)state;
	expect(&req, no_extra, 0, WHOLE_HEAD "}");
	expect(&req, extra, 2, WHOLE_HEAD "}");
	req.extra_json = "{\"stream\":true,\"stream_options\":{},\"kept\":1}";
	req.max_tokens = (struct opt_u32){ true, 7 };
	expect(&req, extra, 2, WHOLE_HEAD ",\"max_tokens\":7,\"kept\":1}");
}

static void
test_request_json_every_typed_member_is_written(void **state)
{
	const char *stops[] = { "\n", "\"end\"" };
	struct generate_request req = {
		.model = "m",
		.stream = true,
		.messages = &hi,
		.message_count = 1,
		.temperature = { true, 0.1 },
		.top_p = { true, 1 },
		.top_k = { true, 40 },
		.min_p = { true, 0.05 },
		.frequency_penalty = { true, -2 },
		.presence_penalty = { true, 0 },
		.repeat_penalty = { true, 1.1 },
		.seed = { true, INT64_MIN },
		.max_tokens = { true, UINT32_MAX },
		.logprobs = { true, true },
		.top_logprobs = { true, 5 },
		.n = 2,
		.stop = stops,
		.stop_count = 2,
		.tools_json = "[{\"type\":\"function\"}]",
		.tool_choice_json = "\"auto\"",
		.response_format_json = "{\"type\":\"json_object\"}",
	};

	(void)state;
	expect(
	    &req, no_extra, 0,
	    HEAD
	    ",\"temperature\":0.1,\"top_p\":1,\"top_k\":40,\"min_p\":0.05,\"frequency_penalty\":-2,"
	    "\"presence_penalty\":0,\"repeat_penalty\":1.1,\"repetition_penalty\":1.1,"
	    "\"seed\":-9223372036854775808,\"max_tokens\":4294967295,\"logprobs\":true,\"top_logprobs\":5,"
	    "\"n\":2,\"stop\":[\"\\n\",\"\\\"end\\\"\"],\"tools\":[{\"type\":\"function\"}],"
	    "\"tool_choice\":\"auto\",\"response_format\":{\"type\":\"json_object\"}}");
}

static void
test_request_json_messages_keep_every_member(void **state)
{
	struct message messages[] = {
		{ .role = "developer", .content = "be\tbrief \xE4\xB8\xAD" },
		{ .role = "user",
		  .content_json = " [{\"type\":\"text\",\"text\":\"x\"}] ",
		  .name = "bob" },
		{ .role = "assistant",
		  .tool_calls_json = "[{\"id\":\"a\"}]",
		  .reasoning_content = "why" },
		{ .role = "tool",
		  .content = "",
		  .tool_call_id = "a",
		  .extra_json =
		      "{\"cache_control\":{\"n\":12345678901234567890},\"role\":\"system\"}" },
	};
	struct generate_request req = {
		.model = "m", .stream = true, .messages = messages, .message_count = 4
	};

	(void)state;
	expect(
	    &req, no_extra, 0,
	    "{\"model\":\"up-model\",\"messages\":["
	    "{\"role\":\"system\",\"content\":\"be\\tbrief \xE4\xB8\xAD\"},"
	    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"name\":\"bob\"},"
	    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\"}],\"reasoning_content\":\"why\","
	    "\"reasoning\":\"why\"},"
	    "{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":\"a\",\"cache_control\":{\"n\":12345678901234567890}}],"
	    "\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
}

static void
test_request_json_unknown_members_travel_on_and_keep_their_digits(void **state)
{
	struct generate_request req = {
		.model = "m",
		.stream = true,
		.messages = &hi,
		.message_count = 1,
		.extra_json =
		    " {\"big\": 9007199254740993, \"thinking\":{\"type\":\"enabled\"},\"\\u0061\":1.0e2} "
	};

	(void)state;
	expect(&req, no_extra, 0,
	       HEAD ",\"big\":9007199254740993,\"thinking\":{\"type\":\"enabled\"},\"a\":1.0e2}");
}

static void
test_request_json_caller_cannot_name_what_is_ours(void **state)
{
	struct generate_request req = {
		.model = "m",
		.stream = true,
		.messages = &hi,
		.message_count = 1,
		.temperature = { true, 1 },
		.extra_json =
		    "{\"model\":\"dear\",\"\\u006dodel\":\"dear\",\"MODEL\":\"dear\",\"messages\":[],"
		    "\"stream\":false,\"stream_options\":{},\"user\":\"x\",\"user_id\":\"other\","
		    "\"temperature\":2,\"kept\":1}"
	};

	(void)state;
	expect(&req, no_extra, 0, HEAD ",\"temperature\":1,\"kept\":1}");
}

static void
test_request_json_configuration_adds_what_nobody_gave(void **state)
{
	static const struct request_extra extra[] = {
		{ "thinking", "{\"type\":\"disabled\"}" },
		{ "temperature", "0" },
		{ "mine", "true" },
		{ "model", "\"other\"" },
		{ "banned", "null" },
		{ "stream_options", "null" },
	};
	struct generate_request req = { .model = "m",
					.stream = true,
					.messages = &hi,
					.message_count = 1,
					.temperature = { true, 1 },
					.extra_json =
					    "{\"thinking\":{\"type\":\"enabled\"},\"banned\":1}" };

	(void)state;
	expect(
	    &req, extra, 6,
	    "{\"model\":\"up-model\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,"
	    "\"temperature\":1,\"thinking\":{\"type\":\"enabled\"},\"mine\":true}");
}

static void
test_request_json_user_is_opaque_and_differs_by_tenant(void **state)
{
	char a[REQUEST_USER_LEN + 1], b[REQUEST_USER_LEN + 1], c[REQUEST_USER_LEN + 1];
	struct generate_request req = { .model = "m",
					.stream = true,
					.messages = &hi,
					.message_count = 1,
					.tenant = "acme",
					.user = "alice@example.com",
					.caller = "secret-caller" };
	struct buf out = { 0 };

	(void)state;
	assert_int_equal(request_json_write(&req, "up-model", no_extra, 0, &out, NULL), IM_OK);
	assert_null(strstr(buf_cstr(&out), "acme"));
	assert_null(strstr(buf_cstr(&out), "alice"));
	assert_null(strstr(buf_cstr(&out), "secret"));
	assert_true(request_opaque_user("acme", NULL, a));
	assert_true(request_opaque_user("acme", "alice@example.com", b));
	assert_true(request_opaque_user("acm", "e", c));
	assert_string_not_equal(a, b);
	assert_string_not_equal(a, c);
	assert_int_equal(strlen(a), REQUEST_USER_LEN);
	assert_int_equal(strspn(a, "abcdefghijklmnopqrstuvwxyz0123456789_-"), REQUEST_USER_LEN);
	assert_non_null(strstr(buf_cstr(&out), a));
	assert_non_null(strstr(buf_cstr(&out), b));
	buf_done(&out);
}

static void
test_request_json_member_that_is_no_json_is_refused_by_name(void **state)
{
	struct generate_request req = {
		.model = "m", .stream = true, .messages = &hi, .message_count = 1
	};
	struct buf out = { 0 };
	struct im_err err;

	(void)state;
	req.tools_json = "[";
	assert_int_equal(request_json_write(&req, "m", no_extra, 0, &out, &err), IM_EINVAL);
	assert_string_equal(err.param, "tools");
	req.tools_json = NULL;
	req.extra_json = "[1]";
	buf_clear(&out);
	assert_int_equal(request_json_write(&req, "m", no_extra, 0, &out, &err), IM_EINVAL);
	assert_string_equal(err.param, "extra_json");
	buf_done(&out);
}

static void
test_request_json_over_the_bound_is_too_big(void **state)
{
	struct generate_request req = {
		.model = "m", .stream = true, .messages = &hi, .message_count = 1
	};
	struct buf out;
	struct im_err err;

	(void)state;
	for (size_t max = 1; max < sizeof(HEAD "}") - 1; max++) {
		buf_init(&out, max);
		assert_int_equal(request_json_write(&req, "up-model", no_extra, 0, &out, &err),
				 IM_ETOOBIG);
		buf_done(&out);
	}
	buf_init(&out, sizeof(HEAD "}") - 1);
	assert_int_equal(request_json_write(&req, "up-model", no_extra, 0, &out, &err), IM_OK);
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_json_embedding_has_inputs_and_no_extras),
		cmocka_unit_test(test_request_json_completion_has_a_prompt_and_a_count_of_logprobs),
		cmocka_unit_test(test_request_json_smallest_stream_asks_for_usage),
		cmocka_unit_test(
		    test_request_json_whole_answer_is_not_streamed_whatever_others_say),
		cmocka_unit_test(test_request_json_every_typed_member_is_written),
		cmocka_unit_test(test_request_json_messages_keep_every_member),
		cmocka_unit_test(test_request_json_unknown_members_travel_on_and_keep_their_digits),
		cmocka_unit_test(test_request_json_caller_cannot_name_what_is_ours),
		cmocka_unit_test(test_request_json_configuration_adds_what_nobody_gave),
		cmocka_unit_test(test_request_json_user_is_opaque_and_differs_by_tenant),
		cmocka_unit_test(test_request_json_member_that_is_no_json_is_refused_by_name),
		cmocka_unit_test(test_request_json_over_the_bound_is_too_big),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
