/*
 * gateway/chat.c - joins an HTTP exchange and a call to the router; see chat.h. What goes in and out is made by
 * chat_request.c, chat_stream.c and chat_answer.c; here is only when.
 *
 *   call_start ──frame──▶ ADMITTED ──frame…──▶ END ok ──▶ 200, or [DONE] after a stream
 *        │                    │ (streaming: headers out)
 *        └─── END error ──────┴─ END error ──▶ error response, or an error event and a broken transfer
 *   client leaves, anywhere ──▶ call_cancel
 */
#include "gateway/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/copy.h"
#include "base/sha256.h"
#include "gateway/chat_request.h"
#include "gateway/chat_response.h"
#include "gateway/embedding_answer.h"
#include "gateway/headers.h"
#include "gateway/mesh_link.h"

#define ANSWER_MAX_BYTES  (64UL * 1024 * 1024) /* of one that is not streamed */
#define FRAME_MAX_BYTES   (64UL * 1024 * 1024) /* of one frame, decoded */
#define EVENTS_KEEP_BYTES (64UL * 1024)        /* of memory for events between frames */
#define KEEPALIVE         ": keep-alive\n\n"

struct chat {
	struct gateway_request *rq;
	struct call *call; /* NULL once it ended */
	enum generate_op operation;
	bool stream, include_usage;
	bool admitted; /* the first frame came; a stream's headers are out */
	bool blocked;  /* the client does not read */
	size_t ungranted;
	struct chat_stream sse;
	struct chat_answer *answer;      /* not streaming: gathered so far */
	struct embedding_answer vectors; /* of an embedding, in its place */
	struct arena scratch;            /* of one frame */
	struct buf *out;                 /* the gateway's: events of one frame */
	struct loop_timer keepalive;
	uint64_t last_write_us;
	uint64_t first_token_us; /* age of the request; 0 = none yet */
};

static void
chat_free(struct chat *c)
{
	loop_timer_cancel(c->rq->gateway->loop, &c->keepalive);
	chat_stream_done(&c->sse);
	chat_answer_free(c->answer);
	embedding_answer_done(&c->vectors);
	arena_done(&c->scratch);
	free(c);
}

/* The generation is over, well or not. */
static void
count(const struct chat *c, bool failed)
{
	const struct gateway_request *rq = c->rq;
	const struct generation g = {
		.operation = c->operation,
		.model = rq->model,
		.seconds = (double)gateway_request_age_us(rq) / 1e6,
		.first_token_seconds =
		    c->first_token_us == 0 ? -1 : (double)c->first_token_us / 1e6,
		.failed = failed,
		.has_usage = rq->has_usage,
		.usage = rq->usage,
	};

	if (c->admitted) /* else the model may be one that does not exist */
		gateway_metrics_generation(&rq->gateway->metrics, &g);
}

/* Streams. */

/* True if more may be written. */
static bool
write_out(struct chat *c)
{
	bool more = true;

	if (c->out->len > 0) {
		more = http_stream_write(c->rq->x, c->out->data, c->out->len);
		c->last_write_us = clock_mono_us();
	}
	if (c->out->cap > EVENTS_KEEP_BYTES)
		buf_done(c->out);
	buf_clear(c->out);
	return more;
}

/* Armed once for each pause, not for each frame: when it fires and something was written meanwhile, it waits on. */
static void
arm_keepalive(struct chat *c)
{
	uint64_t pause_us = c->rq->gateway->keepalive_us;
	uint64_t silent_us = clock_mono_us() - c->last_write_us;

	/* Without memory for a timer the stream goes on without comments. */
	(void)!loop_timer_set(c->rq->gateway->loop, &c->keepalive,
			      silent_us < pause_us ? pause_us - silent_us : pause_us);
}

static void
on_keepalive(void *arg)
{
	struct chat *c = arg;
	uint64_t pause_us = c->rq->gateway->keepalive_us;

	if (!c->blocked && clock_mono_us() - c->last_write_us >= pause_us) {
		(void)buf_append_str(c->out, KEEPALIVE);
		c->blocked = !write_out(c);
	}
	arm_keepalive(c);
}

static void
begin_stream(struct chat *c)
{
	static const struct http_header headers[] = {
		{ "Content-Type", "text/event-stream; charset=utf-8" },
		{ "Cache-Control", "no-cache" },
		{ "X-Accel-Buffering", "no" },
	};

	http_stream_begin(c->rq->x, 200, headers, sizeof(headers) / sizeof(headers[0]));
	c->last_write_us = clock_mono_us();
	c->keepalive.fn = on_keepalive;
	c->keepalive.arg = c;
	arm_keepalive(c);
}

/* Ends. Each frees 'c' and ends the request. */

static void
chat_fail(struct chat *c, struct im_err *err)
{
	struct gateway_request *rq = c->rq;
	struct api_error e;

	if (c->call != NULL)
		call_cancel(c->call);
	c->call = NULL;
	buf_clear(c->out); /* it is everybody's */
	count(c, true);
	if (!c->stream || !c->admitted) {
		chat_free(c);
		gateway_request_fail(rq, err);
		return;
	}
	api_error_of(err, &e);
	chat_stream_error(&e, c->out);
	(void)write_out(c);
	chat_free(c);
	gateway_request_stream_end(rq, e.code != NULL ? e.code : "other");
}

/* The end of an answer that is whole: of a stream into c->out, else into 'body'. */
static enum im_rc
finish(struct chat *c, struct buf *body, struct im_err *err)
{
	const struct usage *usage = c->rq->has_usage ? &c->rq->usage : NULL;
	enum im_rc rc;

	if (!c->admitted)
		return err_reason(err, IM_EUPSTREAM, "upstream_error",
				  "The answer is empty; try again.");
	if (c->stream)
		return chat_stream_end(&c->sse, usage, c->out, err);
	if (c->operation != OPERATION_EMBEDDING)
		return chat_answer_end(c->answer, usage, body, err);
	rc = embedding_answer_end(&c->vectors, usage, err);
	if (rc == IM_OK) {
		*body = c->vectors.body;
		buf_init(&c->vectors.body, 0);
	}
	return rc;
}

static void
chat_succeed(struct chat *c)
{
	static const struct http_header type = { "Content-Type", "application/json" };
	struct gateway_request *rq = c->rq;
	struct im_err err = { 0 };
	struct buf body = { 0 };

	if (finish(c, &body, &err) != IM_OK) {
		buf_done(&body);
		chat_fail(c, &err);
		return;
	}
	count(c, false);
	if (c->stream) {
		(void)write_out(c);
		chat_free(c);
		gateway_request_stream_end(rq, NULL);
	} else {
		chat_free(c);
		gateway_request_reply(rq, 200, &type, 1, &body, NULL);
		buf_done(&body);
	}
}

/* What the mesh says. */

static bool
is_header_word(const char *s)
{
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

/* The first frame: the request is admitted, and the head (if the frame has one) says by whom. */
static enum im_rc
admit(struct chat *c, const struct generate_frame *frame, struct im_err *err)
{
	struct gateway_request *rq = c->rq;
	const struct chat_identity id = {
		.operation = c->operation,
		.request_id = rq->id,
		.model =
		    frame->has_head && frame->head.model[0] != '\0' ? frame->head.model : rq->model,
		.created = rq->received_us / 1000000,
	};
	enum im_rc rc = IM_OK;

	if (c->stream)
		rc = chat_stream_init(&c->sse, &id, c->include_usage, err);
	else if (c->operation != OPERATION_EMBEDDING)
		rc = chat_answer_new(&id, ANSWER_MAX_BYTES, &c->answer, err);
	else
		embedding_answer_begin(&c->vectors, id.model);
	if (rc != IM_OK)
		return rc;
	if (frame->has_head && is_header_word(frame->head.cache))
		copy_text(rq->cache, sizeof(rq->cache), frame->head.cache);
	if (frame->has_head)
		rq->age_ms = frame->head.age_ms;
	if (frame->has_head)
		copy_text(rq->fallback, sizeof(rq->fallback), frame->head.fallback);
	if (frame->has_head)
		rq->rates = frame->head.limits;
	c->admitted = true;
	if (c->stream)
		begin_stream(c);
	return IM_OK;
}

static enum im_rc
take_frame(struct chat *c, const uint8_t *body, size_t len, struct im_err *err)
{
	struct generate_frame frame;
	enum im_rc rc = generate_frame_decode(body, len, &c->scratch, &frame, err);

	if (rc != IM_OK) {
		api_error_from_mesh(err);
		return rc;
	}
	if (!c->admitted)
		rc = admit(c, &frame, err);
	if (rc != IM_OK)
		return rc;
	if (frame.delta_count > 0 && c->first_token_us == 0)
		c->first_token_us = gateway_request_age_us(c->rq) + 1;
	if (c->stream)
		return chat_stream_frame(&c->sse, &frame, c->out, err);
	if (c->operation == OPERATION_EMBEDDING)
		return embedding_answer_frame(&c->vectors, &frame, err);
	return chat_answer_frame(c->answer, &frame, err);
}

static void
on_data(void *user, struct call *call, const uint8_t *body, size_t len)
{
	struct chat *c = user;
	struct im_err err = { 0 };
	enum im_rc rc = take_frame(c, body, len, &err);

	arena_done(&c->scratch);
	if (rc != IM_OK) {
		chat_fail(c, &err);
		return;
	}
	if (c->out->len > 0)
		c->blocked = !write_out(c);
	/* A client that does not read keeps its credit, so the worker stops and nothing gathers here. */
	c->ungranted += len;
	if (!c->blocked) {
		call_grant(call, c->ungranted);
		c->ungranted = 0;
	}
}

static void
on_end(void *user, struct call *call, const struct im_err *why, const uint8_t *body, size_t len)
{
	struct chat *c = user;
	struct generate_end end;
	struct im_err err = { 0 };

	(void)call;
	c->call = NULL;
	if (why == NULL && generate_end_decode(body, len, &end, &err) == IM_OK) {
		c->rq->has_usage = end.has_usage;
		c->rq->usage = end.usage;
		chat_succeed(c);
		return;
	}
	if (why != NULL)
		err = *why;
	if (!c->admitted)
		c->rq->rates = err.rates;
	if (err.rc == IM_ENOTFOUND && strcmp(err.reason, "model_not_found") == 0)
		(void)err_reason(&err, IM_ENOTFOUND, "model_not_found",
				 "The model `%s` does not exist or you do not have access to it.",
				 c->rq->model);
	api_error_from_mesh(&err);
	chat_fail(c, &err);
}

/* What the client does. */

static void
chat_drop(void *work)
{
	struct chat *c = work;

	call_cancel(c->call);
	count(c, true);
	chat_free(c);
}

static void
chat_writable(void *work)
{
	struct chat *c = work;

	c->blocked = false;
	if (c->ungranted > 0)
		call_grant(c->call, c->ungranted);
	c->ungranted = 0;
}

/* The beginning. */

/* Members of the request that the body does not say. */
static enum im_rc
complete(struct gateway_request *rq, struct generate_request *req, const uint8_t *body, size_t len,
	 struct im_err *err)
{
	req->request_id = rq->id;
	req->caller = rq->caller.caller;
	req->tenant = rq->caller.tenant;
	req->received_us = rq->received_us;
	gateway_cache_control(http_header(rq->x, "cache-control"), req);
	if (gateway_session(http_header(rq->x, "x-infermesh-session"), req, err) != IM_OK)
		return IM_EINVAL;
	if (gateway_priority(http_header(rq->x, "x-infermesh-priority"), &rq->priority, err) !=
	    IM_OK)
		return IM_EINVAL;
	if (!sha256_of(body, len, req->input_sha256))
		return err_set(err, IM_ENOMEM, "the request cannot be hashed; try again later");
	req->has_input_sha256 = true;
	return IM_OK;
}

static enum im_rc
start_call(struct chat *c, const struct generate_request *req, struct im_err *err)
{
	static const struct call_ops ops = { .data = on_data, .end = on_end };
	struct gateway *g = c->rq->gateway;
	struct call_request call = {
		.method = METHOD_GENERATE,
		.budget_ms = g->request_ms,
		.traceparent = c->rq->traceparent,
		.priority = c->rq->priority,
	};
	struct buf bytes = { 0 };
	enum im_rc rc;

	generate_request_encode(req, &bytes);
	call.body = bytes.data;
	call.body_len = bytes.len;
	rc = buf_ok(&bytes) ? gateway_link_call(g, &call, &ops, c, &c->call, err)
			    : err_set(err, IM_ENOMEM, "no memory for the request; try again later");
	buf_done(&bytes);
	return rc;
}

static enum im_rc
chat_start(struct chat *c, struct im_err *err)
{
	struct gateway_request *rq = c->rq;
	struct chat_request req;
	struct arena arena;
	size_t len;
	const uint8_t *body = http_body(rq->x, &len);
	enum im_rc rc;

	/* Each value is copied once and a message has a struct: for the shortest ones five times their text. */
	arena_init(&arena, (len + 4096) * 8);
	rc = chat_request_parse(c->operation, body, len, &arena, &req, err);
	if (rc == IM_OK) {
		copy_text(rq->model, sizeof(rq->model), req.generate.model);
		c->stream = req.generate.stream;
		c->include_usage = req.include_usage;
		if (c->operation == OPERATION_EMBEDDING)
			embedding_answer_init(&c->vectors, req.generate.input_count, req.base64);
		rc = complete(rq, &req.generate, body, len, err);
	}
	if (rc == IM_OK)
		rc = start_call(c, &req.generate, err);
	arena_done(&arena);
	return rc;
}

static enum generate_op
operation_of(enum gateway_route route)
{
	switch (route) {
	case ROUTE_COMPLETIONS:
		return OPERATION_COMPLETION;
	case ROUTE_EMBEDDINGS:
		return OPERATION_EMBEDDING;
	default:
		return OPERATION_CHAT;
	}
}

void
gateway_chat_begin(struct gateway_request *rq)
{
	static const struct request_work work = { .drop = chat_drop, .writable = chat_writable };
	struct chat *c = calloc(1, sizeof(*c));
	struct im_err err = { 0 };

	if (c == NULL) {
		(void)err_set(&err, IM_ENOMEM, "no memory for the request; try again later");
		gateway_request_fail(rq, &err);
		return;
	}
	c->rq = rq;
	c->out = &rq->gateway->events;
	c->operation = operation_of(rq->match.route);
	arena_init(&c->scratch, FRAME_MAX_BYTES);
	if (chat_start(c, &err) != IM_OK) {
		chat_free(c);
		gateway_request_fail(rq, &err);
		return;
	}
	http_drop_body(rq->x);
	rq->work = &work;
	rq->work_data = c;
}
