/*
 * daemon/redis_loop.c - see redis_loop.h.
 */
#include "daemon/redis_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

/* What an object of a reply takes besides its text. */
#define OBJECT_BYTES 64

/* What a reader's replies may take. */
struct bound {
	const redisAsyncContext *ac;
	redisReplyObjectFunctions *real, mine; /* 'mine' is what the reader calls */
	size_t max, used;                      /* bytes of one reply */
};

/* Of one connection; hiredis says when it goes. */
struct watch {
	struct loop_fd fd;
	struct loop_task write_task;
	struct loop *loop;
	redisAsyncContext *ac;
	struct bound bound;
	uint32_t events;
	bool in_callback, in_write, gone;
};

/* Part of a reply of so many bytes: is there room? False ends the connection. */
static bool
take(const redisReadTask *task, int type, size_t bytes)
{
	struct bound *b = task->privdata;

	if (task->parent == NULL) {
		/* An error alone is what a server says that is full; hiredis knows that. */
		if (b->ac->replies.head == NULL && type != REDIS_REPLY_ERROR)
			return false;
		b->used = 0;
	}
	b->used += OBJECT_BYTES + bytes;
	return b->used <= b->max;
}

static const struct bound *
bound_of(const redisReadTask *task)
{
	return task->privdata;
}

static void *
create_string(const redisReadTask *task, char *text, size_t len)
{
	return take(task, task->type, len) ? bound_of(task)->real->createString(task, text, len)
					   : NULL;
}

static void *
create_array(const redisReadTask *task, int elements)
{
	size_t bytes = elements > 0 ? (size_t)elements * sizeof(void *) : 0;

	return take(task, task->type, bytes) ? bound_of(task)->real->createArray(task, elements)
					     : NULL;
}

static void *
create_integer(const redisReadTask *task, long long value)
{
	return take(task, task->type, 0) ? bound_of(task)->real->createInteger(task, value) : NULL;
}

static void *
create_nil(const redisReadTask *task)
{
	return take(task, task->type, 0) ? bound_of(task)->real->createNil(task) : NULL;
}

static void
bind(struct bound *b, redisReader *reader, const redisAsyncContext *ac, size_t max)
{
	b->ac = ac;
	b->max = max;
	b->real = reader->fn;
	b->mine = (redisReplyObjectFunctions){ create_string, create_array, create_integer,
					       create_nil, b->real->freeObject };
	reader->fn = &b->mine;
	reader->privdata = b;
}

bool
redis_loop_bound(redisReader *reader, const redisAsyncContext *ac, size_t reply_bytes, void **ret)
{
	struct bound *b = calloc(1, sizeof(*b));

	if (b != NULL)
		bind(b, reader, ac, reply_bytes);
	*ret = b;
	return b != NULL;
}

static void
watch_free(struct watch *w)
{
	loop_cancel(w->loop, &w->write_task);
	loop_fd_del(w->loop, &w->fd);
	free(w);
}

/* hiredis frees the connection inside its own handlers; 'gone' says so. */
static void
read_some(struct watch *w)
{
	redisAsyncHandleRead(w->ac);
	/* A text that never ends is buffered until it does. */
	if (!w->gone && w->ac->c.reader->len > w->bound.max) {
		w->ac->err = w->ac->c.err = REDIS_ERR_PROTOCOL;
		(void)snprintf(w->ac->c.errstr, sizeof(w->ac->c.errstr),
			       "a reply is larger than it may be");
		w->ac->errstr = w->ac->c.errstr;
		redisAsyncFree(w->ac);
	}
}

static void
write_some(struct watch *w)
{
	w->in_write = true;
	redisAsyncHandleWrite(w->ac);
	w->in_write = false;
}

static void
ready(void *arg, uint32_t events)
{
	struct watch *w = arg;

	w->in_callback = true;
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0)
		read_some(w);
	if (!w->gone && (events & EPOLLOUT) != 0)
		write_some(w);
	w->in_callback = false;
	if (w->gone)
		watch_free(w);
}

static void
write_fire(void *arg)
{
	ready(arg, EPOLLOUT);
}

static void
change(struct watch *w, uint32_t events)
{
	if (events == w->events)
		return;
	w->events = events;
	loop_fd_events(w->loop, &w->fd, events);
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

/* Connected, and nothing is left of an earlier turn: try at the end of this one. Else when there is room. */
static void
add_write(void *arg)
{
	struct watch *w = arg;

	if ((w->ac->c.flags & REDIS_CONNECTED) != 0 && !w->in_write)
		loop_post_last(w->loop, &w->write_task);
	else
		change(w, w->events | EPOLLOUT);
}

static void
del_write(void *arg)
{
	struct watch *w = arg;

	loop_cancel(w->loop, &w->write_task);
	change(w, w->events & ~(uint32_t)EPOLLOUT);
}

static void
cleanup(void *arg)
{
	struct watch *w = arg;

	w->gone = true;
	loop_fd_del(w->loop, &w->fd); /* before hiredis closes the descriptor */
	if (!w->in_callback)
		watch_free(w);
}

enum im_rc
redis_loop_attach(redisAsyncContext *ac, struct loop *loop, size_t reply_bytes, struct im_err *err)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a connection");
	w->loop = loop;
	w->ac = ac;
	w->fd = (struct loop_fd){ .fn = ready, .arg = w, .fd = ac->c.fd };
	w->write_task = (struct loop_task){ .fn = write_fire, .arg = w };
	if (loop_fd_add(loop, &w->fd, 0) != IM_OK) {
		free(w);
		return err_set(err, IM_ENOMEM, "the loop cannot watch another connection");
	}
	bind(&w->bound, ac->c.reader, ac, reply_bytes);
	ac->ev.data = w;
	ac->ev.addRead = add_read;
	ac->ev.delRead = del_read;
	ac->ev.addWrite = add_write;
	ac->ev.delWrite = del_write;
	ac->ev.cleanup = cleanup;
	return IM_OK;
}
