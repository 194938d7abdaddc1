/*
 * client/call.c - streamed answers, pulled or by callback; see infermesh.h. Never blocks on the loop: a pulled call queues
 * what comes, as much as its credit lets through, and gives credit as the program reads.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client.h"

void
client_call_ref(struct infermesh_call *c)
{
	atomic_fetch_add(&c->refs, 1);
}

static void
drop_frames(struct infermesh_call *c)
{
	struct list *node;

	while ((node = list_pop_front(&c->frames)) != NULL)
		free(CONTAINER_OF(node, struct client_frame, node));
}

void
client_call_unref(struct infermesh_call *c)
{
	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	drop_frames(c);
	arena_done(&c->arena);
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->lock);
	client_unref(c->mesh);
	free(c);
}

/* The end, however it came. Only the first one counts. */
static void
finish(struct infermesh_call *c, const struct im_err *err)
{
	(void)pthread_mutex_lock(&c->lock);
	if (!c->over && err != NULL) {
		c->error = *err;
		if (err->rc == IM_EAGAIN) /* the other side's; ours means: no event yet */
			c->error.rc = IM_EUNAVAILABLE;
	}
	c->over = true;
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
	client_dispatch(c);
}

/* On the loop: stop the call because of 'err', if it is under way. */
static void
stop(struct infermesh_call *c, const struct im_err *err)
{
	if (c->call == NULL)
		return;
	call_cancel(c->call);
	c->call = NULL;
	finish(c, err);
}

static void
on_data(void *user, struct call *call, const uint8_t *body, size_t len)
{
	struct infermesh_call *c = user;
	struct client_frame *f = malloc(sizeof(*f) + len);
	struct im_err err;

	(void)call;
	if (f == NULL) {
		(void)err_set(&err, IM_ENOMEM, "no memory for a piece of the answer");
		stop(c, &err);
		return;
	}
	f->node = (struct list){ NULL, NULL };
	f->len = len;
	memcpy(f->body, body, len);
	(void)pthread_mutex_lock(&c->lock);
	list_push_back(&c->frames, &f->node);
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
	client_dispatch(c);
}

static void
on_end(void *user, struct call *call, const struct im_err *why, const uint8_t *body, size_t len)
{
	struct infermesh_call *c = user;
	struct im_err err = { .rc = IM_OK };
	struct generate_end end = { .has_usage = false };

	(void)call;
	c->call = NULL;
	if (why != NULL)
		err = *why;
	else if (generate_end_decode(body, len, &end, &err) == IM_OK && end.has_usage)
		c->usage = end.usage;
	finish(c, err.rc != IM_OK ? &err : NULL);
}

/* Starting. */

static struct infermesh_call *
call_new(struct infermesh *mesh, infermesh_event_fn fn, void *user)
{
	struct infermesh_call *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	client_ref(mesh);
	c->mesh = mesh;
	atomic_init(&c->refs, 1);
	c->fn = fn;
	c->user = user;
	(void)pthread_mutex_init(&c->lock, NULL);
	client_cond_init(&c->changed);
	list_init(&c->frames);
	arena_init(&c->arena, CLIENT_ARENA_MAX);
	return c;
}

static enum im_rc
start(struct infermesh *mesh, const struct infermesh_request *req, infermesh_event_fn fn,
      void *user, struct infermesh_call **ret_call, struct im_err *err)
{
	static const struct call_ops ops = { .data = on_data, .end = on_end };
	struct buf body = BUF_INIT(0);
	struct infermesh_call *c = NULL;
	enum im_rc rc = client_encode(req, true, &body, err);

	if (rc == IM_OK && fn != NULL)
		rc = client_dispatcher_start(mesh, err);
	if (rc == IM_OK) {
		c = call_new(mesh, fn, user);
		rc = c != NULL ? IM_OK : err_set(err, IM_ENOMEM, "no memory for a call");
	}
	if (rc == IM_OK) {
		const struct call_request call = { .method = METHOD_GENERATE,
						   .budget_ms = req->timeout_ms,
						   .traceparent = req->traceparent,
						   .priority = req->priority,
						   .body = body.data,
						   .body_len = body.len };

		loop_enter(mesh->loop);
		rc = client_start(mesh, &call, &ops, c, &c->call, err);
		/* Before the loop is left: the callback may run as soon as it is, and finds it set. */
		if (rc == IM_OK)
			*ret_call = c;
		loop_leave(mesh->loop);
	}
	if (rc != IM_OK && c != NULL)
		client_call_unref(c);
	buf_done(&body);
	return rc;
}

enum infermesh_code
infermesh_generate(struct infermesh *mesh, const struct infermesh_request *req,
		   struct infermesh_call **ret_call, struct infermesh_error *ret_err)
{
	return infermesh_generate_cb(mesh, req, NULL, NULL, ret_call, ret_err);
}

enum infermesh_code
infermesh_generate_cb(struct infermesh *mesh, const struct infermesh_request *req,
		      infermesh_event_fn fn, void *user, struct infermesh_call **ret_call,
		      struct infermesh_error *ret_err)
{
	struct im_err err = { .rc = IM_OK };

	if (start(mesh, req, fn, user, ret_call, &err) != IM_OK)
		return client_error(&err, ret_err);
	return INFERMESH_OK;
}

/* Ending. */

void
infermesh_cancel(struct infermesh_call *c)
{
	struct im_err err;

	if (atomic_load(&c->mesh->closed))
		return;
	(void)err_set(&err, IM_ECANCELED, "the program cancelled the call");
	atomic_store(&c->silent, true);
	loop_enter(c->mesh->loop);
	stop(c, &err);
	loop_leave(c->mesh->loop);
	client_dispatch_no_more(c);
}

void
infermesh_call_free(struct infermesh_call *c)
{
	if (c == NULL)
		return;
	infermesh_cancel(c);
	client_call_unref(c);
}

/* Reading. */

/* The next message, or NULL: the call is over or the time is. */
static struct client_frame *
await_frame(struct infermesh_call *c, uint64_t until_us, bool *ret_over)
{
	struct list *node;

	(void)pthread_mutex_lock(&c->lock);
	while (list_empty(&c->frames) && !c->over && client_wait(&c->changed, &c->lock, until_us))
		continue;
	if (c->error.rc == IM_ECANCELED)
		drop_frames(c);
	node = list_pop_front(&c->frames);
	*ret_over = c->over;
	(void)pthread_mutex_unlock(&c->lock);
	return node != NULL ? CONTAINER_OF(node, struct client_frame, node) : NULL;
}

static void
grant(struct infermesh_call *c, size_t len)
{
	if (atomic_load(&c->mesh->closed))
		return;
	loop_enter(c->mesh->loop);
	if (c->call != NULL)
		call_grant(c->call, len);
	loop_leave(c->mesh->loop);
}

/* The stream is no use any more: what could not be decoded must not become a shorter answer. */
static enum im_rc
spoil(struct infermesh_call *c, const struct im_err *err)
{
	if (!atomic_load(&c->mesh->closed)) {
		loop_enter(c->mesh->loop);
		stop(c, err);
		loop_leave(c->mesh->loop);
	}
	(void)pthread_mutex_lock(&c->lock);
	c->over = true;
	c->error = *err;
	drop_frames(c);
	(void)pthread_mutex_unlock(&c->lock);
	return err->rc;
}

/* It ended so; a limit that refused it says what is left. */
static enum im_rc
failed(struct infermesh_call *c, struct im_err *err)
{
	*err = c->error;
	if (err->rates.requests.limit > 0 || err->rates.tokens.limit > 0)
		c->limits = client_limits(&err->rates);
	return err->rc;
}

enum im_rc
client_next(struct infermesh_call *c, uint64_t until_us, struct infermesh_event *ret,
	    struct im_err *err)
{
	enum im_rc rc = IM_OK;

	for (;;) {
		struct client_frame *f;
		bool over;

		if (client_event(&c->frame, c->events_read, &c->arena, ret, &rc)) {
			c->events_read++;
			if (rc != IM_OK)
				(void)err_set(err, rc, "no memory for a piece of the answer");
			return rc == IM_OK ? rc : spoil(c, err);
		}
		f = await_frame(c, until_us, &over);
		if (f == NULL && !over)
			return err_set(err, IM_EAGAIN, "no event came in time; ask again");
		if (f == NULL && c->error.rc != IM_OK)
			return failed(c, err);
		arena_done(&c->arena);
		memset(&c->frame, 0, sizeof(c->frame));
		c->events_read = 0;
		if (f == NULL) {
			c->ended = true;
			*ret = client_blank_event(INFERMESH_END);
			ret->usage = client_usage(&c->usage);
			return IM_OK;
		}
		rc = generate_frame_decode(f->body, f->len, &c->arena, &c->frame, err);
		if (rc == IM_OK && c->frame.has_head)
			c->limits = client_limits(&c->frame.head.limits);
		grant(c, f->len);
		free(f);
		if (rc != IM_OK)
			return spoil(c, err);
	}
}

enum infermesh_code
infermesh_next(struct infermesh_call *c, int timeout_ms, struct infermesh_event *ret_event,
	       struct infermesh_error *ret_err)
{
	uint64_t until_us = UINT64_MAX;
	struct im_err err = { .rc = IM_OK };

	if (timeout_ms >= 0)
		until_us = clock_mono_us() + (uint64_t)timeout_ms * 1000;
	if (c->fn != NULL)
		(void)err_set(&err, IM_EINVAL, "this call has a callback; it cannot be read too");
	else if (c->ended)
		(void)err_set(&err, IM_EINVAL, "the answer has ended; no event follows");
	else if (client_next(c, until_us, ret_event, &err) == IM_OK)
		return INFERMESH_OK;
	return client_error(&err, ret_err);
}

const struct infermesh_limits *
infermesh_call_limits(const struct infermesh_call *c)
{
	return &c->limits;
}
