/*
 * router/router_audit_test.c - a real router among fakes, and an audit service that is slow, full or away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "router/fake_mesh.h"

static size_t
held_appends(const struct mesh *m)
{
	size_t n = 0;

	for (const struct list *node = m->audit_held.next; node != &m->audit_held;
	     node = node->next) {
		n++;
	}
	return n;
}

static void
test_router_audit_down_refuses_and_heals(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct ask ask = { 0 };

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	mesh_audit_down(m);
	mesh_expect_failure(m, "demo", 0, IM_EUNAVAILABLE, "audit_unavailable");
	assert_int_equal(mesh_count(m, RECORD_REQUEST, OUTCOME_NONE), 0);
	mesh_audit_up(m);
	do { /* heals by itself */
		mesh_turn(m);
		ask_done(&ask);
		mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
		MESH_WAIT(m, ask.ended);
	} while (ask.failed && strcmp(ask.err.reason, "audit_unavailable") == 0);
	assert_false(ask.failed);
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_slow_audit_holds_every_byte_back(void **state)
{
	struct mesh *m = mesh_start("audit_ms: 60s", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { 0 };

	(void)state;
	mesh_settled(m); /* what the worker brought is recorded */
	m->audit_holds = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	/* The answer is whole, so its RESPONSE record goes after the REQUEST record at once. */
	MESH_WAIT(m, w->started == 1 && w->in_flight == 0 && held_appends(m) == 2);
	for (int i = 0; i < 20; i++) {
		mesh_turn(m);
	}
	assert_false(ask.has_head); /* the worker is done, and nothing has left */
	assert_int_equal(ask.frames, 0);
	mesh_audit_release_one(m);
	MESH_WAIT(m, ask.frames == 2);
	for (int i = 0; i < 20; i++) {
		mesh_turn(m);
	}
	assert_false(ask.ended);
	mesh_audit_release(m, false);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

/* One, and nothing has left. */
static void
ask_until_one_append_is_held(struct mesh *m, struct ask *ask)
{
	m->record_count = 0;
	m->audit_holds = true;
	mesh_ask(m, ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, !list_empty(&m->audit_held));
	for (int i = 0; i < 20; i++) {
		mesh_turn(m);
	}
	assert_int_equal(held_appends(m), 1);
	assert_false(ask->has_head || ask->ended);
}

static void
test_router_quick_answer_waits_for_one_append_of_both_records(void **state)
{
	struct mesh *m = mesh_start("audit_ms: 60s", "gateway");
	struct ask ask = { .whole = true, .warm = true };

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	mesh_settled(m); /* what the worker brought is recorded */
	ask_until_one_append_is_held(m, &ask);
	mesh_audit_release_one(m);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	assert_true(list_empty(&m->audit_held));
	assert_int_equal(m->record_count, 2);
	assert_int_equal(m->records[0].kind, RECORD_REQUEST);
	assert_int_equal(m->records[1].outcome, OUTCOME_OK);
	m->audit_holds = false;
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_slow_answer_has_its_request_recorded_meanwhile(void **state)
{
	struct mesh *m = mesh_start("audit_ms: 60s", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { .whole = true, .warm = true };

	(void)state;
	mesh_settled(m);
	m->record_count = 0;
	w->hang = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, m->record_count == 1);
	assert_int_equal(m->records[0].kind, RECORD_REQUEST);
	assert_false(ask.ended);
	mesh_worker_say(w, "Hello", "stop");
	mesh_worker_end(w, IM_OK);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	assert_int_equal(m->record_count, 2);
	assert_int_equal(m->records[1].outcome, OUTCOME_OK);
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_hit_waits_for_one_append_of_both_records(void **state)
{
	struct mesh *m = mesh_start("audit_ms: 60s", "gateway");
	struct ask ask = { 0 };

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, ask.ended && m->entry_count == 1);
	ask_done(&ask);
	mesh_settled(m);
	ask_until_one_append_is_held(m, &ask);
	mesh_audit_release(m, true);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	assert_string_equal(buf_cstr(&ask.text), "Hello");
	assert_true(list_empty(&m->audit_held));
	assert_int_equal(m->record_count, 2);
	assert_int_equal(m->records[0].kind, RECORD_REQUEST);
	assert_int_equal(m->records[1].outcome, OUTCOME_CACHE_HIT);
	m->audit_holds = false;
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_caller_that_leaves_while_its_hit_waits_has_both_records(void **state)
{
	struct mesh *m = mesh_start("audit_ms: 60s", "gateway");
	struct ask ask = { 0 };

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, ask.ended && m->entry_count == 1);
	ask_done(&ask);
	mesh_settled(m);
	m->record_count = 0;
	m->audit_holds = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, !list_empty(&m->audit_held));
	ask_cancel(&ask);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_running 0\n"));
	mesh_audit_release(m, false);
	mesh_settled(m);
	assert_int_equal(m->record_count, 2);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_CACHE_HIT), 1);
	ask_done(&ask);
	mesh_stop(m);
}

static void
test_router_record_that_comes_too_late_fails_the_call(void **state)
{
	struct mesh *m = mesh_start("audit_ms: 30ms", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { 0 };

	(void)state;
	w->hang = true;
	m->audit_holds = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, ask.ended);
	assert_true(ask.failed);
	assert_string_equal(ask.err.reason, "audit_unavailable");
	assert_false(ask.has_head);
	MESH_WAIT(m, w->cancelled == 1);
	mesh_audit_release(m, false);
	mesh_settled(m); /* the terminal record went out nevertheless */
	assert_int_equal(mesh_count(m, RECORD_REQUEST, OUTCOME_NONE), 1);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_ERROR), 1);
	assert_int_equal(mesh_last(m, RECORD_RESPONSE)->status_code, 503);
	ask_done(&ask);
	mesh_stop(m);
}

static void
test_router_failing_append_is_sent_again(void **state)
{
	struct mesh *m = mesh_start("audit_ms: 60s", "gateway");
	struct ask ask = { 0 };

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	m->audit_fails = true; /* a full disk: it answers, but takes nothing */
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_running 1\n"));
	do {
		struct router_status s;
		struct arena arena;
		bool away;

		arena_init(&arena, 0);
		mesh_status(m, &arena, &s);
		away = strcmp(s.audit, "unavailable") == 0;
		arena_done(&arena);
		if (away) {
			break;
		}
	} while (!ask.ended);
	mesh_expect_failure(m, "demo", 0, IM_EUNAVAILABLE,
			    "audit_unavailable"); /* nobody new is let in */
	m->audit_fails = false;
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	assert_string_equal(buf_cstr(&ask.text), "Hello");
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_fail_open_answers_and_tells_the_gap(void **state)
{
	struct mesh *m = mesh_start("audit_mode: fail-open, audit_pending_max: 16", "gateway");

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	mesh_audit_down(m);
	for (int i = 0; i < 20; i++) {
		struct ask ask = { 0 };

		mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
		MESH_WAIT(m, ask.ended);
		assert_false(ask.failed);
		ask_done(&ask);
	}
	assert_true(
	    mesh_metric(m, "infermesh_audit_records_dropped_total 24\n")); /* of 40; 16 are kept */
	m->record_count = 0;
	mesh_audit_up(m);
	mesh_settled(m);
	assert_int_equal(m->record_count, 17);
	assert_int_equal(m->records[0].kind, RECORD_GAP); /* the first record after recovery */
	assert_int_equal(m->records[0].gap_count, 24);
	mesh_stop(m);
}

/* The fake audit service takes messages of 4 KiB only. */
static void
test_router_records_fit_into_what_the_audit_service_takes(void **state)
{
	struct mesh *m = mesh_start("audit_mode: fail-open", "gateway");

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	mesh_audit_down(m);
	for (int i = 0; i < 40; i++) {
		struct ask ask = { 0 };

		mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
		MESH_WAIT(m, ask.ended);
		assert_false(ask.failed);
		ask_done(&ask);
	}
	mesh_audit_up(m);
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_REQUEST, OUTCOME_NONE), 40);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_NONE), 40);
	assert_int_equal(mesh_count(m, RECORD_GAP, OUTCOME_NONE), 0);
	mesh_stop(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_router_audit_down_refuses_and_heals),
		cmocka_unit_test(test_router_slow_audit_holds_every_byte_back),
		cmocka_unit_test(test_router_quick_answer_waits_for_one_append_of_both_records),
		cmocka_unit_test(test_router_slow_answer_has_its_request_recorded_meanwhile),
		cmocka_unit_test(test_router_hit_waits_for_one_append_of_both_records),
		cmocka_unit_test(
		    test_router_caller_that_leaves_while_its_hit_waits_has_both_records),
		cmocka_unit_test(test_router_record_that_comes_too_late_fails_the_call),
		cmocka_unit_test(test_router_failing_append_is_sent_again),
		cmocka_unit_test(test_router_fail_open_answers_and_tells_the_gap),
		cmocka_unit_test(test_router_records_fit_into_what_the_audit_service_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
