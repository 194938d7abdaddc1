/*
 * router/route_table_test.c - routes, who goes where, what operators and ramps change, and what survives a restart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "router/route_table.h"

#define SESSIONS 20000

static const struct route_spec chat = { .model = "chat",
					.arms = { { "v1", 90 }, { "v2", 10 } },
					.arm_count = 2,
					.sticky = STICKY_SESSION,
					.fallback = { "small" },
					.fallback_count = 1,
					.answer = "later" };
static const struct route_actor ann = { "uid:1000", 5000000, 1000 };

static struct set_route
set_to(uint32_t v1, uint32_t v2)
{
	return (struct set_route){ .route = { .model = "chat",
					      .arms = { { "v1", v1 }, { "v2", v2 } },
					      .arm_count = 2,
					      .answer = "" } };
}

static size_t
arm_of(const struct route_plan *p, unsigned session)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "session-%u", session);
	return route_plan_choose(p, route_plan_key(p, 's', "acme", name));
}

static struct route_plan *
plan_of(uint32_t a, uint32_t b, uint32_t c)
{
	struct route_spec s = chat;

	s.arms[0].weight = a;
	s.arms[1].weight = b;
	s.arms[2] = (struct route_arm){ "v3", c };
	s.arm_count = 3;
	return route_plan_new(&s);
}

static void
test_route_shares_are_as_the_weights_say(void **state)
{
	struct route_plan *p = plan_of(90, 10, 0);
	unsigned count[3] = { 0 };

	(void)state;
	for (unsigned i = 0; i < SESSIONS; i++) {
		count[arm_of(p, i)]++;
	}
	/* 10 % of 20,000: 2,000, with a standard deviation of 42. */
	assert_in_range(count[1], 2000 - 5 * 42, 2000 + 5 * 42);
	assert_int_equal(count[2], 0);
	route_plan_unref(p);
}

static void
test_route_moves_nobody_but_to_the_arm_that_grows(void **state)
{
	struct route_plan *before = plan_of(80, 10, 10), *after = plan_of(80, 40, 10);
	unsigned moved = 0;

	(void)state;
	for (unsigned i = 0; i < SESSIONS; i++) {
		size_t a = arm_of(before, i), b = arm_of(after, i);

		assert_true(a == b || b == 1);
		moved += a != b;
	}
	/* From 10 % to 40/130. */
	assert_in_range(moved, SESSIONS * 0.19, SESSIONS * 0.23);
	route_plan_unref(before);
	route_plan_unref(after);
}

static void
test_route_key_tells_tenants_sorts_and_aliases_apart(void **state)
{
	struct route_plan *p = plan_of(1, 1, 1);
	struct route_spec other = chat;
	struct route_plan *q;

	(void)state;
	other.model = "other";
	q = route_plan_new(&other);
	assert_true(route_plan_key(p, 's', "a", "bc") == route_plan_key(p, 's', "a", "bc"));
	assert_true(route_plan_key(p, 's', "a", "bc") != route_plan_key(p, 's', "ab", "c"));
	assert_true(route_plan_key(p, 's', "a", "b") != route_plan_key(p, 'c', "a", "b"));
	assert_true(route_plan_key(p, 's', "a", "b") != route_plan_key(q, 's', "a", "b"));
	route_plan_unref(p);
	route_plan_unref(q);
}

static void
test_route_set_keeps_what_was_not_said(void **state)
{
	struct set_route change = set_to(50, 50);
	struct route_table t;
	struct route *r;
	struct im_err err;

	(void)state;
	route_table_init(&t);
	assert_null(route_table_find(&t, "chat"));
	assert_int_equal(route_table_configure(&t, &chat, &err), IM_OK);
	assert_int_equal(route_table_configure(&t, &chat, &err), IM_EEXIST);
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_OK);
	assert_ptr_equal(r, route_table_find(&t, "chat"));
	assert_int_equal(r->plan->spec.arms[1].weight, 50);
	assert_string_equal(r->plan->spec.fallback[0], "small");
	assert_string_equal(r->plan->spec.answer, "later");
	assert_true(r->by_operator);
	assert_string_equal(r->actor, "uid:1000");
	change = (struct set_route){ .route = { .model = "chat", .answer = "sorry" },
				     .set_answer = true };
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_OK);
	assert_int_equal(r->plan->spec.arm_count, 2);
	assert_int_equal(r->plan->spec.fallback_count, 1);
	change.set_fallback = true;
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_OK);
	assert_int_equal(r->plan->spec.fallback_count, 0);
	assert_string_equal(r->plan->spec.answer, "sorry");
	route_table_done(&t);
}

static void
test_route_set_that_is_wrong_changes_nothing(void **state)
{
	struct set_route change = set_to(0, 0);
	struct route_table t;
	struct route *r;
	struct im_err err;

	(void)state;
	route_table_init(&t);
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_EINVAL);
	assert_string_equal(err.param, "arms");
	change.route.arm_count = 0;
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_ENOTFOUND);
	assert_int_equal(t.count, 0);
	assert_int_equal(route_table_configure(&t, &chat, &err), IM_OK);
	change.route.model = "chta";
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_ENOTFOUND);
	assert_non_null(strstr(err.text, "did you mean chat?"));
	route_table_done(&t);
}

static void
test_route_reset_goes_back_to_the_file_or_away(void **state)
{
	struct set_route change = set_to(1, 1);
	struct route_table t;
	struct route *r;
	struct im_err err;

	(void)state;
	route_table_init(&t);
	assert_int_equal(route_table_configure(&t, &chat, &err), IM_OK);
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_OK);
	assert_int_equal(route_table_reset(&t, "chat", &ann, &r, &err), IM_OK);
	assert_int_equal(r->plan->spec.arms[0].weight, 90);
	assert_false(r->by_operator);
	change.route.model = "own";
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_OK);
	assert_int_equal(route_table_reset(&t, "own", &ann, &r, &err), IM_OK);
	assert_null(r);
	assert_null(route_table_find(&t, "own"));
	assert_int_equal(route_table_reset(&t, "own", &ann, &r, &err), IM_ENOTFOUND);
	route_table_done(&t);
}

static void
test_route_plan_in_use_outlives_its_route(void **state)
{
	struct set_route change = set_to(1, 1);
	struct route_table t;
	struct route_plan *held;
	struct route *r;
	struct im_err err;

	(void)state;
	route_table_init(&t);
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_OK);
	held = r->plan;
	route_plan_ref(held);
	assert_int_equal(route_table_reset(&t, "chat", &ann, &r, &err), IM_OK);
	route_table_count(&t, "chat", "v1", false, 1);
	assert_string_equal(held->spec.model, "chat");
	route_plan_unref(held);
	route_table_done(&t);
}

static void
test_route_counts_stay_with_arms_that_stay(void **state)
{
	struct set_route change = set_to(1, 1);
	struct route_table t;
	struct route *r;
	struct im_err err;

	(void)state;
	route_table_init(&t);
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_OK);
	r->counts[0].requests = r->counts[1].requests = 1;
	route_table_count(&t, "chat", "v1", false, 10);
	route_table_count(&t, "chat", "v2", true, 10);
	route_table_count(&t, "chat", "gone", true, 10);
	route_table_count(&t, "none", "v2", true, 10);
	change.route.arms[0].model = "v0";
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_OK);
	assert_int_equal(r->counts[0].requests, 0);
	assert_int_equal(r->counts[1].requests, 1);
	assert_int_equal(r->counts[1].failed, 1);
	route_table_done(&t);
}

struct told {
	unsigned count;
	char what[400];
};

static void
tell(void *user, struct route *route, const char *what)
{
	struct told *told = user;

	(void)route;
	told->count++;
	(void)snprintf(told->what, sizeof(told->what), "%s", what);
}

static const struct ramp_route to_v2 = { "chat", { "v2", 50, 1000, 10000, 0, 10 }, false };

static void
begin(struct route_table *t, struct route **ret)
{
	struct im_err err;

	route_table_init(t);
	assert_int_equal(route_table_configure(t, &chat, &err), IM_OK);
	assert_int_equal(route_table_ramp(t, &to_v2, &ann, ret, &err), IM_OK);
}

static void
end_ten(struct route_table *t, bool failed)
{
	for (unsigned i = 0; i < 10; i++) {
		route_table_count(t, "chat", "v2", failed, 1000);
	}
}

static void
test_route_ramp_steps_and_ends_with_the_arm_alone(void **state)
{
	struct route_table t;
	struct told told = { 0 };
	struct route *r;

	(void)state;
	begin(&t, &r);
	assert_int_equal(r->plan->spec.arms[1].weight, 6000); /* 10 % and one step */
	assert_int_equal(r->plan->spec.arms[0].weight, 4000);
	end_ten(&t, false);
	route_table_tick(&t, 1, 2000, tell, &told);
	assert_string_equal(told.what, "ramp: 100%");
	assert_int_equal(r->plan->spec.arms[0].weight, 0);
	end_ten(&t, false);
	route_table_tick(&t, 1, 3000, tell, &told);
	assert_string_equal(told.what, "ramp done");
	route_table_tick(&t, 1, 9000, tell, &told);
	assert_int_equal(told.count, 2);
	assert_string_equal(r->actor, "uid:1000");
	route_table_done(&t);
}

static void
test_route_ramp_that_fails_restores_what_was_before(void **state)
{
	struct route_table t;
	struct told told = { 0 };
	struct route *r;

	(void)state;
	begin(&t, &r);
	end_ten(&t, true);
	route_table_tick(&t, 1, 1001, tell, &told);
	assert_non_null(strstr(told.what, "ramp rolled back: 10 of 10 requests to v2 failed"));
	assert_int_equal(r->plan->spec.arms[0].weight, 90);
	assert_int_equal(r->plan->spec.arms[1].weight, 10);
	assert_int_equal(r->ramp->state, RAMP_ROLLED_BACK);
	route_table_done(&t);
}

static void
test_route_ramp_adds_an_arm_that_the_route_does_not_have(void **state)
{
	struct ramp_route to_v3 = to_v2;
	struct route_table t;
	struct route *r;
	struct im_err err;

	(void)state;
	route_table_init(&t);
	assert_int_equal(route_table_configure(&t, &chat, &err), IM_OK);
	to_v3.spec.arm = "v3";
	assert_int_equal(route_table_ramp(&t, &to_v3, &ann, &r, &err), IM_OK);
	assert_int_equal(r->plan->spec.arm_count, 3);
	assert_int_equal(r->plan->spec.arms[2].weight, 5000);
	assert_int_equal(r->plan->spec.arms[0].weight, 4500);
	assert_int_equal(route_table_abort(&t, "chat", &ann, &r, &err), IM_OK);
	assert_int_equal(r->plan->spec.arm_count, 2);
	assert_int_equal(route_table_abort(&t, "chat", &ann, &r, &err), IM_ENOTFOUND);
	route_table_done(&t);
}

static void
test_route_ramp_that_makes_no_sense_is_refused(void **state)
{
	struct ramp_route what = to_v2;
	struct set_route all = set_to(0, 100);
	struct route_table t;
	struct route *r;
	struct im_err err;

	(void)state;
	begin(&t, &r);
	assert_int_equal(route_table_ramp(&t, &to_v2, &ann, &r, &err), IM_EEXIST);
	what.model = "none";
	assert_int_equal(route_table_ramp(&t, &what, &ann, &r, &err), IM_ENOTFOUND);
	assert_int_equal(route_table_set(&t, &all, &ann, &r, &err), IM_OK);
	assert_int_equal(r->ramp->state, RAMP_ABORTED);
	assert_int_equal(route_table_ramp(&t, &to_v2, &ann, &r, &err), IM_EINVAL);
	route_table_done(&t);
}

/* Through bytes, as on disk. */
static void
restart(const struct route_table *from, struct route_table *to)
{
	struct route_list list, kept;
	struct arena arena = { 0 };
	struct buf bytes = { 0 };
	struct im_err err;

	assert_true(route_table_list(from, true, 0, &arena, &list));
	route_list_encode(&list, &bytes);
	assert_int_equal(route_list_decode(bytes.data, bytes.len, &arena, &kept, &err), IM_OK);
	route_table_init(to);
	assert_int_equal(route_table_configure(to, &chat, &err), IM_OK);
	for (size_t i = 0; i < kept.count; i++) {
		assert_int_equal(route_table_import(to, &kept.routes[i], 70000, &err), IM_OK);
	}
	buf_done(&bytes);
	arena_done(&arena);
}

static void
test_route_of_an_operator_survives_a_restart_over_the_file(void **state)
{
	struct set_route change = set_to(30, 70);
	struct route_table t, again;
	struct route *r;
	struct im_err err;

	(void)state;
	route_table_init(&t);
	assert_int_equal(route_table_configure(&t, &chat, &err), IM_OK);
	assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_OK);
	restart(&t, &again);
	r = route_table_find(&again, "chat");
	assert_int_equal(r->plan->spec.arms[1].weight, 70);
	assert_string_equal(r->plan->spec.fallback[0], "small");
	assert_string_equal(r->actor, "uid:1000");
	assert_int_equal(r->changed_us, 5000000);
	assert_int_equal(route_table_reset(&again, "chat", &ann, &r, &err), IM_OK);
	assert_int_equal(r->plan->spec.arms[1].weight, 10);
	route_table_done(&t);
	route_table_done(&again);
}

static void
test_route_ramp_goes_on_after_a_restart_with_an_empty_window(void **state)
{
	struct route_table t, again;
	struct told told = { 0 };
	struct route *r;

	(void)state;
	begin(&t, &r);
	end_ten(&t, false);
	restart(&t, &again);
	r = route_table_find(&again, "chat");
	assert_int_equal(r->ramp->state, RAMP_RUNNING);
	assert_int_equal(r->ramp->arm.requests, 0);
	assert_int_equal(r->plan->spec.arms[1].weight, 6000);
	route_table_tick(&again, 1, 71000, tell, &told);
	assert_int_equal(told.count, 0);
	end_ten(&again, true);
	route_table_tick(&again, 1, 71001, tell, &told);
	assert_int_equal(r->plan->spec.arms[1].weight, 10); /* before the ramp, and the restart */
	route_table_done(&t);
	route_table_done(&again);
}

static void
test_route_list_is_sorted_by_name(void **state)
{
	struct set_route change = set_to(1, 1);
	struct route_table t;
	struct route_list list;
	struct arena arena = { 0 };
	struct route *r;
	struct im_err err;

	(void)state;
	route_table_init(&t);
	for (unsigned i = 0; i < 50; i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "m%02u", (i * 7) % 50);
		change.route.model = name;
		assert_int_equal(route_table_set(&t, &change, &ann, &r, &err), IM_OK);
	}
	assert_true(route_table_list(&t, false, 0, &arena, &list));
	assert_int_equal(list.count, 50);
	for (size_t i = 1; i < 50; i++) {
		assert_true(strcmp(list.routes[i - 1].route.model, list.routes[i].route.model) < 0);
	}
	arena_done(&arena);
	route_table_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_route_shares_are_as_the_weights_say),
		cmocka_unit_test(test_route_moves_nobody_but_to_the_arm_that_grows),
		cmocka_unit_test(test_route_key_tells_tenants_sorts_and_aliases_apart),
		cmocka_unit_test(test_route_set_keeps_what_was_not_said),
		cmocka_unit_test(test_route_set_that_is_wrong_changes_nothing),
		cmocka_unit_test(test_route_reset_goes_back_to_the_file_or_away),
		cmocka_unit_test(test_route_plan_in_use_outlives_its_route),
		cmocka_unit_test(test_route_counts_stay_with_arms_that_stay),
		cmocka_unit_test(test_route_ramp_steps_and_ends_with_the_arm_alone),
		cmocka_unit_test(test_route_ramp_that_fails_restores_what_was_before),
		cmocka_unit_test(test_route_ramp_adds_an_arm_that_the_route_does_not_have),
		cmocka_unit_test(test_route_ramp_that_makes_no_sense_is_refused),
		cmocka_unit_test(test_route_of_an_operator_survives_a_restart_over_the_file),
		cmocka_unit_test(test_route_ramp_goes_on_after_a_restart_with_an_empty_window),
		cmocka_unit_test(test_route_list_is_sorted_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
