/*
 * client/client.h - inside of libinfermesh: what its files share. Included by these only; programs see infermesh.h.
 *
 * Threads: a connection has a loop; its link and all calls live on it (net.h). A public function gets onto the loop by
 * entering it; the program's code never runs there. What comes is queued at its call, guarded by the call's own lock, and
 * is read by the program's thread or, for calls with a callback, by the connection's dispatcher thread.
 * Locks: never two at once, and none while the loop is entered.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"
#include "infermesh.h"
#include "net/net.h"
#include "wire/generate.h"

#define CLIENT_TIMEOUT_MS 300000u
/* Bytes of memory that one decoded message may take: some times what the wire lets through. */
#define CLIENT_ARENA_MAX (64u << 20)

struct infermesh {
	atomic_uint refs; /* infermesh_close()'s and one of each call that is not freed */
	struct loop *loop;
	struct net *net;
	struct endpoint *ep;
	pthread_t thread;
	bool running; /* 'thread' is there */
	char address[128];

	pthread_mutex_t lock; /* guards the following */
	pthread_cond_t changed;
	bool up;                           /* at least once */
	struct list ready;                 /* calls with a callback and something for it */
	struct infermesh_call *delivering; /* whose callback runs */
	bool dispatching;                  /* 'dispatcher' is there */
	bool stopping;                     /* it ends when nothing is ready */
	pthread_t dispatcher;
	bool net_closed;       /* nothing is in flight in the net any more */
	struct im_err trouble; /* why there is no connection yet */

	atomic_bool closed; /* the loop is gone */
};

/* A message of a stream that was not read yet. */
struct client_frame {
	struct list node;
	size_t len;
	uint8_t body[];
};

struct infermesh_call {
	struct infermesh *mesh;
	atomic_uint refs;      /* the program's, and the dispatcher's */
	struct call *call;     /* on the loop; NULL once it is over */
	infermesh_event_fn fn; /* NULL = pull */
	void *user;
	atomic_bool silent;     /* cancelled: no callback any more */
	struct list ready_node; /* guarded by the connection's lock; linked: it holds a reference */

	pthread_mutex_t lock; /* guards the following */
	pthread_cond_t changed;
	struct list frames;
	bool over;
	struct im_err error; /* why, if rc is not IM_OK */
	struct usage usage;

	/* Of the reading thread: the message that its events come from. */
	bool ended; /* INFERMESH_END was read */
	struct infermesh_limits limits;
	struct arena arena;
	struct generate_frame frame;
	size_t events_read;
};

struct infermesh_request {
	struct generate_request req; /* points into the arena */
	struct arena arena;
	size_t message_cap;
	const char *stops[GENERATE_STOPS_MAX];
	const char *traceparent;
	uint32_t timeout_ms;
	int32_t priority;
	struct im_err wrong; /* the first thing that was wrong with it */
};

void client_ref(struct infermesh *mesh);
void client_unref(struct infermesh *mesh);

/** Start a call on the live link. On the loop. */
enum im_rc client_start(struct infermesh *mesh, const struct call_request *req,
			const struct call_ops *ops, void *user, struct call **ret_call,
			struct im_err *err);

/** Ask and wait for the reply, appended to 'reply'. */
enum im_rc client_ask(struct infermesh *mesh, const struct call_request *req, struct buf *reply,
		      struct im_err *err);

/** Start the dispatcher if it is not there. IM_OK or IM_EIO. */
enum im_rc client_dispatcher_start(struct infermesh *mesh, struct im_err *err);

/** Let it deliver what is ready, and end it. */
void client_dispatcher_stop(struct infermesh *mesh);

/** There is something for the callback of 'c'. */
void client_dispatch(struct infermesh_call *c);

/** No callback of 'c' follows or runs any more when this returns, but perhaps the one that calls it. */
void client_dispatch_no_more(struct infermesh_call *c);

/** Read the next event as infermesh_next() does. By the call's reading thread. */
enum im_rc client_next(struct infermesh_call *c, uint64_t until_us, struct infermesh_event *ret,
		       struct im_err *err);

void client_call_ref(struct infermesh_call *c);
void client_call_unref(struct infermesh_call *c);

/** The public form of 'from'; 'to' may be NULL. Returns the code. */
enum infermesh_code client_error(const struct im_err *from, struct infermesh_error *to);

/** Encode 'req' and say what is wrong with it. */
enum im_rc client_encode(const struct infermesh_request *req, bool stream, struct buf *body,
			 struct im_err *err);

/**
 * Event 'n' of a decoded message: its head first, if it has one, then its deltas. False when there is none any more.
 * '*ret_rc' is IM_ENOMEM if the event does not fit into 'arena', else IM_OK.
 */
bool client_event(const struct generate_frame *frame, size_t n, struct arena *arena,
		  struct infermesh_event *ret, enum im_rc *ret_rc);

/** The public form of a usage. */
struct infermesh_usage client_usage(const struct usage *usage);

/** The public form of limits. */
struct infermesh_limits client_limits(const struct im_rates *rates);

/** An event of 'type' without any text. */
struct infermesh_event client_blank_event(enum infermesh_event_type type);

/** A condition variable for waits on CLOCK_MONOTONIC. */
void client_cond_init(pthread_cond_t *cond);

/** Wait for 'cond' until 'until_us' (CLOCK_MONOTONIC; UINT64_MAX = for ever). False when that time is over. */
bool client_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us);

#endif
