/*
 * cli/answer.c - see answer.h. Callbacks on the loop put what came into a queue; the waiting thread takes it from there and
 * grants credit only then, so a slow terminal holds the model back and not our memory.
 */
#include "cli/answer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FRAME_MEMORY_MAX (64UL * 1024 * 1024)

struct frame {
	struct frame *next;
	size_t len;
	uint8_t body[];
};

struct answer {
	struct call *call; /* on the loop; NULL once ended */
	pthread_mutex_t lock;
	struct frame *head, **tail;
	bool done;
	enum im_rc rc;
	struct im_err err;
	int news_fd;
};

static void
tell(struct answer *a)
{
	const uint64_t one = 1;

	/* Full only after 2^64 pieces: cannot fail. */
	if (write(a->news_fd, &one, sizeof(one)) < 0)
		return;
}

static void
on_data(void *user, struct call *call, const uint8_t *body, size_t len)
{
	struct answer *a = user;
	struct frame *f = malloc(sizeof(*f) + len);

	(void)call;
	(void)pthread_mutex_lock(&a->lock);
	if (f != NULL) {
		f->next = NULL;
		f->len = len;
		memcpy(f->body, body, len);
		*a->tail = f;
		a->tail = &f->next;
	} else {
		a->rc = err_set(&a->err, IM_ENOMEM, "not enough memory for the answer");
	}
	(void)pthread_mutex_unlock(&a->lock);
	tell(a);
}

static void
on_end(void *user, struct call *call, const struct im_err *error, const uint8_t *body, size_t len)
{
	struct answer *a = user;

	(void)call;
	(void)body;
	(void)len;
	a->call = NULL;
	(void)pthread_mutex_lock(&a->lock);
	a->done = true;
	if (error != NULL && a->rc == IM_OK) {
		a->rc = error->rc;
		a->err = *error;
	}
	(void)pthread_mutex_unlock(&a->lock);
	tell(a);
}

/* The next piece, or NULL. */
static struct frame *
take(struct answer *a, bool *ret_done)
{
	struct frame *f;

	(void)pthread_mutex_lock(&a->lock);
	f = a->head;
	if (f != NULL) {
		a->head = f->next;
		if (a->head == NULL)
			a->tail = &a->head;
	}
	*ret_done = f == NULL && a->done;
	(void)pthread_mutex_unlock(&a->lock);
	return f;
}

static enum im_rc
show(const struct frame *f, const struct answer_ops *ops, void *user, struct buf *whole,
     struct im_err *err)
{
	struct arena arena = { .max_bytes = FRAME_MEMORY_MAX };
	struct generate_frame frame;
	enum im_rc rc = generate_frame_decode(f->body, f->len, &arena, &frame, err);

	for (size_t i = 0; rc == IM_OK && i < frame.delta_count; i++) {
		const struct delta *d = &frame.deltas[i];

		if (d->reasoning_content[0] != '\0')
			ops->reasoning(user, d->reasoning_content, strlen(d->reasoning_content));
		if (d->content[0] == '\0')
			continue;
		ops->content(user, d->content, strlen(d->content));
		if (whole != NULL && !buf_append_str(whole, d->content))
			rc = err_set(err, IM_ETOOBIG, "the answer is too long");
	}
	arena_done(&arena);
	return rc;
}

/* Until the end, an error or the stop. */
static enum im_rc
follow(struct answer *a, struct peer *router, int stop_fd, const struct answer_ops *ops, void *user,
       struct buf *whole, struct im_err *err)
{
	struct pollfd fds[2] = { { .fd = a->news_fd, .events = POLLIN },
				 { .fd = stop_fd, .events = POLLIN } };

	for (;;) {
		enum im_rc rc = IM_OK;
		struct frame *f;
		bool done = false;
		uint64_t count;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return err_errno(err, IM_EIO, errno, "cannot wait for the answer");
		if ((fds[1].revents & POLLIN) != 0)
			return err_set(err, IM_ECANCELED, "cancelled");
		if ((fds[0].revents & POLLIN) == 0 || read(a->news_fd, &count, sizeof(count)) < 0)
			continue;
		while (rc == IM_OK && (f = take(a, &done)) != NULL) {
			rc = show(f, ops, user, whole, err);
			loop_enter(mesh_loop(router));
			if (a->call != NULL)
				call_grant(a->call, f->len);
			loop_leave(mesh_loop(router));
			free(f);
		}
		if (rc != IM_OK)
			return rc;
		if (!done)
			continue;
		if (a->rc != IM_OK && err != NULL)
			*err = a->err;
		return a->rc;
	}
}

enum im_rc
answer_get(struct peer *router, const struct generate_request *request, unsigned budget_ms,
	   int stop_fd, const struct answer_ops *ops, void *user, struct buf *ret_whole,
	   struct im_err *err)
{
	static const struct call_ops call_ops = { .data = on_data, .end = on_end };
	struct answer a = { .tail = &a.head, .news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	struct buf body = { 0 };
	struct call_request req = { .method = METHOD_GENERATE, .budget_ms = budget_ms };
	enum im_rc rc = IM_EUNAVAILABLE;
	bool done;

	(void)err_set(
	    err, rc, "the link to the router is lost; 'infermesh status' shows whether it is back");
	if (a.news_fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot wait for an answer");
	(void)pthread_mutex_init(&a.lock, NULL);
	generate_request_encode(request, &body);
	req.body = body.data;
	req.body_len = body.len;
	loop_enter(mesh_loop(router));
	if (!buf_ok(&body))
		rc = err_set(err, IM_ENOMEM, "not enough memory for the request");
	else if (mesh_link(router) != NULL)
		rc = call_start(mesh_link(router), &req, &call_ops, &a, &a.call, err);
	loop_leave(mesh_loop(router));
	buf_done(&body);
	if (rc == IM_OK) {
		rc = follow(&a, router, stop_fd, ops, user, ret_whole, err);
		loop_enter(mesh_loop(router));
		if (a.call != NULL)
			call_cancel(a.call);
		loop_leave(mesh_loop(router));
	}
	for (struct frame *f = take(&a, &done); f != NULL; f = take(&a, &done))
		free(f);
	(void)close(a.news_fd);
	(void)pthread_mutex_destroy(&a.lock);
	return rc;
}
