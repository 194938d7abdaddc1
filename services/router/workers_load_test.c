/*
 * router/workers_load_test.c - how busy workers are, what they weigh and who is picked, with no link and no clock.
 */
#include "router/workers_health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "router/workers_rig.h"

/* As announce(), with a weight, as a backup or not. */
static struct worker *
join(struct workers *ws, size_t link, const char *name, uint32_t weight, bool backup,
     uint32_t capacity, uint64_t now_ms)
{
	struct announce a = { .worker = name,
			      .backend = "local",
			      .models = &models[0],
			      .model_count = 1,
			      .load = { .capacity = capacity },
			      .weight = weight,
			      .backup = backup };
	struct announced ret;
	struct im_err err;

	assert_int_equal(
	    workers_announce(ws, link_no(link), instances[link], NULL, &a, now_ms, &ret, &err),
	    IM_OK);
	return ret.worker;
}

static void
test_workers_weight_is_announced_or_the_operators(void **state)
{
	struct workers ws;
	struct worker *w1, *w2;

	(void)state;
	workers_init(&ws, 0, 1);
	w1 = join(&ws, 0, "w1", 0, false, 100, 1000); /* says none: 100 */
	w2 = join(&ws, 1, "w2", 300, false, 100, 1000);
	for (int i = 0; i < 40; i++) {
		workers_take_slot(pick(&ws, "m1", NULL, 0));
	}
	assert_int_equal(w1->slots, 10);
	assert_int_equal(w2->slots, 30);
	workers_set_weight(w1, 700);
	assert_int_equal(workers_weight(&w1->models[0]), 700 * POOL_WEIGHT_ONE);
	for (int i = 0; i < 60; i++) {
		workers_take_slot(pick(&ws, "m1", NULL, 0));
	}
	assert_int_equal(w1->slots, 70);
	workers_set_weight(w1, 0);
	assert_int_equal(workers_weight(&w1->models[0]), 100 * POOL_WEIGHT_ONE);
	assert_ptr_equal(pick(&ws, "m1", NULL, 0), w2);
	/* What the operator said outlives a restart of the worker, however long it takes. */
	workers_set_weight(w2, 50);
	while (w1->slots + w2->slots > 0) {
		workers_free_slot(w1->slots > 0 ? w1 : w2);
	}
	workers_lost(&ws, w2, 2000);
	workers_tick(&ws, 2000 + 2 * WORKERS_REMEMBER_MS);
	w2 = join(&ws, 2, "w2", 300, false, 100, 200000);
	assert_int_equal(workers_weight(&w2->models[0]), 50 * POOL_WEIGHT_ONE);
	workers_set_weight(w2, 0);
	assert_int_equal(workers_weight(&w2->models[0]), 300 * POOL_WEIGHT_ONE);
	workers_done(&ws);
}

static void
test_workers_backup_serves_only_when_no_primary_is_usable(void **state)
{
	struct workers ws;
	struct worker *w1, *backup;
	struct pick p;

	(void)state;
	workers_init(&ws, 0, 1);
	backup = join(&ws, 1, "spare", 100, true, 4, 1000);
	assert_ptr_equal(pick(&ws, "m1", NULL, 0), backup);
	w1 = join(&ws, 0, "w1", 100, false, 1, 1000);
	assert_ptr_equal(pick(&ws, "m1", NULL, 0), w1);
	/* Full is not unusable: its place is waited for. */
	workers_take_slot(w1);
	assert_null(pick(&ws, "m1", NULL, 0));
	assert_false(workers_any_room(workers_find_model(&ws, "m1")));
	workers_free_slot(w1);
	/* It failed this request. */
	assert_ptr_equal(pick(&ws, "m1", &w1->id, 1), backup);
	assert_ptr_equal(pick(&ws, "m1", NULL, 0), w1);
	/* It drains. */
	(void)workers_set_draining(w1, true, 2000);
	workers_pick(&ws, workers_find_model(&ws, "m1"), &(struct pick_ask){ 0 }, &p);
	assert_ptr_equal(p.worker, backup);
	assert_int_equal(p.reason, PICK_BACKUP);
	workers_pick_done(&p);
	assert_int_equal(ws.decisions[POLICY_LEAST_CONNECTIONS][PICK_BACKUP], 3);
	workers_done(&ws);
}

static void
test_workers_tried_ones_are_neither_picked_nor_usable(void **state)
{
	struct workers ws;
	struct worker *w[3];
	uint64_t tried[4];

	(void)state;
	workers_init(&ws, 0, 1);
	for (size_t i = 0; i < 3; i++) {
		char name[] = { 'w', (char)('1' + i), '\0' };

		w[i] = join(&ws, i, name, 100, false, 4, 1000);
		tried[i] = w[i]->id;
	}
	tried[3] = 999; /* long forgotten */
	for (size_t n = 0; n < 3; n++) {
		struct worker *got = pick(&ws, "m1", tried, n);

		assert_true(got == w[n] || n < 2);
		for (size_t i = 0; i < n; i++) {
			assert_ptr_not_equal(got, w[i]);
		}
		assert_true(workers_any_usable(&ws, workers_find_model(&ws, "m1"), tried, n));
	}
	assert_null(pick(&ws, "m1", tried, 4));
	assert_false(workers_any_usable(&ws, workers_find_model(&ws, "m1"), tried, 4));
	/* The next request may have any of them. */
	assert_non_null(pick(&ws, "m1", NULL, 0));
	assert_int_equal(workers_find_model(&ws, "m1")->pool[TIER_PRIMARY].ready_count, 3);
	workers_done(&ws);
}

static void
test_workers_slow_start_ramps_beside_those_that_are_warm(void **state)
{
	struct workers ws;
	struct worker *w1, *w2;
	struct worker_model *wm;

	(void)state;
	workers_init(&ws, 1600, 1);
	/* At the start of a router everybody joins: nobody is spared. */
	w1 = join(&ws, 0, "w1", 100, false, 1000, 1000);
	w2 = join(&ws, 1, "w2", 100, false, 1000, 2599);
	assert_int_equal(workers_weight(&w1->models[0]), 100 * POOL_WEIGHT_ONE);
	assert_int_equal(workers_weight(&w2->models[0]), 100 * POOL_WEIGHT_ONE);
	/* Later a newcomer begins with a sixteenth. */
	w2 = join(&ws, 2, "w3", 100, false, 1000, 10000);
	wm = &w2->models[0];
	assert_int_equal(workers_weight(wm), 100 * POOL_WEIGHT_ONE / 16);
	workers_tick(&ws, 10099);
	assert_int_equal(workers_weight(wm), 100 * POOL_WEIGHT_ONE / 16);
	workers_tick(&ws, 10100);
	assert_int_equal(workers_weight(wm), 100 * POOL_WEIGHT_ONE / 16 * 2);
	workers_tick(&ws, 10800);
	assert_int_equal(workers_weight(wm), 100 * POOL_WEIGHT_ONE / 16 * 9);
	/* The policies see it: half the share of the others. */
	for (int i = 0; i < 250; i++) {
		workers_take_slot(pick(&ws, "m1", NULL, 0));
	}
	assert_in_range(w2->slots, 54, 56); /* 9 of 16 + 16 + 9 */
	workers_tick(&ws, 11600);
	assert_int_equal(workers_weight(wm), 100 * POOL_WEIGHT_ONE);
	assert_true(list_empty(&ws.ramping));
	/* A recovery is a new start; a loss ends it. */
	workers_slow_start(wm, 20000);
	assert_int_equal(workers_weight(wm), 100 * POOL_WEIGHT_ONE / 16);
	workers_lost(&ws, w2, 20100);
	assert_true(list_empty(&ws.ramping));
	workers_tick(&ws, 20200);
	LIST_FOREACH (&ws.all, w, struct worker, node) {
		while (w->slots > 0) {
			workers_free_slot(w);
		}
	}
	workers_done(&ws);
}

static void
test_workers_slot_counts_for_every_model_of_a_worker(void **state)
{
	struct workers ws;
	struct worker *w1, *w2;

	(void)state;
	workers_init(&ws, 0, 1);
	w1 = announce(&ws, 0, 0, NULL, "w1", 0, 2, 0, 2, 1000).worker; /* m1 and m2 */
	w2 = announce(&ws, 1, 1, NULL, "w2", 1, 1, 0, 2, 1000).worker; /* m2 */
	workers_take_slot(w1);
	assert_ptr_equal(pick(&ws, "m2", NULL, 0), w2);
	workers_take_slot(w1);
	assert_null(pick(&ws, "m1", NULL, 0));
	workers_take_slot(w2);
	assert_ptr_equal(pick(&ws, "m2", NULL, 0), w2);
	workers_free_slot(w1);
	workers_free_slot(w1);
	assert_ptr_equal(pick(&ws, "m2", NULL, 0), w1);
	workers_free_slot(w2);
	workers_done(&ws);
}

static void
test_workers_late_report_that_names_our_own_part_is_exact(void **state)
{
	struct workers ws;
	struct worker *w;

	(void)state;
	workers_init(&ws, 0, 1);
	w = announce(&ws, 0, 0, NULL, "w1", 0, 1, 0, 9, 1000).worker;
	/* Two of ours are on their way while it says: three here, none of them yours. */
	workers_take_slot(w);
	workers_take_slot(w);
	workers_report(w, &(struct load){ .in_flight = 3, .capacity = 9, .has_own = true });
	assert_int_equal(workers_in_flight(w), 5);
	/* Both arrived; two of the others ended, and one of ours, but that END is still on its way. */
	workers_report(w,
		       &(struct load){
			   .in_flight = 1, .queued = 1, .capacity = 9, .own = 1, .has_own = true });
	assert_int_equal(workers_in_flight(w), 3);
	workers_free_slot(w);
	assert_int_equal(workers_in_flight(w), 2);
	/* One that we cancelled is still counted there: it is no other's. */
	workers_free_slot(w);
	workers_report(w,
		       &(struct load){ .in_flight = 2, .capacity = 9, .own = 1, .has_own = true });
	assert_int_equal(workers_in_flight(w), 1);
	/* Nonsense does no harm. */
	workers_report(
	    w, &(struct load){ .in_flight = 2, .capacity = 9, .own = UINT32_MAX, .has_own = true });
	assert_int_equal(workers_in_flight(w), 0);
	workers_done(&ws);
}

static void
test_workers_load_of_other_routers_counts(void **state)
{
	struct workers ws;
	struct worker *w;

	(void)state;
	workers_init(&ws, 0, 1);
	w = announce(&ws, 0, 0, NULL, "w1", 0, 1, 0, 4, 1000).worker;
	workers_take_slot(w);
	workers_take_slot(w);
	workers_report(w, &(struct load){ .in_flight = 3, .capacity = 4 }); /* ours and one more */
	assert_int_equal(workers_in_flight(w), 3);
	workers_take_slot(w);
	assert_int_equal(workers_in_flight(w), 4);
	assert_false(workers_has_room(w));
	workers_free_slot(w);
	workers_report(
	    w, &(struct load){ .in_flight = 1, .capacity = 4 }); /* ours are still on their way */
	assert_int_equal(workers_in_flight(w), 2);
	workers_mark_full(w); /* one of the two was refused */
	workers_free_slot(w);
	assert_false(workers_has_room(w));
	workers_report(w, &(struct load){ .in_flight = UINT32_MAX,
					  .capacity = UINT32_MAX,
					  .queued = UINT32_MAX });
	assert_false(workers_has_room(w));
	workers_free_slot(w);
	workers_done(&ws);
}

static void
test_workers_change_of_models_keeps_slow_start(void **state)
{
	struct workers ws;
	struct worker *w;

	(void)state;
	workers_init(&ws, 1600, 1);
	(void)announce(&ws, 0, 0, NULL, "w1", 0, 2, 0, 4, 1000);
	w = announce(&ws, 1, 1, NULL, "w2", 0, 1, 0, 4, 5000).worker;
	workers_tick(&ws, 5400);
	assert_int_equal(w->models[0].ramp_step, 5);
	(void)announce(&ws, 1, 1, w, "w2", 0, 2, 0, 4, 5500);
	assert_int_equal(w->models[0].ramp_step, 5);
	assert_int_equal(w->models[1].ramp_step, 1);
	workers_tick(&ws, 6600);
	assert_false(list_linked(&w->models[0].ramp_node));
	assert_true(list_linked(&w->models[1].ramp_node));
	workers_done(&ws);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workers_weight_is_announced_or_the_operators),
		cmocka_unit_test(test_workers_backup_serves_only_when_no_primary_is_usable),
		cmocka_unit_test(test_workers_tried_ones_are_neither_picked_nor_usable),
		cmocka_unit_test(test_workers_slow_start_ramps_beside_those_that_are_warm),
		cmocka_unit_test(test_workers_slot_counts_for_every_model_of_a_worker),
		cmocka_unit_test(test_workers_late_report_that_names_our_own_part_is_exact),
		cmocka_unit_test(test_workers_load_of_other_routers_counts),
		cmocka_unit_test(test_workers_change_of_models_keeps_slow_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
