/*
 * router/router_unload_test.c - a real router among fakes: requests that cross the unloading of their model. Each is finished or ends with a
 * clear "not found"; none waits for a worker that will not come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "router/fake_mesh.h"

/* The worker unloads "demo", and the router has heard of it. */
static void
unload(struct fake_worker *w)
{
	w->unloaded = true;
	mesh_worker_announce(w);
	mesh_worker_report(w, &(struct load){ .capacity = w->capacity, .in_flight = w->in_flight });
	MESH_WAIT(w->mesh, w->report_rc == IM_OK); /* one after the other */
}

static void
expect_answer(struct mesh *m, const char *model)
{
	struct ask ask = { .warm = true };

	mesh_ask(m, &ask, METHOD_GENERATE, model, "hi", 0);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	ask_done(&ask);
}

static void
test_unload_that_the_router_did_not_hear_of_sends_to_another_worker(void **state)
{
	struct mesh *m = mesh_start("retry_budget_percent: 0, retry_budget_min: 0", "gateway");
	struct fake_worker *w1 = mesh_worker(m, 0, "w1", 4), *w2 = mesh_worker(m, 1, "w2", 4);

	(void)state;
	w1->unloaded = true;
	for (unsigned i = 0; i < 4; i++) {
		expect_answer(m, "demo");
	}
	assert_true(w1->started > 0);
	assert_int_equal(w2->started, 4);
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_OK), 4);
	mesh_stop(m);
}

static void
test_unload_by_all_workers_but_one_goes_to_that_one(void **state)
{
	struct mesh *m =
	    mesh_start("retries: 1, retry_budget_percent: 0, retry_budget_min: 0", "gateway");
	struct fake_worker *w1 = mesh_worker(m, 0, "w1", 4), *w2 = mesh_worker(m, 1, "w2", 4),
			   *w3 = mesh_worker(m, 2, "w3", 4), *w4 = mesh_worker(m, 3, "w4", 4);

	(void)state;
	w1->unloaded = w2->unloaded = w3->unloaded = true;
	for (unsigned i = 0; i < 16; i++) {
		expect_answer(m, "demo");
	}
	assert_true(w1->started > 0 && w2->started > 0 && w3->started > 0);
	assert_int_equal(w4->started, 16);
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_OK), 16);
	mesh_stop(m);
}

static void
test_unload_by_the_only_worker_is_not_found(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);

	(void)state;
	w->unloaded = true;
	mesh_expect_failure(m, "demo", 0, IM_ENOTFOUND, "model_not_found"); /* it asks him */
	assert_int_equal(w->started, 1);
	mesh_settled(m);
	assert_string_equal(mesh_last(m, RECORD_RESPONSE)->failed_reason, "model_unloaded");
	assert_int_equal(mesh_last(m, RECORD_RESPONSE)->status_code, 404);
	unload(w);
	for (unsigned i = 0; i < 3; i++) {
		mesh_expect_failure(m, "demo", 0, IM_ENOTFOUND, "model_not_found"); /* at once */
	}
	assert_int_equal(w->started, 1);
	expect_answer(m, "other");
	w->unloaded = false;
	mesh_worker_announce(w);
	mesh_worker_report(w, &(struct load){ .capacity = 4 });
	MESH_WAIT(m, w->report_rc == IM_OK);
	expect_answer(m, "demo");
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_unload_lets_finish_what_runs_and_ends_what_waits(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask runs = { .warm = true }, waits = { .warm = true };

	(void)state;
	w->hang = true;
	mesh_ask(m, &runs, METHOD_GENERATE, "demo", "runs", 0);
	MESH_WAIT(m, w->in_flight == 1);
	mesh_ask(m, &waits, METHOD_GENERATE, "demo", "waits", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n"));
	unload(w);
	MESH_WAIT(m, waits.ended);
	assert_true(waits.failed);
	assert_int_equal(waits.err.rc, IM_ENOTFOUND);
	assert_string_equal(waits.err.reason, "model_not_found");
	assert_false(runs.ended);
	mesh_worker_say(w, "Hello", "");
	mesh_worker_say(w, "", "stop");
	mesh_worker_end(w, IM_OK);
	MESH_WAIT(m, runs.ended);
	assert_false(runs.failed);
	assert_string_equal(buf_cstr(&runs.text), "Hello");
	ask_done(&runs);
	ask_done(&waits);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_unload_beside_a_worker_that_is_away_waits_for_that_one(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *away = mesh_worker(m, 0, "away", 4), *w = mesh_worker(m, 1, "w", 4);
	struct ask ask = { .warm = true };

	(void)state;
	mesh_worker_leaves(away);
	unload(w);
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n"));
	(void)mesh_worker(m, 2, "away", 4);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_unload_of_an_arm_falls_back_to_the_next_model(void **state)
{
	struct mesh *m = mesh_start_with(
	    "",
	    "routes: [{model: chat, arms: {demo: 1}, fallback: [other]}, {model: bare, arms: {demo: 1}}]\n",
	    "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);

	(void)state;
	w->unloaded = true;
	expect_answer(m, "chat"); /* which he was asked for */
	unload(w);
	expect_answer(m, "chat"); /* which he was not */
	assert_int_equal(w->started, 3);
	mesh_expect_failure(m, "bare", 0, IM_ENOTFOUND, "model_not_found");
	mesh_settled(m);
	mesh_stop(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_unload_that_the_router_did_not_hear_of_sends_to_another_worker),
		cmocka_unit_test(test_unload_by_all_workers_but_one_goes_to_that_one),
		cmocka_unit_test(test_unload_by_the_only_worker_is_not_found),
		cmocka_unit_test(test_unload_lets_finish_what_runs_and_ends_what_waits),
		cmocka_unit_test(test_unload_beside_a_worker_that_is_away_waits_for_that_one),
		cmocka_unit_test(test_unload_of_an_arm_falls_back_to_the_next_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
