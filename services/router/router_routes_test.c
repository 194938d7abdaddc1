/*
 * router/router_routes_test.c - routes among fakes: what is asked of workers and caches, and who may change a route. Workers serve
 * "demo" and "other". What falls back is in router_fallback_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "router/core.h"
#include "router/fake_mesh.h"
#include "wire/operator.h"

#define ROUTE(more) "routes: [{model: chat, arms: {demo: 1}" more "}]\n"

static void
ask_well(struct mesh *m, struct ask *ask, const char *method, const char *model)
{
	mesh_ask(m, ask, method, model, "hi", 0);
	MESH_WAIT(m, ask->ended);
	assert_false(ask->failed);
}

static void
test_route_is_served_and_recorded_as_its_arm(void **state)
{
	struct mesh *m = mesh_start_with("", ROUTE(""), "gateway");
	struct ask a = { 0 }, b = { 0 };
	const struct recorded *r;

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	ask_well(m, &a, METHOD_GENERATE, "chat");
	assert_string_equal(a.head_model, "demo");
	assert_string_equal(a.fallback, "");
	mesh_settled(m);
	r = mesh_last(m, RECORD_RESPONSE);
	assert_string_equal(r->model, "demo");
	assert_string_equal(r->route, "chat");
	assert_string_equal(r->arm, "demo");
	assert_string_equal(r->fallback, "");
	MESH_WAIT(m, m->entry_count == 1);
	ask_well(m, &b, METHOD_GENERATE, "demo"); /* the arm's own answer */
	assert_string_equal(b.cache, "hit-l1");
	mesh_settled(m);
	assert_string_equal(mesh_last(m, RECORD_RESPONSE)->route, "");
	assert_true(mesh_metric(
	    m, "infermesh_router_route_requests_total{route=\"chat\",arm=\"demo\"} 1\n"));
	ask_done(&a);
	ask_done(&b);
	mesh_stop(m);
}

/* One call of an operator's method. */
struct asked {
	bool ended;
	struct im_err err;
	struct buf reply;
};

static void
asked_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct asked *a = user;

	(void)call;
	a->ended = true;
	a->err = err != NULL ? *err : (struct im_err){ 0 };
	buf_append(&a->reply, body, len);
}

static void
begin_operator(struct mesh *m, const char *method, const struct buf *body, struct asked *ret)
{
	static const struct call_ops ops = { .end = asked_end };
	struct call_request req = { .method = method, .body = body->data, .body_len = body->len };
	struct call *call;
	struct im_err err;

	*ret = (struct asked){ 0 };
	loop_enter(m->loop);
	assert_int_equal(call_start(m->caller_link, &req, &ops, ret, &call, &err), IM_OK);
	loop_leave(m->loop);
}

static void
ask_operator(struct mesh *m, const char *method, const struct buf *body, struct asked *ret)
{
	begin_operator(m, method, body, ret);
	MESH_WAIT(m, ret->ended);
}

static void
set_chat(struct mesh *m, uint32_t demo, uint32_t other, struct asked *ret)
{
	const struct set_route s = { .route = { .model = "chat",
						.arms = { { "demo", demo }, { "other", other } },
						.arm_count = 2 } };
	struct buf body = BUF_INIT(0);

	set_route_encode(&s, &body);
	ask_operator(m, METHOD_SET_ROUTE, &body, ret);
	buf_done(&body);
}

static void
test_route_set_by_an_operator_holds_at_once_and_is_recorded(void **state)
{
	struct mesh *m = mesh_start_with("", ROUTE(""), "operator");
	struct ask a = { .warm = true };
	struct asked asked;
	const struct recorded *r;

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	set_chat(m, 0, 1, &asked);
	assert_int_equal(asked.err.rc, IM_OK);
	buf_done(&asked.reply);
	assert_int_equal(mesh_count(m, RECORD_ROUTE_CHANGE, OUTCOME_NONE),
			 1); /* before the answer */
	r = mesh_last(m, RECORD_ROUTE_CHANGE);
	assert_string_equal(r->route, "chat");
	assert_string_equal(r->reason, "set");
	assert_memory_equal(r->caller, "operator:", 9);
	ask_well(m, &a, METHOD_GENERATE, "chat");
	assert_string_equal(a.head_model, "other");
	set_chat(m, 0, 0, &asked);
	assert_int_equal(asked.err.rc, IM_EINVAL);
	buf_done(&asked.reply);
	mesh_settled(m);
	ask_done(&a);
	mesh_stop(m);
}

static void
test_route_set_without_an_audit_log_is_refused(void **state)
{
	struct mesh *m = mesh_start_with("", ROUTE(""), "operator");
	struct asked asked;

	(void)state;
	mesh_audit_down(m);
	MESH_WAIT(m, mesh_metric(m, "infermesh_audit_records_pending 0\n"));
	set_chat(m, 1, 1, &asked);
	assert_int_equal(asked.err.rc, IM_EUNAVAILABLE);
	assert_string_equal(asked.err.reason, "audit_unavailable");
	buf_done(&asked.reply);
	mesh_audit_up(m);
	mesh_stop(m);
}

static void
test_route_methods_are_for_operators_only(void **state)
{
	static const char *const methods[] = { METHOD_LIST_ROUTES, METHOD_SET_ROUTE,
					       METHOD_RAMP_ROUTE, METHOD_SET_WORKER };
	struct mesh *m = mesh_start_with("", ROUTE(""), "gateway");
	struct buf empty = BUF_INIT(0);

	(void)state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		struct asked asked;

		ask_operator(m, methods[i], &empty, &asked);
		assert_int_equal(asked.err.rc, IM_EPERM);
		buf_done(&asked.reply);
	}
	mesh_stop(m);
}

static void
test_worker_set_that_names_nobody_names_the_nearest(void **state)
{
	struct mesh *m = mesh_start_with("", "", "operator");
	const struct set_worker s = { "w2", WORKER_CHANGE_DRAIN, 0 };
	struct buf body = BUF_INIT(0);
	struct asked asked;

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	set_worker_encode(&s, &body);
	ask_operator(m, METHOD_SET_WORKER, &body, &asked);
	assert_int_equal(asked.err.rc, IM_ENOTFOUND);
	assert_non_null(strstr(asked.err.text, "did you mean w1?"));
	buf_done(&asked.reply);
	buf_done(&body);
	mesh_stop(m);
}

static struct worker_status
set_worker(struct mesh *m, const struct set_worker *s, struct arena *arena)
{
	struct buf body = BUF_INIT(0);
	struct worker_status w;
	struct asked asked;

	set_worker_encode(s, &body);
	ask_operator(m, METHOD_SET_WORKER, &body, &asked);
	assert_int_equal(asked.err.rc, IM_OK);
	assert_int_equal(
	    worker_status_decode(asked.reply.data, asked.reply.len, arena, &w, &asked.err), IM_OK);
	buf_done(&asked.reply);
	buf_done(&body);
	return w;
}

static void
test_worker_drain_and_weight_survive_a_restart_of_the_router(void **state)
{
	const struct set_worker drain = { "w1", WORKER_CHANGE_DRAIN, 0 };
	const struct set_worker undrain = { "w1", WORKER_CHANGE_UNDRAIN, 0 };
	const struct set_worker weight = { "w1", WORKER_CHANGE_WEIGHT, 50 };
	char dir[] = "/tmp/routes-test-XXXXXX", yaml[128], path[64];
	struct arena arena = { 0 };
	struct worker_status w;
	struct mesh *m;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/routes", dir);
	(void)snprintf(yaml, sizeof(yaml), "routes_file: '%s'", path);
	m = mesh_start_with(yaml, "", "operator");
	(void)mesh_worker(m, 0, "w1", 4);
	(void)set_worker(m, &drain, &arena);
	(void)set_worker(m, &weight, &arena);
	mesh_settled(m);
	mesh_stop(m);

	m = mesh_start_with(yaml, "", "operator");
	w = set_worker(m, &weight, &arena); /* it can be named before it is back */
	assert_string_equal(w.state, "gone");
	assert_true(w.drained_by_operator);
	(void)mesh_worker(m, 0, "w1", 4);
	w = set_worker(m, &weight, &arena);
	assert_string_equal(w.state, "draining");
	assert_int_equal(w.weight, 50);
	w = set_worker(m, &undrain, &arena);
	assert_string_equal(w.state, "ready");
	mesh_settled(m);
	mesh_stop(m);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	arena_done(&arena);
}

static void
test_route_list_shows_as_many_routes_as_there_may_be(void **state)
{
	enum {
		AT_ONCE = 64
	};
	struct mesh *m = mesh_start_with("audit_mode: 'off'", "", "operator");
	struct asked sets[AT_ONCE] = { 0 };
	struct arena arena = { 0 };
	struct buf body = BUF_INIT(0);
	struct route_list list;
	struct asked asked;
	struct im_err err;

	(void)state;
	for (unsigned i = 0; i < ROUTES_MAX; i++) {
		struct asked *set = &sets[i % AT_ONCE];
		struct set_route r = { .route = { .arms = { { "demo", 1 } }, .arm_count = 1 } };
		char name[16];

		MESH_WAIT(m, i < AT_ONCE || set->ended);
		assert_int_equal(set->err.rc, IM_OK);
		buf_done(&set->reply);
		(void)snprintf(name, sizeof(name), "r%u", i);
		r.route.model = name;
		buf_clear(&body);
		set_route_encode(&r, &body);
		begin_operator(m, METHOD_SET_ROUTE, &body, set);
	}
	for (unsigned i = 0; i < AT_ONCE; i++) {
		MESH_WAIT(m, sets[i].ended);
		buf_done(&sets[i].reply);
	}
	buf_clear(&body);
	ask_operator(m, METHOD_LIST_ROUTES, &body, &asked);
	assert_string_equal(asked.err.text, "");
	assert_int_equal(route_list_decode(asked.reply.data, asked.reply.len, &arena, &list, &err),
			 IM_OK);
	assert_int_equal(list.count, ROUTES_MAX);
	buf_done(&asked.reply);
	buf_done(&body);
	arena_done(&arena);
	mesh_stop(m);
}

static void
show_ramp(struct mesh *m, struct arena *arena, struct ramp_status *ret)
{
	const struct buf none = BUF_INIT(0);
	struct route_list list;
	struct asked asked;

	mesh_turn(m); /* the answer may be there without one */
	ask_operator(m, METHOD_LIST_ROUTES, &none, &asked);
	assert_int_equal(
	    route_list_decode(asked.reply.data, asked.reply.len, arena, &list, &asked.err), IM_OK);
	assert_int_equal(list.count, 1);
	*ret = list.routes[0].ramp;
	buf_done(&asked.reply);
}

static void
test_ramp_makes_no_step_while_the_audit_log_is_away(void **state)
{
	const struct ramp_route what = { "chat", { "other", 50, 200, 1000000, 0, 1 }, false };
	struct mesh *m = mesh_start_with("", ROUTE(", sticky: 'off'"), "operator");
	struct arena arena = { 0 };
	struct buf body = BUF_INIT(0);
	struct ramp_status ramp;
	struct asked asked;

	(void)state;
	(void)mesh_worker(m, 0, "w1", 4);
	ramp_route_encode(&what, &body);
	ask_operator(m, METHOD_RAMP_ROUTE, &body, &asked);
	assert_int_equal(asked.err.rc, IM_OK);
	buf_done(&asked.reply);
	buf_done(&body);
	do {
		struct ask a = { .warm = true };

		ask_well(m, &a, METHOD_GENERATE, "chat");
		ask_done(&a);
		show_ramp(m, &arena, &ramp);
	} while (ramp.arm.requests == 0);
	assert_int_equal(ramp.percent, 50);
	mesh_settled(m);
	mesh_audit_down(m);
	do {
		show_ramp(m, &arena, &ramp);
	} while (ramp.percent == 50 && ramp.step_ms < 3 * what.spec.every_ms);
	assert_int_equal(ramp.percent, 50);
	mesh_audit_up(m);
	do {
		show_ramp(m, &arena, &ramp);
	} while (ramp.percent == 50);
	assert_int_equal(ramp.percent, 100);
	arena_done(&arena);
	mesh_settled(m);
	mesh_stop(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_route_is_served_and_recorded_as_its_arm),
		cmocka_unit_test(test_route_set_by_an_operator_holds_at_once_and_is_recorded),
		cmocka_unit_test(test_route_set_without_an_audit_log_is_refused),
		cmocka_unit_test(test_route_methods_are_for_operators_only),
		cmocka_unit_test(test_worker_set_that_names_nobody_names_the_nearest),
		cmocka_unit_test(test_worker_drain_and_weight_survive_a_restart_of_the_router),
		cmocka_unit_test(test_ramp_makes_no_step_while_the_audit_log_is_away),
		cmocka_unit_test(test_route_list_shows_as_many_routes_as_there_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
