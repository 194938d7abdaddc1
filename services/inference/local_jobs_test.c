/*
 * inference/local_jobs_test.c - the local backend with the real demo model: jobs that wait, pause, leave, or are refused.
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
test_local_long_prompt_does_not_stall_an_answer(void **state)
{
	static char text[1500];
	struct answer running, late;
	struct rig r;

	(void)state;
	rig_start(&r, "    max_batch_size: 2\n    batch_tokens: 16\n");
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		text[i] = "where is my order "[i % 18];
	answer_init(&running, &r, questions[0]);
	answer_endless(&running);
	running.req.temperature.v = 2; /* wild, so that its tokens make text */
	running.req.top_k = (struct opt_u32){ true, 0 };
	running.req.top_p = (struct opt_double){ true, 1 };
	running.req.seed = (struct opt_i64){ true, 1 };
	running.req.max_tokens.v = 300;
	answer_init(&late, &r, text);
	late.beside = &running;
	late.req.max_tokens.v = 2;
	assert_int_equal(answer_submit(&running), IM_OK);
	assert_int_equal(answer_submit(&late), IM_OK);
	rig_run(&r);
	assert_false(running.failed || late.failed);
	/* So many steps its prompt took, and each gave the other a token; some make no text. How many came before it was there is
	 * the machine's affair. */
	assert_true(late.usage.prompt_tokens > 200);
	assert_true(late.beside_frames >= late.usage.prompt_tokens / 15 / 2);
	answer_done(&running);
	answer_done(&late);
	rig_stop(&r);
}

static void
test_local_many_choices_do_not_keep_others_out(void **state)
{
	struct answer many, one;
	struct rig r;

	(void)state;
	rig_start(&r, "    max_batch_size: 2\n");
	answer_init(&many, &r, questions[3]);
	many.req.n = RIG_CHOICES;
	answer_init(&one, &r, questions[0]);
	one.req.max_tokens.v = 2;
	assert_int_equal(answer_submit(&many), IM_OK);
	assert_int_equal(answer_submit(&one), IM_OK);
	loop_enter(r.loop);
	r.open--; /* 'many' is not waited for */
	loop_leave(r.loop);
	rig_run(&r);
	assert_true(one.ended && !one.failed);
	assert_false(many.ended);
	loop_enter(r.loop);
	r.open++;
	loop_leave(r.loop);
	rig_run(&r);
	assert_true(many.ended && !many.failed);
	answer_done(&many);
	answer_done(&one);
	rig_stop(&r);
}

static void
test_local_without_a_word_as_many_run_as_fit_the_machine(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	assert_in_range(backend_local.capacity(r.backend), 4, 32);
	rig_stop(&r);
	rig_start(&r, "    max_batch_size: 3\n    batch_tokens: 1\n");
	assert_int_equal(backend_local.capacity(r.backend), 3);
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
	answer_endless(&a);      /* long: some of it comes before the pause is seen */
	a.req.temperature.v = 2; /* wild, so that its tokens make text */
	a.req.top_k = (struct opt_u32){ true, 0 };
	a.req.top_p = (struct opt_double){ true, 1 };
	a.req.seed = (struct opt_i64){ true, 1 };
	a.req.max_tokens.v = 400;
	answer_init(&b, &r, questions[2]);
	assert_int_equal(answer_submit(&a), IM_OK);
	loop_enter(r.loop);
	r.open--; /* not waited for */
	loop_leave(r.loop);
	(void)answer_ask(&b);
	assert_true(b.ended && !a.ended);
	frames = a.frames;
	assert_true(frames >= 1);
	answer_done(&b);
	answer_init(&b, &r, questions[0]);
	(void)answer_ask(&b);
	assert_int_equal(a.frames, frames); /* not one more */
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
		assert_string_equal(a[i].err.reason, "upstream_timeout");
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
		a[i].pause_at = 1; /* stays where it is, */
		a[i].req.max_tokens.set = false;
		a[i].req.n = RIG_CHOICES;
		answer_endless(&a[i]); /* and is not done before */
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
		cmocka_unit_test(test_local_cancel_frees_the_seat_for_the_next),
		cmocka_unit_test(test_local_many_jobs_with_random_cancels_all_end),
		cmocka_unit_test(test_local_long_prompt_does_not_stall_an_answer),
		cmocka_unit_test(test_local_many_choices_do_not_keep_others_out),
		cmocka_unit_test(test_local_without_a_word_as_many_run_as_fit_the_machine),
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
