/*
 * inference/worker_operator_test.c - operators of a worker over an in-process link: who may ask, what is refused, and changes that go on
 * without the one who asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/fake_backend.h"
#include "inference/worker.h"

/* One end of the mesh that dials the worker. */
static struct {
	struct loop *loop;
	struct config *config;
	struct net *net;
	struct link *link;
	struct host *host;
	struct loop_timer alarm;
	bool up, closed;
} peer;

/* A call and its end. */
struct reply {
	struct call *call;
	bool ended;
	enum im_rc rc;
	char text[512];
	struct buf body;
};

/* What the backend was told to change, and whom to tell. */
static struct {
	unsigned changes;
	enum model_change what;
	char model[64];
	backend_changed_fn done;
	void *user;
} told;

static struct backend_ops with_models;
static struct service_ops service;

static void
list(const struct backend *b, struct model_states *ret)
{
	(void)b;
	*ret = (struct model_states){ .model = { { .name = "m1", .state = "ready" } }, .count = 1 };
}

static enum im_rc
change(struct backend *b, enum model_change what, const char *model, backend_changed_fn done,
       void *user, struct im_err *err)
{
	(void)b;
	if (strcmp(model, "m1") != 0)
		return err_set(err, IM_ENOTFOUND, "no such model");
	told.changes++;
	told.what = what;
	(void)snprintf(told.model, sizeof(told.model), "%s", model);
	told.done = done;
	told.user = user;
	return IM_OK;
}

static enum im_rc
start(const struct service_env *env, void **ret, struct im_err *err)
{
	return worker_start(env, &with_models, ret, err);
}

static void
on_up(void *user, struct link *link)
{
	(void)user;
	peer.link = link;
	peer.up = true;
	loop_stop(peer.loop);
}

static void
on_alarm(void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "nothing happened within 60 s\n");
	abort();
}

static void
on_closed(void *arg)
{
	(void)arg;
	peer.closed = true;
	loop_stop(peer.loop);
}

static void
run_until(const bool *done)
{
	loop_enter(peer.loop);
	assert_int_equal(loop_timer_set(peer.loop, &peer.alarm, 60000000), IM_OK);
	loop_leave(peer.loop);
	while (!*done)
		loop_run(peer.loop);
	loop_enter(peer.loop);
	loop_timer_cancel(peer.loop, &peer.alarm);
	loop_leave(peer.loop);
}

static void
set_up(const char *role)
{
	static const char yaml[] =
	    "router: { addresses: ['inproc://router'] }\n"
	    "workers:\n  - {name: w1, backend: local, operators: 'inproc://w1'}\n";
	static const struct endpoint_ops ops = { .up = on_up };
	const struct net_params params = { .role = role, .name = "root" };
	struct endpoint *dialer;
	struct im_err err;

	memset(&peer, 0, sizeof(peer));
	memset(&told, 0, sizeof(told));
	memset(&fake_state, 0, sizeof(fake_state));
	peer.alarm.fn = on_alarm;
	with_models = fake_backend;
	with_models.list = list;
	with_models.change = change;
	service = inference_service;
	service.start = start;
	service.reports = false;
	assert_int_equal(loop_new(&peer.loop, &err), IM_OK);
	if (config_parse("t.yaml", yaml, sizeof(yaml) - 1, &peer.config, &err) != IM_OK)
		fail_msg("%s", err.text);
	loop_enter(peer.loop);
	assert_int_equal(host_start(peer.loop, peer.config, config_item(peer.config, "workers", 0),
				    &service, "w1", true, NULL, &peer.host, &err),
			 IM_OK);
	assert_int_equal(net_new(peer.loop, &params, &peer.net, &err), IM_OK);
	assert_int_equal(net_dial(peer.net, "inproc://w1", &ops, NULL, &dialer, &err), IM_OK);
	loop_leave(peer.loop);
	run_until(&peer.up);
}

static void
stop_worker(void)
{
	peer.closed = false;
	loop_enter(peer.loop);
	host_stop(peer.host, on_closed, NULL);
	loop_leave(peer.loop);
	run_until(&peer.closed);
	peer.host = NULL;
}

static void
tear_down(void)
{
	if (peer.host != NULL)
		stop_worker();
	peer.closed = false;
	loop_enter(peer.loop);
	net_close(peer.net, on_closed, NULL);
	loop_leave(peer.loop);
	run_until(&peer.closed);
	net_free(peer.net);
	config_free(peer.config);
	loop_free(peer.loop);
}

static void
on_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct reply *r = user;

	(void)call;
	r->ended = true;
	r->rc = err != NULL ? err->rc : IM_OK;
	(void)snprintf(r->text, sizeof(r->text), "%s", err != NULL ? err->text : "");
	(void)buf_append(&r->body, body, len);
	loop_stop(peer.loop);
}

static void
begin(struct reply *r, const char *method, const struct buf *body)
{
	static const struct call_ops ops = { .end = on_end };
	const struct call_request req = { .method = method,
					  .body = body->data,
					  .body_len = body->len };

	*r = (struct reply){ .ended = false };
	loop_enter(peer.loop);
	assert_int_equal(call_start(peer.link, &req, &ops, r, &r->call, NULL), IM_OK);
	loop_leave(peer.loop);
}

static void
begin_change(struct reply *r, const char *model, int what)
{
	struct buf body = { 0 };

	change_model_encode(&(struct change_model){ model, (enum model_change)what }, &body);
	begin(r, METHOD_CHANGE_MODEL, &body);
	buf_done(&body);
}

static enum im_rc
refused(const char *model, int what)
{
	struct reply r;

	begin_change(&r, model, what);
	run_until(&r.ended);
	buf_done(&r.body);
	return r.rc;
}

static void
end_change(const struct im_err *err)
{
	const struct backend_changed c = { told.what, told.model, "00", "ff" };

	loop_enter(peer.loop);
	told.done(told.user, err, &c);
	loop_leave(peer.loop);
}

/* Until the backend has been told. */
static void
run_until_told(void)
{
	while (told.done == NULL) {
		struct loop_timer t = { .fn = on_closed };

		loop_enter(peer.loop);
		assert_int_equal(loop_timer_set(peer.loop, &t, 1000), IM_OK);
		loop_leave(peer.loop);
		loop_run(peer.loop);
		loop_enter(peer.loop);
		loop_timer_cancel(peer.loop, &t);
		loop_leave(peer.loop);
	}
}

static void
test_operator_lists_and_changes_models(void **state)
{
	const struct buf empty = { 0 };
	struct arena arena = { 0 };
	struct model_states s;
	struct model_changed c;
	struct im_err err;
	struct reply r;

	(void)state;
	set_up("operator");
	begin(&r, METHOD_MODELS, &empty);
	run_until(&r.ended);
	assert_int_equal(model_states_decode(r.body.data, r.body.len, &arena, &s, &err), IM_OK);
	assert_int_equal(s.count, 1);
	assert_string_equal(s.model[0].name, "m1");
	buf_done(&r.body);
	begin_change(&r, "m1", MODEL_CHANGE_RELOAD);
	run_until_told();
	assert_int_equal(told.what, MODEL_CHANGE_RELOAD);
	assert_false(r.ended);
	end_change(NULL);
	run_until(&r.ended);
	assert_int_equal(r.rc, IM_OK);
	assert_int_equal(model_changed_decode(r.body.data, r.body.len, &arena, &c, &err), IM_OK);
	assert_string_equal(c.before, "00");
	assert_string_equal(c.after, "ff");
	buf_done(&r.body);
	told.done = NULL;
	begin_change(&r, "m1", MODEL_CHANGE_LOAD);
	run_until_told();
	(void)err_set(&err, IM_ECORRUPT, "cut");
	end_change(&err);
	run_until(&r.ended);
	assert_int_equal(r.rc, IM_ECORRUPT);
	assert_string_equal(r.text, "cut");
	buf_done(&r.body);
	arena_done(&arena);
	tear_down();
}

static void
test_operator_mistakes_are_refused(void **state)
{
	char model[GENERATE_MODEL_MAX + 2];
	const struct buf empty = { 0 };
	struct reply r;

	(void)state;
	set_up("operator");
	memset(model, 'm', sizeof(model) - 1);
	model[sizeof(model) - 1] = '\0';
	assert_int_equal(refused(model, MODEL_CHANGE_LOAD), IM_EINVAL);
	assert_int_equal(refused("", MODEL_CHANGE_LOAD), IM_EINVAL);
	assert_int_equal(refused("m1", 0), IM_EINVAL);
	assert_int_equal(refused("m1", MODEL_CHANGE_VERIFY + 1), IM_EINVAL);
	assert_int_equal(refused("m1", -1), IM_EINVAL);
	assert_int_equal(refused("m2", MODEL_CHANGE_LOAD), IM_ENOTFOUND);
	begin(&r, "Inference/Generate", &empty);
	run_until(&r.ended);
	assert_int_equal(r.rc, IM_EMETHOD);
	buf_done(&r.body);
	assert_int_equal(told.changes, 0);
	tear_down();
}

static void
test_operator_is_none_and_may_not_ask(void **state)
{
	const struct buf empty = { 0 };
	struct reply r;

	(void)state;
	set_up("client");
	assert_int_equal(refused("m1", MODEL_CHANGE_UNLOAD), IM_EPERM);
	begin(&r, METHOD_MODELS, &empty);
	run_until(&r.ended);
	assert_int_equal(r.rc, IM_EPERM);
	buf_done(&r.body);
	assert_int_equal(told.changes, 0);
	tear_down();
}

static void
test_operator_leaves_and_the_change_goes_on(void **state)
{
	const struct buf empty = { 0 };
	struct reply r, after;

	(void)state;
	set_up("operator");
	begin_change(&r, "m1", MODEL_CHANGE_RELOAD);
	run_until_told();
	loop_enter(peer.loop);
	call_cancel(r.call);
	loop_leave(peer.loop);
	begin(&after, METHOD_MODELS, &empty); /* behind the cancel on the same link */
	run_until(&after.ended);
	buf_done(&after.body);
	end_change(NULL);
	assert_false(r.ended);
	tear_down();
}

static void
test_operator_waits_while_the_worker_stops_and_is_told(void **state)
{
	struct im_err err;
	struct reply r;

	(void)state;
	set_up("operator");
	begin_change(&r, "m1", MODEL_CHANGE_RELOAD);
	run_until_told();
	/* The backend tells as it must, before it is gone: here it is told for it. */
	loop_enter(peer.loop);
	peer.closed = false;
	(void)err_set(&err, IM_EUNAVAILABLE, "stopped");
	told.done(told.user, &err, &(struct backend_changed){ MODEL_CHANGE_RELOAD, "m1", "", "" });
	host_stop(peer.host, on_closed, NULL);
	peer.host = NULL;
	loop_leave(peer.loop);
	run_until(&peer.closed);
	run_until(&r.ended);
	assert_int_equal(r.rc, IM_EUNAVAILABLE);
	buf_done(&r.body);
	tear_down();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operator_lists_and_changes_models),
		cmocka_unit_test(test_operator_mistakes_are_refused),
		cmocka_unit_test(test_operator_is_none_and_may_not_ask),
		cmocka_unit_test(test_operator_leaves_and_the_change_goes_on),
		cmocka_unit_test(test_operator_waits_while_the_worker_stops_and_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
