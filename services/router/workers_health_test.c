/*
 * router/workers_health_test.c - who may get requests, on virtual time: breakers, pauses, the panic threshold, silence and
 * draining in the table of workers, with no link.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "router/health_rig.h"

static void
test_health_fifth_failure_takes_the_worker_out_of_the_choice(void **state)
{
	struct world t;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	world_fail(&t, 0, 2);
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	world_fail(&t, 0, 1);
	assert_int_equal(t.w[0]->health.state, HEALTH_SUSPECT); /* more than half way */
	assert_true(workers_model_usable(world_entry(&t, 0)));
	world_fail(&t, 0, 2);
	assert_int_equal(t.w[0]->health.state, HEALTH_EJECTED);
	assert_int_equal(t.told.opened, 1);
	for (int i = 0; i < 6; i++) {
		assert_ptr_equal(world_pick(&t), t.w[1]);
		workers_take_slot(t.w[1]);
	}
	while (t.w[1]->slots > 0) {
		workers_free_slot(t.w[1]);
	}
	workers_done(&t.ws);
}

static void
test_health_success_ends_the_suspicion(void **state)
{
	struct world t;

	(void)state;
	world_init(&t);
	world_join(&t, 1);
	world_fail(&t, 0, 4);
	world_attempt(&t, 0, VERDICT_OK);
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	assert_int_equal(t.told.states, 2);
	workers_done(&t.ws);
}

static void
test_health_probe_goes_to_the_ejected_worker_whatever_the_policy_says(void **state)
{
	struct world t;
	struct attempt probe;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	world_fail(&t, 0, 5);
	workers_take_slot(t.w[0]); /* busier than the other one */
	world_pass(&t, 29999);
	assert_ptr_equal(world_pick(&t), t.w[1]);
	world_pass(&t, 1);
	assert_ptr_equal(world_pick(&t), t.w[0]);
	probe = world_begin(t.w[0], world_model(&t));
	assert_true(workers_attempt_is_probe(&probe));
	assert_ptr_equal(world_pick(&t), t.w[1]); /* one only */
	workers_attempt_token(&probe, t.now_ms);
	assert_int_equal(t.told.closed, 1);
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	world_end(&t, &probe, VERDICT_OK);
	workers_free_slot(t.w[0]);
	workers_done(&t.ws);
}

static void
test_health_probe_that_is_cancelled_is_followed_by_another(void **state)
{
	struct world t;
	struct attempt probe;
	unsigned rooms;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	world_fail(&t, 0, 5);
	world_pass(&t, 30000);
	probe = world_begin(world_pick(&t), world_model(&t));
	rooms = t.told.rooms;
	world_end(&t, &probe, VERDICT_NOTHING);
	assert_int_equal(t.told.rooms, rooms + 1); /* who waits may be the next probe */
	assert_ptr_equal(world_pick(&t), t.w[0]);
	probe = world_begin(t.w[0], world_model(&t));
	assert_true(workers_attempt_is_probe(&probe));
	world_end(&t, &probe, VERDICT_FAILED);
	assert_int_equal(world_entry(&t, 0)->breaker.pause_ms, 60000);
	assert_ptr_equal(world_pick(&t), t.w[1]);
	workers_done(&t.ws);
}

static void
test_health_never_more_than_the_share_is_ejected_but_always_one_may_be(void **state)
{
	static const struct {
		size_t workers;
		uint32_t percent, ejected;
	} rows[] = { { 1, 50, 1 }, { 2, 50, 1 },  { 3, 50, 1 }, { 4, 50, 2 }, { 6, 50, 3 },
		     { 6, 0, 1 },  { 6, 100, 6 }, { 5, 33, 1 }, { 6, 34, 2 } };

	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct world t;
		size_t ejected = 0;

		world_init(&t);
		t.ws.set.eject_max_percent = rows[r].percent;
		world_join(&t, rows[r].workers);
		for (size_t i = 0; i < rows[r].workers; i++) {
			world_fail(&t, i, 5);
			assert_int_equal(world_entry(&t, i)->breaker.state, BREAKER_OPEN);
		}
		for (size_t i = 0; i < rows[r].workers; i++) {
			ejected += t.w[i]->health.state == HEALTH_EJECTED;
			assert_int_equal(workers_model_usable(world_entry(&t, i)),
					 t.w[i]->health.state != HEALTH_EJECTED);
		}
		assert_int_equal(ejected, rows[r].ejected);
		workers_done(&t.ws);
	}
}

static void
test_health_breaker_beyond_the_share_is_obeyed_when_there_is_room(void **state)
{
	struct world t;
	struct attempt probe;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	world_fail(&t, 0, 5);
	world_pass(&t, 10000);
	world_fail(&t, 1, 5);
	assert_true(world_entry(&t, 0)->ejected);
	assert_false(world_entry(&t, 1)->ejected);
	assert_int_equal(t.w[1]->health.state, HEALTH_SUSPECT);
	world_pass(&t, 20000); /* the first one probes, well */
	probe = world_begin(world_pick(&t), world_model(&t));
	assert_ptr_equal(probe.worker, t.w[0]);
	world_end(&t, &probe, VERDICT_OK);
	world_pass(&t, 100);
	assert_false(world_entry(&t, 0)->ejected);
	assert_true(world_entry(&t, 1)->ejected);
	assert_int_equal(t.w[1]->health.state, HEALTH_EJECTED);
	workers_done(&t.ws);
}

static void
test_health_share_shrinks_with_the_workers(void **state)
{
	struct world t;

	(void)state;
	world_init(&t);
	world_join(&t, 4);
	world_fail(&t, 0, 5);
	world_fail(&t, 1, 5);
	assert_int_equal(world_model(&t)->ejected_count, 2);
	workers_lost(&t.ws, t.w[3], t.now_ms);
	world_pass(&t, 100);
	assert_int_equal(world_model(&t)->ejected_count, 1); /* of three */
	workers_done(&t.ws);
}

static void
test_health_pause_keeps_requests_away_and_counts_no_failure(void **state)
{
	struct world t;
	struct im_err err;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	for (int i = 0; i < 10; i++) {
		world_attempt(&t, 0, VERDICT_PAUSE); /* those that were on their way */
	}
	assert_int_equal(t.told.pauses, 1);
	assert_int_equal(world_entry(&t, 0)->breaker.row, 0);
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	assert_ptr_equal(world_pick(&t), t.w[1]);
	assert_false(workers_outage(world_model(&t), t.now_ms, &err));
	world_pass(&t, 6999);
	assert_false(workers_model_usable(world_entry(&t, 0)));
	world_pass(&t, 1);
	assert_true(workers_model_usable(world_entry(&t, 0)));
	workers_done(&t.ws);
}

static void
test_health_outage_tells_when_the_first_one_is_back(void **state)
{
	struct world t;
	struct im_err err;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	t.ws.set.eject_max_percent = 100;
	world_fail(&t, 0, 5);
	assert_false(workers_outage(world_model(&t), t.now_ms, &err));
	world_pass(&t, 2000);
	world_attempt(&t, 1, VERDICT_PAUSE);
	assert_null(world_pick(&t));
	assert_true(workers_outage(world_model(&t), t.now_ms, &err));
	assert_int_equal(err.rc, IM_ELIMIT); /* the pause ends before the breaker's */
	assert_int_equal(err.retry_after_ms, 7000);
	world_pass(&t, 3000);
	assert_true(workers_outage(world_model(&t), t.now_ms, &err));
	assert_int_equal(err.retry_after_ms, 4000);
	world_pass(&t, 4000);
	assert_false(workers_outage(world_model(&t), t.now_ms, &err));
	world_fail(&t, 1, 5);
	assert_true(workers_outage(world_model(&t), t.now_ms, &err));
	assert_int_equal(err.rc, IM_EUNAVAILABLE);
	assert_string_equal(err.reason, "no_healthy_worker");
	assert_int_equal(err.retry_after_ms, 21000); /* of the first one's 30 s */
	workers_done(&t.ws);
}

static void
test_health_nobody_linked_is_no_outage(void **state)
{
	struct world t;
	struct im_err err;

	(void)state;
	world_init(&t);
	world_join(&t, 1);
	assert_false(workers_outage(world_model(&t), t.now_ms, &err));
	world_attempt(&t, 0, VERDICT_PAUSE);
	assert_true(workers_outage(world_model(&t), t.now_ms, &err));
	workers_lost(&t.ws, t.w[0], t.now_ms);
	assert_false(
	    workers_outage(world_model(&t), t.now_ms, &err)); /* it may come back any moment */
	workers_done(&t.ws);
}

static void
test_health_silent_worker_gets_nothing_until_it_speaks(void **state)
{
	struct world t;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	workers_tick(&t.ws, t.now_ms);
	for (int i = 0; i < 29; i++) {
		t.now_ms += 100;
		workers_heard(t.w[1]);
		workers_tick(&t.ws, t.now_ms);
	}
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	t.now_ms += 100;
	workers_heard(t.w[1]);
	workers_tick(&t.ws, t.now_ms);
	assert_int_equal(t.w[0]->health.state, HEALTH_SUSPECT);
	for (int i = 0; i < 4; i++) {
		assert_ptr_equal(world_pick(&t), t.w[1]);
		workers_take_slot(t.w[1]);
	}
	workers_heard(t.w[0]);
	workers_tick(&t.ws, t.now_ms);
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	assert_ptr_equal(world_pick(&t), t.w[0]);
	assert_int_equal(t.told.rooms, 1);
	while (t.w[1]->slots > 0) {
		workers_free_slot(t.w[1]);
	}
	workers_done(&t.ws);
}

static void
test_health_router_that_was_stopped_blames_nobody(void **state)
{
	struct world t;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	workers_tick(&t.ws, t.now_ms);
	t.now_ms += 60000; /* SIGSTOP; what they said waits in the sockets */
	workers_tick(&t.ws, t.now_ms);
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	assert_int_equal(t.told.states, 0);
	workers_done(&t.ws);
}

static void
test_health_operators_drain_outlives_announcements_links_and_restarts(void **state)
{
	struct world t;
	struct worker *old;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	assert_true(workers_set_draining(t.w[0], true, t.now_ms));
	assert_false(workers_set_draining(t.w[0], true, t.now_ms));
	(void)world_announce(&t, 0, 0, 1, false);
	assert_int_equal(t.w[0]->health.state, HEALTH_DRAINING);
	assert_ptr_equal(world_pick(&t), t.w[1]);
	/* Its link is lost; much later another process of that name comes. */
	old = t.w[0];
	workers_lost(&t.ws, old, t.now_ms);
	t.w[0] = NULL;
	world_pass(&t, WORKERS_REMEMBER_MS * 100ULL);
	assert_ptr_equal(workers_by_name(&t.ws, "w0"), old);
	assert_int_equal(old->health.state, HEALTH_GONE);
	t.instance[0][1]++;
	(void)world_announce(&t, 0, 0, 1, false);
	assert_int_equal(t.w[0]->health.state, HEALTH_DRAINING);
	assert_true(workers_set_draining(t.w[0], false, t.now_ms));
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	assert_true(workers_model_usable(world_entry(&t, 0)));
	workers_done(&t.ws);
}

static void
test_health_workers_own_drain_ends_with_its_word(void **state)
{
	struct world t;

	(void)state;
	world_init(&t);
	world_join(&t, 1);
	(void)world_announce(&t, 0, 0, 1, true);
	assert_int_equal(t.w[0]->health.state, HEALTH_DRAINING);
	assert_null(world_pick(&t));
	(void)world_announce(&t, 0, 0, 1, false);
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	workers_done(&t.ws);
}

static void
test_health_same_process_on_a_new_link_keeps_its_breaker(void **state)
{
	struct world t;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	world_fail(&t, 0, 5);
	workers_lost(&t.ws, t.w[0], t.now_ms);
	assert_int_equal(world_model(&t)->ejected_count, 0);
	t.w[0] = NULL;
	(void)world_announce(&t, 0, 0, 1, false);
	assert_int_equal(t.w[0]->health.state, HEALTH_EJECTED);
	assert_int_equal(world_model(&t)->ejected_count, 1);
	workers_done(&t.ws);
}

static void
test_health_restarted_process_begins_with_a_closed_breaker(void **state)
{
	struct world t;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	world_fail(&t, 0, 5);
	t.w[0] = NULL; /* the old link is not lost yet */
	t.instance[0][1]++;
	(void)world_announce(&t, 0, 0, 1, false);
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	assert_int_equal(world_entry(&t, 0)->breaker.state, BREAKER_CLOSED);
	workers_done(&t.ws);
}

static void
test_health_changed_models_keep_breaker_pause_and_probe(void **state)
{
	struct world t;
	struct attempt probe;

	(void)state;
	world_init(&t);
	world_join(&t, 2);
	world_fail(&t, 0, 5);
	world_pass(&t, 30000);
	probe = world_begin(world_pick(&t), world_model(&t));
	(void)world_announce(&t, 0, 0, 2, false);
	assert_true(world_entry(&t, 0)->ejected);
	assert_ptr_equal(world_pick(&t), t.w[1]);               /* no second probe */
	assert_int_equal(t.w[0]->health.state, HEALTH_SUSPECT); /* the other model is well */
	world_end(&t, &probe, VERDICT_OK);
	assert_int_equal(world_entry(&t, 0)->breaker.state, BREAKER_CLOSED);
	world_attempt(&t, 0, VERDICT_PAUSE);
	(void)world_announce(&t, 0, 0, 1, false);
	assert_false(workers_model_usable(world_entry(&t, 0)));
	workers_done(&t.ws);
}

static void
test_health_recovered_worker_joins_until_its_slow_start_is_over(void **state)
{
	struct world t;

	(void)state;
	world_init(&t);
	t.ws.slow_start_ms = 2000;
	world_join(&t, 2);
	assert_int_equal(t.w[0]->health.state,
			 HEALTH_READY); /* everybody begins: nobody is spared */
	world_pass(&t, 2000);
	world_fail(&t, 0, 5);
	world_pass(&t, 30000);
	world_attempt(&t, 0, VERDICT_OK);
	assert_int_equal(t.w[0]->health.state, HEALTH_JOINING);
	assert_int_equal(t.w[0]->health.joined_ms, t.now_ms);
	assert_true(workers_weight(world_entry(&t, 0)) < workers_weight(world_entry(&t, 1)));
	world_pass(&t, 1800);
	assert_int_equal(t.w[0]->health.state, HEALTH_JOINING);
	world_pass(&t, 200);
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	workers_done(&t.ws);
}

static void
test_health_attempt_at_a_worker_that_was_replaced_decides_nothing(void **state)
{
	struct world t;
	struct attempt late[6];
	struct worker *old;

	(void)state;
	world_init(&t);
	world_join(&t, 1);
	old = t.w[0];
	for (size_t i = 0; i < 6; i++) {
		late[i] = world_begin(old, world_model(&t));
	}
	t.w[0] = NULL;
	t.instance[0][1]++;
	(void)world_announce(&t, 0, 0, 1, false);
	for (size_t i = 0; i < 6; i++) {
		world_end(&t, &late[i], VERDICT_FAILED);
	}
	assert_int_equal(t.told.opened, 0);
	assert_int_equal(world_model(&t)->ejected_count, 0);
	assert_int_equal(t.w[0]->health.state, HEALTH_READY);
	workers_done(&t.ws);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_health_fifth_failure_takes_the_worker_out_of_the_choice),
		cmocka_unit_test(test_health_success_ends_the_suspicion),
		cmocka_unit_test(
		    test_health_probe_goes_to_the_ejected_worker_whatever_the_policy_says),
		cmocka_unit_test(test_health_probe_that_is_cancelled_is_followed_by_another),
		cmocka_unit_test(
		    test_health_never_more_than_the_share_is_ejected_but_always_one_may_be),
		cmocka_unit_test(test_health_breaker_beyond_the_share_is_obeyed_when_there_is_room),
		cmocka_unit_test(test_health_share_shrinks_with_the_workers),
		cmocka_unit_test(test_health_pause_keeps_requests_away_and_counts_no_failure),
		cmocka_unit_test(test_health_outage_tells_when_the_first_one_is_back),
		cmocka_unit_test(test_health_nobody_linked_is_no_outage),
		cmocka_unit_test(test_health_silent_worker_gets_nothing_until_it_speaks),
		cmocka_unit_test(test_health_router_that_was_stopped_blames_nobody),
		cmocka_unit_test(
		    test_health_operators_drain_outlives_announcements_links_and_restarts),
		cmocka_unit_test(test_health_workers_own_drain_ends_with_its_word),
		cmocka_unit_test(test_health_same_process_on_a_new_link_keeps_its_breaker),
		cmocka_unit_test(test_health_restarted_process_begins_with_a_closed_breaker),
		cmocka_unit_test(test_health_changed_models_keep_breaker_pause_and_probe),
		cmocka_unit_test(test_health_recovered_worker_joins_until_its_slow_start_is_over),
		cmocka_unit_test(test_health_attempt_at_a_worker_that_was_replaced_decides_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
