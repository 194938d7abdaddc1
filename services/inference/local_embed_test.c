/*
 * inference/local_embed_test.c - vectors of the demo model: held against llama.cpp's own pooling, alone and beside answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <llama.h>

#include "inference/local_embed_rig.h"
#include "inference/local_model.h"
#include "wire/float32.h"

#define STEP_TOKENS "64"

static int
setup(void **state)
{
	(void)state;
	/* One thread: llama.cpp is not instrumented, tsan would not see the barriers of several. */
	rig_start(&embed_rig,
		  "    batch_tokens: " STEP_TOKENS "\n    max_batch_size: 4\n    threads: 1\n");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_stop(&embed_rig);
	return 0;
}

static const char short_text[] = "Where is my parcel?";

/* More tokens than a step takes, and fewer than a context has. */
static char *
long_text(void)
{
	static const char line[] = "My order has not come, and nobody answers the telephone. ";
	struct buf text = { 0 };
	char *copy;

	for (size_t i = 0; i < 20; i++)
		(void)buf_append_str(&text, line);
	assert_true(buf_ok(&text));
	copy = strdup(buf_cstr(&text));
	buf_done(&text);
	assert_non_null(copy);
	return copy;
}

static void
test_vector_is_that_of_llama_cpp_also_over_several_steps(void **state)
{
	char *text = long_text();

	(void)state;
	(void)vectors_expect_reference(NULL, short_text);
	assert_true(vectors_expect_reference(NULL, text) >= 3 * 64);
	free(text);
}

static void
test_vectors_of_many_inputs_are_those_of_each_alone_in_order(void **state)
{
	static const char *const texts[] = { short_text, "I want my money back.",
					     "\xe4\xbd\xa0\xe5\xa5\xbd", "x" };
	char *text = long_text();
	struct vectors many, one;

	(void)state;
	vectors_init(&many, NULL);
	many.req.input_count = 100;
	for (size_t i = 0; i < 100; i++)
		many.inputs[i].text = i % 25 == 7 ? text : texts[i % 4];
	vectors_ask(&many);
	for (size_t i = 0; i < 5; i++) {
		vectors_init(&one, i == 4 ? text : texts[i]);
		vectors_ask(&one);
		for (size_t k = 0; k < 100; k++) {
			bool same = i == 4 ? k % 25 == 7 : k % 25 != 7 && k % 4 == i;
			double like = vectors_likeness(&many, k, &one, 0);

			assert_true(same ? like > 0.999 : like < 0.998);
		}
		buf_done(&one.numbers);
	}
	buf_done(&many.numbers);
	free(text);
}

static void
test_vector_of_tokens_is_that_of_their_text(void **state)
{
	struct local_model_params params = { .context_tokens = 64, .sequences = 1 };
	struct local_model model;
	struct vectors text, tokens;
	struct im_err err;
	int32_t list[64];
	int32_t n;

	(void)state;
	assert_int_equal(local_model_load(&params, &model, &err), IM_OK);
	n = llama_tokenize(model.vocab, short_text, sizeof(short_text) - 1, list, 64, true, false);
	local_model_done(&model);
	vectors_init(&text, short_text);
	vectors_init(&tokens, "");
	tokens.inputs[0].tokens = (uint32_t *)list;
	tokens.inputs[0].token_count = (size_t)n;
	vectors_ask(&text);
	tokens.req.dimensions = (struct opt_u32){ true, text.dimensions }; /* what it has anyway */
	vectors_ask(&tokens);
	assert_int_equal(text.usage.prompt_tokens, n);
	assert_int_equal(tokens.usage.prompt_tokens, n);
	assert_true(vectors_likeness(&text, 0, &tokens, 0) > 0.9999);
	buf_done(&text.numbers);
	buf_done(&tokens.numbers);
}

static void
test_embedding_that_cannot_be_computed_says_which_input(void **state)
{
	static uint32_t unknown[] = { 1, 4000000000U };
	static char long_line[40000];
	struct vectors v;

	(void)state;
	vectors_init(&v, short_text);
	v.req.dimensions = (struct opt_u32){ true, 64 };
	assert_int_equal(vectors_submit(&v), IM_EINVAL);
	assert_string_equal(v.err.param, "dimensions");
	vectors_init(&v, short_text);
	v.inputs[1] = (struct input){ "", unknown, 2 };
	v.req.input_count = 2;
	assert_int_equal(vectors_submit(&v), IM_EINVAL);
	assert_string_equal(v.err.param, "input[1]");
	memset(long_line, '7', sizeof(long_line) - 1);
	vectors_init(&v, short_text);
	v.inputs[1].text = long_line;
	v.req.input_count = 2;
	if (vectors_submit(&v) == IM_OK) /* else it is longer than any tokens of a context can be */
		rig_run(&embed_rig);
	assert_int_equal(v.err.rc, IM_EINVAL);
	assert_string_equal(v.err.reason, "context_length_exceeded");
	assert_string_equal(v.err.param, "input[1]");
	buf_done(&v.numbers);
	/* Nothing of it is left: the next one is as ever. */
	vectors_init(&v, short_text);
	vectors_ask(&v);
	buf_done(&v.numbers);
}

static void
test_vectors_beside_answers_and_cancels_leave_both_as_they_are(void **state)
{
	char *text = long_text(), *alone;
	struct vectors kept, cancelled;
	struct answer answer;

	(void)state;
	answer_init(&answer, &embed_rig, short_text);
	alone = strdup(answer_ask(&answer));
	answer_done(&answer);
	for (unsigned round = 0; round < 3; round++) {
		vectors_init(&kept, short_text);
		vectors_init(&cancelled, text);
		kept.req.input_count = cancelled.req.input_count = 8;
		for (size_t i = 1; i < 8; i++) {
			kept.inputs[i].text = i % 2 == 0 ? text : short_text;
			cancelled.inputs[i].text = text;
		}
		cancelled.cancel_at = 1 + round;
		answer_init(&answer, &embed_rig, short_text);
		assert_int_equal(vectors_submit(&kept), IM_OK);
		assert_int_equal(vectors_submit(&cancelled), IM_OK);
		assert_string_equal(answer_ask(&answer), alone);
		rig_run(&embed_rig);
		assert_true(kept.finished && !kept.failed);
		for (size_t i = 0; i < 8; i++)
			assert_true((vectors_likeness(&kept, i, &kept, 0) > 0.999) ==
				    (i == 0 || i % 2 == 1));
		buf_done(&kept.numbers);
		buf_done(&cancelled.numbers);
		answer_done(&answer);
	}
	free(alone);
	free(text);
}

static void
test_embedding_whose_reader_is_slow_stops_and_goes_on(void **state)
{
	struct vectors slow, other;

	(void)state;
	vectors_init(&slow, short_text);
	slow.req.input_count = 100;
	for (size_t i = 1; i < 100; i++)
		slow.inputs[i].text = short_text;
	slow.pause_at = 1;
	vectors_init(&other, short_text);
	assert_int_equal(vectors_submit(&slow), IM_OK);
	assert_int_equal(vectors_submit(&other), IM_OK);
	loop_enter(embed_rig.loop);
	embed_rig.open--; /* the slow one is not waited for */
	loop_leave(embed_rig.loop);
	rig_run(&embed_rig);
	assert_true(other.finished);
	assert_false(slow.ended);
	loop_enter(embed_rig.loop);
	embed_rig.open++;
	backend_local.pause(slow.job, false);
	loop_leave(embed_rig.loop);
	rig_run(&embed_rig);
	assert_true(slow.finished && !slow.failed);
	assert_int_equal(slow.numbers.len, 100 * FLOAT32_BYTES * slow.dimensions);
	buf_done(&slow.numbers);
	buf_done(&other.numbers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_vector_is_that_of_llama_cpp_also_over_several_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_vectors_of_many_inputs_are_those_of_each_alone_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vector_of_tokens_is_that_of_their_text, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
		    test_embedding_that_cannot_be_computed_says_which_input, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_vectors_beside_answers_and_cancels_leave_both_as_they_are, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    test_embedding_whose_reader_is_slow_stops_and_goes_on, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
