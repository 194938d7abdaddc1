/*
 * inference/chunk_test.c - pieces of answers in the dialects that upstreams speak, and what an answer becomes of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/answer.h"

/* An answer written down: one line a delta, frames end with ';'. */
struct transcript {
	struct answer answer;
	struct im_err err;
	struct buf text;
};

static void
put(struct buf *b, const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0')
		(void)buf_printf(b, " %s=%s", name, value);
}

static void
write_frames(struct buf *b, const struct answer_frames *frames)
{
	for (size_t f = 0; f < frames->count; f++) {
		const struct generate_frame *frame = &frames->frame[f];

		for (size_t i = 0; i < frame->delta_count; i++) {
			const struct delta *d = &frame->deltas[i];

			(void)buf_printf(b, "%u", d->index);
			put(b, "role", d->role);
			put(b, "content", d->content);
			put(b, "reasoning", d->reasoning_content);
			put(b, "refusal", d->refusal);
			for (size_t t = 0; t < d->tool_call_count; t++)
				(void)buf_printf(b, " tool%u(%s,%s,%s)", d->tool_calls[t].index,
						 d->tool_calls[t].id, d->tool_calls[t].name,
						 d->tool_calls[t].arguments);
			put(b, "logprobs", d->logprobs_json);
			put(b, "finish", d->finish_reason);
			put(b, "fp", frame->system_fingerprint);
			(void)buf_append_str(b, i + 1 < frame->delta_count ? "," : ";");
		}
	}
}

static enum im_rc
feed(struct transcript *t, const char *json)
{
	struct answer_frames frames;
	struct chunk chunk;
	struct arena arena;
	enum im_rc rc;

	arena_init(&arena, 1 << 20);
	rc = chunk_parse(json, strlen(json), &arena, &chunk, &t->err);
	if (rc == IM_OK)
		rc = answer_take(&t->answer, &chunk, &arena, &frames, &t->err);
	if (rc == IM_OK)
		write_frames(&t->text, &frames);
	arena_done(&arena);
	return rc;
}

static enum im_rc
finish(struct transcript *t)
{
	struct answer_frames frames;
	struct arena arena;
	enum im_rc rc;

	arena_init(&arena, 1 << 20);
	rc = answer_finish(&t->answer, &arena, &frames, &t->err);
	if (rc == IM_OK)
		write_frames(&t->text, &frames);
	arena_done(&arena);
	return rc;
}

/* Feed the chunks, up to a NULL, then the end; compare the transcript. */
static void
expect(struct transcript *t, const char *const *chunks, const char *wanted)
{
	memset(t, 0, sizeof(*t));
	answer_init(&t->answer, "0123456789abcdef0123456789abcdef");
	for (; *chunks != NULL; chunks++)
		assert_int_equal(feed(t, *chunks), IM_OK);
	assert_int_equal(finish(t), IM_OK);
	assert_string_equal(buf_cstr(&t->text), wanted);
	buf_done(&t->text);
}

#define CHUNK(choice) "{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[" choice "]}"

static void
test_chunk_deepseek_stream_keeps_reasoning_and_usage_on_the_finish_chunk(void **state)
{
	static const char *const chunks[] = {
		"{\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"deepseek-flash\","
		"\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
		"\"content\":null,\"reasoning_content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}",
		CHUNK(
		    "{\"index\":0,\"delta\":{\"content\":null,\"reasoning_content\":\"hm\"},\"finish_reason\":null}"),
		CHUNK(
		    "{\"index\":0,\"delta\":{\"content\":\"4\",\"reasoning_content\":null},\"finish_reason\":null}"),
		"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],"
		"\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5,\"total_tokens\":17,"
		"\"prompt_cache_hit_tokens\":8,\"prompt_cache_miss_tokens\":4,"
		"\"completion_tokens_details\":{\"reasoning_tokens\":3}}}",
		NULL,
	};
	struct transcript t;

	(void)state;
	expect(&t, chunks, "0 role=assistant fp=fp_1;0 reasoning=hm;0 content=4;0 finish=stop;");
	assert_true(t.answer.has_usage);
	assert_int_equal(t.answer.usage.prompt_tokens, 12);
	assert_int_equal(t.answer.usage.completion_tokens, 5);
	assert_int_equal(t.answer.usage.cached_tokens, 8);
	assert_int_equal(t.answer.usage.reasoning_tokens, 3);
}

static void
test_chunk_vllm_stream_with_reasoning_and_usage_of_its_own(void **state)
{
	static const char *const chunks[] = {
		CHUNK(
		    "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
		    "\"finish_reason\":null}"),
		CHUNK(
		    "{\"index\":0,\"delta\":{\"reasoning\":\"so\"},\"finish_reason\":null,\"token_ids\":null}"),
		CHUNK(
		    "{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"logprobs\":{\"content\":[{\"token\":\"Hi\","
		    "\"logprob\":-1.25e-01}]},\"finish_reason\":null}"),
		CHUNK(
		    "{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"length\",\"stop_reason\":null}"),
		"{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"total_tokens\":5,\"completion_tokens\":2,"
		"\"prompt_tokens_details\":{\"cached_tokens\":1}}}",
		NULL,
	};
	struct transcript t;

	(void)state;
	expect(
	    &t, chunks,
	    "0 role=assistant;0 reasoning=so;"
	    "0 content=Hi logprobs={\"content\":[{\"token\":\"Hi\",\"logprob\":-1.25e-01}]};0 finish=length;");
	assert_int_equal(t.answer.usage.prompt_tokens, 3);
	assert_int_equal(t.answer.usage.cached_tokens, 1);
}

static void
test_chunk_llama_server_stream_with_timings_is_taken(void **state)
{
	static const char *const chunks[] = {
		CHUNK(
		    "{\"finish_reason\":null,\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}"),
		CHUNK(
		    "{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\"\\u4e2d\\ud83d\\ude00\\n\\\"\"}}"),
		CHUNK("{\"finish_reason\":\"stop\",\"index\":0,\"delta\":{}}"),
		"{\"choices\":[],\"usage\":{\"completion_tokens\":2,\"prompt_tokens\":9,\"total_tokens\":11},"
		"\"timings\":{\"prompt_n\":9,\"predicted_per_second\":33.1}}",
		NULL,
	};
	struct transcript t;

	(void)state;
	expect(&t, chunks,
	       "0 role=assistant;0 content=\xE4\xB8\xAD\xF0\x9F\x98\x80\n\";0 finish=stop;");
}

static void
test_chunk_ollama_tool_calls_without_index_and_id_are_numbered(void **state)
{
	static const char *const chunks[] = {
		CHUNK(
		    "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":["
		    "{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}},"
		    "{\"id\":\"c2\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},\"finish_reason\":null}"),
		CHUNK(
		    "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":\"tool_calls\"}"),
		NULL,
	};
	struct transcript t;

	(void)state;
	expect(
	    &t, chunks,
	    "0 role=assistant tool0(call_0123456789abcdef_0_0,f,{\"a\":1}) tool1(c2,g,{});0 finish=tool_calls;");
}

static void
test_chunk_several_tool_calls_in_pieces_keep_their_indices(void **state)
{
	static const char *const chunks[] = {
		CHUNK(
		    "{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":"
		    "{\"name\":\"f\",\"arguments\":\"\"}},{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\"}}]}}"),
		CHUNK(
		    "{\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{\\\"x\\\":\"}}]}}"),
		CHUNK(
		    "{\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"2}\"}}]}}"),
		NULL,
	};
	struct transcript t;

	(void)state;
	expect(
	    &t, chunks,
	    "0 role=assistant tool0(a,f,) tool1(b,g,);0 tool1(,,{\"x\":);0 tool1(,,2});0 finish=tool_calls;");
}

static void
test_chunk_missing_role_and_finish_are_put_in(void **state)
{
	static const char *const chunks[] = {
		CHUNK("{\"delta\":{\"content\":\"a\"}}"),
		CHUNK("{\"delta\":{}}"),
		CHUNK("{\"delta\":{\"content\":\"b\"}}"),
		NULL,
	};
	struct transcript t;

	(void)state;
	expect(&t, chunks, "0 role=assistant content=a;0 content=b;0 finish=stop;");
	assert_false(t.answer.has_usage);
}

static void
test_chunk_role_and_finish_in_one_become_two_frames(void **state)
{
	static const char *const chunks[] = {
		CHUNK(
		    "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"x\"},\"finish_reason\":\"stop\"}"),
		CHUNK("{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}"),
		NULL,
	};
	struct transcript t;

	(void)state;
	expect(&t, chunks, "0 role=assistant content=x;0 finish=stop;");
}

static void
test_chunk_choices_are_told_apart_by_index(void **state)
{
	static const char *const chunks[] = {
		CHUNK(
		    "{\"index\":1,\"delta\":{\"content\":\"one\"}},{\"index\":0,\"delta\":{\"content\":\"zero\"}}"),
		CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}"),
		NULL,
	};
	struct transcript t;

	(void)state;
	expect(
	    &t, chunks,
	    "1 role=assistant content=one,0 role=assistant content=zero;0 finish=length;1 finish=stop;");
}

static void
test_chunk_whole_answer_becomes_frames(void **state)
{
	static const char *const chunks[] = {
		"\n\n {\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
		"\"content\":\"Hello\",\"reasoning\":\"r\",\"refusal\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":"
		"\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}],"
		"\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}",
		NULL,
	};
	struct transcript t;

	(void)state;
	expect(&t, chunks,
	       "0 role=assistant content=Hello reasoning=r tool0(a,f,{});0 finish=tool_calls;");
	assert_int_equal(t.answer.usage.completion_tokens, 2);
}

static const struct {
	const char *json;
	enum im_rc rc;
	const char *text; /* that the error holds */
} refused[] = {
	{ "", IM_EUPSTREAM, "" },
	{ "null", IM_EUPSTREAM, "object" },
	{ "[]", IM_EUPSTREAM, "object" },
	{ "{}", IM_EUPSTREAM, "choices" },
	{ "{\"choices\":{}}", IM_EUPSTREAM, "choices" },
	{ "{\"choices\":[1]}", IM_EUPSTREAM, "choice" },
	{ "{\"choices\":[]} x", IM_EUPSTREAM, "" },
	{ CHUNK("{\"delta\":{\"content\":1}}"), IM_EUPSTREAM, "'content'" },
	{ CHUNK("{\"delta\":{\"content\":[]}}"), IM_EUPSTREAM, "'content'" },
	{ CHUNK("{\"delta\":{\"content\":\"\\u0000\"}}"), IM_EUPSTREAM, "" },
	{ CHUNK("{\"delta\":{\"content\":\"\\ud800\"}}"), IM_EUPSTREAM, "" },
	{ CHUNK("{\"delta\":{\"content\":\"\xff\"}}"), IM_EUPSTREAM, "" },
	{ CHUNK("{\"delta\":{\"tool_calls\":[1]}}"), IM_EUPSTREAM, "tool call" },
	{ CHUNK("{\"delta\":{\"tool_calls\":[{\"index\":7,\"id\":\"a\"}]}}"), IM_EUPSTREAM,
	  "out of order" },
	{ CHUNK("{\"delta\":{\"tool_calls\":[{\"function\":1}]}}"), IM_EUPSTREAM, "function" },
	{ CHUNK("{\"index\":128,\"delta\":{}}"), IM_EUPSTREAM, "out of range" },
	{ CHUNK("{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"abort\"}"), IM_EUPSTREAM,
	  "gave up" },
	{ "{\"error\":{\"message\":\"CUDA out of memory\",\"code\":500}}", IM_EUPSTREAM, "CUDA" },
	{ "{\"error\":\"model runner stopped\"}", IM_EUPSTREAM, "runner" },
	{ "{\"object\":\"error\",\"message\":\"bad top_p\",\"param\":\"top_p\",\"code\":400}",
	  IM_EINVAL, "top_p" },
	{ "{\"error\":{\"message\":\"This model's maximum context length is 8 tokens\",\"code\":400}}",
	  IM_EINVAL, "maximum context length" },
};

static void
test_chunk_what_is_broken_is_refused_with_a_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct transcript t = { 0 };

		answer_init(&t.answer, "");
		assert_int_equal(feed(&t, refused[i].json), refused[i].rc);
		assert_int_equal(t.err.rc, refused[i].rc);
		assert_non_null(strstr(t.err.text, refused[i].text));
		assert_int_equal(t.text.len, 0);
	}
}

static void
test_chunk_null_error_member_is_no_error(void **state)
{
	static const char *const chunks[] = {
		"{\"error\":null,\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}",
		NULL,
	};
	struct transcript t;

	(void)state;
	expect(&t, chunks, "0 role=assistant content=a;0 finish=stop;");
}

static void
test_chunk_truncated_at_any_offset_is_refused(void **state)
{
	static const char json[] = CHUNK(
	    "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\\ud83d\\ude00\",\"tool_calls\":"
	    "[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}");

	(void)state;
	for (size_t len = 0; len < sizeof(json) - 1; len++) {
		char *copy =
		    malloc(len + (len == 0)); /* so that a sanitizer sees a read behind it */
		struct arena arena = { 0 };
		struct chunk chunk;

		assert_non_null(copy);
		memcpy(copy, json, len);
		assert_int_equal(chunk_parse(copy, len, &arena, &chunk, NULL), IM_EUPSTREAM);
		arena_done(&arena);
		free(copy);
	}
}

static void
test_chunk_without_memory_fails_cleanly_at_every_allocation(void **state)
{
	static const char json[] = CHUNK(
	    "{\"delta\":{\"content\":\"text\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]},"
	    "\"logprobs\":{},\"finish_reason\":\"stop\"}");
	enum im_rc rc = IM_ENOMEM;
	size_t bound;

	(void)state;
	for (bound = 16; rc == IM_ENOMEM && bound < 65536; bound += 16) {
		struct answer_frames frames;
		struct answer answer;
		struct chunk chunk;
		struct arena arena;

		arena_init(&arena, bound);
		answer_init(&answer, "seed");
		rc = chunk_parse(json, sizeof(json) - 1, &arena, &chunk, NULL);
		if (rc == IM_OK)
			rc = answer_take(&answer, &chunk, &arena, &frames, NULL);
		arena_done(&arena);
	}
	assert_int_equal(rc, IM_OK);
	assert_true(bound > 128); /* it failed a few times before */
}

static void
test_answer_content_after_the_finish_is_a_failure(void **state)
{
	struct transcript t = { 0 };

	(void)state;
	answer_init(&t.answer, "");
	assert_int_equal(
	    feed(&t, CHUNK("{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}")), IM_OK);
	assert_int_equal(feed(&t, CHUNK("{\"delta\":{\"content\":\"b\"}}")), IM_EUPSTREAM);
	assert_non_null(strstr(t.err.text, "after finish_reason"));
	buf_done(&t.text);
}

static void
test_answer_without_content_and_finish_is_a_failure(void **state)
{
	struct transcript t = { 0 };

	(void)state;
	answer_init(&t.answer, "");
	assert_int_equal(finish(&t), IM_EUPSTREAM);
	assert_int_equal(feed(&t, CHUNK("{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}")),
			 IM_OK);
	assert_int_equal(finish(&t), IM_EUPSTREAM);
	assert_string_equal(t.err.reason, "upstream_error");
	buf_done(&t.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_chunk_deepseek_stream_keeps_reasoning_and_usage_on_the_finish_chunk),
		cmocka_unit_test(test_chunk_vllm_stream_with_reasoning_and_usage_of_its_own),
		cmocka_unit_test(test_chunk_llama_server_stream_with_timings_is_taken),
		cmocka_unit_test(test_chunk_ollama_tool_calls_without_index_and_id_are_numbered),
		cmocka_unit_test(test_chunk_several_tool_calls_in_pieces_keep_their_indices),
		cmocka_unit_test(test_chunk_missing_role_and_finish_are_put_in),
		cmocka_unit_test(test_chunk_role_and_finish_in_one_become_two_frames),
		cmocka_unit_test(test_chunk_choices_are_told_apart_by_index),
		cmocka_unit_test(test_chunk_whole_answer_becomes_frames),
		cmocka_unit_test(test_chunk_what_is_broken_is_refused_with_a_reason),
		cmocka_unit_test(test_chunk_null_error_member_is_no_error),
		cmocka_unit_test(test_chunk_truncated_at_any_offset_is_refused),
		cmocka_unit_test(test_chunk_without_memory_fails_cleanly_at_every_allocation),
		cmocka_unit_test(test_answer_content_after_the_finish_is_a_failure),
		cmocka_unit_test(test_answer_without_content_and_finish_is_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
