/*
 * router/router_limits_test.c - limits in a real router among fakes: what counts, what callers are told, and that a thousand at
 * once stay within the bound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/fake_mesh.h"

#define AT_ONCE 1000

/* Ask and wait for the end. */
static void
ask_whole(struct mesh *m, struct ask *ask, const char *prompt)
{
	mesh_ask(m, ask, METHOD_GENERATE, "demo", prompt, 0);
	MESH_WAIT(m, ask->ended);
}

static void
expect_idle(struct mesh *m)
{
	mesh_settled(m);
	assert_true(mesh_metric(m, "infermesh_ratelimit_reservations_leaked 0\n"));
	assert_true(mesh_metric(m, "infermesh_ratelimit_reserved_tokens 0\n"));
}

static void
test_router_limit_refusal_says_when_and_leaves_no_record(void **state)
{
	struct mesh *m =
	    mesh_start_with("", "limits: [{match: 'key:*', requests_per_minute: 2}]\n", "gateway");
	struct ask ask = { .caller = "ann" };

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	for (uint64_t left = 2; left-- > 0;) {
		ask_whole(m, &ask, "hi");
		assert_false(ask.failed);
		assert_int_equal(ask.rates.requests.limit, 2);
		assert_int_equal(ask.rates.requests.remaining, left);
		assert_int_equal(ask.rates.tokens.limit, 0);
		ask_done(&ask);
	}
	ask_whole(m, &ask, "hi");
	assert_true(ask.failed);
	assert_int_equal(ask.err.rc, IM_ELIMIT);
	assert_string_equal(ask.err.reason, "requests");
	assert_non_null(strstr(ask.err.text, "requests of key `ann`: 2 a minute"));
	assert_in_range(ask.err.retry_after_ms, 1, 30000);
	assert_int_equal(ask.err.rates.requests.limit, 2);
	assert_int_equal(ask.err.rates.requests.remaining, 0);
	assert_in_range(ask.err.rates.requests.reset_ms, 30001, 60000);
	ask_done(&ask);
	ask.caller = "bob"; /* has a bucket of his own */
	ask_whole(m, &ask, "hi");
	assert_false(ask.failed);
	ask_done(&ask);
	expect_idle(m);
	assert_int_equal(mesh_count(m, RECORD_REQUEST, OUTCOME_NONE), 3);
	assert_true(mesh_metric(m, "infermesh_ratelimit_rejected_total{kind=\"requests\"} 1\n"));
	assert_true(mesh_metric(m, "infermesh_requests_refused_total{reason=\"rate_limit\"} 1\n"));
	assert_true(mesh_metric(m, "infermesh_ratelimit_buckets{match=\"key:*\"} 2\n"));
	mesh_stop(m);
}

static void
test_router_limit_request_that_never_fits_is_a_mistake(void **state)
{
	struct mesh *m = mesh_start_with(
	    "", "limits: [{match: 'tenant:acme', tokens_per_minute: 1000}]\n", "gateway");
	struct ask ask = { .tenant = "acme", .max_tokens = 1000 };
	char prompt[6000];

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	ask_whole(m, &ask, "hi");
	assert_true(ask.failed);
	assert_int_equal(ask.err.rc, IM_EINVAL);
	assert_string_equal(ask.err.reason, "request_exceeds_limit");
	assert_string_equal(ask.err.param, "max_tokens");
	assert_int_equal(ask.err.retry_after_ms, 0);
	ask_done(&ask);
	ask.max_tokens = 0;
	memset(prompt, 'x', sizeof(prompt) - 1);
	prompt[sizeof(prompt) - 1] = '\0';
	ask_whole(m, &ask, prompt);
	assert_string_equal(ask.err.param, "messages");
	ask_done(&ask);
	expect_idle(m);
	assert_true(mesh_metric(m, "infermesh_ratelimit_rejected_total{kind=\"oversize\"} 2\n"));
	assert_true(mesh_metric(
	    m, "infermesh_ratelimit_remaining{match=\"tenant:acme\",kind=\"tokens\"} 1000\n"));
	mesh_stop(m);
}

/* Tokens left of the one limit of 'mesh_start_with(…, one_limit, …)', which hardly refills. */
static const char one_limit[] = "limits: [{match: global, tokens_per_minute: 1, "
				"tokens_burst: 10000}]\n";

static void
expect_left(struct mesh *m, uint64_t want)
{
	char line[128];

	expect_idle(m);
	(void)snprintf(line, sizeof(line),
		       "infermesh_ratelimit_remaining{match=\"global\",kind=\"tokens\"} %llu\n",
		       (unsigned long long)want);
	assert_true(mesh_metric(m, line));
}

static void
test_router_limit_is_settled_with_what_was_used(void **state)
{
	struct mesh *m = mesh_start_with("", one_limit, "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { .max_tokens = 500 };
	uint64_t reserved, prompt;

	(void)state;
	ask_whole(m, &ask, "hi");
	assert_false(ask.failed);
	reserved = 10000 - ask.rates.tokens.remaining;
	prompt = reserved - 500;
	assert_in_range(prompt, 5, 60);
	ask_done(&ask);
	expect_left(m, 10000 - 8);

	MESH_WAIT(m, m->entry_count == 1);
	ask_whole(m, &ask, "hi"); /* from the cache: free */
	assert_string_equal(ask.cache, "hit-l1");
	ask_done(&ask);
	expect_left(m, 10000 - 8);

	w->fail_with = IM_EINVAL; /* nothing came of it: free */
	ask_whole(m, &ask, "no");
	assert_true(ask.failed);
	assert_int_equal(ask.err.rates.tokens.limit, 10000);
	ask_done(&ask);
	expect_left(m, 10000 - 8);
	w->fail_with = IM_OK;

	w->no_usage = true; /* thought: the prompt, "He" and "llo" */
	ask_whole(m, &ask, "h3");
	ask_done(&ask);
	expect_left(m, 10000 - 8 - prompt - 2);
	mesh_stop(m);
}

static void
test_router_limit_cancelled_request_pays_for_what_it_caused(void **state)
{
	struct mesh *m = mesh_start_with("", one_limit, "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask ask = { .max_tokens = 500 }, waiting = { .max_tokens = 500 };
	uint64_t prompt;

	(void)state;
	w->say_one_then_hang = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, ask.text.len > 0);
	prompt = 10000 - 500 - ask.rates.tokens.remaining;
	mesh_ask(m, &waiting, METHOD_GENERATE, "demo", "ho", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n"));
	ask_done(&waiting); /* no worker had it yet: free */
	ask_done(&ask);     /* the prompt, and "He" */
	expect_left(m, 10000 - prompt - 1);
	mesh_stop(m);
}

static void
test_router_limit_of_a_shared_answer_is_paid_once(void **state)
{
	struct mesh *m = mesh_start_with("", one_limit, "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 2);
	struct ask first = { .max_tokens = 500 }, second = { .max_tokens = 500 };
	uint64_t prompt;

	(void)state;
	w->say_one_then_hang = true;
	mesh_ask(m, &first, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, first.text.len > 0);
	prompt = 10000 - 500 - first.rates.tokens.remaining;
	mesh_ask(m, &second, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, second.text.len > 0);
	assert_string_equal(second.cache, "coalesced");
	ask_done(&first); /* who began it leaves, and pays for all of it nevertheless */
	mesh_turn(m);
	assert_true(mesh_metric(m, "infermesh_ratelimit_reservations_leaked 0\n"));
	assert_false(mesh_metric(m, "infermesh_ratelimit_reserved_tokens 0\n"));
	ask_done(&second);
	assert_int_equal(w->started, 1);
	expect_left(m, 10000 - prompt - 1);
	mesh_stop(m);
}

static void
test_router_limit_is_told_with_whole_replies_too(void **state)
{
	struct mesh *m = mesh_start_with("", one_limit, "client");
	struct ask ask = { .max_tokens = 500 };
	struct generate_reply reply;
	struct arena arena;

	(void)state;
	(void)mesh_worker(m, 0, "w1", 1);
	mesh_ask(m, &ask, METHOD_GENERATE_ONCE, "demo", "hi", 0);
	MESH_WAIT(m, ask.ended);
	arena_init(&arena, 0);
	assert_int_equal(generate_reply_decode(ask.reply.data, ask.reply.len, &arena, &reply, NULL),
			 IM_OK);
	assert_int_equal(reply.limits.tokens.limit, 10000);
	assert_in_range(reply.limits.tokens.remaining, 9400, 9499);
	arena_done(&arena);
	ask_done(&ask);
	expect_left(m, 10000 - 8);
	mesh_stop(m);
}

static void
test_router_limit_refused_for_another_reason_costs_nothing(void **state)
{
	struct mesh *m =
	    mesh_start_with("", "limits: [{match: global, requests_per_minute: 1}]\n", "gateway");
	struct ask ask = { 0 };

	(void)state;
	for (int i = 0; i < 5; i++) {
		mesh_expect_failure(m, "nope", 0, IM_ENOTFOUND, "model_not_found");
	}
	(void)mesh_worker(m, 0, "w1", 1);
	ask_whole(m, &ask, "hi");
	assert_false(ask.failed);
	ask_done(&ask);
	expect_idle(m);
	mesh_stop(m);
}

/* All at once; the worker answers none, so that nothing is settled before all have been asked. Returns how many were
 * admitted. */
static size_t
thousand_at_once(struct mesh *m, struct fake_worker *w, struct ask *asks, uint64_t *ret_reserved)
{
	size_t refused = 0, admitted;

	w->keeps = true;
	for (size_t i = 0; i < AT_ONCE; i++) {
		asks[i].max_tokens = 50;
		asks[i].warm = true;
		mesh_ask(m, &asks[i], METHOD_GENERATE, "demo", "hi", 0);
	}
	do {
		char line[64];

		mesh_turn(m);
		refused = 0;
		for (size_t i = 0; i < AT_ONCE; i++) {
			refused += asks[i].ended;
		}
		(void)snprintf(line, sizeof(line), "infermesh_requests_running %zu\n",
			       AT_ONCE - refused);
		admitted = mesh_metric(m, line) ? AT_ONCE - refused : AT_ONCE + 1;
	} while (admitted > AT_ONCE);
	mesh_worker_answer_kept(w);
	for (size_t i = 0; i < AT_ONCE; i++) {
		MESH_WAIT(m, asks[i].ended);
		if (!asks[i].failed && asks[i].rates.tokens.limit > 0 && *ret_reserved == 0) {
			*ret_reserved = asks[i].rates.tokens.limit - asks[i].rates.tokens.remaining;
		}
	}
	return admitted;
}

static void
test_router_limit_of_requests_holds_for_a_thousand_at_once(void **state)
{
	struct mesh *m = mesh_start_with("audit_ms: 60s, queue_max: 2000",
					 "limits: [{match: global, requests_per_minute: 600, "
					 "requests_burst: 100}]\n",
					 "gateway");
	struct ask *asks = calloc(AT_ONCE, sizeof(*asks));
	struct fake_worker *w;
	uint64_t begun_ms = clock_mono_ms(), reserved = 0;
	size_t admitted;

	(void)state;
	assert_non_null(asks);
	w = mesh_worker(m, 0, "w1", AT_ONCE);
	admitted = thousand_at_once(m, w, asks, &reserved);
	/* Not one more than the burst and what time gave. */
	assert_in_range(admitted, 100, 100 + 600 * (clock_mono_ms() - begun_ms) / 60000 + 1);
	for (size_t i = 0; i < AT_ONCE; i++) {
		assert_true(!asks[i].failed || strcmp(asks[i].err.reason, "requests") == 0);
		ask_done(&asks[i]);
	}
	expect_idle(m);
	assert_int_equal(mesh_count(m, RECORD_REQUEST, OUTCOME_NONE), admitted);
	free(asks);
	mesh_stop(m);
}

static void
test_router_limit_of_tokens_overshoots_by_what_is_under_way_at_most(void **state)
{
	enum {
		BURST = 20000,
		RATE = 600,
		EXCESS = 30
	};
	struct mesh *m = mesh_start_with("audit_ms: 60s, queue_max: 2000",
					 "limits: [{match: global, tokens_per_minute: 600, "
					 "tokens_burst: 20000}]\n",
					 "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", AT_ONCE);
	struct ask *asks = calloc(AT_ONCE, sizeof(*asks));
	uint64_t begun_ms = clock_mono_ms(), reserved = 0, used = 0, each, refill;
	size_t admitted;

	(void)state;
	assert_non_null(asks);
	/* Each uses more than was reserved for it, by its prompt: that was thought to have a token for each 4 bytes. */
	w->more_prompt = 50 + EXCESS + 60;
	admitted = thousand_at_once(m, w, asks, &reserved);
	assert_in_range(reserved, 51, 110);
	each = 8 + w->more_prompt;
	assert_true(each > reserved);
	refill = RATE * (clock_mono_ms() - begun_ms) / 60000 + 1;
	assert_in_range(admitted, BURST / reserved, (BURST + refill) / reserved);
	for (size_t i = 0; i < AT_ONCE; i++) {
		used += asks[i].failed ? 0 : each;
		ask_done(&asks[i]);
	}
	assert_int_equal(used, admitted * each);
	assert_true(used > BURST); /* it does overshoot, and the bound says by how much at most */
	assert_true(used <= BURST + refill + admitted * (each - reserved));
	/* The debt is paid by time before anybody else comes in. */
	expect_idle(m);
	mesh_expect_failure(m, "demo", 0, IM_ELIMIT, "tokens");
	free(asks);
	mesh_stop(m);
}

static void
test_router_limit_a_worker_cannot_run_up_a_debt_beyond_what_was_asked(void **state)
{
	struct mesh *m = mesh_start_with(
	    "", "limits: [{match: 'tenant:*', tokens_per_minute: 600, tokens_burst: 20000}]\n",
	    "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { .tenant = "acme", .max_tokens = 100, .warm = true };

	(void)state;
	w->more_tokens = w->more_prompt = UINT32_MAX - 5;
	ask_whole(m, &ask, "hi");
	assert_false(ask.failed);
	ask_done(&ask);
	mesh_settled(m);
	assert_true(mesh_metric(m, "infermesh_ratelimit_usage_disbelieved_total 1\n"));
	/* It paid 100 for the answer, and for the prompt its bytes and 4096: there is enough left for ten more such requests. */
	w->more_tokens = w->more_prompt = 0;
	for (uint64_t i = 0; i < 10; i++) {
		ask_whole(m, &ask, "hi");
		assert_false(ask.failed);
		assert_true(ask.rates.tokens.remaining > 20000 - 4096 - 100 - 1000 - 110 * (i + 1));
		assert_true(ask.rates.tokens.remaining < 20000 - 4096);
		ask_done(&ask);
	}
	expect_idle(m);
	assert_true(mesh_metric(m, "infermesh_ratelimit_usage_disbelieved_total 1\n"));
	mesh_stop(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_router_limit_refusal_says_when_and_leaves_no_record),
		cmocka_unit_test(test_router_limit_request_that_never_fits_is_a_mistake),
		cmocka_unit_test(test_router_limit_is_settled_with_what_was_used),
		cmocka_unit_test(test_router_limit_cancelled_request_pays_for_what_it_caused),
		cmocka_unit_test(test_router_limit_of_a_shared_answer_is_paid_once),
		cmocka_unit_test(test_router_limit_is_told_with_whole_replies_too),
		cmocka_unit_test(test_router_limit_refused_for_another_reason_costs_nothing),
		cmocka_unit_test(test_router_limit_of_requests_holds_for_a_thousand_at_once),
		cmocka_unit_test(
		    test_router_limit_of_tokens_overshoots_by_what_is_under_way_at_most),
		cmocka_unit_test(
		    test_router_limit_a_worker_cannot_run_up_a_debt_beyond_what_was_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
