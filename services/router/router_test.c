/*
 * router/router_test.c - a real router among fakes: what callers, workers, cache and audit see.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/hex.h"
#include "router/fake_mesh.h"

static void
test_router_happy_stream_is_recorded_and_cached(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { 0 };
	uint8_t digest[32];

	(void)state;
	assert_int_equal(mesh_count(m, RECORD_CONFIG, OUTCOME_NONE), 1);
	assert_int_equal(mesh_count(m, RECORD_MODEL_LOAD, OUTCOME_NONE), 2);
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	assert_true(ask.has_head);
	assert_string_equal(ask.cache, "miss");
	assert_string_equal(buf_cstr(&ask.text), "Hello");
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_REQUEST, OUTCOME_NONE), 1);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_OK), 1);
	assert_string_equal(mesh_last(m, RECORD_RESPONSE)->worker, "w1");
	assert_int_equal(mesh_last(m, RECORD_RESPONSE)->attempts, 1);
	assert_true(mesh_last(m, RECORD_RESPONSE)->has_cache_key);
	memcpy(digest, mesh_last(m, RECORD_RESPONSE)->output_sha256, 32);
	ask_done(&ask);

	MESH_WAIT(m, m->entry_count == 1);
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	assert_string_equal(ask.cache, "hit-l1");
	assert_string_equal(buf_cstr(&ask.text), "Hello");
	mesh_settled(m);
	assert_int_equal(w->started, 1);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_CACHE_HIT), 1);
	assert_memory_equal(mesh_last(m, RECORD_RESPONSE)->output_sha256, digest, 32);
	ask_done(&ask);
	mesh_stop(m);
}

static void
test_router_generate_once_gathers_one_reply(void **state)
{
	struct mesh *m = mesh_start("", "client");
	struct generate_reply reply;
	struct ask ask = { 0 };
	struct arena arena;

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	for (int round = 0; round < 2; round++) { /* from the worker, then from the cache */
		arena_init(&arena, 0);
		mesh_ask(m, &ask, METHOD_GENERATE_ONCE, "demo", "hi", 0);
		MESH_WAIT(m, ask.ended);
		assert_false(ask.failed);
		assert_int_equal(
		    generate_reply_decode(ask.reply.data, ask.reply.len, &arena, &reply, NULL),
		    IM_OK);
		assert_int_equal(reply.choice_count, 1);
		assert_string_equal(reply.choices[0].content, "Hello");
		assert_string_equal(reply.choices[0].finish_reason, "stop");
		assert_int_equal(reply.usage.completion_tokens, 5);
		assert_int_equal(strlen(reply.request_id), 32);
		assert_string_equal(reply.cache, round == 0 ? "miss" : "hit-l1");
		MESH_WAIT(m, m->entry_count == 1);
		arena_done(&arena);
		ask_done(&ask);
	}
	mesh_settled(m);
	assert_string_equal(mesh_last(m, RECORD_REQUEST)->caller, "rpc:caller");
	mesh_stop(m);
}

static void
test_router_refusals_leave_no_record(void **state)
{
	struct mesh *m = mesh_start("queue_max: 1, calls_max: 3", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask running = { 0 }, waiting = { 0 };

	(void)state;
	mesh_expect_failure(m, "nope", 0, IM_ENOTFOUND, "model_not_found");
	mesh_ask(m, &running, METHOD_GENERATE, "demo", "hang", 0);
	MESH_WAIT(m, w->in_flight == 1);
	mesh_ask(m, &waiting, METHOD_GENERATE, "demo", "wait", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n"));
	mesh_expect_failure(m, "demo", 0, IM_EUNAVAILABLE, "queue_full");
	assert_true(mesh_metric(m, "infermesh_requests_refused_total{reason=\"queue_full\"} 1\n"));
	ask_cancel(&running); /* the place goes to the one that waits */
	MESH_WAIT(m, waiting.ended);
	assert_false(waiting.failed);
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_REQUEST, OUTCOME_NONE), 2);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_CANCELLED), 1);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_OK), 1);
	ask_done(&running);
	ask_done(&waiting);
	mesh_stop(m);
}

static void
test_router_cancel_reaches_the_worker(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { 0 };

	(void)state;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hang", 0);
	MESH_WAIT(m, w->in_flight == 1 && ask.has_head);
	ask_cancel(&ask);
	MESH_WAIT(m, w->cancelled == 1);
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_CANCELLED), 1);
	assert_int_equal(mesh_last(m, RECORD_RESPONSE)->status_code, 499);
	ask_done(&ask);
	mesh_stop(m);
}

static void
test_router_deadline_ends_the_request(void **state)
{
	struct mesh *m = mesh_start("request_ms: 60ms", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);

	(void)state;
	w->hang = true;
	mesh_expect_failure(m, "demo", 0, IM_EDEADLINE, "upstream_timeout"); /* the router's own */
	mesh_settled(m);
	assert_int_equal(mesh_last(m, RECORD_RESPONSE)->status_code, 504);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_ERROR), 1);
	mesh_stop(m);
}

static void
test_router_slow_reader_costs_a_bounded_buffer(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask slow = { .stingy = true }, quick = { 0 };

	(void)state;
	w->pieces = 2000; /* more than one window of the caller's */
	mesh_ask(m, &slow, METHOD_GENERATE, "demo", "slow", 0);
	MESH_WAIT(m, slow.frames > 100);
	mesh_ask(m, &quick, METHOD_GENERATE, "demo", "quick", 0);
	MESH_WAIT(m, quick.ended);
	assert_false(slow.ended);
	loop_enter(m->loop);
	slow.stingy = false;
	call_grant(slow.call, 4096);
	loop_leave(m->loop);
	MESH_WAIT(m, slow.ended);
	assert_false(slow.failed);
	assert_int_equal(slow.text.len, 2005);
	mesh_settled(m);
	ask_done(&slow);
	ask_done(&quick);
	mesh_stop(m);
}

static void
test_router_drain_finishes_what_runs_and_takes_no_more(void **state)
{
	struct mesh *m = mesh_start("request_ms: 200ms", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask ask = { 0 };

	(void)state;
	w->hang = true;
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, w->in_flight == 1);
	loop_enter(m->loop);
	host_drain(m->host);
	assert_false(host_drained(m->host));
	loop_leave(m->loop);
	MESH_WAIT(m, m->caller_goaway);
	MESH_WAIT(m, host_drained(m->host));
	assert_true(ask.ended);
	ask_done(&ask);
	mesh_stop(m);
}

static void
test_router_silent_cache_is_a_miss(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct ask ask = { 0 };

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	m->cache_silent = true;
	loop_enter(m->loop);
	endpoint_close(m->cache_ep); /* in the middle of a lookup it would be the same */
	loop_leave(m->loop);
	mesh_ask(m, &ask, METHOD_GENERATE, "demo", "hi", 0);
	MESH_WAIT(m, ask.ended);
	assert_false(ask.failed);
	assert_string_equal(ask.cache, "miss");
	ask_done(&ask);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_router_stop_under_way_leaves_nothing(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask running = { 0 }, waiting = { 0 };

	(void)state;
	mesh_ask(m, &running, METHOD_GENERATE, "demo", "hang", 0);
	MESH_WAIT(m, w->in_flight == 1);
	mesh_ask(m, &waiting, METHOD_GENERATE, "demo", "wait", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n"));
	mesh_halt(m); /* ends both calls; the sanitizers see to the rest */
	MESH_WAIT(m, running.ended && waiting.ended);
	assert_true(running.failed);
	assert_true(waiting.failed);
	assert_int_equal(w->cancelled, 1);
	assert_int_equal(mesh_count(m, RECORD_REQUEST, OUTCOME_NONE), 2);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_ERROR), 2);
	assert_string_equal(mesh_last(m, RECORD_RESPONSE)->reason, "draining");
	ask_done(&running);
	ask_done(&waiting);
	mesh_stop(m);
}

static void
test_router_stop_without_audit_does_not_hang(void **state)
{
	struct mesh *m = mesh_start("audit_ms: 60s", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask lost = { 0 }, held = { 0 };

	(void)state;
	m->audit_holds = true; /* the link is there, and nothing comes back */
	mesh_ask(m, &held, METHOD_GENERATE, "demo", "hang", 0);
	MESH_WAIT(m, w->in_flight == 1);
	mesh_ask(m, &lost, METHOD_GENERATE, "demo", "wait", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n"));
	mesh_halt(m);
	MESH_WAIT(m, held.ended && lost.ended);
	assert_true(held.failed);
	assert_false(held.has_head);
	ask_done(&held);
	ask_done(&lost);
	mesh_stop(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_router_happy_stream_is_recorded_and_cached),
		cmocka_unit_test(test_router_generate_once_gathers_one_reply),
		cmocka_unit_test(test_router_refusals_leave_no_record),
		cmocka_unit_test(test_router_cancel_reaches_the_worker),
		cmocka_unit_test(test_router_deadline_ends_the_request),
		cmocka_unit_test(test_router_slow_reader_costs_a_bounded_buffer),
		cmocka_unit_test(test_router_drain_finishes_what_runs_and_takes_no_more),
		cmocka_unit_test(test_router_silent_cache_is_a_miss),
		cmocka_unit_test(test_router_stop_under_way_leaves_nothing),
		cmocka_unit_test(test_router_stop_without_audit_does_not_hang),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
