/*
 * router/fake_caller.c - the callers of fake_mesh.h: requests, what comes back, and questions to the router.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "router/fake_mesh.h"

static void
ask_data(void *user, struct call *call, const uint8_t *body, size_t len)
{
	struct ask *ask = user;
	struct generate_frame f;
	struct arena arena;

	arena_init(&arena, 0);
	assert_int_equal(generate_frame_decode(body, len, &arena, &f, NULL), IM_OK);
	if (f.has_head) {
		assert_false(ask->has_head);
		assert_int_equal(ask->frames, 0);
		assert_int_equal(f.delta_count, 0);
		ask->has_head = true;
		(void)snprintf(ask->cache, sizeof(ask->cache), "%s", f.head.cache);
		(void)snprintf(ask->worker, sizeof(ask->worker), "%s", f.head.worker);
		(void)snprintf(ask->head_model, sizeof(ask->head_model), "%s", f.head.model);
		(void)snprintf(ask->fallback, sizeof(ask->fallback), "%s", f.head.fallback);
		ask->rates = f.head.limits;
	} else {
		ask->frames++;
	}
	for (size_t i = 0; i < f.delta_count; i++) {
		buf_append_str(&ask->text, f.deltas[i].content);
	}
	arena_done(&arena);
	if (!ask->stingy) {
		call_grant(call, len);
	}
}

static void
ask_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct ask *ask = user;

	(void)call;
	ask->call = NULL;
	assert_false(ask->ended);
	ask->ended = true;
	ask->failed = err != NULL;
	if (err != NULL) {
		ask->err = *err;
	}
	buf_append(&ask->reply, body, len);
}

void
mesh_ask(struct mesh *m, struct ask *ask, const char *method, const char *model, const char *prompt,
	 uint32_t budget_ms)
{
	static const struct call_ops ops = { .data = ask_data, .end = ask_end };
	struct message msg = { .role = "user", .content = prompt };
	struct generate_request req = { .model = model,
					.messages = &msg,
					.message_count = 1,
					.temperature = { true, ask->warm ? 1 : 0 },
					.max_tokens = { ask->max_tokens != 0, ask->max_tokens },
					.stream = !ask->whole,
					.caller = ask->caller,
					.tenant = ask->tenant,
					.cache_no_cache = ask->no_cache };
	struct call_request call = { .method = method,
				     .budget_ms = budget_ms,
				     .priority = ask->priority };
	struct buf body = BUF_INIT(0);

	*ask = (struct ask){ .mesh = m,
			     .stingy = ask->stingy,
			     .no_cache = ask->no_cache,
			     .whole = ask->whole,
			     .warm = ask->warm,
			     .caller = ask->caller,
			     .tenant = ask->tenant,
			     .max_tokens = ask->max_tokens,
			     .priority = ask->priority };

	generate_request_encode(&req, &body);
	call.body = body.data;
	call.body_len = body.len;
	loop_enter(m->loop);
	assert_int_equal(call_start(m->caller_link, &call, &ops, ask, &ask->call, &ask->err),
			 IM_OK);
	loop_leave(m->loop);
	buf_done(&body);
}

void
ask_cancel(struct ask *ask)
{
	if (ask->call != NULL) {
		loop_enter(ask->mesh->loop);
		call_cancel(ask->call);
		loop_leave(ask->mesh->loop);
		ask->call = NULL;
	}
}

void
ask_done(struct ask *ask)
{
	ask_cancel(ask);
	buf_done(&ask->text);
	buf_done(&ask->reply);
}

static void
ask_plain(struct mesh *m, const char *method, struct ask *ask)
{
	static const struct call_ops ops = { .end = ask_end };
	struct call_request call = { .method = method };

	memset(ask, 0, sizeof(*ask));
	ask->mesh = m;
	loop_enter(m->loop);
	assert_int_equal(call_start(m->caller_link, &call, &ops, ask, &ask->call, &ask->err),
			 IM_OK);
	loop_leave(m->loop);
	MESH_WAIT(m, ask->ended);
	assert_false(ask->failed);
}

void
mesh_status(struct mesh *m, struct arena *arena, struct router_status *ret)
{
	struct ask ask;

	ask_plain(m, METHOD_STATUS, &ask);
	assert_int_equal(router_status_decode(ask.reply.data, ask.reply.len, arena, ret, NULL),
			 IM_OK);
	ask_done(&ask);
}

bool
mesh_metric(struct mesh *m, const char *line)
{
	struct metrics_page page = { 0 };
	bool found;

	loop_enter(m->loop);
	host_metrics(m->host, &page);
	loop_leave(m->loop);
	found = strstr(buf_cstr(&page.out), line) != NULL;
	buf_done(&page.out);
	return found;
}

void
mesh_expect_failure(struct mesh *m, const char *model, uint32_t budget_ms, enum im_rc rc,
		    const char *reason)
{
	struct ask ask = { 0 };

	mesh_ask(m, &ask, METHOD_GENERATE, model, "hi", budget_ms);
	MESH_WAIT(m, ask.ended);
	assert_true(ask.failed);
	assert_int_equal(ask.err.rc, rc);
	assert_string_equal(ask.err.reason, reason);
	ask_done(&ask);
}

void
mesh_settled(struct mesh *m)
{
	struct router_status s;
	struct arena arena;

	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_running 0\n") &&
			 mesh_metric(m, "infermesh_audit_records_pending 0\n"));
	arena_init(&arena, 0);
	mesh_status(m, &arena, &s);
	assert_int_equal(s.slots, 0);
	assert_int_equal(s.calls, 0);
	assert_int_equal(s.queued, 0);
	assert_int_equal(s.admitted, s.ended);
	arena_done(&arena);
}
