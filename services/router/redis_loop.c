/*
 * router/redis_loop.c - see redis_loop.h.
 */
#include "router/redis_loop.h"

#include <stdlib.h>
#include <sys/epoll.h>

/* Of one connection; hiredis says when it goes. */
struct watch {
	struct loop_fd fd;
	struct loop *loop;
	redisAsyncContext *ac;
	uint32_t events;
	bool in_callback, gone;
};

static void
watch_free(struct watch *w)
{
	loop_fd_del(w->loop, &w->fd);
	free(w);
}

/* hiredis frees the connection inside its own handlers; 'gone' says so. */
static void
ready(void *arg, uint32_t events)
{
	struct watch *w = arg;

	w->in_callback = true;
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0) {
		redisAsyncHandleRead(w->ac);
	}
	if (!w->gone && (events & EPOLLOUT) != 0) {
		redisAsyncHandleWrite(w->ac);
	}
	w->in_callback = false;
	if (w->gone) {
		watch_free(w);
	}
}

static void
change(struct watch *w, uint32_t events)
{
	if (events != w->events) {
		w->events = events;
		loop_fd_events(w->loop, &w->fd, events);
	}
}

static void
add_read(void *arg)
{
	struct watch *w = arg;

	change(w, w->events | EPOLLIN);
}

static void
del_read(void *arg)
{
	struct watch *w = arg;

	change(w, w->events & ~(uint32_t)EPOLLIN);
}

static void
add_write(void *arg)
{
	struct watch *w = arg;

	change(w, w->events | EPOLLOUT);
}

static void
del_write(void *arg)
{
	struct watch *w = arg;

	change(w, w->events & ~(uint32_t)EPOLLOUT);
}

static void
cleanup(void *arg)
{
	struct watch *w = arg;

	w->gone = true;
	loop_fd_del(w->loop, &w->fd); /* before hiredis closes the descriptor */
	if (!w->in_callback) {
		watch_free(w);
	}
}

enum im_rc
redis_loop_attach(redisAsyncContext *ac, struct loop *loop, struct im_err *err)
{
	struct watch *w = calloc(1, sizeof(*w));
	enum im_rc rc;

	if (w == NULL) {
		return err_set(err, IM_ENOMEM, "no memory for a connection");
	}
	w->loop = loop;
	w->ac = ac;
	w->fd = (struct loop_fd){ .fn = ready, .arg = w, .fd = ac->c.fd };
	rc = loop_fd_add(loop, &w->fd, 0);
	if (rc != IM_OK) {
		free(w);
		return err_set(err, IM_ENOMEM, "the loop cannot watch another connection");
	}
	ac->ev.data = w;
	ac->ev.addRead = add_read;
	ac->ev.delRead = del_read;
	ac->ev.addWrite = add_write;
	ac->ev.delWrite = del_write;
	ac->ev.cleanup = cleanup;
	return IM_OK;
}
