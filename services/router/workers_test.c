/*
 * router/workers_test.c - the table of workers and the queue before it, with no link and no clock.
 */
#include "router/workers_health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/queue.h"
#include "router/workers_rig.h"

static void
test_workers_announced_models_are_found(void **state)
{
	struct workers ws;
	struct announced a;

	(void)state;
	workers_init(&ws, 0, 1);
	assert_null(workers_find_model(&ws, "m1"));
	a = announce(&ws, 0, 0, NULL, "w1", 0, 2, 0, 4, 1000);
	assert_true(a.joined);
	assert_int_equal(a.fresh_count, 2);
	assert_false(a.reloaded[0] || a.reloaded[1]);
	assert_non_null(workers_find_model(&ws, "m1"));
	assert_ptr_equal(pick(&ws, "m2", NULL, 0), a.worker);
	/* Again, unchanged: nothing is new. */
	a = announce(&ws, 0, 0, a.worker, "w1", 0, 2, 0, 4, 2000);
	assert_false(a.joined);
	assert_false(a.models_changed);
	assert_int_equal(a.fresh_count, 0);
	/* One model less, then other weights under the old name. */
	a = announce(&ws, 0, 0, a.worker, "w1", 0, 1, 0, 4, 3000);
	assert_true(a.models_changed);
	assert_int_equal(a.fresh_count, 0);
	assert_null(pick(&ws, "m2", NULL, 0));
	a = announce(&ws, 0, 0, a.worker, "w1", 2, 1, 0, 4, 4000);
	assert_int_equal(a.fresh_count, 1);
	assert_true(a.reloaded[0]);
	assert_string_equal(workers_serving(a.worker, workers_find_model(&ws, "m1"))->digest, "cc");
	workers_done(&ws);
}

static void
test_workers_two_with_other_weights_do_not_flap(void **state)
{
	struct workers ws;
	struct worker *w1, *w2;

	(void)state;
	workers_init(&ws, 0, 1);
	w1 = announce(&ws, 0, 0, NULL, "w1", 0, 1, 0, 4, 1000).worker;
	w2 = announce(&ws, 1, 1, NULL, "w2", 2, 1, 0, 4, 1000).worker;
	assert_int_equal(announce(&ws, 0, 0, w1, "w1", 0, 1, 0, 4, 2000).fresh_count, 0);
	assert_int_equal(announce(&ws, 1, 1, w2, "w2", 2, 1, 0, 4, 2000).fresh_count, 0);
	workers_done(&ws);
}

static void
test_workers_pick_balances_and_respects_capacity(void **state)
{
	struct workers ws;
	struct worker *w1, *w2;

	(void)state;
	workers_init(&ws, 0, 1);
	w1 = announce(&ws, 0, 0, NULL, "w1", 0, 1, 0, 2, 1000).worker;
	w2 = announce(&ws, 1, 1, NULL, "w2", 0, 1, 0, 1, 1000).worker;
	for (int i = 0; i < 3; i++) {
		workers_take_slot(pick(&ws, "m1", NULL, 0));
	}
	assert_int_equal(w1->slots, 2);
	assert_int_equal(w2->slots, 1);
	assert_null(pick(&ws, "m1", NULL, 0));
	workers_free_slot(w1);
	assert_ptr_equal(pick(&ws, "m1", NULL, 0), w1);
	assert_null(pick(&ws, "m1", &w1->id, 1)); /* tried already */
	workers_free_slot(w1);
	workers_free_slot(w2);
	assert_int_equal(workers_slots(&ws), 0);
	workers_done(&ws);
}

static void
test_workers_many_are_found_by_name_and_number(void **state)
{
	static char places[WORKERS_MAX + 1];
	struct workers *ws = malloc(sizeof(*ws));
	uint64_t last = 0;
	char name[16];

	(void)state;
	assert_non_null(ws);
	workers_init(ws, 0, 1);
	for (size_t i = 0; i <= WORKERS_MAX; i++) {
		struct announce a = { .worker = name, .backend = "local" };
		struct announced ret;

		(void)snprintf(name, sizeof(name), "w%zu", i);
		assert_int_equal(workers_announce(ws, (struct link *)(void *)&places[i],
						  instances[0], NULL, &a, 1, &ret, NULL),
				 i < WORKERS_MAX ? IM_OK : IM_ELIMIT);
		last = ret.worker != NULL ? ret.worker->id : last;
	}
	assert_string_equal(workers_by_name(ws, "w777")->name->text, "w777");
	assert_null(workers_by_name(ws, "w777x"));
	assert_string_equal(workers_by_id(ws, last)->name->text, "w16383");
	assert_null(workers_by_id(ws, last + 1));
	assert_true(workers_is_here(ws, last));
	workers_lost(ws, workers_by_id(ws, last), 2);
	assert_false(workers_is_here(ws, last));
	workers_done(ws);
	free(ws);
}

static void
test_workers_lost_worker_is_remembered_for_a_while(void **state)
{
	struct workers ws;
	struct worker *w;

	(void)state;
	workers_init(&ws, 0, 1);
	w = announce(&ws, 0, 0, NULL, "w1", 0, 1, 0, 4, 1000).worker;
	workers_lost(&ws, w, 2000);
	assert_string_equal(workers_state(w), "gone");
	assert_null(pick(&ws, "m1", NULL, 0));
	assert_false(workers_any_usable(&ws, workers_find_model(&ws, "m1"), NULL, 0));
	workers_tick(&ws, 2000 + WORKERS_REMEMBER_MS - 1);
	assert_non_null(workers_find_model(&ws, "m1"));
	workers_tick(&ws, 2000 + WORKERS_REMEMBER_MS);
	assert_null(workers_find_model(&ws, "m1"));
	assert_int_equal(ws.count, 0);
	workers_done(&ws);
}

static void
test_workers_same_name_on_another_link_replaces(void **state)
{
	struct workers ws;
	struct worker *old, *w;
	struct announced a;
	struct im_err err;
	struct announce again = { .worker = "w1", .backend = "local" };

	(void)state;
	workers_init(&ws, 0, 1);
	old = announce(&ws, 0, 0, NULL, "w1", 0, 1, 0, 4, 1000).worker;
	workers_take_slot(old);
	a = announce(&ws, 1, 1, NULL, "w1", 0, 1, 0, 4, 2000);
	w = a.worker;
	assert_ptr_equal(a.replaced, old);
	assert_int_equal(a.fresh_count, 1); /* another process has loaded it, */
	assert_false(a.reloaded[0]);        /* and it is the same */
	assert_ptr_equal(pick(&ws, "m1", NULL, 0), w);
	assert_int_equal(workers_slots(&ws), 1); /* the old one keeps its request */
	/* The old one may not take the name back while its link lives. */
	assert_int_equal(
	    workers_announce(&ws, link_no(0), instances[0], old, &again, 3000, &a, &err),
	    IM_EEXIST);
	workers_free_slot(old);
	workers_lost(&ws, old, 3000);
	workers_tick(&ws, 3001);
	assert_int_equal(ws.count, 1);
	/* The same process on a new link: its models are not news. */
	workers_lost(&ws, w, 4000);
	a = announce(&ws, 2, 1, NULL, "w1", 0, 1, 0, 4, 4100);
	assert_true(a.joined);
	assert_int_equal(a.fresh_count, 0);
	workers_done(&ws);
}

static void
test_workers_bad_announcements_change_nothing(void **state)
{
	static const char *const names[] = {
		"", "a b", "w/1", "w\n",
		"0123456789012345678901234567890123456789012345678901234567890123"
	};
	struct model_info twice[2] = { { .id = "x", .owned_by = "", .digest = "" },
				       { .id = "x", .owned_by = "", .digest = "" } };
	struct model_info long_digest = {
		.id = "x",
		.owned_by = "",
		.digest = "01234567890123456789012345678901234567890123456789012345678901234"
	};
	struct announce a = {
		.worker = "w1", .backend = "local", .models = twice, .model_count = 2
	};
	struct workers ws;
	struct announced ret;
	struct worker *w;

	(void)state;
	workers_init(&ws, 0, 1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct announce bad = { .worker = names[i], .backend = "local" };

		assert_int_equal(
		    workers_announce(&ws, link_no(0), instances[0], NULL, &bad, 1, &ret, NULL),
		    IM_EINVAL);
	}
	assert_int_equal(workers_announce(&ws, link_no(0), instances[0], NULL, &a, 1, &ret, NULL),
			 IM_EINVAL);
	a.models = &long_digest;
	a.model_count = 1;
	assert_int_equal(workers_announce(&ws, link_no(0), instances[0], NULL, &a, 1, &ret, NULL),
			 IM_EINVAL);
	assert_int_equal(ws.count, 0);
	w = announce(&ws, 0, 0, NULL, "w1", 0, 1, 0, 4, 1000).worker;
	a.worker = "w2"; /* a link is one worker */
	assert_int_equal(workers_announce(&ws, link_no(0), instances[0], w, &a, 1, &ret, NULL),
			 IM_EINVAL);
	workers_done(&ws);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workers_announced_models_are_found),
		cmocka_unit_test(test_workers_two_with_other_weights_do_not_flap),
		cmocka_unit_test(test_workers_pick_balances_and_respects_capacity),
		cmocka_unit_test(test_workers_many_are_found_by_name_and_number),
		cmocka_unit_test(test_workers_lost_worker_is_remembered_for_a_while),
		cmocka_unit_test(test_workers_same_name_on_another_link_replaces),
		cmocka_unit_test(test_workers_bad_announcements_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
