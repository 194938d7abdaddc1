/*
 * net/rig.h - what the tests of this room share: loops on threads, a service that answers test methods, callers that count
 * what they are told, and waiting for a condition with a deadline. Not part of any program.
 */
#ifndef NET_RIG_H
#define NET_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"
#include "net/net.h"

#define RIG_DEADLINE_S 20

/* A loop and the thread that serves it. */
struct rig_loop {
	struct loop *loop;
	pthread_t thread;
};

void rig_loop_start(struct rig_loop *l);
void rig_loop_stop(struct rig_loop *l);

/* One end: a net, what it was told, and the test service:
 *   Test/Echo    replies with the request's body
 *   Test/Fail    fails with IM_ELIMIT, "busy", retry after 1500 ms
 *   Test/Hold    is kept until rig_release() or cancelled
 *   Test/Stream  sends 'count' messages of 'size' bytes (u32, u32 of the body), then ends; byte 0 of each is its number
 *   Test/Mute    is kept, and 'cancelled' does not end it */
struct rig_end {
	struct rig_loop *on;
	struct net *net;
	struct endpoint *ep;
	struct link *link; /* the last one that came up, NULL once it is down */
	unsigned ups, downs, goaways, troubles, requests, cancels;
	struct im_err why;     /* of the last down */
	struct im_err trouble; /* the last one */
	uint32_t last_budget_ms;
	int32_t last_priority;
	char last_traceparent[64];
	struct list held;         /* of struct rig_served */
	bool withhold;            /* calls asked from now on grant nothing by themselves */
	unsigned streams_waiting; /* Test/Stream calls that wait for credit */
	bool closed;
};

struct rig_served {
	struct list node;
	struct rig_end *end;
	struct served *served;
	uint32_t left, size, number;
	bool mute, waiting;
};

/* One call and what its owner was told. */
struct rig_call {
	struct call *call;
	unsigned ends, messages;
	size_t bytes;
	bool grant; /* deal with DATA at once */
	bool in_order;
	bool failed;
	struct im_err err;
	struct buf body;
};

extern const struct endpoint_ops rig_ops;
extern const struct call_ops rig_call_ops;

/** A net on 'on' with short times: 100 ms to HELLO … see rig.c. 'tweak' may change them. */
void rig_end_init(struct rig_end *e, struct rig_loop *on, const char *role,
		  void (*tweak)(struct net_params *p));
void rig_listen(struct rig_end *e, const char *url);
void rig_dial(struct rig_end *e, const char *url);
/** Close its net, wait and free it. */
void rig_end_done(struct rig_end *e);

/* A server that listens on a socket in a folder of its own. */
struct rig_place {
	struct rig_loop loop;
	struct rig_end server;
	char dir[64], url[96];
};

void rig_place_open(struct rig_place *p, void (*tweak)(struct net_params *p));
/** Fails the test if anything was left in the folder. */
void rig_place_close(struct rig_place *p);

/** Wait until *value, read on the loop, is at least 'want'. Fails the test after the deadline. */
void rig_wait_(struct rig_end *e, const unsigned *value, unsigned want, const char *what,
	       const char *file, int line);
#define rig_wait(e, value, want) rig_wait_(e, &(value), want, #value, __FILE__, __LINE__)
/** Wait until fn(arg), on the loop, is true. */
void rig_until_(struct rig_loop *l, bool (*fn)(void *arg), void *arg, const char *what,
		const char *file, int line);
#define rig_until(l, fn, arg) rig_until_(l, fn, arg, #fn, __FILE__, __LINE__)

/** Open a call on e->link; the loop must not be held. */
enum im_rc rig_ask(struct rig_end *e, struct rig_call *c, const char *method, const void *body,
		   size_t len, uint32_t budget_ms);
void rig_call_done(struct rig_call *c);
/** End all held calls with success and body "released". On the loop. */
void rig_release(struct rig_end *e);
/** Counters, read on the loop. */
struct net_counters rig_counters(struct rig_end *e);

#endif
