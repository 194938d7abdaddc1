/*
 * client/fake_router.h - for tests: a router as far as a client sees one, on its own loop and thread. What it answers
 * depends on the model:
 *
 *   echo      the last message's words, one delta each
 *   hold      admitted, then nothing
 *   endless   deltas of 16 KiB for ever, as fast as credit comes
 *   busy      fails: limit reached, "rate_limit_exceeded", retry after 1500 ms
 *   again     fails with "not now"
 *   garbage   a message that is none, after one that is
 *   die       a delta, then the link is gone
 *   tools     one delta with two tool calls
 *   other     fails: no such model
 */
#ifndef CLIENT_FAKE_ROUTER_H
#define CLIENT_FAKE_ROUTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/loop.h"
#include "net/net.h"

struct fake_router {
	char dir[40];
	char url[64];
	struct loop *loop;
	struct net *net;
	struct endpoint *ep;
	pthread_t thread;
	struct list held; /* of struct fake_call */
	atomic_bool net_closed;

	atomic_uint requests;
	atomic_uint cancelled;
	atomic_size_t sent; /* bytes of endless deltas */
	char traceparent[64], caller[32], tenant[32];
	uint32_t budget_ms;
	int32_t priority;
	bool no_cache, streamed;
};

/** A folder for its socket; it does not listen yet. */
void fake_router_init(struct fake_router *r);
void fake_router_done(struct fake_router *r);

/** Listen and serve; stop doing so, with all links lost. Both wait. */
void fake_router_start(struct fake_router *r);
void fake_router_stop(struct fake_router *r);

/** Wait until *counter == value; fails the test after ten seconds. */
void fake_router_await(atomic_uint *counter, unsigned value);

#endif
