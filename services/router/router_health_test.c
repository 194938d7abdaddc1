/*
 * router/router_health_test.c - a real router among fakes: failures, probes, pauses, the retry budget, and what of it is
 * recorded. The rules themselves are tested on virtual time (breaker_test.c, workers_health_test.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "router/fake_mesh.h"

/* Ask for an answer to a prompt that no cache has; true if it came. */
static bool
succeeds(struct mesh *m, uint32_t budget_ms)
{
	static unsigned count;
	struct ask ask = { 0 };
	char prompt[32];
	bool ok;

	(void)snprintf(prompt, sizeof(prompt), "prompt %u", ++count);
	mesh_ask(m, &ask, METHOD_GENERATE, "other", prompt, budget_ms);
	MESH_WAIT(m, ask.ended);
	ok = !ask.failed;
	ask_done(&ask);
	return ok;
}

static bool
has(struct mesh *m, const char *what, const char *worker, unsigned value)
{
	char line[160];

	(void)snprintf(line, sizeof(line), "infermesh_%s{worker=\"%s\",model=\"other\"} %u\n", what,
		       worker, value);
	return mesh_metric(m, line);
}

static void
test_router_probe_that_fails_is_answered_elsewhere_though_no_retries_are_left(void **state)
{
	struct mesh *m = mesh_start(
	    "retries: 0, retry_budget_percent: 0, retry_budget_min: 0, breaker_failures: 1, breaker_open_ms: 10ms",
	    "gateway");
	struct fake_worker *bad = mesh_worker(m, 0, "bad", 4), *good;

	(void)state;
	bad->fail_with = IM_EUPSTREAM;
	assert_false(succeeds(m, 0));
	good = mesh_worker(m, 1, "good", 4);
	assert_true(has(m, "circuit_breaker_opened_total", "bad", 1));
	MESH_WAIT(m, has(m, "circuit_breaker_state", "bad", 1)); /* half open */
	assert_true(succeeds(m, 0));
	assert_int_equal(bad->started, 2);
	assert_int_equal(good->started, 1);
	assert_true(has(m, "circuit_breaker_opened_total", "bad", 2));
	MESH_WAIT(m, mesh_last(m, RECORD_RESPONSE)->attempts == 2);
	assert_int_equal(mesh_last(m, RECORD_RESPONSE)->failed_count, 1);
	assert_string_equal(mesh_last(m, RECORD_RESPONSE)->failed_worker, "bad");
	/* It heals: one probe, and it is back. */
	bad->fail_with = IM_OK;
	MESH_WAIT(m, has(m, "circuit_breaker_state", "bad", 1));
	assert_true(succeeds(m, 0));
	assert_int_equal(bad->started, 3);
	assert_true(has(m, "circuit_breaker_state", "bad", 0));
	assert_true(has(m, "circuit_breaker_probes_total", "bad", 2));
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_probe_whose_caller_leaves_is_followed_by_another(void **state)
{
	struct mesh *m = mesh_start("breaker_failures: 1, breaker_open_ms: 10ms", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { 0 };

	(void)state;
	w->fail_with = IM_EUPSTREAM;
	assert_false(succeeds(m, 0));
	w->fail_with = IM_OK;
	MESH_WAIT(m, has(m, "circuit_breaker_state", "w1", 1));
	w->hang = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "other", "leaves", 0);
	MESH_WAIT(m, w->in_flight == 1);
	assert_false(succeeds(m, 0)); /* no second one beside it */
	assert_int_equal(w->started, 2);
	ask_cancel(&ask);
	MESH_WAIT(m, w->cancelled == 1);
	w->hang = false;
	assert_true(succeeds(m, 0));
	assert_true(has(m, "circuit_breaker_probes_total", "w1", 2));
	assert_true(has(m, "circuit_breaker_state", "w1", 0));
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_first_token_of_the_probe_lets_others_in(void **state)
{
	struct mesh *m = mesh_start("breaker_failures: 1, breaker_open_ms: 10ms", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { 0 };

	(void)state;
	w->fail_with = IM_EUPSTREAM;
	assert_false(succeeds(m, 0));
	w->fail_with = IM_OK;
	MESH_WAIT(m, has(m, "circuit_breaker_state", "w1", 1));
	w->say_one_then_hang = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "other", "long", 0);
	MESH_WAIT(m, ask.frames == 1);
	w->say_one_then_hang = false;
	assert_true(succeeds(m, 0));
	ask_cancel(&ask);
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_deadline_counts_only_after_long_silence(void **state)
{
	static const struct {
		const char *yaml;
		unsigned opened;
	} rows[] = { { "breaker_failures: 1, breaker_silence_ms: 200ms", 1 },
		     { "breaker_failures: 1, breaker_silence_ms: 10s", 0 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct mesh *m = mesh_start(rows[i].yaml, "gateway");
		struct fake_worker *w = mesh_worker(m, 0, "w1", 4);

		w->hang = true;
		assert_false(succeeds(m, 500));
		MESH_WAIT(m, w->in_flight == 0);
		assert_true(has(m, "circuit_breaker_opened_total", "w1", rows[i].opened));
		mesh_settled(m);
		mesh_stop(m);
	}
}

static void
test_router_callers_mistakes_and_cancels_open_no_breaker(void **state)
{
	static const enum im_rc mistakes[] = { IM_EINVAL, IM_ENOTFOUND, IM_ETOOBIG, IM_EPERM };
	struct mesh *m = mesh_start("breaker_failures: 1, breaker_min_requests: 1", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);

	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		w->fail_with = mistakes[i];
		assert_false(succeeds(m, 0));
	}
	w->fail_with = IM_OK;
	w->hang = true;
	for (uint32_t i = 0; i < 3; i++) {
		struct ask ask = { 0 };

		mesh_ask(m, &ask, METHOD_GENERATE, "other", "leaves", 0);
		MESH_WAIT(m, w->in_flight == 1);
		ask_cancel(&ask);
		MESH_WAIT(m, w->cancelled == i + 1);
		ask_done(&ask);
	}
	assert_true(has(m, "circuit_breaker_state", "w1", 0));
	assert_true(has(m, "circuit_breaker_opened_total", "w1", 0));
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_lost_link_opens_no_breaker(void **state)
{
	struct mesh *m = mesh_start("breaker_failures: 1", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { 0 };

	(void)state;
	w->hang = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "other", "hi", 0);
	MESH_WAIT(m, w->in_flight == 1);
	w->hang = false;
	mesh_worker_cut(w); /* it dials again */
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	assert_true(has(m, "circuit_breaker_opened_total", "w1", 0));
	assert_string_equal(mesh_last(m, RECORD_RESPONSE)->failed_reason, "link_lost");
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_retries_end_with_the_budget_and_moves_do_not(void **state)
{
	struct mesh *m = mesh_start(
	    "breaker_failures: 0, breaker_error_percent: 0, retry_budget_percent: 0, retry_budget_min: 2",
	    "gateway");
	struct fake_worker *w1 = mesh_worker(m, 0, "w1", 4), *w2 = mesh_worker(m, 1, "w2", 4);
	struct ask ask = { 0 };

	(void)state;
	w1->fail_with = w2->fail_with = IM_EUPSTREAM;
	for (int i = 0; i < 5; i++) {
		assert_false(succeeds(m, 0));
	}
	assert_int_equal(w1->started + w2->started, 5 + 2);
	assert_true(mesh_metric(m, "infermesh_router_retries_total{reason=\"upstream\"} 2\n"));
	assert_true(mesh_metric(m, "infermesh_router_retries_denied_total 3\n"));
	/* Whose worker is lost is moved all the same. */
	w1->fail_with = w2->fail_with = IM_OK;
	w1->hang = w2->hang = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "other", "hi", 0);
	MESH_WAIT(m, w1->in_flight + w2->in_flight == 1);
	w1->hang = w2->hang = false;
	mesh_worker_leaves(w1->in_flight == 1 ? w1 : w2);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_request_that_waits_is_told_of_the_outage(void **state)
{
	struct mesh *m = mesh_start(
	    "breaker_failures: 1, breaker_open_ms: 1h, breaker_open_max_ms: 1h", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask busy = { 0 }, waits = { 0 };

	(void)state;
	w->say_one_then_hang = true;
	mesh_ask(m, &busy, METHOD_GENERATE, "other", "first", 0);
	MESH_WAIT(m, busy.frames == 1);
	mesh_ask(m, &waits, METHOD_GENERATE, "other", "second", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n"));
	mesh_worker_fail_held(w, IM_EUPSTREAM);
	MESH_WAIT(m, waits.ended);
	assert_int_equal(waits.err.rc, IM_EUNAVAILABLE);
	assert_string_equal(waits.err.reason, "no_healthy_worker");
	assert_true(waits.err.retry_after_ms > 3000000);
	assert_int_equal(w->started, 1);
	ask_done(&busy);
	ask_done(&waits);
	mesh_settled(m);
	mesh_stop(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_router_probe_that_fails_is_answered_elsewhere_though_no_retries_are_left),
		cmocka_unit_test(test_router_probe_whose_caller_leaves_is_followed_by_another),
		cmocka_unit_test(test_router_first_token_of_the_probe_lets_others_in),
		cmocka_unit_test(test_router_deadline_counts_only_after_long_silence),
		cmocka_unit_test(test_router_callers_mistakes_and_cancels_open_no_breaker),
		cmocka_unit_test(test_router_lost_link_opens_no_breaker),
		cmocka_unit_test(test_router_retries_end_with_the_budget_and_moves_do_not),
		cmocka_unit_test(test_router_request_that_waits_is_told_of_the_outage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
