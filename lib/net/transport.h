/*
 * net/transport.h - byte streams under the links: over Unix sockets (ipc://), over nng (tcp://) or inside the process
 * (inproc://). Known in this room only. A transport moves bytes and says when they moved; it knows nothing of frames.
 *
 * Threads: every function is called on the loop of its object and every event is delivered on it, never from inside a
 * function of this header. No function blocks.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"

#define TRANSPORT_URL_MAX     256
#define TRANSPORT_ADDRESS_MAX 128

struct conn;
struct acceptor;
struct dialer;

struct conn_events {
	/* The posted receive is over: 'len' bytes are in its buffer, or none and 'err' says why the stream ended. */
	void (*received)(void *user, size_t len, const struct im_err *err);
	/* The pending send is over: 'len' bytes were taken (perhaps not all), or none and 'err' says why. */
	void (*sent)(void *user, size_t len, const struct im_err *err);
	/* After conn_close(): nothing is in flight, the buffers are their owner's again, 'conn' is gone. */
	void (*closed)(void *user);
};

enum conn_sent {
	CONN_SENT,    /* '*ret_len' bytes were taken, at least one */
	CONN_PENDING, /* the buffer is in use until 'sent' */
	CONN_BROKEN,  /* the stream is over; a posted receive ends too */
};

struct conn_vtable {
	void (*recv)(struct conn *c, uint8_t *buf, size_t cap);
	enum conn_sent (*send)(struct conn *c, const uint8_t *buf, size_t len, size_t *ret_len);
	void (*close)(struct conn *c);
};

/* One stream. What is behind it embeds this. */
struct conn {
	const struct conn_vtable *vt;
	const struct conn_events *events; /* set by the owner when it gets the conn */
	void *user;
	char address[TRANSPORT_ADDRESS_MAX]; /* of the peer, for logs */
	bool has_uid;                        /* of the peer, as the kernel says */
	uint32_t uid;
};

/** Post a receive into 'buf'; one at a time. The buffer is in use until 'received'. */
static inline void
conn_recv(struct conn *c, uint8_t *buf, size_t cap)
{
	c->vt->recv(c, buf, cap);
}

/** Send; one at a time. */
static inline enum conn_sent
conn_send(struct conn *c, const uint8_t *buf, size_t len, size_t *ret_len)
{
	return c->vt->send(c, buf, len, ret_len);
}

/** Close; what was taken before still arrives if the peer reads it. Only 'closed' follows. */
static inline void
conn_close(struct conn *c)
{
	c->vt->close(c);
}

struct acceptor_events {
	/* A peer connected: set conn->events and conn->user, or conn_close() it after setting them. */
	void (*accepted)(void *user, struct conn *conn);
	/* Accepting failed and goes on by itself, such as without descriptors left. */
	void (*trouble)(void *user, const struct im_err *why);
	void (*closed)(void *user); /* after acceptor_close(); it is gone */
};

struct acceptor_vtable {
	void (*close)(struct acceptor *a);
};

struct acceptor {
	const struct acceptor_vtable *vt;
	const struct acceptor_events *events;
	void *user;
};

/** 'ret_url' gets the URL with the real port. Errors as net_listen(). */
IM_MUST_CHECK enum im_rc acceptor_open(struct loop *loop, const char *url,
				       const struct acceptor_events *events, void *user,
				       struct acceptor **ret_acceptor,
				       char ret_url[TRANSPORT_URL_MAX], struct im_err *err);

static inline void
acceptor_close(struct acceptor *a)
{
	a->vt->close(a);
}

struct dialer_events {
	/* What dialer_dial() came to: a stream, to be owned as in 'accepted', or NULL and why not. */
	void (*dialled)(void *user, struct conn *conn, const struct im_err *err);
	void (*closed)(void *user); /* after dialer_close(); it is gone */
};

struct dialer_vtable {
	void (*dial)(struct dialer *d);
	void (*abort)(struct dialer *d);
	void (*close)(struct dialer *d);
};

struct dialer {
	const struct dialer_vtable *vt;
	const struct dialer_events *events;
	void *user;
};

/** IM_EINVAL or IM_ENOMEM: nothing is dialled yet. */
IM_MUST_CHECK enum im_rc dialer_open(struct loop *loop, const char *url,
				     const struct dialer_events *events, void *user,
				     struct dialer **ret_dialer, struct im_err *err);

/** Try once; one at a time. 'dialled' follows. */
static inline void
dialer_dial(struct dialer *d)
{
	d->vt->dial(d);
}

/** Hurry a try that takes too long: 'dialled' follows soon. Nothing happens if none is under way. */
static inline void
dialer_abort(struct dialer *d)
{
	d->vt->abort(d);
}

static inline void
dialer_close(struct dialer *d)
{
	d->vt->close(d);
}

/* The three kinds; called by acceptor_open() and dialer_open(). 'name' is the URL without "inproc://". */
IM_MUST_CHECK enum im_rc inproc_acceptor_open(struct loop *loop, const char *name,
					      struct acceptor **ret_acceptor, struct im_err *err);
IM_MUST_CHECK enum im_rc inproc_dialer_open(struct loop *loop, const char *name,
					    struct dialer **ret_dialer, struct im_err *err);
IM_MUST_CHECK enum im_rc unix_acceptor_open(struct loop *loop, const char *url,
					    struct acceptor **ret_acceptor, struct im_err *err);
IM_MUST_CHECK enum im_rc unix_dialer_open(struct loop *loop, const char *url,
					  struct dialer **ret_dialer, struct im_err *err);
IM_MUST_CHECK enum im_rc stream_acceptor_open(struct loop *loop, const char *url,
					      struct acceptor **ret_acceptor,
					      char ret_url[TRANSPORT_URL_MAX], struct im_err *err);
IM_MUST_CHECK enum im_rc stream_dialer_open(struct loop *loop, const char *url,
					    struct dialer **ret_dialer, struct im_err *err);

#endif
