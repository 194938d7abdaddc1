/*
 * router/router_fallback_test.c - routes among fakes: what falls back, when, and what does not. Workers serve "demo" and "other".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "router/core.h"
#include "router/fake_mesh.h"

#define ROUTE(more) "routes: [{model: chat, arms: {demo: 1}" more "}]\n"

static void
ask_well(struct mesh *m, struct ask *ask, const char *method, const char *model)
{
	mesh_ask(m, ask, method, model, "hi", 0);
	MESH_WAIT(m, ask->ended);
	assert_false(ask->failed);
}

static void
test_route_falls_back_to_the_next_model_after_the_last_attempt(void **state)
{
	struct mesh *m =
	    mesh_start_with("retries: 1", ROUTE(", fallback: [gone, other]"), "gateway");
	struct fake_worker *w1 = mesh_worker(m, 0, "w1", 4), *w2 = mesh_worker(m, 1, "w2", 4);
	const char *const methods[] = { METHOD_GENERATE, METHOD_GENERATE_ONCE };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct ask a = { .warm = true, .whole = i == 1 };
		const struct recorded *r;

		w1->hang = w2->hang = true;
		mesh_ask(m, &a, methods[i], "chat", "hi", 0);
		for (unsigned k = 0; k < 2; k++) { /* the attempt, and its retry */
			MESH_WAIT(m, w1->held != NULL || w2->held != NULL);
			assert_false(a.has_head); /* nobody answers yet */
			if (k == 1) {
				w1->hang = w2->hang = false;
			}
			mesh_worker_end(w1->held != NULL ? w1 : w2, IM_EUPSTREAM);
		}
		MESH_WAIT(m, a.ended);
		assert_false(a.failed);
		mesh_settled(m);
		r = mesh_last(m, RECORD_RESPONSE);
		assert_string_equal(r->model, "other");
		assert_string_equal(r->arm, "demo");
		assert_string_equal(r->fallback, "model:other");
		assert_int_equal(r->outcome, OUTCOME_OK);
		assert_false(r->has_cache_key);
		if (i == 0) {
			assert_string_equal(a.fallback, "model:other");
			assert_string_equal(a.head_model, "other");
		}
		ask_done(&a);
	}
	assert_int_equal(m->entry_count, 0);
	assert_true(
	    mesh_metric(m, "infermesh_router_route_failed_total{route=\"chat\",arm=\"demo\"} 2\n"));
	mesh_stop(m);
}

static void
test_route_without_workers_gives_the_fixed_answer(void **state)
{
	struct mesh *m = mesh_start_with("", ROUTE(", fallback_answer: 'Later.'"), "gateway");
	const char *const methods[] = { METHOD_GENERATE, METHOD_GENERATE_ONCE };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct ask a = { .warm = i < 2, .whole = i % 2 == 1 }; /* cold: may be shared */
		uint64_t begun_us = clock_mono_us();

		ask_well(m, &a, methods[i % 2], "chat");
		assert_true(clock_mono_us() - begun_us < ROUTER_NO_WORKER_MS * 1000ULL);
		if (i % 2 == 0) {
			assert_string_equal(buf_cstr(&a.text), "Later.");
			assert_string_equal(a.fallback, "static");
		}
		mesh_settled(m);
		assert_string_equal(mesh_last(m, RECORD_RESPONSE)->fallback, "static");
		assert_int_equal(mesh_last(m, RECORD_RESPONSE)->status_code, 200);
		ask_done(&a);
	}
	assert_int_equal(m->entry_count, 0);
	mesh_stop(m);
}

static void
test_route_followers_fall_back_each_on_their_own(void **state)
{
	struct mesh *m = mesh_start_with("retries: 0", ROUTE(", fallback: [other]"), "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 8);
	struct ask a = { 0 }, b = { 0 }, plain = { 0 };

	(void)state;
	w->hang = true;
	mesh_ask(m, &a, METHOD_GENERATE, "chat", "same", 0);
	MESH_WAIT(m, w->held != NULL);
	mesh_ask(m, &b, METHOD_GENERATE, "chat", "same", 0);
	mesh_ask(m, &plain, METHOD_GENERATE, "demo", "same", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_coalesced_total 2\n"));
	w->hang = false;
	mesh_worker_end(w, IM_EUPSTREAM);
	MESH_WAIT(m, a.ended && b.ended && plain.ended);
	assert_true(!a.failed && !b.failed && plain.failed); /* it asked for no route */
	assert_string_equal(a.fallback, "model:other");
	assert_string_equal(b.fallback, "model:other");
	mesh_settled(m);
	assert_int_equal(w->started, 3); /* the shared one, and one for each that fell back */
	ask_done(&a);
	ask_done(&b);
	ask_done(&plain);
	mesh_stop(m);
}

/* 'metric': what must be among them; NULL = nothing in particular. */
static void
client_error_stays_an_error(bool warm, const char *metric)
{
	struct mesh *m = mesh_start_with("", ROUTE(", fallback_answer: 'Later.'"), "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask a = { .warm = warm };

	w->fail_with = IM_EINVAL;
	mesh_ask(m, &a, METHOD_GENERATE, "chat", "hi", 0);
	MESH_WAIT(m, a.ended);
	assert_true(a.failed);
	assert_int_equal(a.err.rc, IM_EINVAL);
	mesh_settled(m);
	assert_true(metric == NULL || mesh_metric(m, metric));
	ask_done(&a);
	mesh_stop(m);
}

static void
test_route_client_error_does_not_fall_back(void **state)
{
	(void)state;
	client_error_stays_an_error(
	    true, "infermesh_router_route_failed_total{route=\"chat\",arm=\"demo\"} 0\n");
}

static void
test_route_client_error_does_not_fall_back_where_it_was_shared(void **state)
{
	(void)state;
	client_error_stays_an_error(false, NULL);
}

static void
test_route_falls_back_at_once_when_the_last_worker_of_a_shared_answer_leaves(void **state)
{
	struct mesh *m = mesh_start_with("", ROUTE(", fallback_answer: 'Later.'"), "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 8);
	struct ask a = { 0 }, b = { 0 }, plain = { 0 };
	uint64_t begun_us;

	(void)state;
	w->hang = true;
	mesh_ask(m, &a, METHOD_GENERATE, "chat", "same", 0);
	MESH_WAIT(m, w->held != NULL);
	mesh_ask(m, &b, METHOD_GENERATE, "chat", "same", 0);
	mesh_ask(m, &plain, METHOD_GENERATE, "demo", "same", 0); /* has nowhere else to go */
	MESH_WAIT(m, mesh_metric(m, "infermesh_coalesced_total 2\n"));
	begun_us = clock_mono_us();
	mesh_worker_leaves(w);
	MESH_WAIT(m, a.ended && b.ended);
	assert_true(clock_mono_us() - begun_us < ROUTER_NO_WORKER_MS * 1000ULL);
	assert_false(a.failed || b.failed || plain.ended);
	assert_string_equal(a.fallback, "static");
	assert_string_equal(b.fallback, "static");
	/* Who waits on is served by the worker that comes. */
	(void)mesh_worker(m, 1, "w2", 4);
	MESH_WAIT(m, plain.ended);
	assert_false(plain.failed);
	assert_string_equal(buf_cstr(&plain.text), "Hello");
	mesh_settled(m);
	ask_done(&a);
	ask_done(&b);
	ask_done(&plain);
	mesh_stop(m);
}

static void
test_route_falls_back_at_once_when_the_last_worker_leaves_those_who_wait(void **state)
{
	struct mesh *m = mesh_start_with("", ROUTE(", fallback_answer: 'Later.'"), "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask first = { .warm = true }, second = { .warm = true };
	uint64_t begun_us;

	(void)state;
	w->hang = true;
	mesh_ask(m, &first, METHOD_GENERATE, "chat", "one", 0);
	MESH_WAIT(m, w->held != NULL);
	mesh_ask(m, &second, METHOD_GENERATE, "chat", "two", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n"));
	begun_us = clock_mono_us();
	mesh_worker_leaves(w);
	MESH_WAIT(m, first.ended && second.ended);
	assert_true(clock_mono_us() - begun_us < ROUTER_NO_WORKER_MS * 1000ULL);
	assert_string_equal(first.fallback, "static");
	assert_string_equal(second.fallback, "static");
	mesh_settled(m);
	ask_done(&first);
	ask_done(&second);
	mesh_stop(m);
}

static void
test_route_full_queue_does_not_fall_back_after_a_cache_lookup_either(void **state)
{
	struct mesh *m =
	    mesh_start_with("queue_max: 1", ROUTE(", fallback_answer: 'Later.'"), "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask busy = { .warm = true }, waits = { .warm = true }, a = { 0 };

	(void)state;
	w->hang = true;
	mesh_ask(m, &busy, METHOD_GENERATE, "chat", "one", 0);
	MESH_WAIT(m, w->held != NULL);
	/* Admitted while there is room in the line; when the cache has not answered in time there is none. */
	m->cache_silent = true;
	mesh_ask(m, &a, METHOD_GENERATE, "chat", "two", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_admitted_total 2\n"));
	mesh_ask(m, &waits, METHOD_GENERATE, "chat", "three", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 1\n"));
	MESH_WAIT(m, a.ended);
	assert_true(a.failed);
	assert_string_equal(a.err.reason, "queue_full");
	w->hang = false;
	mesh_worker_end(w, IM_OK);
	MESH_WAIT(m, busy.ended && waits.ended);
	mesh_settled(m);
	ask_done(&busy);
	ask_done(&waits);
	ask_done(&a);
	mesh_stop(m);
}

static void
test_route_fallback_is_no_retry_but_its_own_retries_are(void **state)
{
	struct mesh *m =
	    mesh_start_with("retries: 1, retry_budget_percent: 0, retry_budget_min: 0, "
			    "breaker_failures: 0, breaker_error_percent: 0",
			    ROUTE(", fallback: [other], fallback_answer: 'Later.'"), "gateway");
	struct fake_worker *w1 = mesh_worker(m, 0, "w1", 4), *w2 = mesh_worker(m, 1, "w2", 4);

	(void)state;
	w1->fail_with = w2->fail_with = IM_EUPSTREAM;
	for (uint32_t i = 1; i <= 5; i++) {
		struct ask a = { .warm = true };

		ask_well(m, &a, METHOD_GENERATE, "chat");
		assert_string_equal(a.fallback, "static");
		/* One attempt for the arm and one for the model that stands in: the budget has nothing for a second one of either. */
		assert_int_equal(w1->started + w2->started, 2 * i);
		ask_done(&a);
	}
	assert_true(mesh_metric(m, "infermesh_router_retries_denied_total 10\n"));
	assert_true(mesh_metric(m, "infermesh_router_retries_total{reason=\"upstream\"} 0\n"));
	mesh_settled(m);
	mesh_stop(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_route_falls_back_to_the_next_model_after_the_last_attempt),
		cmocka_unit_test(test_route_without_workers_gives_the_fixed_answer),
		cmocka_unit_test(test_route_followers_fall_back_each_on_their_own),
		cmocka_unit_test(test_route_client_error_does_not_fall_back),
		cmocka_unit_test(test_route_client_error_does_not_fall_back_where_it_was_shared),
		cmocka_unit_test(
		    test_route_falls_back_at_once_when_the_last_worker_of_a_shared_answer_leaves),
		cmocka_unit_test(
		    test_route_falls_back_at_once_when_the_last_worker_leaves_those_who_wait),
		cmocka_unit_test(
		    test_route_full_queue_does_not_fall_back_after_a_cache_lookup_either),
		cmocka_unit_test(test_route_fallback_is_no_retry_but_its_own_retries_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
