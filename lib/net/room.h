/*
 * net/room.h - the structs behind net.h and what the files of this room ask of each other. Known in this room only.
 *
 *   struct net 1---* struct endpoint 1---* struct link 1---* struct call, struct served
 *
 * Everything is on one loop. What must outlive a callback is given up by a task of its own: a link that fails only changes
 * its state and posts 'close_task', so functions of net.h never call back and callers up the stack keep a valid link.
 */
#ifndef NET_ROOM_H
#define NET_ROOM_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "net/call_state.h"
#include "net/call_table.h"
#include "net/net.h"
#include "net/transport.h"
#include "wire/wire.h"

#define HELLO_FRAME_MAX 4096u /* largest HELLO body; nothing larger is buffered before it */
#define PING_BODY_MAX   64u
#define FRAME_MIN_MAX   1024u        /* a peer must accept at least so large frames */
#define LINK_READ_BYTES (64u << 10)  /* receive buffer of a link that is up */
#define LINK_KEEP_BYTES (256u << 10) /* larger buffers are given back when they are empty */
#define LINK_OUT_SOFT   (8u << 20)   /* above it calls are held back and no DATA is taken */
#define LINK_HELD_MAX   (64u << 20)  /* of calls that are held back; above it none are opened */
#define LINK_OUT_HARD   (64u << 20)  /* above it replies turn into errors */
#define LINK_OUT_LAST                                                                              \
	(65u << 20) /* above it the link is closed: the peer makes us talk and does not read */
#define REQUEST_NAMES_MAX (8u << 10) /* method and traceparent of one REQUEST */
#define REASON_MAX        128

struct net {
	struct loop *loop;
	struct net_params params;
	char role[NET_ROLE_MAX];
	char name[NET_NAME_MAX];
	uint8_t instance[16];
	struct list endpoints; /* open ones */
	struct list links;     /* all that are not freed */
	struct list orphans;   /* served calls whose link is gone */
	struct net_counters counters;
	uint32_t pending; /* endpoints that are not freed, closed ones included */
	bool closing;
	struct loop_task closed_task;
	uint64_t random;
};

struct endpoint {
	struct list node;
	struct net *net;
	struct endpoint_ops ops;
	void *user;
	char url[TRANSPORT_URL_MAX];
	bool closed;
	uint32_t refs;             /* its own, one a link, one for the acceptor or dialer */
	uint32_t links;            /* that are not closing */
	struct acceptor *acceptor; /* one of both */
	struct dialer *dialer;
	/* Dialling. */
	struct link *link;       /* the present one, perhaps before its HELLO */
	struct loop_timer timer; /* the next try, or the limit of this one */
	uint32_t attempt;
	/* So that 'trouble' is not called without end. */
	uint64_t
	    told_us; /* dialling: when it was last called; listening: when the present count began */
	char told[sizeof(((struct im_err *)0)->text)]; /* dialling: with what */
	uint32_t told_count;                           /* listening: calls since told_us */
	uint64_t untold;                               /* and how many more there would have been */
};

enum link_state {
	LINK_HELLO, /* ours is sent, the peer's has not come */
	LINK_UP,
	LINK_CLOSING, /* close_task is posted; nothing goes in or out any more */
	LINK_DOWN,    /* reported; waits for its stream */
};

struct link {
	struct list node;
	struct net *net;
	struct endpoint *ep;
	struct conn *conn;
	enum link_state state;
	bool dialled;
	bool was_up;
	bool goaway_sent;
	bool draining; /* the peer sent GOAWAY */
	char goaway_reason[REASON_MAX];
	struct link_peer peer;
	uint32_t peer_window, peer_max_frame;
	uint64_t up_us;
	void *user;
	struct im_err why;
	struct loop_task close_task;
	struct loop_timer timer; /* limit of the HELLO, then heartbeat */
	/* In. */
	uint8_t *in;
	size_t in_len, in_cap;
	uint64_t heard_us;
	struct arena arena; /* of the frame at hand */
	struct loop_task read_task;
	/* Out. */
	struct buf out;    /* gathered this turn */
	struct buf flying; /* being sent; the first 'flown' bytes are */
	size_t flown;
	bool sending;      /* the stream holds 'flying' */
	bool broken;       /* a send failed: the end of the receive is about to tell why */
	uint64_t stuck_us; /* since when the stream takes nothing; 0 = it does */
	struct loop_task flush_task;
	struct list stalled; /* served calls that wait for 'out' to shrink */
	/* Calls. */
	struct call_table calls, served;
	struct list call_list, served_list;
	struct list held;      /* calls that wait for 'out' to shrink, in their order */
	size_t held_bytes;     /* that they take */
	uint32_t served_count; /* not ended, cancelled ones included */
	uint32_t next_id;
};

struct call {
	struct call_entry entry;
	struct list node; /* link->call_list */
	struct link *link;
	struct call_held *held; /* its REQUEST, which has not been sent; NULL = it has */
	const struct call_ops *ops;
	void *user;
	struct call_state state;
	struct loop_timer timer;
};

struct served {
	struct call_entry
	    entry;              /* out of the table once cancelled: the peer may use the id again */
	struct list node;       /* link->served_list, or net->orphans */
	struct list stall_node; /* link->stalled */
	struct net *net;        /* NULL once it is freed */
	struct link *link;      /* NULL once it is lost */
	const struct served_ops *ops;
	void *user;
	struct call_state state;
	struct loop_timer timer;
};

/* net.c */
uint64_t net_random(struct net *net);
void net_unpend(struct net *net);

/* endpoint.c */
void endpoint_unref(struct endpoint *ep);
void endpoint_trouble(struct endpoint *ep, const struct im_err *why);
/** 'link' of 'ep' was closed: count it off and dial again. */
void endpoint_lost(struct endpoint *ep, const struct link *link);

/* link.c */
/** Take over 'conn'. IM_ENOMEM: it is still the caller's, to be closed. */
enum im_rc link_open(struct endpoint *ep, struct conn *conn, struct link **ret_link);
/** Close 'l' soon, because of 'why'; does nothing if it is closing. */
void link_fail(struct link *l, const struct im_err *why);
/** The peer broke the rules: tell it and close. */
void link_protocol_error(struct link *l, const char *fmt, ...) IM_PRINTF(2, 3);
/** The peer's HELLO came and is decoded. */
void link_hello(struct link *l, const struct hello *hello);
static inline bool
link_is_open(const struct link *l)
{
	return l->state == LINK_HELLO || l->state == LINK_UP;
}

/* link_out.c */
/** Bytes that wait to be sent. */
size_t link_waiting(const struct link *l);
/** Append a frame. Without memory, or when far too much waits, the link fails. Does nothing on one that is closing. */
void link_put(struct link *l, enum frame_kind kind, uint32_t id, const uint8_t *body, size_t len);
/** A frame was appended to l->out by the caller: have it sent at the end of this turn. */
void link_out_grew(struct link *l);
void link_flush(void *arg);
/** conn_events.sent */
void link_sent(void *arg, size_t len, const struct im_err *err);

/* link_in.c */
/** Post a receive. */
void link_read(void *arg);
/** conn_events.received */
void link_received(void *arg, size_t len, const struct im_err *err);

/* call_held.c */
/** True if a REQUEST must not be appended now: too much waits, or others are held that came before. */
bool call_must_hold(const struct link *l);
/** Keep a copy of 'req' until there is room. IM_EAGAIN: too much is kept already; IM_ENOMEM. */
enum im_rc call_hold(struct call *c, const struct call_request *req, struct im_err *err);
/** Forget it. Does nothing if the call is not held. */
void call_unhold(struct call *c);
/** Something was sent: append the REQUESTs for which there is room. */
void call_release(struct link *l);

/* call.c */
/** Append the REQUEST with the id of 'c' and whatever time it has left; on failure nothing is appended. */
enum im_rc call_put_request(struct call *c, const struct call_request *req, struct im_err *err);
/** The end of 'c', which is gone afterwards: tell its owner. */
void call_report(struct call *c, const struct im_err *err, const uint8_t *body, size_t len);
void call_on_data(struct link *l, uint32_t id, const uint8_t *body, size_t len);
void call_on_end(struct link *l, uint32_t id, const uint8_t *body, size_t len);
/** End all calls of 'l' with 'why'. */
void call_lose_all(struct link *l, const struct im_err *why);

/* served.c */
void served_on_request(struct link *l, uint32_t id, const uint8_t *body, size_t len);
void served_on_cancel(struct link *l, uint32_t id);
void served_on_credit(struct link *l, uint32_t id, const uint8_t *body, size_t len);
/** Something was sent: tell those that wait for room. */
void served_wake(struct link *l);
/** Cancel all served calls of 'l', which is lost. */
void served_lose_all(struct link *l);

#endif
