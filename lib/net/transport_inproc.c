/*
 * net/transport_inproc.c - streams between two ends of one process, whose loops may be the same or different ones. There
 * is no buffer in between: a send waits until the peer has posted a receive, then the bytes are copied once.
 *
 * Each side has one task on its loop, which delivers what has happened. Whoever finds 'posted' false under the lock sets
 * it and, after unlocking, posts the task. A side is not gone before its task ran after the close, so neither the side
 * nor its loop can vanish under a peer that is about to post. Nothing is posted with a lock held, because loop_post() may
 * run the task at once.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "net/transport.h"

struct pipe;

struct side {
	struct conn conn;
	struct pipe *pipe;
	struct loop *loop;
	struct loop_task task;
	/* Guarded by pipe->lock. */
	bool posted;
	bool closed;
	uint8_t *recv_buf; /* not NULL: a receive is posted */
	size_t recv_cap;
	bool received; /* to be delivered: recv_len, 0 = the end */
	size_t recv_len;
	const uint8_t *send_buf; /* not NULL: a send is pending */
	size_t send_len;
	bool sent; /* to be delivered: sent_len, 0 = broken */
	size_t sent_len;
	uint8_t *tail; /* what was pending at the close, for the peer to read */
	size_t tail_len, tail_at;
};

struct pipe {
	pthread_mutex_t lock;
	unsigned refs; /* sides that are not gone */
	struct side side[2];
};

struct inproc_acceptor {
	struct acceptor base;
	struct list node; /* in 'listening' */
	struct loop *loop;
	struct loop_task task;
	char name[TRANSPORT_URL_MAX];
	/* Guarded by registry_lock. */
	struct list waiting; /* of struct knock */
	bool posted;
	bool closed;
};

/* A connection that was made and not yet taken by the listener's loop. */
struct knock {
	struct list node;
	struct side *side;
};

struct inproc_dialer {
	struct dialer base;
	struct loop *loop;
	struct loop_task task;
	char name[TRANSPORT_URL_MAX];
	bool dialling;
	bool closed;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list listening = { &listening, &listening }; /* guarded by registry_lock */

static struct side *
peer_of(struct side *s)
{
	return &s->pipe->side[s == &s->pipe->side[0]];
}

/* With the lock held: true if the caller has to post the task after unlocking. */
static bool
claim_post(struct side *s)
{
	bool ours = !s->posted;

	s->posted = true;
	return ours;
}

static void
pipe_unref(struct pipe *p)
{
	bool last;

	(void)pthread_mutex_lock(&p->lock);
	last = --p->refs == 0;
	(void)pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	(void)pthread_mutex_destroy(&p->lock);
	free(p->side[0].tail);
	free(p->side[1].tail);
	free(p);
}

static void
side_deliver(void *arg)
{
	struct side *s = arg;
	struct im_err err;
	bool received, sent, closed;
	size_t recv_len, sent_len;

	(void)pthread_mutex_lock(&s->pipe->lock);
	s->posted = false;
	received = s->received;
	recv_len = s->recv_len;
	sent = s->sent;
	sent_len = s->sent_len;
	closed = s->closed;
	s->received = s->sent = false;
	(void)pthread_mutex_unlock(&s->pipe->lock);
	if (closed) {
		const struct conn_events *events = s->conn.events;
		void *user = s->conn.user;

		pipe_unref(s->pipe);
		events->closed(user);
		return;
	}
	err_set(&err, IM_EUNAVAILABLE, "the peer closed the link");
	if (sent)
		s->conn.events->sent(s->conn.user, sent_len, sent_len > 0 ? NULL : &err);
	/* The owner may have closed it inside 'sent'; the task was posted again then. */
	if (received && !s->closed)
		s->conn.events->received(s->conn.user, recv_len, recv_len > 0 ? NULL : &err);
}

static size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void
side_recv(struct conn *conn, uint8_t *buf, size_t cap)
{
	struct side *s = CONTAINER_OF(conn, struct side, conn);
	struct side *peer = peer_of(s);
	bool post = false, post_peer = false;

	(void)pthread_mutex_lock(&s->pipe->lock);
	if (peer->send_buf != NULL) {
		s->recv_len = peer->sent_len = min_size(cap, peer->send_len);
		memcpy(buf, peer->send_buf, s->recv_len);
		peer->send_buf = NULL;
		s->received = peer->sent = true;
		post_peer = claim_post(peer);
	} else if (peer->tail_at < peer->tail_len) {
		s->recv_len = min_size(cap, peer->tail_len - peer->tail_at);
		memcpy(buf, peer->tail + peer->tail_at, s->recv_len);
		peer->tail_at += s->recv_len;
		s->received = true;
	} else if (peer->closed) {
		s->recv_len = 0;
		s->received = true;
	} else {
		s->recv_buf = buf;
		s->recv_cap = cap;
	}
	if (s->received)
		post = claim_post(s);
	(void)pthread_mutex_unlock(&s->pipe->lock);
	if (post)
		loop_post(s->loop, &s->task);
	if (post_peer)
		loop_post(peer->loop, &peer->task);
}

static enum conn_sent
side_send(struct conn *conn, const uint8_t *buf, size_t len, size_t *ret_len)
{
	struct side *s = CONTAINER_OF(conn, struct side, conn);
	struct side *peer = peer_of(s);
	enum conn_sent result = CONN_PENDING;
	bool post_peer = false;

	(void)pthread_mutex_lock(&s->pipe->lock);
	if (peer->closed) {
		result = CONN_BROKEN;
	} else if (peer->recv_buf != NULL) {
		*ret_len = peer->recv_len = min_size(len, peer->recv_cap);
		memcpy(peer->recv_buf, buf, *ret_len);
		peer->recv_buf = NULL;
		peer->received = true;
		post_peer = claim_post(peer);
		result = CONN_SENT;
	} else {
		s->send_buf = buf;
		s->send_len = len;
	}
	(void)pthread_mutex_unlock(&s->pipe->lock);
	if (post_peer)
		loop_post(peer->loop, &peer->task);
	return result;
}

/* With the lock held: the end of 's'. True if the caller has to post the peer's task. */
static bool
close_locked(struct side *s)
{
	struct side *peer = peer_of(s);

	s->closed = true;
	s->recv_buf = NULL;
	if (s->send_buf != NULL && !peer->closed) {
		/* As a socket would, keep what the peer has not read yet. */
		s->tail = malloc(s->send_len);
		if (s->tail != NULL) {
			memcpy(s->tail, s->send_buf, s->send_len);
			s->tail_len = s->send_len;
		}
	}
	s->send_buf = NULL;
	if (peer->recv_buf != NULL) {
		peer->recv_buf = NULL;
		peer->recv_len = 0;
		peer->received = true;
	}
	if (peer->send_buf != NULL) {
		peer->send_buf = NULL;
		peer->sent_len = 0;
		peer->sent = true;
	}
	return !peer->closed && (peer->received || peer->sent) && claim_post(peer);
}

static void
side_close(struct conn *conn)
{
	struct side *s = CONTAINER_OF(conn, struct side, conn);
	struct side *peer = peer_of(s);
	bool post, post_peer;

	(void)pthread_mutex_lock(&s->pipe->lock);
	post_peer = close_locked(s);
	post = claim_post(s);
	(void)pthread_mutex_unlock(&s->pipe->lock);
	if (post_peer)
		loop_post(peer->loop, &peer->task);
	if (post)
		loop_post(s->loop, &s->task);
}

/* Close a side that nobody owned: it has posted nothing, so nobody posts its task. */
static void
side_discard(struct side *s)
{
	struct side *peer = peer_of(s);
	bool post_peer;

	(void)pthread_mutex_lock(&s->pipe->lock);
	post_peer = close_locked(s);
	(void)pthread_mutex_unlock(&s->pipe->lock);
	if (post_peer)
		loop_post(peer->loop, &peer->task);
	pipe_unref(s->pipe);
}

static const struct conn_vtable side_vtable = {
	.recv = side_recv,
	.send = side_send,
	.close = side_close,
};

static struct pipe *
pipe_new(struct loop *dialling, struct loop *accepting, const char *name)
{
	struct pipe *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	(void)pthread_mutex_init(&p->lock, NULL);
	p->refs = 2;
	for (int i = 0; i < 2; i++) {
		struct side *s = &p->side[i];

		s->conn.vt = &side_vtable;
		(void)snprintf(s->conn.address, sizeof(s->conn.address), "inproc://%.100s", name);
		s->pipe = p;
		s->loop = i == 0 ? dialling : accepting;
		s->task.fn = side_deliver;
		s->task.arg = s;
	}
	return p;
}

/* Listening. */

static struct side *
take_knock(struct inproc_acceptor *a, bool *ret_closed)
{
	struct list *node;
	struct side *side = NULL;

	(void)pthread_mutex_lock(&registry_lock);
	*ret_closed = a->closed;
	node = list_pop_front(&a->waiting);
	if (node == NULL)
		a->posted = false;
	(void)pthread_mutex_unlock(&registry_lock);
	if (node != NULL) {
		struct knock *k = CONTAINER_OF(node, struct knock, node);

		side = k->side;
		free(k);
	}
	return side;
}

static void
acceptor_deliver(void *arg)
{
	struct inproc_acceptor *a = arg;
	struct side *side;
	bool closed;

	while ((side = take_knock(a, &closed)) != NULL) {
		if (closed)
			side_discard(side);
		else
			a->base.events->accepted(a->base.user, &side->conn);
	}
	if (!closed)
		return;
	a->base.events->closed(a->base.user);
	free(a);
}

static void
inproc_acceptor_close(struct acceptor *base)
{
	struct inproc_acceptor *a = CONTAINER_OF(base, struct inproc_acceptor, base);
	bool post;

	(void)pthread_mutex_lock(&registry_lock);
	list_remove(&a->node);
	a->closed = true;
	post = !a->posted;
	a->posted = true;
	(void)pthread_mutex_unlock(&registry_lock);
	if (post)
		loop_post(a->loop, &a->task);
}

static const struct acceptor_vtable inproc_acceptor_vtable = { .close = inproc_acceptor_close };

/* With registry_lock held. */
static struct inproc_acceptor *
find_acceptor(const char *name)
{
	LIST_FOREACH (&listening, a, struct inproc_acceptor, node)
		if (strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

enum im_rc
inproc_acceptor_open(struct loop *loop, const char *name, struct acceptor **ret_acceptor,
		     struct im_err *err)
{
	struct inproc_acceptor *a = calloc(1, sizeof(*a));
	bool taken;

	if (a == NULL)
		return err_set(err, IM_ENOMEM, "no memory to listen on inproc://%s", name);
	a->base.vt = &inproc_acceptor_vtable;
	a->loop = loop;
	a->task.fn = acceptor_deliver;
	a->task.arg = a;
	list_init(&a->waiting);
	(void)snprintf(a->name, sizeof(a->name), "%s", name);
	(void)pthread_mutex_lock(&registry_lock);
	taken = find_acceptor(name) != NULL;
	if (!taken)
		list_push_back(&listening, &a->node);
	(void)pthread_mutex_unlock(&registry_lock);
	if (taken) {
		free(a);
		return err_set(err, IM_EEXIST,
			       "somebody in this process listens on inproc://%s already", name);
	}
	*ret_acceptor = &a->base;
	return IM_OK;
}

/* Dialling. */

static enum im_rc
connect_side(struct inproc_dialer *d, struct side **ret_side, struct im_err *err)
{
	struct knock *k = calloc(1, sizeof(*k));
	struct inproc_acceptor *a;
	struct pipe *p = NULL;
	bool post = false;

	(void)pthread_mutex_lock(&registry_lock);
	a = find_acceptor(d->name);
	if (a != NULL && k != NULL)
		p = pipe_new(d->loop, a->loop, d->name);
	if (p != NULL) {
		k->side = &p->side[1];
		list_push_back(&a->waiting, &k->node);
		post = !a->posted;
		a->posted = true;
	}
	(void)pthread_mutex_unlock(&registry_lock);
	if (p == NULL) {
		free(k);
		if (a != NULL)
			return err_set(err, IM_ENOMEM, "no memory for a link to inproc://%s",
				       d->name);
		return err_set(
		    err, IM_EUNAVAILABLE,
		    "nobody in this process listens on inproc://%s; is that service started?",
		    d->name);
	}
	/* Its own close waits for this task, so 'a' is still there. */
	if (post)
		loop_post(a->loop, &a->task);
	*ret_side = &p->side[0];
	return IM_OK;
}

static void
dialer_deliver(void *arg)
{
	struct inproc_dialer *d = arg;
	struct side *side = NULL;
	struct im_err err;

	if (d->closed) {
		d->base.events->closed(d->base.user);
		free(d);
		return;
	}
	d->dialling = false;
	if (connect_side(d, &side, &err) == IM_OK)
		d->base.events->dialled(d->base.user, &side->conn, NULL);
	else
		d->base.events->dialled(d->base.user, NULL, &err);
}

static void
inproc_dial(struct dialer *base)
{
	struct inproc_dialer *d = CONTAINER_OF(base, struct inproc_dialer, base);

	d->dialling = true;
	loop_post(d->loop, &d->task);
}

static void
inproc_abort(struct dialer *base)
{
	(void)base; /* a try never waits for anything */
}

static void
inproc_dialer_close(struct dialer *base)
{
	struct inproc_dialer *d = CONTAINER_OF(base, struct inproc_dialer, base);

	d->closed = true;
	loop_post(d->loop, &d->task); /* stays queued once if a try is under way */
}

static const struct dialer_vtable inproc_dialer_vtable = {
	.dial = inproc_dial,
	.abort = inproc_abort,
	.close = inproc_dialer_close,
};

enum im_rc
inproc_dialer_open(struct loop *loop, const char *name, struct dialer **ret_dialer,
		   struct im_err *err)
{
	struct inproc_dialer *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return err_set(err, IM_ENOMEM, "no memory to dial inproc://%s", name);
	d->base.vt = &inproc_dialer_vtable;
	d->loop = loop;
	d->task.fn = dialer_deliver;
	d->task.arg = d;
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	*ret_dialer = &d->base;
	return IM_OK;
}
