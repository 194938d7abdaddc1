/*
 * inference/worker_request.c - one Inference/Generate: decoded, given to the backend, its frames sent as credit allows, ended
 * with the worker's load. What a turn of the loop brings of one answer leaves as one frame: protobuf joins messages that stand
 * behind each other. Never changes what a frame says.
 *
 *   RUNNING ──backend ends──▶ (frames still wait for credit) ──last one sent──▶ END
 *      └──caller cancels, link lost, worker stops──▶ job cancelled ──▶ END
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "inference/worker_state.h"

/* A frame that waits for credit. */
struct waiting {
	struct list node;
	size_t len;
	uint8_t data[];
};

struct request {
	struct list node; /* in worker.requests */
	struct worker *w;
	struct router_link
	    *from; /* outlives it: a link ends its calls before it goes down. NULL = not known */
	struct served *served;
	struct job *job;    /* NULL once it ended */
	struct arena arena; /* the decoded request, as long as the backend wants it */
	struct list queue;  /* of struct waiting */
	size_t queued_bytes;
	bool paused;
	bool failed;
	struct im_err *err; /* why; NULL: for want of memory */
	bool has_usage;
	struct usage usage;
	uint64_t started_us, first_us; /* first_us: of the first frame; 0 = none */
};

/* Take it out, so that the load no longer counts it. */
static void
request_free(struct request *r)
{
	struct list *node;

	if (r->w->batch_of == r)
		r->w->batch_of = NULL;
	while ((node = list_pop_front(&r->queue)) != NULL)
		free(CONTAINER_OF(node, struct waiting, node));
	list_remove(&r->node);
	r->w->request_count--;
	if (r->from != NULL)
		r->from->own--;
	arena_done(&r->arena);
	free(r->err);
	free(r);
}

static void
count_end(struct request *r, const struct im_err *err)
{
	struct worker_stats *s = &r->w->stats;
	uint64_t now_us = clock_mono_us();

	histogram_add(&s->seconds, (double)(now_us - r->started_us) / 1e6);
	if (err != NULL) {
		s->failed[err->rc]++;
		return;
	}
	s->ok++;
	s->prompt_tokens += r->usage.prompt_tokens;
	s->completion_tokens += r->usage.completion_tokens;
	if (r->first_us != 0 && r->usage.completion_tokens > 1)
		histogram_add(&s->per_token, (double)(now_us - r->first_us) / 1e6 /
						 (r->usage.completion_tokens - 1));
}

/* The last word to the caller; the load is that after this request. */
static void
send_end(struct worker *w, struct router_link *to, struct served *served, const struct im_err *err,
	 const struct usage *usage)
{
	struct generate_end end = { .load = worker_tell_load(w, to), .has_load = true };
	struct im_err no_memory;

	if (usage != NULL) {
		end.usage = *usage;
		end.has_usage = true;
	}
	buf_clear(&w->scratch);
	generate_end_encode(&end, &w->scratch);
	if (!buf_ok(&w->scratch)) {
		err_set(&no_memory, IM_ENOMEM, "the worker is out of memory");
		served_end(served, err != NULL ? err : &no_memory, NULL, 0);
		return;
	}
	served_end(served, err, w->scratch.data, w->scratch.len);
}

/* 'err' NULL = well. */
static void
request_end(struct request *r, const struct im_err *err)
{
	struct worker *w = r->w;
	struct router_link *from = r->from;
	struct served *served = r->served;
	struct usage usage = r->usage;
	bool has_usage = r->has_usage;

	count_end(r, err);
	request_free(r);
	send_end(w, from, served, err, has_usage ? &usage : NULL);
	worker_place_free(w);
}

/* Something of ours failed: the backend is to stop. */
static void
request_fail(struct request *r, const struct im_err *why)
{
	if (r->job != NULL)
		r->w->ops->cancel(r->job);
	r->job = NULL;
	request_end(r, why);
}

static void
set_paused(struct request *r, bool paused)
{
	if (r->paused == paused)
		return;
	r->paused = paused;
	if (r->job != NULL)
		r->w->ops->pause(r->job, paused);
}

static bool
enqueue(struct request *r, const struct buf *frame, struct im_err *err)
{
	struct waiting *q;

	/* The backend stops soon after it is told to; one that does not must not eat our memory. */
	if (frame->len > WORKER_QUEUE_MAX - r->queued_bytes) {
		err_set(err, IM_ENOMEM,
			"too much of the answer waits for a caller that does not read");
		return false;
	}
	q = malloc(sizeof(*q) + frame->len);
	if (q == NULL) {
		err_set(err, IM_ENOMEM, "the worker is out of memory");
		return false;
	}
	q->len = frame->len;
	memcpy(q->data, frame->data, frame->len);
	list_push_back(&r->queue, &q->node);
	r->queued_bytes += frame->len;
	return true;
}

/* False: that failed, and the request is gone. */
static bool
send_or_enqueue(struct request *r, const struct buf *frame)
{
	enum im_rc rc = IM_EAGAIN;
	struct im_err err;

	if (!buf_ok(frame)) {
		err_set(&err, IM_ENOMEM, "the worker is out of memory");
		request_fail(r, &err);
		return false;
	}
	if (list_empty(&r->queue))
		rc = served_send(r->served, frame->data, frame->len);
	switch (rc) {
	case IM_OK:
	case IM_EUNAVAILABLE: /* 'cancelled' follows */
		return true;
	case IM_EAGAIN:
		if (enqueue(r, frame, &err)) {
			set_paused(r, true);
			return true;
		}
		break;
	default:
		err_set(&err, rc, "a piece of the answer cannot be sent: %s", im_rc_text(rc));
		break;
	}
	request_fail(r, &err);
	return false;
}

/* Send what is gathered. False: that failed, and the request whose it was is gone. */
static bool
send_batch(struct worker *w)
{
	struct request *r = w->batch_of;
	bool ok = true;

	w->batch_of = NULL;
	if (r != NULL)
		ok = send_or_enqueue(r, &w->batch);
	if (w->batch.cap > 4 * WORKER_BATCH_MAX)
		buf_done(&w->batch);
	buf_clear(&w->batch);
	return ok;
}

void
worker_flush(void *arg)
{
	(void)send_batch(arg);
}

/* Vectors and tool calls go alone: decoded they are many times as long as their bytes. */
static bool
is_text(const struct generate_frame *frame)
{
	for (size_t i = 0; i < frame->delta_count; i++)
		if (frame->deltas[i].tool_call_count > 0 || frame->deltas[i].embedding.len > 0)
			return false;
	return true;
}

static void
on_frame(void *user, const struct generate_frame *frame)
{
	struct request *r = user;
	struct worker *w = r->w;
	bool text = is_text(frame);

	if (r->first_us == 0) {
		r->first_us = clock_mono_us();
		histogram_add(&w->stats.first_token, (double)(r->first_us - r->started_us) / 1e6);
	}
	if (w->batch_of != NULL && (w->batch_of != r || !text)) {
		bool own = w->batch_of == r;

		if (!send_batch(w) && own)
			return;
	}
	if (w->batch_of == NULL) {
		w->batch_of = r;
		w->batch_named = false;
		loop_post_last(w->env.loop, &w->flush);
	}
	if (frame->system_fingerprint == NULL || frame->system_fingerprint[0] == '\0') {
		generate_frame_encode(frame, &w->batch);
	} else if (!w->batch_named) {
		generate_frame_encode(frame, &w->batch);
		w->batch_named = true;
	} else { /* the first one counts; joined, the last one would */
		struct generate_frame unnamed = *frame;

		unnamed.system_fingerprint = "";
		generate_frame_encode(&unnamed, &w->batch);
	}
	if (!text || !buf_ok(&w->batch) || w->batch.len >= WORKER_BATCH_MAX)
		(void)send_batch(w);
}

static void
on_end(void *user, const struct im_err *err, const struct usage *usage)
{
	struct request *r = user;

	r->job = NULL;
	if (r->w->batch_of == r && !send_batch(r->w))
		return;
	if (usage != NULL) {
		r->has_usage = true;
		r->usage = *usage;
	}
	if (list_empty(&r->queue)) {
		request_end(r, err);
	} else if (err != NULL) {
		r->failed = true;
		r->err = err_copy(err);
	}
}

/* The backend has ended long ago, and the last frame has left now. */
static void
end_late(struct request *r)
{
	struct im_err err;

	if (r->err != NULL)
		err = *r->err; /* it goes with the request */
	else
		err_set(&err, IM_ENOMEM, "the worker is out of memory");
	request_end(r, r->failed ? &err : NULL);
}

static void
on_writable(void *user, struct served *served)
{
	struct request *r = user;
	struct im_err err;

	LIST_FOREACH_SAFE (&r->queue, q, struct waiting, node) {
		enum im_rc rc = served_send(served, q->data, q->len);

		if (rc == IM_EAGAIN || rc == IM_EUNAVAILABLE)
			return;
		if (rc != IM_OK) {
			err_set(&err, rc, "a piece of the answer cannot be sent: %s",
				im_rc_text(rc));
			request_fail(r, &err);
			return;
		}
		list_remove(&q->node);
		r->queued_bytes -= q->len;
		free(q);
	}
	if (r->job == NULL)
		end_late(r);
	else
		set_paused(r, false);
}

static void
on_cancelled(void *user, struct served *served)
{
	struct request *r = user;
	struct worker *w = r->w;

	if (r->job != NULL)
		w->ops->cancel(r->job);
	w->stats.cancelled++;
	request_free(r);
	served_end(served, NULL, NULL, 0); /* sends nothing */
	worker_place_free(w);
}

/* Decode the request and find its model. */
static enum im_rc
request_read(struct request *r, const struct served_request *sr, struct generate_request **ret_req,
	     struct im_err *err)
{
	struct generate_request *req = arena_alloc(&r->arena, sizeof(*req));
	const char *model;
	enum im_rc rc;

	if (req == NULL)
		return err_set(err, IM_ENOMEM, "the worker is out of memory");
	rc = generate_request_decode(sr->body, sr->body_len, &r->arena, req, err);
	if (rc != IM_OK)
		return rc;
	model = worker_model(r->w, req->model);
	if (model == NULL)
		return err_reason(err, IM_ENOTFOUND, MODEL_UNLOADED,
				  "The model `%s` does not exist or you do not have access to it.",
				  req->model);
	req->model = model;
	*ret_req = req;
	return IM_OK;
}

static enum im_rc
request_begin(struct worker *w, struct router_link *from, struct served *served,
	      const struct served_request *sr, struct request **ret, struct im_err *err)
{
	static const struct job_ops ops = { .frame = on_frame, .end = on_end };
	struct generate_request *req = NULL;
	struct request *r;
	enum im_rc rc;

	if (strcmp(sr->method, METHOD_WORKER_GENERATE) != 0)
		return err_set(err, IM_EMETHOD, "a worker has no method %.64s", sr->method);
	if (w->draining || w->stopping)
		return err_reason(err, IM_EUNAVAILABLE, "worker_draining",
				  "the worker takes no more requests");
	if (worker_news_crossed(w, from))
		return err_reason(err, IM_EAGAIN, LOAD_CHANGED,
				  "the worker is busier than its router knew");
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return err_set(err, IM_ENOMEM, "the worker is out of memory");
	r->w = w;
	r->from = from;
	r->served = served;
	r->started_us = clock_mono_us();
	list_init(&r->queue);
	arena_init(&r->arena, 4 * sr->body_len + WORKER_ARENA_MIN);
	list_push_back(&w->requests, &r->node);
	w->request_count++;
	if (from != NULL)
		from->own++;
	rc = request_read(r, sr, &req, err);
	if (rc == IM_OK)
		rc = w->ops->submit(w->b, req, sr->budget_ms, sr->traceparent, &ops, r, &r->job,
				    err);
	if (rc != IM_OK) {
		request_free(r);
		return rc;
	}
	if (w->ops->reads_once)
		arena_done(&r->arena);
	*ret = r;
	worker_load_changed(w);
	return IM_OK;
}

void
worker_request(void *user, struct link *link, struct served *served,
	       const struct served_request *req)
{
	static const struct served_ops ops = { .writable = on_writable, .cancelled = on_cancelled };
	struct worker *w = user;
	struct request *r = NULL;
	struct im_err err;

	if (request_begin(w, link_user(link), served, req, &r, &err) != IM_OK) {
		w->stats.refused++;
		if (err.rc == IM_EAGAIN && strcmp(err.reason, LOAD_CHANGED) != 0)
			worker_turned_away(link_user(link));
		send_end(w, link_user(link), served, &err, NULL);
		return;
	}
	served_accept(served, &ops, r);
}

void
worker_end_requests(struct worker *w, const struct im_err *why)
{
	worker_flush(w);
	LIST_FOREACH_SAFE (&w->requests, r, struct request, node)
		request_fail(r, why);
}
