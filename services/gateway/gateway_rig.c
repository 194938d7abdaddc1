/*
 * gateway/gateway_rig.c - the gateway and its router in tests; see gateway_rig.h.
 */
#include "gateway/gateway_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "gateway/gateway_state.h"

#define PATIENCE_US 10000000ULL
#define URL         "inproc://router"

static void
nap(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void
await_done(struct rig *r)
{
	uint64_t until_us = clock_mono_us() + PATIENCE_US;

	while (!atomic_load(&r->done)) {
		if (clock_mono_us() > until_us)
			fail_msg("something does not end");
		nap();
	}
	atomic_store(&r->done, false);
}

static void
on_done(void *arg)
{
	struct rig *r = arg;

	atomic_store(&r->done, true);
}

/* The router. */

static void
frame_send(struct rig *r, const struct generate_frame *frame)
{
	struct buf bytes = { 0 };

	generate_frame_encode(frame, &bytes);
	assert_int_equal(served_send(r->served, bytes.data, bytes.len), IM_OK);
	buf_done(&bytes);
}

static void
end_well(struct rig *r, const struct usage *usage)
{
	struct generate_end end = { .has_usage = usage != NULL };
	struct buf bytes = { 0 };

	if (usage != NULL)
		end.usage = *usage;
	generate_end_encode(&end, &bytes);
	served_end(r->served, NULL, bytes.data, bytes.len);
	r->served = NULL;
	buf_done(&bytes);
}

static void
flood_on(struct rig *r)
{
	static char text[4097];
	struct delta d = { .role = "", .content = text, .finish_reason = "" };
	const struct generate_frame frame = { .deltas = &d, .delta_count = 1 };
	struct buf bytes = { 0 };

	memset(text, 'x', sizeof(text) - 1);
	while (r->flood_left > 0) {
		if (r->flood_left == 1)
			d.finish_reason = "stop";
		buf_clear(&bytes);
		generate_frame_encode(&frame, &bytes);
		if (served_send(r->served, bytes.data, bytes.len) != IM_OK) {
			atomic_store(&r->flood_blocked, true);
			buf_done(&bytes);
			return;
		}
		atomic_fetch_add(&r->flood_sent, bytes.len);
		r->flood_left--;
	}
	buf_done(&bytes);
	end_well(r, NULL);
}

static void
on_writable(void *user, struct served *served)
{
	struct rig *r = user;

	(void)served;
	atomic_store(&r->flood_blocked, false);
	if (r->flood_left > 0)
		flood_on(r);
}

static void
on_cancelled(void *user, struct served *served)
{
	struct rig *r = user;

	served_end(served, NULL, NULL, 0);
	if (r->served == served)
		r->served = NULL;
	atomic_fetch_add(&r->cancels, 1);
}

static void
answer_models(const struct rig *r, struct served *served)
{
	struct model_info models[] = {
		{ .id = "m", .owned_by = "me", .digest = "", .created = 7 },
		{ .id = "org/m", .owned_by = "", .digest = "", .created = 8 },
	};
	const struct model_list list = { models, atomic_load(&r->no_models) ? 0 : 2 };
	struct buf bytes = { 0 };

	model_list_encode(&list, &bytes);
	served_end(served, NULL, bytes.data, bytes.len);
	buf_done(&bytes);
}

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	static const struct served_ops ops = { .writable = on_writable, .cancelled = on_cancelled };
	struct rig *r = user;
	struct im_err err;

	(void)link;
	if (strcmp(req->method, METHOD_LIST_MODELS) == 0) {
		answer_models(r, served);
		return;
	}
	assert_string_equal(req->method, METHOD_GENERATE);
	arena_done(&r->arena);
	if (generate_request_decode(req->body, req->body_len, &r->arena, &r->req, &err) != IM_OK)
		fail_msg("%s", err.text);
	(void)snprintf(r->traceparent, sizeof(r->traceparent), "%s", req->traceparent);
	r->budget_ms = req->budget_ms;
	r->priority = req->priority;
	r->served = served;
	served_accept(served, &ops, r);
	atomic_fetch_add(&r->calls, 1);
}

static void
on_link_up(void *user, struct link *link)
{
	struct rig *r = user;

	r->router_link = link;
}

void
rig_router_start(struct rig *r)
{
	static const struct endpoint_ops ops = { .up = on_link_up, .request = on_request };
	const struct net_params params = { .role = "router", .name = "rig" };
	struct im_err err;

	loop_enter(r->loop);
	assert_int_equal(net_new(r->loop, &params, &r->router_net, &err), IM_OK);
	if (net_listen(r->router_net, URL, &ops, r, &r->router, &err) != IM_OK)
		fail_msg("%s", err.text);
	loop_leave(r->loop);
}

void
rig_router_stop(struct rig *r)
{
	loop_enter(r->loop);
	net_close(r->router_net, on_done, r);
	loop_leave(r->loop);
	await_done(r);
	net_free(r->router_net);
	r->router_net = NULL;
}

void
rig_router_goaway(struct rig *r)
{
	loop_enter(r->loop);
	link_goaway(r->router_link, "test");
	loop_leave(r->loop);
}

static void
await_count(const atomic_uint *counter, unsigned n, const char *what)
{
	uint64_t until_us = clock_mono_us() + PATIENCE_US;

	while (atomic_load(counter) < n) {
		if (clock_mono_us() > until_us)
			fail_msg("%u %s, not %u", atomic_load(counter), what, n);
		nap();
	}
	assert_int_equal(atomic_load(counter), n);
}

void
rig_await_calls(struct rig *r, unsigned n)
{
	await_count(&r->calls, n, "calls");
}

void
rig_await_cancels(struct rig *r, unsigned n)
{
	await_count(&r->cancels, n, "cancels");
}

void
rig_head(struct rig *r, const char *model, const char *cache)
{
	const struct generate_frame frame = { .has_head = true,
					      .head = { .model = model, .cache = cache } };

	loop_enter(r->loop);
	frame_send(r, &frame);
	loop_leave(r->loop);
}

void
rig_head_fallback(struct rig *r, const char *model, const char *fallback)
{
	const struct generate_frame frame = { .has_head = true,
					      .head = { .model = model, .fallback = fallback } };

	loop_enter(r->loop);
	frame_send(r, &frame);
	loop_leave(r->loop);
}

void
rig_head_limits(struct rig *r, const struct im_rates *limits)
{
	const struct generate_frame frame = { .has_head = true,
					      .head = { .model = "m", .limits = *limits } };

	loop_enter(r->loop);
	frame_send(r, &frame);
	loop_leave(r->loop);
}

void
rig_fail_limits(struct rig *r, const struct im_rates *limits, uint32_t retry_after_ms)
{
	struct im_err err;

	(void)err_reason(&err, IM_ELIMIT, "tokens", "Rate limit reached for tokens of key `ann`");
	err.retry_after_ms = retry_after_ms;
	err.rates = *limits;
	loop_enter(r->loop);
	served_end(r->served, &err, NULL, 0);
	r->served = NULL;
	loop_leave(r->loop);
}

void
rig_delta(struct rig *r, const char *role, const char *content, const char *finish_reason)
{
	struct delta d = { .role = role, .content = content, .finish_reason = finish_reason };
	const struct generate_frame frame = { .deltas = &d, .delta_count = 1 };

	loop_enter(r->loop);
	frame_send(r, &frame);
	loop_leave(r->loop);
}

void
rig_bytes(struct rig *r, const void *frame, size_t len)
{
	loop_enter(r->loop);
	assert_int_equal(served_send(r->served, frame, len), IM_OK);
	loop_leave(r->loop);
}

void
rig_end(struct rig *r, const struct usage *usage)
{
	loop_enter(r->loop);
	end_well(r, usage);
	loop_leave(r->loop);
}

void
rig_fail(struct rig *r, enum im_rc rc, const char *reason, uint32_t retry_after_ms,
	 const char *text)
{
	struct im_err err;

	(void)err_reason(&err, rc, reason, "%s", text);
	err.retry_after_ms = retry_after_ms;
	loop_enter(r->loop);
	served_end(r->served, &err, NULL, 0);
	r->served = NULL;
	loop_leave(r->loop);
}

void
rig_flood(struct rig *r, size_t frames)
{
	loop_enter(r->loop);
	r->flood_left = frames;
	flood_on(r);
	loop_leave(r->loop);
}

/* The gateway. */

static void *
run(void *arg)
{
	loop_run(arg);
	return NULL;
}

static enum im_rc
gateway_up(struct rig *r, const char *gateway_yaml, struct im_err *err)
{
	const struct net_params params = { .role = "gateway", .name = "rig" };
	struct service_env env = { .loop = r->loop, .name = "gateway", .single_process = true };
	struct buf yaml = { 0 };
	enum im_rc rc;

	(void)buf_printf(&yaml, "gateway:\n%s", gateway_yaml);
	if (strstr(gateway_yaml, "listen:") == NULL)
		(void)buf_append_str(&yaml, "  listen: 127.0.0.1:0\n");
	if (strstr(gateway_yaml, "keys_file:") == NULL)
		(void)buf_append_str(&yaml, "  keys_file: /nonexistent/keys\n");
	rc = config_parse("rig.yaml", (const char *)yaml.data, yaml.len, &r->config, err);
	if (rc != IM_OK)
		fail_msg("%s", err->text);
	buf_done(&yaml);
	loop_enter(r->loop);
	assert_int_equal(net_new(r->loop, &params, &r->gateway_net, err), IM_OK);
	env.net = r->gateway_net;
	env.config = r->config;
	rc = gateway_service.start(&env, &r->gateway, err);
	if (rc == IM_OK)
		(void)snprintf(r->address, sizeof(r->address), "%s",
			       gateway_service.address(r->gateway));
	loop_leave(r->loop);
	return rc;
}

static void
rig_begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	assert_int_equal(loop_new(&r->loop, NULL), IM_OK);
	assert_int_equal(pthread_create(&r->thread, NULL, run, r->loop), 0);
}

static void
rig_finish(struct rig *r)
{
	loop_enter(r->loop);
	net_close(r->gateway_net, on_done, r);
	loop_leave(r->loop);
	await_done(r);
	net_free(r->gateway_net);
	if (r->router_net != NULL)
		rig_router_stop(r);
	loop_stop(r->loop);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	loop_free(r->loop); /* asserts that no timer and no task is left */
	config_free(r->config);
	arena_done(&r->arena);
}

void
rig_start(struct rig *r, const char *gateway_yaml, bool alone)
{
	struct im_err err = { 0 };

	rig_begin(r);
	if (!alone)
		rig_router_start(r);
	if (gateway_up(r, gateway_yaml, &err) != IM_OK)
		fail_msg("%s", err.text);
	if (!alone)
		rig_await_ready(r, true);
}

void
rig_stop(struct rig *r)
{
	loop_enter(r->loop);
	gateway_service.stop(r->gateway, on_done, r);
	loop_leave(r->loop);
	await_done(r);
	rig_finish(r);
}

enum im_rc
rig_try(const char *gateway_yaml, struct im_err *err)
{
	struct rig r;
	enum im_rc rc;

	rig_begin(&r);
	rc = gateway_up(&r, gateway_yaml, err);
	if (rc == IM_OK)
		rig_stop(&r);
	else
		rig_finish(&r);
	return rc;
}

void
rig_await_ready(struct rig *r, bool ready)
{
	uint64_t until_us = clock_mono_us() + PATIENCE_US;
	bool is;

	for (;;) {
		struct buf why = { 0 };

		loop_enter(r->loop);
		gateway_service.ready(r->gateway, &why);
		loop_leave(r->loop);
		is = why.len == 0;
		buf_done(&why);
		if (is == ready)
			return;
		if (clock_mono_us() > until_us)
			fail_msg("the gateway does not become %s", ready ? "ready" : "unready");
		nap();
	}
}

char *
rig_metrics(struct rig *r)
{
	struct metrics_page page = { 0 };

	loop_enter(r->loop);
	gateway_service.metrics(r->gateway, &page);
	loop_leave(r->loop);
	(void)buf_cstr(&page.out);
	return (char *)buf_take(&page.out, &(size_t){ 0 });
}

void
rig_check_idle(struct rig *r)
{
	uint64_t until_us = clock_mono_us() + PATIENCE_US;
	struct net_counters counters;
	uint32_t running;

	for (;;) {
		loop_enter(r->loop);
		running = ((const struct gateway *)r->gateway)->running;
		net_counters(r->gateway_net, &counters);
		loop_leave(r->loop);
		if (running == 0 && counters.calls == 0)
			return;
		if (clock_mono_us() > until_us)
			fail_msg("%u requests and %u calls are open", running, counters.calls);
		nap();
	}
}

/* The client. */

void
rig_post(int fd, const char *path, const char *headers, const char *json)
{
	struct buf text = { 0 };

	(void)buf_printf(&text, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n%s\r\n%s",
			 path, strlen(json), headers, json);
	client_send_bytes(fd, text.data, text.len);
	buf_done(&text);
}

void
rig_chat(int fd, const char *json)
{
	rig_post(fd, "/v1/chat/completions", "", json);
}

void
rig_get(int fd, const char *path)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
	client_send(fd, text);
}

void
rig_read_until(int fd, const char *text)
{
	char seen[65536];
	size_t n = 0;

	for (;;) {
		ssize_t got = recv(fd, seen + n, sizeof(seen) - 1 - n, 0);

		if (got <= 0)
			fail_msg("the connection ended, or nothing came, before '%s'", text);
		n += (size_t)got;
		seen[n] = '\0';
		if (strstr(seen, text) != NULL)
			return;
		assert_true(n + 1 < sizeof(seen));
	}
}
