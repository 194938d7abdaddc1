/*
 * inference/local_reuse_test.c - the local backend with the real demo model: beginnings that are used again, and streams that
 * outgrow their context.
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

static const char rules[] =
    "You are the assistant of a shop that sells kettles, lamps, shoes and books. Be brief and polite. Never promise a date. "
    "Ask for the order number when there is none. Refunds take five days, parcels take three, and gifts are wrapped for free.";

static const char *const questions[] = {
	"Where is my order A12345?",
	"How long does a refund take?",
	"我的包裹到哪里了？",
	"Can I change the address of order B20931?",
};

/* The rules, then 'user'. */
static void
shop_init(struct answer *a, struct rig *r, const char *user)
{
	answer_init(a, r, user);
	a->messages[1] = a->messages[0];
	a->messages[0] = (struct message){ .role = "system", .content = rules };
	a->req.message_count = 2;
	a->req.tenant = "acme";
}

/* What a backend says that knows nothing from before. */
static void
fresh(const char *user, char out[512])
{
	struct answer a;
	struct rig r;

	rig_start(&r, "    max_batch_size: 1\n");
	shop_init(&a, &r, user);
	(void)snprintf(out, 512, "%s", answer_ask(&a));
	assert_int_equal(a.usage.cached_tokens, 0);
	answer_done(&a);
	rig_stop(&r);
}

static void
test_reuse_next_turn_decodes_only_what_is_new(void **state)
{
	struct answer first, second, other;
	struct rig r;

	(void)state;
	rig_start(&r, "    max_batch_size: 4\n");
	shop_init(&first, &r, questions[0]);
	(void)answer_ask(&first);
	assert_int_equal(first.usage.cached_tokens, 0);
	shop_init(&second, &r, questions[0]);
	second.messages[2] =
	    (struct message){ .role = "assistant", .content = buf_cstr(&first.text[0]) };
	second.messages[3] = (struct message){ .role = "user", .content = questions[1] };
	second.req.message_count = 4;
	(void)answer_ask(&second);
	assert_in_range(second.usage.cached_tokens, first.usage.prompt_tokens - 1,
			second.usage.prompt_tokens - 1);
	/* A backend that never saw the first turn says the same. */
	rig_stop(&r);
	rig_start(&r, "    max_batch_size: 4\n");
	answer_init(&other, &r, NULL);
	other.req = second.req;
	assert_string_equal(answer_ask(&other), buf_cstr(&second.text[0]));
	assert_int_equal(other.usage.cached_tokens, 0);
	assert_int_equal(other.usage.prompt_tokens, second.usage.prompt_tokens);
	answer_done(&first);
	answer_done(&second);
	answer_done(&other);
	rig_stop(&r);
}

static void
test_reuse_never_crosses_tenants(void **state)
{
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, "    max_batch_size: 1\n");
	shop_init(&a, &r, questions[0]);
	(void)answer_ask(&a);
	answer_done(&a);
	shop_init(&a, &r, questions[0]);
	a.req.tenant = "acme2";
	(void)answer_ask(&a);
	assert_int_equal(a.usage.cached_tokens, 0);
	answer_done(&a);
	shop_init(&a, &r, questions[0]);
	a.req.tenant = "acme2";
	(void)answer_ask(&a);
	assert_int_equal(a.usage.cached_tokens, a.usage.prompt_tokens - 1);
	answer_done(&a);
	rig_stop(&r);
}

static void
test_reuse_rules_that_come_together_are_fed_once(void **state)
{
	struct answer a[COUNT(questions)];
	char want[COUNT(questions)][512];
	unsigned fed = 0;
	struct rig r;

	(void)state;
	for (size_t i = 0; i < COUNT(a); i++)
		fresh(questions[i], want[i]);
	rig_start(&r, "    max_batch_size: 4\n    batch_tokens: 32\n");
	for (size_t i = 0; i < COUNT(a); i++) {
		shop_init(&a[i], &r, questions[i]);
		assert_int_equal(answer_submit(&a[i]), IM_OK);
	}
	rig_run(&r);
	for (size_t i = 0; i < COUNT(a); i++) {
		assert_false(a[i].failed);
		assert_string_equal(buf_cstr(&a[i].text[0]), want[i]);
		fed += a[i].usage.cached_tokens == 0;
		answer_done(&a[i]);
	}
	assert_int_equal(fed, 1); /* the others took them over */
	rig_stop(&r);
}

static void
test_reuse_choices_share_their_prompt(void **state)
{
	struct metrics_page page = { .out = BUF_INIT(0) };
	struct answer a;
	struct rig r;
	char want[512];

	(void)state;
	fresh(questions[0], want);
	rig_start(&r, "    max_batch_size: 4\n");
	shop_init(&a, &r, questions[0]);
	a.req.n = 4;
	(void)answer_ask(&a);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(buf_cstr(&a.text[i]), want);
	backend_local.metrics(r.backend, &page);
	(void)snprintf(want, sizeof(want), "infermesh_local_prompt_tokens_total %u\n",
		       a.usage.prompt_tokens + 3);
	assert_non_null(strstr(buf_cstr(&page.out), want));
	buf_done(&page.out);
	answer_done(&a);
	rig_stop(&r);
}

static void
test_reuse_leader_that_leaves_keeps_nobody_waiting(void **state)
{
	struct answer a[3];
	char want[512];
	struct rig r;

	(void)state;
	fresh(questions[1], want);
	for (int paused = 0; paused < 2; paused++) {
		rig_start(&r, "    max_batch_size: 3\n    batch_tokens: 16\n");
		for (size_t i = 0; i < COUNT(a); i++)
			shop_init(&a[i], &r, questions[1]);
		for (size_t i = 0; i < COUNT(a); i++)
			assert_int_equal(answer_submit(&a[i]), IM_OK);
		loop_enter(r.loop);
		if (paused && !a[0].ended) {
			backend_local.pause(a[0].job, true);
			r.open--;
		} else if (!a[0].ended) {
			a[0].cancelled = true;
			backend_local.cancel(a[0].job);
			r.open--;
		}
		loop_leave(r.loop);
		rig_run(&r);
		for (size_t i = 1; i < COUNT(a); i++)
			assert_string_equal(buf_cstr(&a[i].text[0]), want);
		loop_enter(r.loop);
		if (paused && !a[0].ended) {
			a[0].cancelled = true;
			backend_local.cancel(a[0].job);
		}
		loop_leave(r.loop);
		for (size_t i = 0; i < COUNT(a); i++)
			answer_done(&a[i]);
		rig_stop(&r);
	}
}

static void
test_reuse_storm_of_conversations_says_what_fresh_ones_say(void **state)
{
	enum {
		JOBS = 60
	};
	static struct answer a[JOBS];
	char want[COUNT(questions)][512];
	unsigned seed = 5;
	struct rig r;

	(void)state;
	for (size_t i = 0; i < COUNT(questions); i++)
		fresh(questions[i], want[i]);
	rig_start(&r, "    max_batch_size: 3\n    batch_tokens: 24\n");
	for (unsigned i = 0; i < JOBS; i++) {
		seed = seed * 1664525 + 1013904223;
		shop_init(&a[i], &r, questions[(seed >> 24) % COUNT(questions)]);
		a[i].req.tenant = (seed >> 16) % 3 == 0 ? "other" : "acme";
		a[i].cancel_at = (seed >> 18) % 4 == 0 ? 1 + (seed >> 20) % 9 : 0;
		assert_int_equal(answer_submit(&a[i]), IM_OK);
	}
	rig_run(&r);
	for (unsigned i = 0; i < JOBS; i++) {
		size_t q = 0;

		while (strcmp(questions[q], a[i].messages[1].content) != 0)
			q++;
		assert_true(a[i].ended != a[i].cancelled);
		assert_false(a[i].failed);
		if (a[i].ended)
			assert_string_equal(buf_cstr(&a[i].text[0]), want[q]);
		answer_done(&a[i]);
	}
	rig_stop(&r);
}

static void
wild(struct answer *a, struct rig *r, int64_t seed)
{
	answer_init(a, r, "Tell me something.");
	a->req.temperature.v = 2;
	a->req.seed = (struct opt_i64){ true, seed };
	a->req.top_p = (struct opt_double){ true, 1 };
	a->req.top_k = (struct opt_u32){ true, 0 };
	if (seed % 2 == 1)
		answer_endless(a);
}

static void
test_reuse_sinks_let_a_stream_outgrow_its_context(void **state)
{
	unsigned outgrown = 0, held = 0;
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, "    max_context_length: 64\n    max_batch_size: 1\n    context_sinks: 4\n");
	for (int64_t seed = 0; seed < 12; seed++) {
		wild(&a, &r, seed);
		a.req.max_tokens.v = 200;
		(void)answer_ask(&a);
		assert_true(a.usage.completion_tokens == 200 || strcmp(a.finish[0], "stop") == 0);
		assert_true(a.usage.cached_tokens == 0 ||
			    !held); /* what slid is nobody's beginning */
		held = a.usage.prompt_tokens + a.usage.completion_tokens > 64;
		outgrown += held;
		answer_done(&a);
		wild(&a, &r, seed);
		a.req.max_tokens.set = false; /* then it does end */
		(void)answer_ask(&a);
		assert_true(a.usage.completion_tokens <= 64);
		held = a.usage.prompt_tokens + a.usage.completion_tokens > 64;
		answer_done(&a);
	}
	assert_true(outgrown > 2);
	rig_stop(&r);
}

static void
test_reuse_too_many_sinks_are_refused(void **state)
{
	struct im_err err;

	(void)state;
	err = rig_start_fails("    max_context_length: 64\n    context_sinks: 33\n");
	assert_int_equal(err.rc, IM_EINVAL);
	assert_non_null(strstr(err.text, "more than half of its context of 64 tokens"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reuse_next_turn_decodes_only_what_is_new),
		cmocka_unit_test(test_reuse_never_crosses_tenants),
		cmocka_unit_test(test_reuse_rules_that_come_together_are_fed_once),
		cmocka_unit_test(test_reuse_choices_share_their_prompt),
		cmocka_unit_test(test_reuse_leader_that_leaves_keeps_nobody_waiting),
		cmocka_unit_test(test_reuse_storm_of_conversations_says_what_fresh_ones_say),
		cmocka_unit_test(test_reuse_sinks_let_a_stream_outgrow_its_context),
		cmocka_unit_test(test_reuse_too_many_sinks_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
