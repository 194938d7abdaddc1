/*
 * net/transport_unix.c - streams over Unix sockets; see transport_unix.h for the rules. Knows nothing of how they came to
 * be.
 *
 * EPOLLIN stays armed from one receive to the next, so a message costs no epoll_ctl(). It is disarmed if bytes come while
 * no receive is posted. A hang-up cannot be disarmed: then the socket is not watched any more, and a receive asks it
 * without waiting for an event.
 */
#include "net/transport_unix.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"

struct unix_conn {
	struct conn base;
	struct loop *loop;
	struct loop_fd watch;
	uint32_t watched;           /* events */
	struct loop_task recv_task; /* a receive after the hang-up */
	struct loop_task gone_task;
	uint8_t *in; /* NULL = no receive is posted */
	size_t in_cap;
	const uint8_t *out; /* NULL = no send is pending */
	size_t out_len;
	bool hung_up, closing;
};

static void
watch(struct unix_conn *c, uint32_t events)
{
	if (c->hung_up || events == c->watched)
		return;
	c->watched = events;
	loop_fd_events(c->loop, &c->watch, events);
}

static void
unix_err(struct im_err *err, int error)
{
	if (error == 0 || error == ECONNRESET || error == EPIPE)
		err_set(err, IM_EUNAVAILABLE, "the peer closed the link");
	else
		err_errno(err, IM_EUNAVAILABLE, error, "the link broke");
}

static bool
try_again(int error)
{
	return error == EAGAIN || error == EINTR;
}

/* Do the posted receive and tell of it, unless there is nothing to receive. */
static void
receive(struct unix_conn *c)
{
	ssize_t n = recv(c->watch.fd, c->in, c->in_cap, 0);
	int error = n < 0 ? errno : 0;
	struct im_err err;

	if (n < 0 && try_again(error) && !c->hung_up)
		return;
	c->in = NULL;
	if (n > 0) {
		c->base.events->received(c->base.user, (size_t)n, NULL);
		return;
	}
	unix_err(&err, try_again(error) ? 0 : error);
	c->base.events->received(c->base.user, 0, &err);
}

static void
receive_late(void *arg)
{
	receive(arg);
}

/* Go on with the pending send and tell of it, unless there is still no room. */
static void
send_on(struct unix_conn *c)
{
	ssize_t n = send(c->watch.fd, c->out, c->out_len, MSG_NOSIGNAL);
	int error = n < 0 ? errno : 0;
	struct im_err err;

	if (n < 0 && try_again(error) && !c->hung_up)
		return;
	c->out = NULL;
	if (n >= 0) {
		c->base.events->sent(c->base.user, (size_t)n, NULL);
	} else {
		unix_err(&err, try_again(error) ? 0 : error);
		c->base.events->sent(c->base.user, 0, &err);
	}
	if (!c->closing && c->out == NULL)
		watch(c, c->watched & ~(uint32_t)EPOLLOUT);
}

/* An owner that has not posted a receive is not to be told; but the event would come again and again. */
static void
leave_unread(struct unix_conn *c)
{
	watch(c, c->watched & ~(uint32_t)EPOLLIN);
}

static void
on_event(void *arg, uint32_t events)
{
	struct unix_conn *c = arg;
	bool over = (events & (EPOLLHUP | EPOLLERR)) != 0;

	if (over) {
		loop_fd_del(c->loop, &c->watch);
		c->hung_up = true;
	}
	if (c->out != NULL && (over || (events & EPOLLOUT) != 0))
		send_on(c);
	if (c->closing || !(over || (events & EPOLLIN) != 0))
		return;
	if (c->in == NULL)
		leave_unread(c);
	else if (!c->recv_task.queued) /* else 'sent' posted it just now */
		receive(c);
}

static void
unix_conn_recv(struct conn *base, uint8_t *buf, size_t cap)
{
	struct unix_conn *c = CONTAINER_OF(base, struct unix_conn, base);

	c->in = buf;
	c->in_cap = cap;
	if (c->hung_up)
		loop_post(c->loop, &c->recv_task);
	else
		watch(c, c->watched | EPOLLIN);
}

static enum conn_sent
unix_conn_send(struct conn *base, const uint8_t *buf, size_t len, size_t *ret_len)
{
	struct unix_conn *c = CONTAINER_OF(base, struct unix_conn, base);
	ssize_t n = send(c->watch.fd, buf, len, MSG_NOSIGNAL);

	if (n > 0) {
		*ret_len = (size_t)n;
		return CONN_SENT;
	}
	if (n < 0 && try_again(errno) && !c->hung_up) {
		c->out = buf;
		c->out_len = len;
		watch(c, c->watched | EPOLLOUT);
		return CONN_PENDING;
	}
	/* A posted receive ends too, after what has come already. */
	(void)shutdown(c->watch.fd, SHUT_RDWR);
	return CONN_BROKEN;
}

static void
conn_gone(void *arg)
{
	struct unix_conn *c = arg;
	const struct conn_events *events = c->base.events;
	void *user = c->base.user;

	free(c);
	events->closed(user);
}

static void
unix_conn_close(struct conn *base)
{
	struct unix_conn *c = CONTAINER_OF(base, struct unix_conn, base);

	c->closing = true;
	loop_cancel(c->loop, &c->recv_task);
	loop_fd_del(c->loop, &c->watch);
	(void)close(c->watch.fd);
	loop_post(c->loop, &c->gone_task);
}

static const struct conn_vtable unix_conn_vtable = {
	.recv = unix_conn_recv,
	.send = unix_conn_send,
	.close = unix_conn_close,
};

struct conn *
unix_conn_new(struct loop *loop, int fd, const char *url)
{
	struct unix_conn *c = calloc(1, sizeof(*c));
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (c == NULL)
		goto fail;
	c->base.vt = &unix_conn_vtable;
	c->loop = loop;
	c->recv_task.fn = receive_late;
	c->gone_task.fn = conn_gone;
	c->watch.fn = on_event;
	c->recv_task.arg = c->gone_task.arg = c->watch.arg = c;
	c->watch.fd = fd;
	c->watched = EPOLLIN;
	if (loop_fd_add(loop, &c->watch, c->watched) != IM_OK)
		goto fail;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid > 0) {
		c->base.has_uid = true;
		c->base.uid = cred.uid;
		(void)snprintf(c->base.address, sizeof(c->base.address), "%.90s (pid %d)", url,
			       (int)cred.pid);
	} else {
		(void)snprintf(c->base.address, sizeof(c->base.address), "%.*s",
			       TRANSPORT_ADDRESS_MAX - 1, url);
	}
	return &c->base;
fail:
	free(c);
	(void)close(fd);
	return NULL;
}
