/*
 * inference/local_test.c - the local backend with the real demo model: answers, batches, cancelling, refusals.
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
	assert_memory_equal(&a.usage, &b.usage, sizeof(a.usage));
	answer_done(&a);
	answer_done(&b);
	rig_stop(&r);
}

static void
test_local_same_seed_same_text_alone_and_in_a_batch(void **state)
{
	struct answer alone[COUNT(questions)], together[COUNT(questions)];
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
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

static void
test_local_cancel_frees_the_seat_for_the_next(void **state)
{
	struct answer a, b;
	struct rig r;

	(void)state;
	rig_start(&r, "    max_batch_size: 1\n");
	answer_init(&a, &r, questions[1]);
	a.req.max_tokens.set = false;
	a.cancel_at = 2;
	answer_init(&b, &r, questions[0]);
	assert_int_equal(answer_submit(&a), IM_OK);
	assert_int_equal(answer_submit(&b), IM_OK);
	rig_run(&r);
	assert_true(a.cancelled && !a.ended);
	assert_true(b.ended && !b.failed && b.text[0].len > 10);
	answer_done(&a);
	answer_done(&b);
	rig_stop(&r);
}

static void
test_local_many_jobs_with_random_cancels_all_end(void **state)
{
	enum {
		JOBS = 50
	};
	static struct answer a[JOBS];
	char expected[COUNT(questions)][512];
	unsigned seed = 11;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	for (size_t i = 0; i < COUNT(questions); i++) {
		answer_init(&a[0], &r, questions[i]);
		(void)snprintf(expected[i], sizeof(expected[i]), "%s", answer_ask(&a[0]));
		answer_done(&a[0]);
	}
	for (unsigned i = 0; i < JOBS; i++) {
		answer_init(&a[i], &r, questions[i % COUNT(questions)]);
		seed = seed * 1664525 + 1013904223;
		a[i].cancel_at = (seed >> 16) % 3 == 0 ? 1 + (seed >> 20) % 9 : 0;
		assert_int_equal(answer_submit(&a[i]), IM_OK);
	}
	loop_enter(r.loop);
	for (unsigned i = 0; i < JOBS; i += 7) { /* some before they could begin */
		if (a[i].ended || a[i].cancelled)
			continue;
		a[i].cancelled = true;
		backend_local.cancel(a[i].job);
		if (--r.open == 0)
			loop_stop(r.loop);
	}
	loop_leave(r.loop);
	rig_run(&r);
	for (unsigned i = 0; i < JOBS; i++) {
		assert_true(a[i].ended != a[i].cancelled);
		assert_false(a[i].failed);
		if (a[i].ended)
			assert_string_equal(buf_cstr(&a[i].text[0]),
					    expected[i % COUNT(questions)]);
		answer_done(&a[i]);
	}
	assert_int_equal(backend_local.queued(r.backend), 0);
	rig_stop(&r);
}

static void
test_local_paused_job_waits_while_others_go_on(void **state)
{
	struct answer a, b;
	unsigned frames;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	answer_init(&a, &r, questions[0]);
	a.pause_at = 1;
	answer_init(&b, &r, questions[2]);
	assert_int_equal(answer_submit(&a), IM_OK);
	loop_enter(r.loop);
	r.open--; /* not waited for */
	loop_leave(r.loop);
	(void)answer_ask(&b);
	assert_true(b.ended && !a.ended);
	frames = a.frames;
	assert_true(frames >= 1 && frames < 5); /* what was under way may still have come */
	loop_enter(r.loop);
	r.open++;
	a.pause_at = 0;
	backend_local.pause(a.job, false);
	loop_leave(r.loop);
	rig_run(&r);
	assert_true(a.ended && !a.failed && a.frames > frames);
	answer_done(&a);
	answer_done(&b);
	rig_stop(&r);
}

static void
test_local_budget_over_ends_with_deadline(void **state)
{
	struct answer a[4];
	struct rig r;

	(void)state;
	rig_start(&r, "    max_batch_size: 1\n");
	for (size_t i = 0; i < COUNT(a); i++) {
		answer_init(&a[i], &r, questions[0]);
		a[i].req.max_tokens.set = false;
		a[i].req.n = RIG_CHOICES; /* long enough */
		a[i].budget_ms = 1;
		assert_int_equal(answer_submit(&a[i]), IM_OK);
	}
	rig_run(&r);
	for (size_t i = 0; i < COUNT(a); i++) {
		assert_true(a[i].failed);
		assert_int_equal(a[i].err.rc, IM_EDEADLINE);
		answer_done(&a[i]);
	}
	rig_stop(&r);
}

static void
test_local_full_queue_is_refused(void **state)
{
	struct answer a[3];
	struct rig r;

	(void)state;
	rig_start(&r, "    max_batch_size: 1\n    queue_max: 1\n");
	assert_int_equal(backend_local.capacity(r.backend), 1);
	loop_enter(r.loop); /* so that none can end in between */
	loop_leave(r.loop);
	for (size_t i = 0; i < COUNT(a); i++) {
		answer_init(&a[i], &r, questions[0]);
		a[i].pause_at = 1; /* stays where it is */
	}
	assert_int_equal(answer_submit(&a[0]), IM_OK);
	assert_int_equal(answer_submit(&a[1]), IM_OK);
	assert_int_equal(answer_submit(&a[2]), IM_EAGAIN);
	assert_string_equal(a[2].err.reason, "queue_full");
	assert_true(a[2].err.retry_after_ms > 0);
	loop_enter(r.loop);
	backend_local.cancel(a[0].job);
	backend_local.cancel(a[1].job);
	r.open = 0;
	loop_leave(r.loop);
	answer_init(&a[2], &r, questions[0]);
	assert_true(strlen(answer_ask(&a[2])) > 10); /* room again, at once */
	for (size_t i = 0; i < COUNT(a); i++)
		answer_done(&a[i]);
	rig_stop(&r);
}

static void
test_local_too_long_prompt_says_so(void **state)
{
	static char text[200000];
	static const size_t lengths[] = { 4000, 30000, sizeof(text) - 1 };
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	for (size_t i = 0; i < COUNT(lengths); i++) {
		for (size_t c = 0; c < lengths[i]; c++)
			text[c] = " abcdefghijklmnopqrstuv"[c % 7 == 0 ? 0 : c % 23];
		text[lengths[i]] = '\0';
		answer_init(&a, &r, text);
		if (answer_submit(&a) == IM_OK)
			rig_run(&r);
		assert_int_equal(a.err.rc, IM_EINVAL);
		assert_string_equal(a.err.reason, "context_length_exceeded");
		assert_string_equal(a.err.param, "messages");
		assert_non_null(strstr(a.err.text, "maximum context length"));
		assert_int_equal(a.frames, 0);
		answer_done(&a);
	}
	rig_stop(&r);
}

static void
test_local_unknown_model_and_content_are_refused(void **state)
{
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	answer_init(&a, &r, "hello");
	a.req.model = "gpt-5";
	assert_int_equal(answer_submit(&a), IM_ENOTFOUND);
	assert_string_equal(a.err.reason, "model_not_found");
	answer_init(&a, &r, NULL);
	a.messages[0].content_json =
	    "[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image_url\",\"image_url\":{}}]";
	assert_int_equal(answer_submit(&a), IM_EINVAL);
	assert_string_equal(a.err.param, "messages[0].content[1]");
	answer_init(&a, &r, "hello");
	a.messages[0].role = "tool";
	assert_int_equal(answer_submit(&a), IM_EINVAL);
	assert_string_equal(a.err.param, "messages[0].role");
	answer_init(&a, &r, "hello");
	a.req.tools_json = "[{\"type\":\"function\"}]";
	assert_int_equal(answer_submit(&a), IM_EINVAL);
	assert_string_equal(a.err.param, "tools");
	rig_stop(&r);
}

static void
test_local_models_are_named_as_configured(void **state)
{
	const struct model_info *m;
	struct answer a;
	struct rig r;
	size_t count;

	(void)state;
	rig_start(&r, "    models: shop\n    aliases:\n      gpt-shop: shop\n");
	m = backend_local.models(r.backend, &count);
	assert_int_equal(count, 2);
	assert_string_equal(m[0].id, "shop");
	assert_string_equal(m[1].id, "gpt-shop");
	assert_int_equal(strlen(m[0].digest), 64);
	assert_int_equal(m[0].context_tokens, 512);
	answer_init(&a, &r, questions[0]);
	a.req.model = "gpt-shop";
	assert_true(strlen(answer_ask(&a)) > 10);
	answer_done(&a);
	rig_stop(&r);
}

static void
test_local_stop_right_after_cancel_leaves_nothing(void **state)
{
	struct answer a[6];
	struct rig r;

	(void)state;
	for (int round = 0; round < 5; round++) {
		rig_start(&r, NULL);
		for (size_t i = 0; i < COUNT(a); i++) {
			answer_init(&a[i], &r, questions[i % COUNT(questions)]);
			assert_int_equal(answer_submit(&a[i]), IM_OK);
		}
		loop_enter(r.loop);
		for (size_t i = 0; i < COUNT(a); i++) {
			if (a[i].ended)
				continue;
			a[i].cancelled = true;
			backend_local.cancel(a[i].job);
		}
		loop_leave(r.loop);
		rig_stop(&r);
		for (size_t i = 0; i < COUNT(a); i++)
			answer_done(&a[i]);
	}
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
		cmocka_unit_test(test_local_unicode_is_never_split),
		cmocka_unit_test(test_local_roles_and_parts_reach_the_model),
		cmocka_unit_test(test_local_cancel_frees_the_seat_for_the_next),
		cmocka_unit_test(test_local_many_jobs_with_random_cancels_all_end),
		cmocka_unit_test(test_local_paused_job_waits_while_others_go_on),
		cmocka_unit_test(test_local_budget_over_ends_with_deadline),
		cmocka_unit_test(test_local_full_queue_is_refused),
		cmocka_unit_test(test_local_too_long_prompt_says_so),
		cmocka_unit_test(test_local_unknown_model_and_content_are_refused),
		cmocka_unit_test(test_local_models_are_named_as_configured),
		cmocka_unit_test(test_local_stop_right_after_cancel_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
