/*
 * inference/worker_rig.c - a worker and its router for tests; see worker_rig.h.
 */
#include "inference/worker_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct router router;

static struct service_ops service;

static enum im_rc
start_with_fake(const struct service_env *env, void **ret, struct im_err *err)
{
	return worker_start(env, &fake_backend, ret, err);
}

static void
on_up(void *user, struct link *link)
{
	(void)user;
	router.link = link;
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	(void)user;
	(void)link;
	(void)why;
	router.link = NULL;
	loop_stop(router.loop);
}

static void
on_goaway(void *user, struct link *link)
{
	(void)user;
	(void)link;
	router.goaways++;
	loop_stop(router.loop);
}

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	struct arena arena = { 0 };
	struct announce a;
	size_t at;

	(void)user;
	(void)link;
	if (strcmp(req->method, METHOD_REPORT) == 0) {
		assert_int_equal(report_decode(req->body, req->body_len, &router.load, NULL),
				 IM_OK);
		router.reported++;
		served_end(served, NULL, NULL, 0);
		loop_stop(router.loop);
		return;
	}
	assert_string_equal(req->method, METHOD_ANNOUNCE);
	assert_int_equal(announce_decode(req->body, req->body_len, &arena, &a, NULL), IM_OK);
	at = (size_t)snprintf(router.announcement, sizeof(router.announcement),
			      "%s %s %u/%u+%u own %u x%u%s%s:", a.worker, a.backend,
			      a.load.in_flight, a.load.capacity, a.load.queued, a.load.own,
			      a.weight, a.backup ? " backup" : "", a.draining ? " draining" : "");
	for (size_t i = 0; i < a.model_count; i++)
		at += (size_t)snprintf(
		    router.announcement + at, sizeof(router.announcement) - at, " %s%s%s",
		    a.models[i].id, a.models[i].digest[0] != '\0' ? "=" : "", a.models[i].digest);
	router.draining = a.draining;
	router.load = a.load;
	router.announced++;
	arena_done(&arena);
	served_end(served, NULL, NULL, 0);
	loop_stop(router.loop);
}

static void
second_up(void *user, struct link *link)
{
	(void)user;
	router.second.link = link;
}

static void
second_down(void *user, struct link *link, const struct im_err *why)
{
	(void)user;
	(void)link;
	(void)why;
	router.second.link = NULL;
	loop_stop(router.loop);
}

static void
second_cancelled(void *user, struct served *served)
{
	(void)user;
	router.second.unanswered = NULL;
	served_end(served, NULL, NULL, 0);
}

static void
second_request(void *user, struct link *link, struct served *served,
	       const struct served_request *req)
{
	static const struct served_ops ops = { .cancelled = second_cancelled };
	struct arena arena = { 0 };
	struct announce a;

	(void)user;
	(void)link;
	loop_stop(router.loop);
	if (strcmp(req->method, METHOD_ANNOUNCE) == 0) {
		assert_int_equal(announce_decode(req->body, req->body_len, &arena, &a, NULL),
				 IM_OK);
		router.second.load = a.load;
		router.second.announced++;
		router.second.after = router.reported;
		arena_done(&arena);
		served_end(served, NULL, NULL, 0);
		return;
	}
	assert_string_equal(req->method, METHOD_REPORT);
	assert_int_equal(report_decode(req->body, req->body_len, &router.second.load, NULL), IM_OK);
	router.second.reported++;
	router.second.after = router.reported;
	if (router.second.silent) {
		assert_null(router.second.unanswered); /* one at a time */
		router.second.unanswered = served;
		served_accept(served, &ops, NULL);
		return;
	}
	served_end(served, NULL, NULL, 0);
}

void
answer_second(void)
{
	struct served *served = router.second.unanswered;

	assert_non_null(served);
	router.second.unanswered = NULL;
	ON_LOOP(served_end(served, NULL, NULL, 0));
}

static void
on_data(void *user, struct call *call, const uint8_t *body, size_t len)
{
	struct ask *a = user;
	struct arena arena = { 0 };
	struct generate_frame frame;

	assert_int_equal(generate_frame_decode(body, len, &arena, &frame, NULL), IM_OK);
	for (size_t i = 0; i < frame.delta_count; i++)
		(void)buf_append_str(&a->text, frame.deltas[i].content);
	a->frames++;
	arena_done(&arena);
	if (a->withhold)
		a->held_bytes += len;
	else
		call_grant(call, len);
	loop_stop(router.loop);
}

static void
on_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct ask *a = user;

	(void)call;
	assert_false(a->ended);
	a->ended = true;
	a->failed = err != NULL;
	if (err != NULL)
		a->err = *err;
	assert_int_equal(generate_end_decode(body, len, &a->end, NULL), IM_OK);
	loop_stop(router.loop);
}

static void
on_alarm(void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "nothing happened within 20 s\n");
	abort(); /* cmocka's jump out of a callback would leave the loop held */
}

static void
on_closed(void *arg)
{
	(void)arg;
	router.closed = true;
	loop_stop(router.loop);
}

static int
setup(bool two)
{
	static const char yaml[] =
	    "router: { addresses: ['inproc://router', 'inproc://second'] }\n"
	    "workers:\n  - name: w1\n    backend: upstream\n    url: http://127.0.0.1:1\n"
	    "    aliases: {small: m1, lost: nothing}\n"
	    "    weight: 250\n"
	    "    backup: true\n";
	static const struct endpoint_ops ops = {
		.up = on_up, .down = on_down, .goaway = on_goaway, .request = on_request
	};
	const struct net_params params = { .role = "router",
					   .name = "r",
					   .window_bytes = WINDOW_BYTES };
	static const struct endpoint_ops second = { .up = second_up,
						    .down = second_down,
						    .request = second_request };
	struct im_err err;

	memset(&router, 0, sizeof(router));
	memset(&fake_state, 0, sizeof(fake_state));
	router.alarm.fn = on_alarm;
	service = inference_service;
	service.start = start_with_fake;
	assert_int_equal(loop_new(&router.loop, &err), IM_OK);
	assert_int_equal(config_parse("t.yaml", yaml, sizeof(yaml) - 1, &router.config, &err),
			 IM_OK);
	loop_enter(router.loop);
	assert_int_equal(net_new(router.loop, &params, &router.net, &err), IM_OK);
	assert_int_equal(
	    net_listen(router.net, "inproc://router", &ops, NULL, &router.listener, &err), IM_OK);
	if (two)
		assert_int_equal(net_listen(router.net, "inproc://second", &second, NULL,
					    &router.second.listener, &err),
				 IM_OK);
	assert_int_equal(host_start(router.loop, router.config,
				    config_item(router.config, "workers", 0), &service, "w1", !two,
				    NULL, &router.host, &err),
			 IM_OK);
	loop_leave(router.loop);
	RUN_UNTIL(router.announced > 0 && (!two || router.second.announced > 0));
	return 0;
}

int
worker_rig_setup(void **state)
{
	(void)state;
	return setup(false);
}

int
worker_rig_setup_two_routers(void **state)
{
	(void)state;
	return setup(true);
}

void
stop_host(void)
{
	router.closed = false;
	ON_LOOP(host_stop(router.host, on_closed, NULL));
	RUN_UNTIL(router.closed);
	router.host = NULL;
}

int
worker_rig_teardown(void **state)
{
	(void)state;
	if (router.host != NULL)
		stop_host();
	router.closed = false;
	ON_LOOP(net_close(router.net, on_closed, NULL));
	RUN_UNTIL(router.closed);
	net_free(router.net);
	config_free(router.config);
	loop_free(router.loop);
	assert_int_equal(fake_state.jobs, 0);
	return 0;
}

static const struct call_ops ask_ops = { .data = on_data, .end = on_end };

static void
ask_over(struct link *link, struct ask *a, const char *method, const void *body, size_t len)
{
	struct call_request req = { .method = method,
				    .budget_ms = 5000,
				    .traceparent = "trace",
				    .body = body,
				    .body_len = len };

	ON_LOOP(assert_int_equal(call_start(link, &req, &ask_ops, a, &a->call, NULL), IM_OK));
}

void
ask_raw(struct ask *a, const char *method, const void *body, size_t len)
{
	ask_over(router.link, a, method, body, len);
}

static struct job *
ask_model(struct link *link, struct ask *a, const char *model)
{
	unsigned submits = fake_state.submits;
	struct message m = { .role = "user", .content = "hi" };
	struct generate_request req = { .model = model, .messages = &m, .message_count = 1 };
	struct buf body = { 0 };

	generate_request_encode(&req, &body);
	assert_true(buf_ok(&body));
	ask_over(link, a, METHOD_WORKER_GENERATE, body.data, body.len);
	buf_done(&body);
	while (fake_state.submits == submits && !a->ended) {
		struct loop_timer tick = { .fn = (loop_fn)loop_stop, .arg = router.loop };

		ON_LOOP(assert_int_equal(loop_timer_set(router.loop, &tick, 1000), IM_OK));
		loop_run(router.loop);
		ON_LOOP(loop_timer_cancel(router.loop, &tick));
	}
	return fake_state.last;
}

struct job *
ask(struct ask *a, const char *model)
{
	return ask_model(router.link, a, model);
}

struct job *
ask_second(struct ask *a, const char *model)
{
	return ask_model(router.second.link, a, model);
}
