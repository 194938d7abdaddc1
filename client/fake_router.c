/*
 * client/fake_router.c - the router of the tests; see fake_router.h.
 */
#include "fake_router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "wire/generate.h"
#include "wire/mesh.h"

#define PATIENCE_US 10000000u
#define ENDLESS     16384

struct fake_call {
	struct list node;
	struct fake_router *router;
	struct served *served;
	bool endless;
};

static void
nap(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

void
fake_router_await(atomic_uint *counter, unsigned value)
{
	uint64_t until_us = clock_mono_us() + PATIENCE_US;

	while (atomic_load(counter) != value) {
		if (clock_mono_us() > until_us)
			fail_msg("waited for %u, but it is %u", value, atomic_load(counter));
		nap();
	}
}

static const struct im_rates rates = { .requests = { 60, 59, 1000 },
				       .tokens = { 1000000000000, 999, 2000 } };

/* Streams. */

static enum im_rc
send_frame(struct served *served, const struct generate_frame *frame)
{
	struct buf out = BUF_INIT(0);
	enum im_rc rc;

	generate_frame_encode(frame, &out);
	rc = served_send(served, out.data, out.len);
	buf_done(&out);
	return rc;
}

static enum im_rc
send_delta(struct served *served, struct delta delta)
{
	return send_frame(served, &(struct generate_frame){ .deltas = &delta, .delta_count = 1 });
}

static void
end_stream(struct served *served, uint32_t prompt, uint32_t completion)
{
	const struct generate_end end = { .has_usage = true,
					  .usage = { .prompt_tokens = prompt,
						     .completion_tokens = completion } };
	struct buf out = BUF_INIT(0);

	generate_end_encode(&end, &out);
	served_end(served, NULL, out.data, out.len);
	buf_done(&out);
}

static void
stream_endless(struct fake_call *c)
{
	static char text[ENDLESS + 1];

	memset(text, 'a', ENDLESS);
	while (send_delta(c->served, (struct delta){ .content = text }) == IM_OK)
		atomic_fetch_add(&c->router->sent, ENDLESS);
}

static void
on_writable(void *user, struct served *served)
{
	(void)served;
	stream_endless(user);
}

static void
on_cancelled(void *user, struct served *served)
{
	struct fake_call *c = user;

	atomic_fetch_add(&c->router->cancelled, 1);
	served_end(served, NULL, NULL, 0);
	list_remove(&c->node);
	free(c);
}

static const struct served_ops served_ops = { .writable = on_writable, .cancelled = on_cancelled };

static struct fake_call *
keep(struct fake_router *r, struct served *served, bool endless)
{
	struct fake_call *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->router = r;
	c->served = served;
	c->endless = endless;
	list_push_back(&r->held, &c->node);
	served_accept(served, &served_ops, c);
	return c;
}

/* One delta a word, blanks included. */
static uint32_t
echo(struct served *served, const char *text)
{
	uint32_t words = 0;

	while (*text != '\0') {
		size_t n = strcspn(text + 1, " ") + 1;
		char word[256];

		(void)snprintf(word, sizeof(word), "%.*s", (int)n, text);
		assert_int_equal(
		    send_delta(served, (struct delta){ .role = words == 0 ? "assistant" : "",
						       .content = word }),
		    IM_OK);
		text += n;
		words++;
	}
	assert_int_equal(send_delta(served, (struct delta){ .finish_reason = "stop" }), IM_OK);
	return words;
}

static void
send_tools(struct served *served)
{
	struct tool_call_delta calls[] = {
		{ .index = 0, .id = "c0", .name = "add", .arguments = "{\"a\":1}" },
		{ .index = 1, .id = "c1", .name = "sub", .arguments = "{}" },
	};

	assert_int_equal(send_delta(served, (struct delta){ .tool_calls = calls,
							    .tool_call_count = 2,
							    .finish_reason = "tool_calls" }),
			 IM_OK);
	end_stream(served, 1, 1);
}

static bool
fail_early(struct served *served, const char *model)
{
	struct im_err err;

	if (strcmp(model, "busy") == 0) {
		(void)err_reason(&err, IM_ELIMIT, "rate_limit_exceeded", "too many requests");
		err.retry_after_ms = 1500;
		err.rates.requests = (struct im_rate){ 60, 0, 60000 };
	} else if (strcmp(model, "again") == 0) {
		(void)err_set(&err, IM_EAGAIN, "not now");
	} else if (strcmp(model, "other") == 0) {
		(void)err_reason(&err, IM_ENOTFOUND, "model_not_found",
				 "there is no model 'other'");
		(void)snprintf(err.param, sizeof(err.param), "model");
	} else {
		return false;
	}
	served_end(served, &err, NULL, 0);
	return true;
}

static void
serve_stream(struct fake_router *r, struct served *served, const struct generate_request *req)
{
	const char *content = req->messages[req->message_count - 1].content;

	if (fail_early(served, req->model))
		return;
	assert_int_equal(
	    send_frame(served, &(struct generate_frame){ .has_head = true,
							 .head = { .model = req->model,
								   .cache = "miss",
								   .worker = "w1",
								   .limits = rates } }),
	    IM_OK);
	if (strcmp(req->model, "echo") == 0) {
		end_stream(served, (uint32_t)req->message_count, echo(served, content));
	} else if (strcmp(req->model, "hold") == 0) {
		(void)keep(r, served, false);
	} else if (strcmp(req->model, "endless") == 0) {
		stream_endless(keep(r, served, true));
	} else if (strcmp(req->model, "tools") == 0) {
		send_tools(served);
	} else if (strcmp(req->model, "garbage") == 0) {
		assert_int_equal(served_send(served, (const uint8_t *)"\xff\xff\xff", 3), IM_OK);
		end_stream(served, 1, 1);
	} else {
		assert_string_equal(req->model, "die");
		(void)keep(r, served, false);
		assert_int_equal(send_delta(served, (struct delta){ .content = "half" }), IM_OK);
	}
}

/* Whole answers. */

static void
serve_once(struct served *served, const struct generate_request *req)
{
	struct tool_call tool = { .id = "c0", .name = "add", .arguments = "{}" };
	struct choice choice = { .role = "assistant",
				 .content = req->messages[req->message_count - 1].content,
				 .finish_reason = "stop",
				 .tool_calls = &tool,
				 .tool_call_count = 1 };
	struct generate_reply reply = { .request_id = "00112233445566778899aabbccddeeff",
					.model = req->model,
					.cache = "miss",
					.choices = &choice,
					.choice_count = 1,
					.usage = { .prompt_tokens = 3, .completion_tokens = 2 },
					.limits = rates };
	struct buf out = BUF_INIT(0);

	if (strcmp(req->model, "busy") == 0) {
		reply = (struct generate_reply){ .failed = true };
		(void)err_set(&reply.err, IM_ELIMIT, "too many requests");
	}
	generate_reply_encode(&reply, &out);
	served_end(served, NULL, out.data, out.len);
	buf_done(&out);
}

static void
serve_models(struct served *served)
{
	struct model_info models[] = {
		{ .id = "echo", .owned_by = "test", .created = 7, .context_tokens = 2048 },
		{ .id = "hold", .owned_by = "test" },
	};
	struct buf out = BUF_INIT(0);

	model_list_encode(&(struct model_list){ .models = models, .count = 2 }, &out);
	served_end(served, NULL, out.data, out.len);
	buf_done(&out);
}

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *in)
{
	struct fake_router *r = user;
	struct arena arena = { 0 };
	struct generate_request req;
	struct im_err err;

	(void)link;
	if (strcmp(in->method, METHOD_LIST_MODELS) == 0) {
		serve_models(served);
		return;
	}
	if (generate_request_decode(in->body, in->body_len, &arena, &req, &err) != IM_OK) {
		served_end(served, &err, NULL, 0);
		arena_done(&arena);
		return;
	}
	(void)snprintf(r->traceparent, sizeof(r->traceparent), "%s", in->traceparent);
	(void)snprintf(r->caller, sizeof(r->caller), "%s", req.caller);
	(void)snprintf(r->tenant, sizeof(r->tenant), "%s", req.tenant);
	r->budget_ms = in->budget_ms;
	r->priority = in->priority;
	r->no_cache = req.cache_no_cache && req.cache_no_store;
	r->streamed = req.stream;
	atomic_fetch_add(&r->requests, 1);
	if (strcmp(in->method, METHOD_GENERATE_ONCE) == 0)
		serve_once(served, &req);
	else
		serve_stream(r, served, &req);
	arena_done(&arena);
}

/* Life. */

static void *
run(void *loop)
{
	loop_run(loop);
	return NULL;
}

void
fake_router_init(struct fake_router *r)
{
	memset(r, 0, sizeof(*r));
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/infermesh-client-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(r->url, sizeof(r->url), "ipc://%s/r", r->dir);
}

void
fake_router_done(struct fake_router *r)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/r", r->dir);
	(void)unlink(path);
	(void)rmdir(r->dir);
}

void
fake_router_start(struct fake_router *r)
{
	static const struct endpoint_ops ops = { .request = on_request };
	const struct net_params params = { .role = "router", .name = "fake" };
	struct im_err err = { .text = "" };

	list_init(&r->held);
	atomic_store(&r->net_closed, false);
	assert_int_equal(loop_new(&r->loop, &err), IM_OK);
	assert_int_equal(pthread_create(&r->thread, NULL, run, r->loop), 0);
	loop_enter(r->loop);
	assert_int_equal(net_new(r->loop, &params, &r->net, &err), IM_OK);
	if (net_listen(r->net, r->url, &ops, r, &r->ep, &err) != IM_OK)
		fail_msg("%s", err.text);
	loop_leave(r->loop);
}

static void
on_closed(void *arg)
{
	struct fake_router *r = arg;

	atomic_store(&r->net_closed, true);
}

void
fake_router_stop(struct fake_router *r)
{
	loop_enter(r->loop);
	net_close(r->net, on_closed, r);
	loop_leave(r->loop);
	while (!atomic_load(&r->net_closed))
		nap();
	loop_enter(r->loop);
	net_free(r->net);
	loop_leave(r->loop);
	loop_stop(r->loop);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	loop_free(r->loop);
}
