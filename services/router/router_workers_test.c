/*
 * router/router_workers_test.c - a real router among fakes: workers that die, fail, are full, or share a name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "router/fake_mesh.h"

static void
test_router_worker_that_dies_before_the_first_frame_is_replaced(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *bad = mesh_worker(m, 0, "bad", 4);
	struct fake_worker *good;
	struct ask ask = { 0 };

	(void)state;
	bad->hang = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, bad->in_flight == 1);
	good = mesh_worker(m, 1, "good", 4);
	mesh_worker_leaves(bad);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	assert_string_equal(buf_cstr(&ask.text), "Hello");
	assert_int_equal(good->started, 1);
	mesh_settled(m);
	assert_int_equal(mesh_last(m, RECORD_RESPONSE)->attempts, 2);
	assert_string_equal(mesh_last(m, RECORD_RESPONSE)->worker, "good");
	ask_done(&ask);
	mesh_stop(m);
}

static void
test_router_only_worker_that_restarts_gets_the_request_again(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask ask = { 0 };

	(void)state;
	w->hang = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, w->in_flight == 1);
	w->hang = false;
	mesh_worker_cut(w); /* it dials again and announces itself */
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	assert_string_equal(buf_cstr(&ask.text), "Hello");
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_worker_that_dies_after_the_first_frame_ends_the_stream(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *bad = mesh_worker(m, 0, "bad", 4);
	struct fake_worker *other;
	struct ask ask = { 0 };

	(void)state;
	bad->say_one_then_hang = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, ask.frames == 1);
	other = mesh_worker(m, 1, "other", 4);
	mesh_worker_leaves(bad);
	MESH_WAIT(m, ask.ended);
	assert_true(ask.failed); /* never a silent success */
	assert_int_equal(ask.err.rc, IM_EUNAVAILABLE);
	assert_string_equal(ask.err.reason, "no_healthy_worker"); /* not the router is lost */
	assert_int_equal(other->started, 0);
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_ERROR), 1);
	assert_true(mesh_last(m, RECORD_RESPONSE)->has_output); /* of what was said */
	ask_done(&ask);
	mesh_stop(m);
}

static void
test_router_failures_of_the_request_are_not_retried(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w1 = mesh_worker(m, 0, "w1", 4), *w2 = mesh_worker(m, 1, "w2", 4);

	(void)state;
	w1->fail_with = w2->fail_with = IM_EINVAL;
	mesh_expect_failure(m, "demo", 0, IM_EINVAL, "");
	assert_int_equal(w1->started + w2->started, 1);
	w1->fail_with = w2->fail_with = IM_EUPSTREAM;
	mesh_expect_failure(m, "demo", 0, IM_EUPSTREAM, "upstream_error");
	assert_int_equal(w1->started + w2->started, 3); /* both were tried */
	assert_true(mesh_metric(m, "infermesh_router_retries_total{reason=\"upstream\"} 1\n"));
	mesh_settled(m);
	mesh_stop(m);
}

static bool
nobody_is_paused(struct mesh *m)
{
	return mesh_metric(m, "infermesh_worker_paused{worker=\"w1\",model=\"other\"} 0\n") &&
	       mesh_metric(m, "infermesh_worker_paused{worker=\"w2\",model=\"other\"} 0\n");
}

static void
test_router_limits_and_silence_of_one_upstream_send_to_another(void **state)
{
	static const enum im_rc faults[] = { IM_ELIMIT, IM_EDEADLINE };
	static const char *const reasons[] = { "rate_limit_exceeded", "upstream_timeout" };
	static const char *const prompts[] = { "a", "b", "c", "d" }; /* none is in the cache */
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w1 = mesh_worker(m, 0, "w1", 4), *w2 = mesh_worker(m, 1, "w2", 4);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ask ask = { 0 };

		w1->fail_with = faults[i];
		w1->fail_retry_ms = w2->fail_retry_ms = faults[i] == IM_ELIMIT ? 1 : 0;
		for (size_t round = 0; round < 2; round++) { /* whoever is chosen first */
			MESH_WAIT(m, nobody_is_paused(m));
			mesh_ask(m, &ask, METHOD_GENERATE, "other", prompts[2 * i + round], 0);
			MESH_WAIT(m, ask.ended);
			assert_false(ask.failed);
			ask_done(&ask);
		}
		MESH_WAIT(m, nobody_is_paused(m));
		w2->fail_with = faults[i];
		mesh_expect_failure(m, "other", 0, faults[i], reasons[i]);
		w2->fail_with = IM_OK;
		MESH_WAIT(m, nobody_is_paused(m));
	}
	mesh_settled(m);
	mesh_stop(m);
}

/* With a full queue its own error must not be hidden by "queue_full". */
static void
test_router_failure_of_the_only_worker_is_told_though_the_queue_is_full(void **state)
{
	struct mesh *m = mesh_start("queue_max: 0", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);

	(void)state;
	w->fail_with = IM_EUPSTREAM;
	mesh_expect_failure(m, "demo", 0, IM_EUPSTREAM, "upstream_error");
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_heads_of_a_worker_cost_no_credit_and_no_retry(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask ask = { 0 };

	(void)state;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hang", 0);
	MESH_WAIT(m, w->held != NULL && ask.has_head);
	for (int i = 0; i < 40; i++) { /* more than twice the window */
		enum im_rc rc = IM_EAGAIN;

		MESH_WAIT(m, (rc = mesh_worker_say_head(w, i < 20 ? "" : "x")) == IM_OK);
		assert_int_equal(rc, IM_OK);
		if (i == 19) {
			assert_int_equal(ask.frames, 0); /* nothing of an answer */
		}
	}
	MESH_WAIT(m, ask.frames == 20);
	ask_cancel(&ask);
	mesh_settled(m);
	ask_done(&ask);
	mesh_stop(m);
}

static void
test_router_only_worker_that_fails_is_not_waited_for(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);

	(void)state;
	w->fail_with = IM_EUPSTREAM;
	mesh_expect_failure(m, "demo", 0, IM_EUPSTREAM, "upstream_error");
	assert_int_equal(w->started, 1);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_full_worker_is_left_alone_until_it_reports(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { 0 };

	(void)state;
	w->refuse_full = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n") && w->started == 1);
	for (int i = 0; i < 20; i++) {
		mesh_turn(m);
	}
	assert_int_equal(w->started, 1); /* not asked in a loop */
	w->refuse_full = false;
	mesh_worker_announce(w);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	ask_done(&ask);
	mesh_settled(m);
	/* It was turned away and not retried. */
	assert_true(mesh_metric(m, "infermesh_router_turned_away_total{reason=\"full\"} 1\n"));
	assert_false(mesh_metric(m, "infermesh_router_retries_total{reason=\"full\"}"));
	mesh_stop(m);
}

static void
test_router_refusal_of_a_worker_with_room_is_not_believed_about_its_room(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { 0 };

	(void)state;
	w->refuse_full = w->says_load = true; /* 0 of 4, and full */
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n") && w->started == 1);
	for (int i = 0; i < 20; i++) {
		mesh_turn(m);
	}
	assert_int_equal(w->started, 1);
	w->refuse_full = false;
	mesh_worker_report(w, &(struct load){ .capacity = 4, .has_own = true });
	assert_int_equal(w->report_rc, IM_OK);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_worker_busier_than_known_may_have_it_again_but_not_for_ever(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask a = { 0 }, b = { 0 };

	(void)state;
	w->refuse_busier = 2;
	mesh_ask(m, &a, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, a.ended);
	assert_false(a.failed);
	assert_int_equal(w->started, 3);
	assert_true(mesh_metric(m, "infermesh_router_turned_away_total{reason=\"busier\"} 2\n"));
	w->refuse_busier = UINT32_MAX;
	mesh_ask(m, &b, METHOD_GENERATE, "demo", "again", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n") && w->started == 7);
	for (int i = 0; i < 20; i++) {
		mesh_turn(m);
	}
	assert_int_equal(w->started, 7); /* not asked in a loop */
	w->refuse_busier = 0;
	mesh_worker_announce(w);
	MESH_WAIT(m, b.ended);
	assert_false(b.failed);
	ask_done(&a);
	ask_done(&b);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_report_of_a_worker_counts_at_once(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w1 = mesh_worker(m, 0, "w1", 4), *w2 = mesh_worker(m, 1, "w2", 4);

	(void)state;
	mesh_worker_report(w1, &(struct load){ .in_flight = 3, .capacity = 4, .has_own = true });
	assert_int_equal(w1->report_rc, IM_OK);
	for (int i = 0; i < 3; i++) {
		struct ask ask = { .warm = true };

		mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
		MESH_WAIT(m, ask.ended);
		ask_done(&ask);
	}
	assert_int_equal(w1->started, 0);
	assert_int_equal(w2->started, 3);
	mesh_worker_report(w1, NULL);
	assert_int_equal(w1->report_rc, IM_EINVAL);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_answers_of_other_weights_are_not_cached_as_these(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *old = mesh_worker(m, 0, "old", 1), *new = mesh_worker(m, 1, "new", 1);
	struct ask busy = { 0 }, ask = { 0 };

	(void)state;
	new->digest = "new";
	mesh_worker_announce(new); /* from now on the key stands for these weights */
	MESH_WAIT(m, mesh_count(m, RECORD_MODEL_RELOAD, OUTCOME_NONE) == 1);
	new->hang = true;
	mesh_ask(m, &busy, METHOD_GENERATE, "demo", "busy", 0);
	MESH_WAIT(m, new->in_flight + old->started == 1);
	if (new->in_flight == 0) { /* the other one had it; the next goes to this one */
		ask_done(&busy);
		mesh_ask(m, &busy, METHOD_GENERATE, "demo", "busy too", 0);
		MESH_WAIT(m, new->in_flight == 1);
	}
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, ask.ended);
	assert_string_equal(mesh_last(m, RECORD_RESPONSE)->worker, "old");
	ask_done(&ask);
	new->hang = false;
	ask_cancel(&busy);
	mesh_settled(m);
	mesh_worker_leaves(old);
	for (int round = 0; round < 2; round++) {
		mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
		MESH_WAIT(m, ask.ended);
		assert_string_equal(ask.cache, round == 0 ? "miss" : "hit-l1");
		ask_done(&ask);
		mesh_settled(m);
		MESH_WAIT(m, m->entry_count >= 1);
		assert_string_equal(mesh_last(m, RECORD_RESPONSE)->digest, "new");
	}
	ask_done(&busy);
	mesh_stop(m);
}

static void
test_router_second_worker_of_a_name_replaces_the_first(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *old = mesh_worker(m, 0, "twin", 4);
	struct fake_worker *new;
	struct ask ask = { 0 }, kept = { 0 };

	(void)state;
	mesh_ask(m, &kept, METHOD_GENERATE, "demo", "hang", 0);
	MESH_WAIT(m, old->in_flight == 1);
	new = mesh_worker(m, 1, "twin", 4);
	MESH_WAIT(m, mesh_count(m, RECORD_MODEL_LOAD, OUTCOME_NONE) == 4);
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, ask.ended);
	assert_int_equal(new->started, 1);
	assert_int_equal(old->started, 1);
	assert_int_equal(old->in_flight, 1); /* keeps what it has */
	ask_cancel(&kept);
	mesh_settled(m);
	ask_done(&ask);
	ask_done(&kept);
	mesh_stop(m);
}

static void
test_router_who_still_waits_at_the_deadline_is_rejected(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask running = { 0 }, waits = { 0 }, alone = { .warm = true };

	(void)state;
	mesh_ask(m, &running, METHOD_GENERATE, "demo", "hang", 0);
	MESH_WAIT(m, w->in_flight == 1);
	mesh_ask(m, &waits, METHOD_GENERATE, "demo", "waits", 60); /* with a generation */
	mesh_ask(m, &alone, METHOD_GENERATE, "demo", "waits", 60); /* by itself */
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 2\n"));
	MESH_WAIT(m,
		  waits.ended && alone.ended && mesh_metric(m, "infermesh_requests_waiting 0\n"));
	MESH_WAIT(m, mesh_count(m, RECORD_RESPONSE, OUTCOME_REJECTED) == 2);
	assert_int_equal(mesh_last(m, RECORD_RESPONSE)->status_code, 503);
	assert_string_equal(mesh_last(m, RECORD_RESPONSE)->reason, "deadline_unmeetable");
	assert_int_equal(w->started, 1);
	ask_done(&running);
	ask_done(&waits);
	ask_done(&alone);
	mesh_settled(m);
	mesh_stop(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_router_worker_that_dies_before_the_first_frame_is_replaced),
		cmocka_unit_test(test_router_only_worker_that_restarts_gets_the_request_again),
		cmocka_unit_test(
		    test_router_worker_that_dies_after_the_first_frame_ends_the_stream),
		cmocka_unit_test(test_router_failures_of_the_request_are_not_retried),
		cmocka_unit_test(test_router_limits_and_silence_of_one_upstream_send_to_another),
		cmocka_unit_test(
		    test_router_failure_of_the_only_worker_is_told_though_the_queue_is_full),
		cmocka_unit_test(test_router_heads_of_a_worker_cost_no_credit_and_no_retry),
		cmocka_unit_test(test_router_only_worker_that_fails_is_not_waited_for),
		cmocka_unit_test(test_router_full_worker_is_left_alone_until_it_reports),
		cmocka_unit_test(
		    test_router_refusal_of_a_worker_with_room_is_not_believed_about_its_room),
		cmocka_unit_test(
		    test_router_worker_busier_than_known_may_have_it_again_but_not_for_ever),
		cmocka_unit_test(test_router_report_of_a_worker_counts_at_once),
		cmocka_unit_test(test_router_answers_of_other_weights_are_not_cached_as_these),
		cmocka_unit_test(test_router_second_worker_of_a_name_replaces_the_first),
		cmocka_unit_test(test_router_who_still_waits_at_the_deadline_is_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
