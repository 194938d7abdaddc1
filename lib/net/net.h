/*
 * net/net.h - mesh links: framed, multiplexed, flow-controlled calls between two daemons, over Unix sockets (ipc://), nng
 * streams (tcp://) or inside one process (inproc://). nng is known in this room only. Nothing here knows what a message
 * means.
 *
 * A link is one connection between two daemons. After both said HELLO either side may open calls on it. A call is one
 * request, any number of DATA messages back, and exactly one end. Each call has its own credit, so a slow reader costs
 * a bounded buffer and stalls nobody.
 *
 * Threads: everything in this header is called on the loop that was given to net_new(), and every callback runs on it,
 * never from inside a call of this header. Some thread must be in loop_run() for bytes to move over ipc://.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"

struct net;      /* a daemon's end of the mesh: who it is, and all its endpoints */
struct endpoint; /* something that listens or keeps dialling */
struct link;     /* one live connection */
struct call;     /* a call that we opened */
struct served;   /* a call that the peer opened and we answer */

#define NET_NAME_MAX   64
#define NET_ROLE_MAX   16
#define NET_METHOD_MAX 64

struct net_params {
	const char *role;       /* gateway, router, inference, cache, audit, client, operator */
	const char *name;       /* for people; at most NET_NAME_MAX - 1 bytes */
	size_t max_frame_bytes; /* largest body taken from a peer; 0 = 16 MiB */
	uint32_t window_bytes;  /* credit that our calls give to begin with; 0 = 256 KiB */
	uint32_t max_calls;     /* open calls a peer may have on one link; 0 = 65536 */
	uint32_t max_links;     /* links a listener accepts; 0 = 4096 */
	uint32_t
	    heartbeat_ms; /* PING after so much silence, dead after three times, pauses of our own not counted; 0 = 5000 */
	uint32_t hello_timeout_ms; /* a peer that has not said HELLO is dropped; 0 = 5000 */
	uint32_t reconnect_min_ms; /* 0 = 10 */
	uint32_t reconnect_max_ms; /* 0 = 1000; doubles with full jitter in between */
};

/* Who is at the other end, as its HELLO says. */
struct link_peer {
	char role[NET_ROLE_MAX];
	char name[NET_NAME_MAX];
	uint8_t instance[16]; /* changes when the process restarts */
	uint32_t version;
	char address[128]; /* for logs */
	bool has_uid;      /* the kernel says which Unix user it is: ipc:// only */
	uint32_t uid;
};

struct served_request {
	const char *method; /* "Router/Generate" */
	uint32_t budget_ms; /* time left when it was sent; 0 = no deadline */
	const char *traceparent;
	int32_t priority;    /* 0 = normal, above 0 = more urgent, below 0 = less */
	const uint8_t *body; /* valid inside the callback only */
	size_t body_len;
};

/* What an endpoint reports. Any member may be NULL. */
struct endpoint_ops {
	/* HELLO is exchanged: calls may be opened. 'link' stays valid until 'down' returned. */
	void (*up)(void *user, struct link *link);
	/* The link is lost or was closed. All its calls have ended before (their 'end' or 'cancelled' was called). */
	void (*down)(void *user, struct link *link, const struct im_err *why);
	/* The peer opened a call. Answer it with served_end(), now or later; NULL refuses every call with IM_EMETHOD. */
	void (*request)(void *user, struct link *link, struct served *served,
			const struct served_request *req);
	/* The peer is draining: open no new calls on this link. */
	void (*goaway)(void *user, struct link *link);
	/* A dial failed, or a peer was turned away (malformed HELLO, too many links). For the log, and therefore not every
	 * time: the same about a dial every 30 s, about peers 10 in 30 s, with the number of those left out. */
	void (*trouble)(void *user, const struct im_err *why);
};

/** Let nng, which serves tcp:// and the door, size its thread pools for 'n' processors at most (default 1): 7 + 3n
 *  threads. Before the first net_listen(), net_dial() or door_open() of the process; later it does nothing. Any thread. */
void net_limit_threads(unsigned n);

/** 'params' is copied. Returns IM_OK, IM_EINVAL, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc net_new(struct loop *loop, const struct net_params *params,
				 struct net **ret_net, struct im_err *err);

/**
 * Close every endpoint and link. 'closed' is called on the loop once nothing is left in flight; only then may
 * net_free() be called. 'down' and the calls' ends are reported as usual before that.
 */
void net_close(struct net *net, loop_fn closed, void *arg);

/** After net_close() has called 'closed'. NULL is fine. */
void net_free(struct net *net);

/**
 * Listen on 'url' (ipc://PATH, tcp://HOST:PORT with port 0 = any free one, inproc://NAME). A stale socket file of a
 * daemon that died is replaced; one that answers is not: IM_EEXIST. A socket file is made with mode 0600. Other errors:
 * IM_EINVAL (not a URL that we speak), IM_EIO.
 */
IM_MUST_CHECK enum im_rc net_listen(struct net *net, const char *url,
				    const struct endpoint_ops *ops, void *user,
				    struct endpoint **ret_ep, struct im_err *err);

/** Dial 'url' and keep it connected until endpoint_close(). Fails only for IM_EINVAL and IM_ENOMEM. */
IM_MUST_CHECK enum im_rc net_dial(struct net *net, const char *url, const struct endpoint_ops *ops,
				  void *user, struct endpoint **ret_ep, struct im_err *err);

/** The live link of a dialling endpoint, or NULL. */
struct link *endpoint_link(const struct endpoint *ep);

/** The URL with the real port. Valid while the endpoint is. */
const char *endpoint_url(const struct endpoint *ep);

/** Stop listening or dialling and close its links (their 'down' is called). 'ep' is gone when this returns, its
 *  callbacks may still report 'down' for links that were up. NULL is fine. */
void endpoint_close(struct endpoint *ep);

const struct link_peer *link_peer(const struct link *link);

/** A place for the owner's pointer; NULL at first. */
void link_set_user(struct link *link, void *user);
void *link_user(const struct link *link);

/** Tell the peer to open no more calls here, and refuse those that it opens nevertheless. */
void link_goaway(struct link *link, const char *reason);

/** True after the peer said so. */
bool link_draining(const struct link *link);

/** Close it; every call on it ends with IM_EUNAVAILABLE; a dialling endpoint dials again. */
void link_close(struct link *link, const struct im_err *why);

/* Calls that we open. */

struct call_request {
	const char *method;
	uint32_t budget_ms;      /* deadline from now, kept by us too; 0 = none */
	const char *traceparent; /* NULL = none */
	int32_t priority;        /* 0 = normal, above 0 = more urgent, below 0 = less */
	const uint8_t *body;     /* copied */
	size_t body_len;
};

struct call_ops {
	/* One DATA message of at least one byte; 'body' is valid inside the callback only. NULL: a stream is an error. */
	void (*data)(void *user, struct call *call, const uint8_t *body, size_t len);
	/* The end, exactly once, unless call_cancel() came first. err is NULL on success. 'call' is gone afterwards. The
	 * deadline ends a call with IM_EDEADLINE, a lost link with IM_EUNAVAILABLE, a request that had to wait and then could not be sent
	 * with IM_ETOOBIG or IM_ENOMEM. */
	void (*end)(void *user, struct call *call, const struct im_err *err, const uint8_t *body,
		    size_t len);
};

/**
 * Open a call on 'link'. While much waits to be written to the peer its request waits too, in the order of these calls, which
 * takes of its deadline; cancelled meanwhile it is never sent. Returns IM_OK, or without having sent anything IM_EUNAVAILABLE (link lost or peer draining),
 * IM_ETOOBIG (over the peer's max_frame_bytes), IM_EINVAL (method or traceparent is not UTF-8), IM_ENOMEM, IM_EAGAIN (too much waits already).
 * 'user' goes to the callbacks.
 */
IM_MUST_CHECK enum im_rc call_start(struct link *link, const struct call_request *req,
				    const struct call_ops *ops, void *user, struct call **ret_call,
				    struct im_err *err);

/** The caller has dealt with 'bytes' of DATA bodies: the peer may send that many more. */
void call_grant(struct call *call, size_t bytes);

/** Give up: the peer is told, no callback follows, 'call' is gone. */
void call_cancel(struct call *call);

/* Calls that we answer. A served call lives until served_end(), which must come exactly once, also after 'cancelled'. */

struct served_ops {
	/* served_send() said IM_EAGAIN before and credit is there again. */
	void (*writable)(void *user, struct served *served);
	/* The caller cancelled, its deadline passed or the link is lost: stop, then served_end(), which sends nothing. */
	void (*cancelled)(void *user, struct served *served);
};

/** Say who looks after the call. Inside 'request' only; a call that ends inside 'request' does not need it. */
void served_accept(struct served *served, const struct served_ops *ops, void *user);

/**
 * Send one DATA message. A message may be larger than the credit that is left, as long as some is. One without bytes is not
 * sent, for it would be free of credit. Returns IM_OK;
 * IM_EAGAIN: no credit, nothing was taken, 'writable' follows; IM_EUNAVAILABLE: cancelled, nothing was taken;
 * IM_ETOOBIG, IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc served_send(struct served *served, const uint8_t *body, size_t len);

/** End with success (err NULL) and the reply, which may be empty, or with an error. 'served' is gone. A reply that
 *  cannot be sent ends the call with IM_ETOOBIG or IM_ENOMEM at the caller. */
void served_end(struct served *served, const struct im_err *err, const uint8_t *body, size_t len);

/* What net counts; for the metrics page and for leak tests. */
struct net_counters {
	uint32_t links;
	uint32_t calls;  /* opened by us, not ended */
	uint32_t served; /* opened by peers, not ended */
	uint64_t frames_in, frames_out;
	uint64_t bytes_in, bytes_out;
	uint64_t protocol_errors; /* links closed because the peer broke the rules */
};

void net_counters(const struct net *net, struct net_counters *ret);

#endif
