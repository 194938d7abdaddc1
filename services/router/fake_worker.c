/*
 * router/fake_worker.c - the workers of fake_mesh.h: they answer "Hello", or what a test makes them do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/fake_mesh.h"

#define DIGEST "185f8db32271fe25f561a6fc938b2e264306ec304eda518007d1764826381969"

static void
announce_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body,
	     size_t len)
{
	(void)user;
	(void)call;
	(void)err;
	(void)body;
	(void)len;
}

static void
announce(struct fake_worker *w)
{
	static const struct call_ops ops = { .end = announce_end };
	struct model_info models[] = { { .id = "demo",
					 .owned_by = "us",
					 .digest = w->digest != NULL ? w->digest : DIGEST },
				       { .id = "other", .owned_by = "us", .digest = "" } };
	struct announce a = { .worker = w->name,
			      .backend = "local",
			      .models = w->unloaded ? &models[1] : models,
			      .model_count = w->unloaded ? 1 : 2,
			      .draining = w->draining,
			      .load = { .in_flight = w->in_flight, .capacity = w->capacity } };
	struct call_request req = { .method = METHOD_ANNOUNCE };
	struct buf body = BUF_INIT(0);
	struct call *call;

	announce_encode(&a, &body);
	req.body = body.data;
	req.body_len = body.len;
	assert_int_equal(call_start(w->link, &req, &ops, w, &call, NULL), IM_OK);
	buf_done(&body);
}

void
mesh_worker_announce(struct fake_worker *w)
{
	loop_enter(w->mesh->loop);
	announce(w);
	loop_leave(w->mesh->loop);
}

static void
report_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct fake_worker *w = user;

	(void)call;
	(void)body;
	(void)len;
	w->report_rc = err == NULL ? IM_OK : err->rc;
}

void
mesh_worker_report(struct fake_worker *w, const struct load *load)
{
	static const struct call_ops ops = { .end = report_end };
	struct call_request req = { .method = METHOD_REPORT };
	struct buf body = BUF_INIT(0);
	struct call *call;

	if (load != NULL) {
		report_encode(load, &body);
	}
	req.body = body.data;
	req.body_len = body.len;
	w->report_rc = IM_EAGAIN;
	loop_enter(w->mesh->loop);
	assert_int_equal(call_start(w->link, &req, &ops, w, &call, NULL), IM_OK);
	loop_leave(w->mesh->loop);
	buf_done(&body);
	MESH_WAIT(w->mesh, w->report_rc != IM_EAGAIN);
}

static void
say(struct served *served, const char *role, const char *content, const char *finish)
{
	struct delta d = { .role = role, .content = content, .finish_reason = finish };
	struct generate_frame f = { .deltas = &d, .delta_count = 1 };
	struct buf bytes = BUF_INIT(0);
	enum im_rc rc;

	generate_frame_encode(&f, &bytes);
	rc = served_send(served, bytes.data, bytes.len);
	assert_true(rc == IM_OK || rc == IM_EUNAVAILABLE);
	buf_done(&bytes);
}

enum im_rc
mesh_worker_say_head(struct fake_worker *w, const char *content)
{
	static char large[16384];
	struct delta d = { .role = "", .content = content, .finish_reason = "" };
	struct generate_frame f = { .has_head = true,
				    .head = { .model = large, .cache = "", .worker = "" },
				    .deltas = &d,
				    .delta_count = content[0] != '\0' };
	struct buf bytes = BUF_INIT(0);
	enum im_rc rc;

	memset(large, 'x', sizeof(large) - 1);
	generate_frame_encode(&f, &bytes);
	loop_enter(w->mesh->loop);
	rc = served_send(w->held, bytes.data, bytes.len);
	loop_leave(w->mesh->loop);
	buf_done(&bytes);
	return rc;
}

void
mesh_worker_say(struct fake_worker *w, const char *content, const char *finish)
{
	loop_enter(w->mesh->loop);
	say(w->held, "", content, finish);
	loop_leave(w->mesh->loop);
}

void
mesh_worker_end(struct fake_worker *w, enum im_rc rc)
{
	struct generate_end end = { .has_usage = true,
				    .usage = { .prompt_tokens = 3, .completion_tokens = 5 },
				    .has_load = true };
	struct buf bytes = BUF_INIT(0);
	struct im_err err;

	w->in_flight--;
	end.load = (struct load){ .in_flight = w->in_flight, .capacity = w->capacity };
	generate_end_encode(&end, &bytes);
	(void)err_set(&err, rc, "told to fail");
	loop_enter(w->mesh->loop);
	served_end(w->held, rc == IM_OK ? NULL : &err, bytes.data, rc == IM_OK ? bytes.len : 0);
	w->held = NULL;
	loop_leave(w->mesh->loop);
	buf_done(&bytes);
}

void
mesh_worker_fail_held(struct fake_worker *w, enum im_rc rc)
{
	struct served *served = w->held;
	struct im_err err;

	(void)err_set(&err, rc, "told to fail");
	loop_enter(w->mesh->loop);
	w->held = NULL;
	w->in_flight--;
	served_end(served, &err, NULL, 0);
	loop_leave(w->mesh->loop);
}

static void
call_gone(void *user, struct served *served)
{
	struct fake_worker *w = user;

	w->in_flight--;
	w->cancelled++;
	w->held = w->held == served ? NULL : w->held;
	for (size_t i = 0; i < w->kept_count; i++) {
		if (w->kept[i] == served) {
			w->kept[i] = w->kept[--w->kept_count];
		}
	}
	served_end(served, NULL, NULL, 0);
}

static void
answer(struct fake_worker *w, struct served *served)
{
	struct generate_end end = { .has_usage = !w->no_usage,
				    .usage = { .prompt_tokens = 3 + w->more_prompt,
					       .completion_tokens = 5 + w->more_tokens },
				    .has_load = true };
	struct buf bytes = BUF_INIT(0);

	say(served, "assistant", "He", "");
	for (size_t i = 0; i < w->pieces; i++) {
		say(served, "", "l", "");
	}
	say(served, "", "llo", "stop");
	w->in_flight--;
	end.load = (struct load){ .in_flight = w->in_flight, .capacity = w->capacity };
	generate_end_encode(&end, &bytes);
	served_end(served, NULL, bytes.data, bytes.len);
	buf_done(&bytes);
}

static void
keep(struct fake_worker *w, struct served *served)
{
	w->kept = realloc(w->kept, (w->kept_count + 1) * sizeof(struct served *));
	assert_non_null(w->kept);
	w->kept[w->kept_count++] = served;
}

void
mesh_worker_answer_kept(struct fake_worker *w)
{
	loop_enter(w->mesh->loop);
	w->keeps = false;
	while (w->kept_count > 0) {
		answer(w, w->kept[--w->kept_count]);
	}
	loop_leave(w->mesh->loop);
	free(w->kept);
	w->kept = NULL;
}

static void
refuse(const struct fake_worker *w, struct served *served, const struct im_err *err)
{
	struct generate_end end = {
		.has_load = true,
		.load = { .in_flight = w->in_flight, .capacity = w->capacity, .has_own = true }
	};
	struct buf bytes = BUF_INIT(0);

	if (w->says_load) {
		generate_end_encode(&end, &bytes);
	}
	served_end(served, err, bytes.data, bytes.len);
	buf_done(&bytes);
}

static void
worker_request(void *user, struct link *link, struct served *served,
	       const struct served_request *req)
{
	static const struct served_ops ops = { .cancelled = call_gone };
	struct fake_worker *w = user;
	struct generate_request g;
	struct arena arena;
	struct im_err err;

	(void)link;
	arena_init(&arena, 0);
	assert_string_equal(req->method, METHOD_WORKER_GENERATE);
	assert_int_equal(generate_request_decode(req->body, req->body_len, &arena, &g, &err),
			 IM_OK);
	assert_true(req->budget_ms > 0);
	w->started++;
	if (w->refuse_busier > 0) {
		w->refuse_busier--;
		(void)err_reason(&err, IM_EAGAIN, LOAD_CHANGED, "busier");
		refuse(w, served, &err);
	} else if (w->unloaded && strcmp(g.model, "demo") == 0) {
		(void)err_reason(&err, IM_ENOTFOUND, MODEL_UNLOADED, "unloaded");
		refuse(w, served, &err);
	} else if (w->refuse_full || w->in_flight >= w->capacity) {
		assert_true(w->refuse_full); /* the router never sends more than announced */
		(void)err_set(&err, IM_EAGAIN, "full");
		refuse(w, served, &err);
	} else if (w->fail_with != IM_OK) {
		(void)err_set(&err, w->fail_with, "told to fail");
		err.retry_after_ms = w->fail_retry_ms;
		served_end(served, &err, NULL, 0);
	} else if (w->hang || w->say_one_then_hang || strcmp(g.messages[0].content, "hang") == 0) {
		w->in_flight++;
		w->held = served;
		served_accept(served, &ops, w);
		if (w->say_one_then_hang) {
			say(served, "assistant", "He", "");
		}
	} else {
		w->in_flight++;
		served_accept(served, &ops, w);
		if (w->keeps) {
			keep(w, served);
		} else {
			answer(w, served);
		}
	}
	arena_done(&arena);
}

static void
worker_up(void *user, struct link *link)
{
	struct fake_worker *w = user;

	w->link = link;
	announce(w);
}

static void
worker_down(void *user, struct link *link, const struct im_err *why)
{
	struct fake_worker *w = user;

	(void)link;
	(void)why;
	w->link = NULL;
}

static bool
knows(struct mesh *m, const char *name)
{
	struct router_status s;
	struct arena arena;
	bool found = false;

	arena_init(&arena, 0);
	mesh_status(m, &arena, &s);
	for (size_t i = 0; i < s.worker_count; i++) {
		found = found || (strcmp(s.workers[i].name, name) == 0 &&
				  (strcmp(s.workers[i].state, "ready") == 0 ||
				   strcmp(s.workers[i].state, "draining") == 0));
	}
	arena_done(&arena);
	return found;
}

struct fake_worker *
mesh_worker(struct mesh *m, size_t i, const char *name, uint32_t capacity)
{
	static const struct endpoint_ops ops = { .up = worker_up,
						 .down = worker_down,
						 .request = worker_request };
	struct net_params params = {
		.role = "inference", .name = name, .window_bytes = 4096, .reconnect_max_ms = 20
	};
	struct fake_worker *w = &m->workers[i];
	struct im_err err;

	assert_null(w->net);
	memset(w, 0, sizeof(*w));
	w->mesh = m;
	w->capacity = capacity;
	(void)snprintf(w->name, sizeof(w->name), "%s", name);
	loop_enter(m->loop);
	assert_int_equal(net_new(m->loop, &params, &w->net, &err), IM_OK);
	assert_int_equal(net_dial(w->net, "inproc://router", &ops, w, &w->ep, &err), IM_OK);
	loop_leave(m->loop);
	MESH_WAIT(m, knows(m, name));
	return w;
}

static void
set_closed(void *arg)
{
	((struct fake_worker *)arg)->closed = true;
}

void
mesh_worker_leaves(struct fake_worker *w)
{
	loop_enter(w->mesh->loop);
	net_close(w->net, set_closed, w);
	loop_leave(w->mesh->loop);
	MESH_WAIT(w->mesh, w->closed);
	net_free(w->net);
	w->net = NULL;
}

void
mesh_worker_cut(struct fake_worker *w)
{
	struct im_err why;

	(void)err_set(&why, IM_EUNAVAILABLE, "cut by the test");
	loop_enter(w->mesh->loop);
	if (w->link != NULL) {
		link_close(w->link, &why);
	}
	loop_leave(w->mesh->loop);
}
