/*
 * router/answer_test.c - manifest, gathering and the cached form of answers: golden bytes, any cut into frames, truncation.
 */
#include "router/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "router/answer_hash.h"

#define EMPTY_DELTA                                                                                \
	.role = "", .content = "", .reasoning_content = "", .finish_reason = "",                   \
	.logprobs_json = "", .refusal = ""

static struct generate_frame
frame_of(struct delta *deltas, size_t count)
{
	return (struct generate_frame){ .deltas = deltas,
					.delta_count = count,
					.system_fingerprint = "" };
}

static struct delta
delta_of(uint32_t index, const char *content)
{
	struct delta d = { .index = index, EMPTY_DELTA };

	d.content = content;
	return d;
}

/* The worked example of docs/answer-manifest.md, one character a frame. */
static void
say_example(void (*take)(void *to, const struct generate_frame *f), void *to, size_t step)
{
	static const char hello[] = "Hello", thought[] = "I should greet.",
			  args[] = "{\"city\":\"Oslo\"}";
	struct tool_call_delta call = {
		.index = 0, .id = "call_1", .name = "weather", .arguments = ""
	};
	struct delta d = { EMPTY_DELTA };
	struct generate_frame f = frame_of(&d, 1);
	char piece[32];

	d.role = "assistant";
	take(to, &f);
	d.role = "";
	for (size_t i = 0; i < strlen(thought); i += step) {
		(void)snprintf(piece, sizeof(piece), "%.*s", (int)step, thought + i);
		d.reasoning_content = piece;
		take(to, &f);
	}
	d.reasoning_content = "";
	for (size_t i = 0; i < strlen(hello); i += step) {
		(void)snprintf(piece, sizeof(piece), "%.*s", (int)step, hello + i);
		d.content = piece;
		take(to, &f);
	}
	d.content = "";
	d.tool_calls = &call;
	d.tool_call_count = 1;
	for (size_t i = 0; i < strlen(args); i += step) {
		(void)snprintf(piece, sizeof(piece), "%.*s", (int)step, args + i);
		call.arguments = piece;
		take(to, &f);
		call.id = call.name = "";
	}
	d.tool_call_count = 0;
	d.finish_reason = "tool_calls";
	take(to, &f);
}

static void
take_hash(void *to, const struct generate_frame *f)
{
	assert_int_equal(answer_hash_add(to, f, NULL), IM_OK);
}

static void
take_answer(void *to, const struct generate_frame *f)
{
	assert_int_equal(router_answer_add(to, f, NULL), IM_OK);
}

static void
assert_manifest_digest(const struct answer_hash *h, const char *hex)
{
	uint8_t digest[SHA256_BYTES];
	char got[2 * SHA256_BYTES + 1];

	assert_true(answer_hash_final(h, digest));
	hex_encode(digest, sizeof(digest), got);
	assert_string_equal(got, hex);
}

static void
test_answer_hash_worked_example_however_it_is_cut(void **state)
{
	(void)state;
	for (size_t step = 1; step < 16; step++) {
		struct answer_hash *h = answer_hash_new();

		say_example(take_hash, h, step);
		assert_manifest_digest(
		    h, "18131c768d26c8ac70aeed2989a8f51833a6686b6df323661135e4d0fcf8273c");
		answer_hash_free(h);
	}
}

static void
test_answer_hash_empty_answer_is_the_first_line(void **state)
{
	struct answer_hash *h = answer_hash_new();
	struct buf text = BUF_INIT(0);

	(void)state;
	assert_true(answer_hash_manifest(h, &text));
	assert_string_equal(buf_cstr(&text), "infermesh-answer/v1\n");
	buf_done(&text);
	answer_hash_free(h);
}

static void
test_answer_hash_choices_ascend_and_names_cannot_forge_lines(void **state)
{
	struct tool_call_delta call = {
		.index = 1, .id = "a b", .name = "x\nchoice 9 finish stop%", .arguments = ""
	};
	struct delta d[2] = { delta_of(1, ""), delta_of(0, "") };
	struct generate_frame f = frame_of(d, 2);
	struct answer_hash *h = answer_hash_new();
	struct buf text = BUF_INIT(0);

	(void)state;
	d[0].finish_reason = "length";
	d[1].finish_reason = "stop";
	d[1].tool_calls = &call;
	d[1].tool_call_count = 1;
	assert_int_equal(answer_hash_add(h, &f, NULL), IM_OK);
	assert_true(answer_hash_manifest(h, &text));
	assert_string_equal(buf_cstr(&text),
			    "infermesh-answer/v1\n"
			    "choice 0 tool 1 a%20b x%0Achoice%209%20finish%20stop%25 "
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
			    "choice 0 finish stop\n"
			    "choice 1 finish length\n");
	buf_done(&text);
	answer_hash_free(h);
}

static void
test_answer_bounds_are_kept(void **state)
{
	struct tool_call_delta call = {
		.index = ANSWER_TOOL_CALLS_MAX, .id = "", .name = "", .arguments = ""
	};
	struct delta far = delta_of(GENERATE_CHOICES_MAX, "x"), tool = delta_of(0, ""),
		     text = delta_of(0, "123456");
	struct generate_frame f_far = frame_of(&far, 1), f_tool = frame_of(&tool, 1),
			      f_text = frame_of(&text, 1);
	struct answer_hash *h = answer_hash_new();
	struct answer *a = router_answer_new(10);
	struct im_err err;

	(void)state;
	tool.tool_calls = &call;
	tool.tool_call_count = 1;
	assert_int_equal(answer_hash_add(h, &f_far, &err), IM_EPROTO);
	assert_int_equal(answer_hash_add(h, &f_tool, &err), IM_EPROTO);
	assert_int_equal(router_answer_add(a, &f_far, &err), IM_EPROTO);
	assert_int_equal(router_answer_add(a, &f_tool, &err), IM_EPROTO);
	assert_int_equal(router_answer_add(a, &f_text, &err), IM_OK);
	assert_int_equal(router_answer_add(a, &f_text, &err), IM_ETOOBIG);
	assert_string_equal(err.reason, "answer_too_large");
	answer_hash_free(h);
	router_answer_free(a);
}

static void
test_answer_gathers_one_reply(void **state)
{
	struct answer *a = router_answer_new(1000);
	struct generate_reply reply = { 0 };
	struct arena arena;

	(void)state;
	arena_init(&arena, 0);
	assert_false(router_answer_is_whole(a));
	say_example(take_answer, a, 2);
	assert_true(router_answer_is_whole(a));
	assert_true(router_answer_choices(a, &arena, &reply));
	assert_int_equal(reply.choice_count, 1);
	assert_string_equal(reply.choices[0].role, "assistant");
	assert_string_equal(reply.choices[0].content, "Hello");
	assert_string_equal(reply.choices[0].reasoning_content, "I should greet.");
	assert_string_equal(reply.choices[0].finish_reason, "tool_calls");
	assert_int_equal(reply.choices[0].tool_call_count, 1);
	assert_string_equal(reply.choices[0].tool_calls[0].id, "call_1");
	assert_string_equal(reply.choices[0].tool_calls[0].arguments, "{\"city\":\"Oslo\"}");
	arena_done(&arena);
	router_answer_free(a);
}

static void
test_answer_value_comes_back_with_the_same_digest(void **state)
{
	struct usage usage = { .prompt_tokens = 7, .completion_tokens = 9 }, back = { 0 };
	struct answer *a = router_answer_new(1000);
	struct answer_hash *h = answer_hash_new();
	struct buf value = BUF_INIT(0);
	struct generate_frame frame;
	struct arena arena;

	(void)state;
	arena_init(&arena, 0);
	say_example(take_answer, a, 3);
	router_answer_value_encode(a, &usage, &value);
	assert_true(buf_ok(&value));
	assert_int_equal(
	    router_answer_value_decode(value.data, value.len, &arena, &frame, &back, NULL), IM_OK);
	assert_int_equal(back.prompt_tokens, 7);
	assert_int_equal(back.completion_tokens, 9);
	take_hash(h, &frame);
	assert_manifest_digest(h,
			       "18131c768d26c8ac70aeed2989a8f51833a6686b6df323661135e4d0fcf8273c");
	arena_done(&arena);
	answer_hash_free(h);
	router_answer_free(a);
	buf_done(&value);
}

static void
test_answer_value_golden_bytes(void **state)
{
	struct delta d = delta_of(0, "Hi");
	struct generate_frame f = frame_of(&d, 1);
	struct usage usage = { .prompt_tokens = 1 };
	struct answer *a = router_answer_new(100);
	struct buf value = BUF_INIT(0);
	static const uint8_t expected[] = { 0x01,                /* version */
					    0x0c, 0,    0,    0, /* frame: */
					    0x12, 0x0a, 0x1a, 0x02, 'H',  'i', 0x32, 0x04,
					    's',  't',  'o',  'p',  0x04, 0,   0,    0, /* end: */
					    0x0a, 0x02, 0x08, 0x01 };

	(void)state;
	d.finish_reason = "stop";
	take_answer(a, &f);
	router_answer_value_encode(a, &usage, &value);
	assert_int_equal(value.len, sizeof(expected));
	assert_memory_equal(value.data, expected, sizeof(expected));
	buf_done(&value);
	router_answer_free(a);
}

static void
test_answer_value_truncated_anywhere_is_corrupt(void **state)
{
	struct usage usage = { .prompt_tokens = 7 };
	struct answer *a = router_answer_new(1000);
	struct buf value = BUF_INIT(0);
	struct generate_frame frame;
	struct arena arena;

	(void)state;
	arena_init(&arena, 0);
	say_example(take_answer, a, 3);
	router_answer_value_encode(a, &usage, &value);
	for (size_t len = 0; len < value.len; len++) {
		uint8_t *exact = malloc(len + 1); /* so that a sanitizer sees a byte too many */

		memcpy(exact, value.data, len);
		assert_int_equal(
		    router_answer_value_decode(exact, len, &arena, &frame, &usage, NULL),
		    IM_ECORRUPT);
		free(exact);
	}
	value.data[0] = 0x02;
	assert_int_equal(
	    router_answer_value_decode(value.data, value.len, &arena, &frame, &usage, NULL),
	    IM_ECORRUPT);
	value.data[0] = 0x01;
	buf_append_byte(&value, 0);
	assert_int_equal(
	    router_answer_value_decode(value.data, value.len, &arena, &frame, &usage, NULL),
	    IM_ECORRUPT);
	arena_done(&arena);
	router_answer_free(a);
	buf_done(&value);
}

static struct delta
vectors_of(const char *bytes, const char *finish)
{
	struct delta d = delta_of(0, "");

	d.embedding = (struct wire_bytes){ (const uint8_t *)bytes, strlen(bytes) };
	d.finish_reason = finish;
	return d;
}

/* printf 'infermesh-answer/v1\nchoice 0 embedding %s\nchoice 0 finish stop\n' $(printf abcdefghABCDEFGH | sha256sum | cut -c-64) |
 * sha256sum */
static const char vectors_digest[] =
    "2df9ead1ac24d011aa2dbe548365eef3655c632936c86345a8445bf9399c56db";

static void
test_answer_of_vectors_has_one_digest_however_it_is_cut(void **state)
{
	static const char *const cuts[][2] = { { "abcdefgh", "ABCDEFGH" },
					       { "abcdefghABCDEFGH", "" } };
	struct usage usage = { .prompt_tokens = 7 }, back;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct delta d[2] = { vectors_of(cuts[i][0], ""), vectors_of(cuts[i][1], "stop") };
		struct generate_frame f = frame_of(d, 2), kept;
		struct answer_hash *h = answer_hash_new(), *again = answer_hash_new();
		struct answer *a = router_answer_new(20);
		struct buf value = BUF_INIT(0);
		struct arena arena;

		arena_init(&arena, 0);
		f.dimensions = 2;
		take_hash(h, &f);
		assert_manifest_digest(h, vectors_digest);
		take_answer(a, &f);
		assert_true(router_answer_is_whole(a));
		router_answer_value_encode(a, &usage, &value);
		assert_int_equal(
		    router_answer_value_decode(value.data, value.len, &arena, &kept, &back, NULL),
		    IM_OK);
		assert_int_equal(kept.dimensions, 2);
		assert_int_equal(kept.deltas[0].embedding.len, 16);
		take_hash(again, &kept);
		assert_manifest_digest(again, vectors_digest);
		arena_done(&arena);
		buf_done(&value);
		router_answer_free(a);
		answer_hash_free(h);
		answer_hash_free(again);
	}
}

static void
test_answer_of_vectors_keeps_its_bound_and_one_length(void **state)
{
	struct delta d = vectors_of("abcdefgh", "");
	struct generate_frame f = frame_of(&d, 1);
	struct answer *a = router_answer_new(15);
	struct im_err err;

	(void)state;
	f.dimensions = 2;
	assert_int_equal(router_answer_add(a, &f, &err), IM_OK);
	f.dimensions = 1;
	assert_int_equal(router_answer_add(a, &f, &err), IM_EPROTO);
	f.dimensions = 2;
	assert_int_equal(router_answer_add(a, &f, &err), IM_ETOOBIG);
	router_answer_free(a);
}

static void
test_answer_value_without_finish_is_corrupt(void **state)
{
	struct delta d = delta_of(0, "Hi");
	struct generate_frame f = frame_of(&d, 1);
	struct usage usage = { .prompt_tokens = 1 };
	struct answer *a = router_answer_new(100);
	struct buf value = BUF_INIT(0);
	struct arena arena;

	(void)state;
	arena_init(&arena, 0);
	take_answer(a, &f);
	assert_false(router_answer_is_whole(a));
	router_answer_value_encode(a, &usage, &value);
	assert_int_equal(
	    router_answer_value_decode(value.data, value.len, &arena, &f, &usage, NULL),
	    IM_ECORRUPT);
	arena_done(&arena);
	buf_done(&value);
	router_answer_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_hash_worked_example_however_it_is_cut),
		cmocka_unit_test(test_answer_hash_empty_answer_is_the_first_line),
		cmocka_unit_test(test_answer_hash_choices_ascend_and_names_cannot_forge_lines),
		cmocka_unit_test(test_answer_bounds_are_kept),
		cmocka_unit_test(test_answer_gathers_one_reply),
		cmocka_unit_test(test_answer_value_comes_back_with_the_same_digest),
		cmocka_unit_test(test_answer_value_golden_bytes),
		cmocka_unit_test(test_answer_value_truncated_anywhere_is_corrupt),
		cmocka_unit_test(test_answer_value_without_finish_is_corrupt),
		cmocka_unit_test(test_answer_of_vectors_has_one_digest_however_it_is_cut),
		cmocka_unit_test(test_answer_of_vectors_keeps_its_bound_and_one_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
