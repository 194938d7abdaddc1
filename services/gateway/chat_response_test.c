/*
 * gateway/chat_response_test.c - frames in, the exact bytes of events and of the one object out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/chat_response.h"

#define ID "0123456789abcdef0123456789abcdef"
#define PREFIX                                                                                     \
	"data: {\"id\":\"chatcmpl-" ID                                                             \
	"\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\","
#define FP "\"system_fingerprint\":\"fp\","
#define DELTA                                                                                      \
	{                                                                                          \
		.role = "", .content = "", .reasoning_content = "", .finish_reason = "",           \
		.logprobs_json = "", .refusal = ""                                                 \
	}

static const struct chat_identity identity = { ID, "m", 7, OPERATION_CHAT };
static const struct usage usage = { 10, 4, 3, 2 };

#define USAGE                                                                                      \
	"{\"prompt_tokens\":10,\"completion_tokens\":4,\"total_tokens\":14,"                       \
	"\"prompt_tokens_details\":{\"cached_tokens\":3},"                                         \
	"\"completion_tokens_details\":{\"reasoning_tokens\":2},"                                  \
	"\"prompt_cache_hit_tokens\":3,\"prompt_cache_miss_tokens\":7}"

/* One frame at a time into both kinds of response. */
static struct chat_stream stream;
static struct chat_answer *answer;
static struct buf out;
static struct im_err err;

static void
begin(bool include_usage)
{
	assert_int_equal(chat_stream_init(&stream, &identity, include_usage, &err), IM_OK);
	assert_int_equal(chat_answer_new(&identity, 1024, &answer, &err), IM_OK);
}

static int
teardown(void **state)
{
	(void)state;
	chat_stream_done(&stream);
	chat_answer_free(answer);
	answer = NULL;
	buf_done(&out);
	return 0;
}

static void
give(struct delta *deltas, size_t count, const char *fingerprint)
{
	const struct generate_frame frame = { .deltas = deltas,
					      .delta_count = count,
					      .system_fingerprint = fingerprint };

	assert_int_equal(chat_stream_frame(&stream, &frame, &out, &err), IM_OK);
	assert_int_equal(chat_answer_frame(answer, &frame, &err), IM_OK);
}

static void
give_one(struct delta d)
{
	give(&d, 1, "");
}

static void
expect(const char *bytes)
{
	assert_string_equal(buf_cstr(&out), bytes);
	buf_clear(&out);
}

static void
expect_answer(const char *choices)
{
	struct buf json = { 0 }, want = { 0 };

	assert_int_equal(chat_answer_end(answer, &usage, &json, &err), IM_OK);
	(void)buf_printf(
	    &want,
	    "{\"id\":\"chatcmpl-" ID
	    "\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"m\",\"choices\":[%s],\"usage\":" USAGE
	    "}",
	    choices);
	assert_string_equal(buf_cstr(&json), buf_cstr(&want));
	buf_done(&json);
	buf_done(&want);
}

static void
test_response_text_is_one_chunk_a_frame(void **state)
{
	struct delta role = DELTA, text = DELTA, end = DELTA;

	(void)state;
	begin(false);
	role.role = "assistant";
	text.content = "Gr\xc3\xbc\xc3\x9f\n\"dich\"";
	end.finish_reason = "stop";
	give_one(role);
	expect(
	    PREFIX
	    "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n");
	give_one(text);
	expect(
	    PREFIX
	    "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Gr\xc3\xbc\xc3\x9f\\n\\\"dich\\\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n");
	give_one(end);
	expect(
	    PREFIX
	    "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n");
	assert_int_equal(chat_stream_end(&stream, &usage, &out, &err), IM_OK);
	expect("data: [DONE]\n\n");
	expect_answer(
	    "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Gr\xc3\xbc\xc3\x9f\\n\\\"dich\\\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}");
}

static void
test_response_usage_is_null_and_then_once(void **state)
{
	struct delta all = DELTA;

	(void)state;
	begin(true);
	all.content = "x";
	all.finish_reason = "length";
	give(&all, 1, "fp");
	expect(
	    PREFIX FP
	    "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"x\"},\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":null}\n\n");
	assert_int_equal(chat_stream_end(&stream, &usage, &out, &err), IM_OK);
	expect(PREFIX FP "\"choices\":[],\"usage\":" USAGE "}\n\ndata: [DONE]\n\n");
}

static void
test_response_tool_calls_go_one_a_chunk(void **state)
{
	struct tool_call_delta first[] = { { 0, "c0", "f", "" }, { 1, "c1", "g", "{}" } },
			       more[] = { { 0, "", "", "{\"a\":1}" } };
	struct delta begins = DELTA, goes_on = DELTA;

	(void)state;
	begin(false);
	begins.tool_calls = first;
	begins.tool_call_count = 2;
	goes_on.tool_calls = more;
	goes_on.tool_call_count = 1;
	goes_on.finish_reason = "tool_calls";
	give_one(begins);
	expect(
	    PREFIX
	    "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"index\":0,\"id\":\"c0\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\n" PREFIX
	    "\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\n");
	give_one(goes_on);
	expect(
	    PREFIX
	    "\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}}]},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]}\n\n");
	expect_answer(
	    "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"tool_calls\":["
	    "{\"id\":\"c0\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},"
	    "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
	    "\"logprobs\":null,\"finish_reason\":\"tool_calls\"}");
}

static void
test_response_reasoning_and_logprobs_pass_through(void **state)
{
	struct delta a = DELTA, b = DELTA;

	(void)state;
	begin(false);
	a.reasoning_content = "hm";
	a.logprobs_json = "{\"content\":[{\"token\":\"a\",\n\"logprob\":-1}]}";
	b.content = "ok";
	b.logprobs_json = "{\"content\":[{\"token\":\"b\"}]}";
	b.finish_reason = "stop";
	give_one(a);
	expect(
	    PREFIX
	    "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"hm\"},\"logprobs\":{\"content\":[{\"token\":\"a\", \"logprob\":-1}]},\"finish_reason\":null}]}\n\n");
	give_one(b);
	buf_clear(&out);
	expect_answer(
	    "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"ok\",\"reasoning_content\":\"hm\",\"refusal\":null},"
	    "\"logprobs\":{\"content\":[{\"token\":\"a\",\n\"logprob\":-1},{\"token\":\"b\"}],\"refusal\":null},\"finish_reason\":\"stop\"}");
}

static void
test_response_choices_keep_apart_and_end_apart(void **state)
{
	struct delta d[2] = { DELTA, DELTA };

	(void)state;
	begin(false);
	d[0].content = "zero";
	d[0].finish_reason = "stop";
	d[1].index = 1;
	d[1].content = "one";
	give(d, 2, "");
	expect(
	    PREFIX
	    "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"zero\"},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n" PREFIX
	    "\"choices\":[{\"index\":1,\"delta\":{\"role\":\"assistant\",\"content\":\"one\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n");
	/* Choice 1 is open: neither kind of response may end well. */
	assert_int_equal(chat_stream_end(&stream, &usage, &out, &err), IM_EUPSTREAM);
	assert_int_equal(chat_answer_end(answer, &usage, &out, &err), IM_EUPSTREAM);
	assert_int_equal(out.len, 0);
	d[1].content = "";
	d[1].finish_reason = "stop";
	give(d, 2, ""); /* choice 0 has ended: what comes for it is dropped */
	expect(
	    PREFIX
	    "\"choices\":[{\"index\":1,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n");
	assert_int_equal(chat_stream_end(&stream, NULL, &out, &err), IM_OK);
	buf_clear(&out);
	expect_answer(
	    "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"zero\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"},"
	    "{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":\"one\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}");
}

static void
test_response_empty_answer_is_no_success(void **state)
{
	struct delta nothing = DELTA;

	(void)state;
	begin(true);
	assert_int_equal(chat_stream_end(&stream, &usage, &out, &err), IM_EUPSTREAM);
	assert_int_equal(chat_answer_end(answer, &usage, &out, &err), IM_EUPSTREAM);
	give_one(nothing); /* says only that a choice begins */
	buf_clear(&out);
	give_one(nothing);
	assert_int_equal(out.len, 0);
	assert_int_equal(chat_stream_end(&stream, &usage, &out, &err), IM_EUPSTREAM);
}

static void
test_response_answer_over_its_bound_fails(void **state)
{
	char text[600];
	struct delta d = DELTA;
	const struct generate_frame frame = { .deltas = &d,
					      .delta_count = 1,
					      .system_fingerprint = "" };

	(void)state;
	begin(false);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	d.content = text;
	assert_int_equal(chat_answer_frame(answer, &frame, &err), IM_OK);
	assert_int_equal(chat_answer_frame(answer, &frame, &err), IM_EUPSTREAM);
	assert_non_null(strstr(err.text, "1024 bytes"));
}

static void
test_response_wild_indices_and_logprobs_do_no_harm(void **state)
{
	struct tool_call_delta wild = { 4000000000U, "c", "f", "" };
	struct delta d = DELTA;
	const struct generate_frame frame = { .deltas = &d,
					      .delta_count = 1,
					      .system_fingerprint = "" };

	(void)state;
	begin(false);
	d.tool_calls = &wild;
	d.tool_call_count = 1;
	assert_int_equal(chat_answer_frame(answer, &frame, &err), IM_EUPSTREAM);
	d.tool_call_count = 0;
	d.index = 128;
	assert_int_equal(chat_answer_frame(answer, &frame, &err), IM_EUPSTREAM);
	assert_int_equal(chat_stream_frame(&stream, &frame, &out, &err), IM_EUPSTREAM);
	d.index = 0;
	d.logprobs_json = "{}\n\ndata: [DONE]";
	assert_int_equal(chat_stream_frame(&stream, &frame, &out, &err), IM_OK);
	expect(
	    PREFIX
	    "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n");
}

static void
test_response_error_event_is_one_line(void **state)
{
	const struct im_err why = { .rc = IM_EUPSTREAM,
				    .reason = "upstream_error",
				    .text = "broke\noff" };
	struct api_error e;

	(void)state;
	api_error_of(&why, &e);
	chat_stream_error(&e, &out);
	expect(
	    "data: {\"error\":{\"message\":\"broke\\noff\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_error\"}}\n\n");
}

#define CASE(fn) cmocka_unit_test_teardown(fn, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_response_text_is_one_chunk_a_frame),
		CASE(test_response_usage_is_null_and_then_once),
		CASE(test_response_tool_calls_go_one_a_chunk),
		CASE(test_response_reasoning_and_logprobs_pass_through),
		CASE(test_response_choices_keep_apart_and_end_apart),
		CASE(test_response_empty_answer_is_no_success),
		CASE(test_response_answer_over_its_bound_fails),
		CASE(test_response_wild_indices_and_logprobs_do_no_harm),
		CASE(test_response_error_event_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
