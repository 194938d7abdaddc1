/*
 * inference/local_test.c - the local backend with the real demo model: what it answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/local_rig.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const questions[] = {
	"Where is my order A12345?",
	"我的包裹到哪里了？",
	"How long does a refund take?",
	"Do you have the blue kettle in stock? I need it by Friday, for my mother's birthday, and in a gift box if you can.",
};

static void
test_local_greedy_answer_is_whole_and_the_same_again(void **state)
{
	struct rig r;
	struct answer a, b;

	(void)state;
	rig_start(&r, NULL);
	answer_init(&a, &r, questions[0]);
	answer_init(&b, &r, questions[0]);
	assert_true(strlen(answer_ask(&a)) > 10);
	assert_string_equal(a.finish[0], "stop");
	assert_true(a.usage.prompt_tokens > 5 && a.usage.completion_tokens > 3);
	assert_true(a.frames > 3); /* a stream, not one lump */
	assert_string_equal(answer_ask(&b), buf_cstr(&a.text[0]));
	assert_int_equal(a.usage.cached_tokens, 0);
	assert_int_equal(a.usage.prompt_tokens, b.usage.prompt_tokens);
	assert_int_equal(a.usage.completion_tokens, b.usage.completion_tokens);
	answer_done(&a);
	answer_done(&b);
	rig_stop(&r);
}

static void
same_alone_and_in_a_batch(const char *yaml)
{
	struct answer alone[COUNT(questions)], together[COUNT(questions)];
	struct rig r;

	rig_start(&r, yaml);
	for (int greedy = 0; greedy < 2; greedy++) {
		for (size_t i = 0; i < COUNT(questions); i++) {
			answer_init(&alone[i], &r, questions[i]);
			alone[i].req.temperature.v = greedy ? 0 : 1;
			alone[i].req.seed = (struct opt_i64){ true, 42 + (int64_t)i };
			answer_init(&together[i], &r, questions[i]);
			together[i].req = alone[i].req;
			together[i].req.messages = together[i].messages;
			(void)answer_ask(&alone[i]);
		}
		for (size_t i = 0; i < COUNT(questions); i++)
			assert_int_equal(answer_submit(&together[i]), IM_OK);
		rig_run(&r);
		for (size_t i = 0; i < COUNT(questions); i++) {
			assert_string_equal(buf_cstr(&together[i].text[0]),
					    buf_cstr(&alone[i].text[0]));
			answer_done(&alone[i]);
			answer_done(&together[i]);
		}
	}
	rig_stop(&r);
}

static void
test_local_same_seed_same_text_alone_and_in_a_batch(void **state)
{
	(void)state;
	same_alone_and_in_a_batch("    exact: true\n");
	same_alone_and_in_a_batch(
	    "    exact: false\n"); /* with this model and these kernels it holds too */
}

static void
test_local_threads_share_a_step(void **state)
{
	struct answer one, two;
	struct rig r;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* llama.cpp is not instrumented: the barriers of its threads would not be seen */
#endif
	rig_start(&r, "    threads: 1\n");
	answer_init(&one, &r, questions[0]);
	one.req.max_tokens.v =
	    4; /* few: on a busy machine threads that wait for each other are slow */
	(void)answer_ask(&one);
	rig_stop(&r);
	rig_start(&r, "    threads: 2\n");
	answer_init(&two, &r, questions[0]);
	two.req.max_tokens.v = 4;
	assert_string_equal(answer_ask(&two), buf_cstr(&one.text[0]));
	answer_done(&one);
	answer_done(&two);
	rig_stop(&r);
}

static void
test_local_without_a_seed_answers_differ(void **state)
{
	struct answer a[8];
	unsigned different = 0;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	for (size_t i = 0; i < COUNT(a); i++) {
		answer_init(&a[i], &r, "Tell me something.");
		a[i].req.temperature.v = 2;
		a[i].req.top_p = (struct opt_double){ true, 1 };
		a[i].req.top_k = (struct opt_u32){ true, 0 };
		(void)answer_ask(&a[i]);
		different += i > 0 && strcmp(buf_cstr(&a[i].text[0]), buf_cstr(&a[0].text[0])) != 0;
	}
	assert_true(different > 0);
	for (size_t i = 0; i < COUNT(a); i++)
		answer_done(&a[i]);
	rig_stop(&r);
}

static void
test_local_choices_have_seeds_of_their_own(void **state)
{
	struct answer a, single;
	struct rig r;

	(void)state;
	rig_start(&r, "    max_batch_size: 2\n");
	answer_init(&a, &r, "Tell me something.");
	a.req.n = 5; /* more than sit at once */
	a.req.temperature.v = 1.5;
	a.req.seed = (struct opt_i64){ true, 7 };
	(void)answer_ask(&a);
	for (uint32_t i = 0; i < 5; i++) {
		assert_true(a.role[i]);
		assert_non_null(a.finish[i]);
		answer_init(&single, &r, "Tell me something.");
		single.req.temperature.v = 1.5;
		single.req.seed = (struct opt_i64){ true, 7 + (int64_t)i };
		assert_string_equal(answer_ask(&single), buf_cstr(&a.text[i]));
		answer_done(&single);
	}
	assert_false(a.role[5]);
	answer_done(&a);
	rig_stop(&r);
}

static void
test_local_max_tokens_ends_with_length(void **state)
{
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	for (uint32_t max = 0; max < 4; max++) {
		answer_init(&a, &r, questions[0]);
		a.req.max_tokens.v = max;
		(void)answer_ask(&a);
		assert_string_equal(a.finish[0], "length");
		assert_int_equal(a.usage.completion_tokens, max);
		answer_done(&a);
	}
	rig_stop(&r);
}

static void
test_local_answer_ends_where_the_context_does(void **state)
{
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, "    max_context_length: 64\n");
	answer_init(&a, &r, "Tell me something.");
	a.req.temperature.v = 2;
	a.req.seed = (struct opt_i64){ true, 3 };
	a.req.top_p = (struct opt_double){ true, 1 };
	a.req.top_k = (struct opt_u32){ true, 0 };
	a.req.max_tokens.set = false;
	(void)answer_ask(&a);
	if (strcmp(a.finish[0], "length") ==
	    0) /* the last token is not fed any more, so it is one beyond */
		assert_int_equal(a.usage.prompt_tokens + a.usage.completion_tokens, 65);
	else
		assert_true(a.usage.prompt_tokens + a.usage.completion_tokens <= 64);
	answer_done(&a);
	rig_stop(&r);
}

static void
test_local_stop_string_across_tokens_is_never_shown(void **state)
{
	struct answer whole, cut;
	const char *text;
	char stop[8], want[512];
	const char *stops[2] = { "\x7fnever\x7f", stop };
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	answer_init(&whole, &r, questions[0]);
	text = answer_ask(&whole);
	assert_true(strlen(text) > 24 && strlen(text) < sizeof(want));
	for (size_t at = 0; at < 16; at++) {
		size_t first;

		memcpy(stop, text + at, 7);
		stop[7] = '\0';
		if (strstr(text, stop) == NULL)
			continue;
		first = (size_t)(strstr(text, stop) - text);
		memcpy(want, text, first);
		want[first] = '\0';
		answer_init(&cut, &r, questions[0]);
		cut.req.stop = stops;
		cut.req.stop_count = 2;
		assert_string_equal(answer_ask(&cut), want);
		assert_string_equal(cut.finish[0], "stop");
		answer_done(&cut);
	}
	answer_done(&whole);
	rig_stop(&r);
}

static void
test_local_penalty_changes_the_answer(void **state)
{
	struct answer a, b;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	answer_init(&a, &r, questions[2]);
	answer_init(&b, &r, questions[2]);
	b.req.frequency_penalty = (struct opt_double){ true, 2 };
	b.req.presence_penalty = (struct opt_double){ true, 2 };
	b.req.repeat_penalty = (struct opt_double){ true, 2 };
	assert_string_not_equal(answer_ask(&a), answer_ask(&b));
	answer_done(&a);
	answer_done(&b);
	rig_stop(&r);
}

/* The first answer of at most 'tokens' tokens to a request with 'bias', in 'out'. */
static void
ask_with_bias(struct rig *r, const char *bias, const char *format, uint32_t tokens, char *out,
	      size_t cap)
{
	struct answer a;
	char extra[128];

	answer_init(&a, r, questions[0]);
	(void)snprintf(extra, sizeof(extra), "{\"logit_bias\":%s}", bias);
	a.req.extra_json = extra;
	a.req.response_format_json = format;
	a.req.max_tokens.v = tokens;
	(void)snprintf(out, cap, "%s", answer_ask(&a));
	answer_done(&a);
}

static void
test_local_logit_bias_forces_and_forbids_tokens(void **state)
{
	char plain[64], one[64], other[64], text[256], want[256];
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	ask_with_bias(&r, "{}", NULL, 1, plain, sizeof(plain));
	ask_with_bias(&r, "{\"70\":100}", NULL, 1, one, sizeof(one));
	ask_with_bias(&r, "{\"71\":100}", NULL, 1, other, sizeof(other));
	assert_int_equal(strlen(one), 1);
	assert_string_not_equal(one, plain);
	assert_string_not_equal(one, other);
	(void)snprintf(want, sizeof(want), "%s%s%s%s", one, one, one, one);
	ask_with_bias(&r, "{\"70\":100}", NULL, 4, text, sizeof(text));
	assert_string_equal(text, want);
	ask_with_bias(&r, "{\"70\":80,\"71\":-100}", NULL, 1, text, sizeof(text));
	assert_string_equal(text, one);
	ask_with_bias(&r, "{\"70\":-100,\"71\":80}", NULL, 1, text, sizeof(text));
	assert_string_equal(text, other);
	/* What is forced does not break a format. */
	ask_with_bias(&r, "{\"70\":100}", "{\"type\":\"json_object\"}", 1, text, sizeof(text));
	assert_int_equal(text[0], '{');
	answer_init(&a, &r, questions[0]);
	a.req.extra_json = "{\"logit_bias\":{\"1000000\":1}}";
	assert_int_equal(answer_submit(&a), IM_EINVAL);
	assert_string_equal(a.err.param, "logit_bias");
	rig_stop(&r);
}

static void
test_local_unicode_is_never_split(void **state)
{
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	for (int64_t seed = 0; seed < 6; seed++) {
		answer_init(&a, &r, "我的包裹到哪里了？订单号是 B20931 😀");
		a.req.temperature.v = seed == 0 ? 0 : 2; /* wild: the vocabulary has single bytes */
		a.req.top_k = (struct opt_u32){ true, 0 };
		a.req.top_p = (struct opt_double){ true, 1 };
		a.req.seed = (struct opt_i64){ true, seed };
		answer_endless(&a);
		assert_true(strlen(answer_ask(&a)) > 0); /* the rig checks each delta */
		answer_done(&a);
	}
	rig_stop(&r);
}

static void
test_local_roles_and_parts_reach_the_model(void **state)
{
	struct answer plain, parts;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	answer_init(&plain, &r, questions[0]);
	plain.messages[0] = (struct message){ .role = "system", .content = "You are brief." };
	plain.messages[1] = (struct message){ .role = "user", .content = "Hello" };
	plain.messages[2] =
	    (struct message){ .role = "assistant", .content = "Hello! How can I help?" };
	plain.messages[3] = (struct message){ .role = "user", .content = questions[0] };
	plain.req.message_count = 4;
	(void)answer_ask(&plain);
	answer_init(&parts, &r, NULL);
	memcpy(parts.messages, plain.messages, sizeof(parts.messages));
	parts.messages[0].role = "developer";
	parts.messages[1].content = NULL;
	parts.messages[1].content_json =
	    "[{\"type\":\"text\",\"text\":\"Hel\"},{\"text\":\"lo\",\"type\":\"text\"}]";
	parts.req.message_count = 4;
	(void)answer_ask(&parts);
	assert_string_equal(buf_cstr(&plain.text[0]), buf_cstr(&parts.text[0]));
	assert_int_equal(plain.usage.prompt_tokens, parts.usage.prompt_tokens);
	answer_done(&plain);
	answer_done(&parts);
	rig_stop(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_local_greedy_answer_is_whole_and_the_same_again),
		cmocka_unit_test(test_local_same_seed_same_text_alone_and_in_a_batch),
		cmocka_unit_test(test_local_threads_share_a_step),
		cmocka_unit_test(test_local_without_a_seed_answers_differ),
		cmocka_unit_test(test_local_choices_have_seeds_of_their_own),
		cmocka_unit_test(test_local_max_tokens_ends_with_length),
		cmocka_unit_test(test_local_answer_ends_where_the_context_does),
		cmocka_unit_test(test_local_stop_string_across_tokens_is_never_shown),
		cmocka_unit_test(test_local_penalty_changes_the_answer),
		cmocka_unit_test(test_local_logit_bias_forces_and_forbids_tokens),
		cmocka_unit_test(test_local_unicode_is_never_split),
		cmocka_unit_test(test_local_roles_and_parts_reach_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
