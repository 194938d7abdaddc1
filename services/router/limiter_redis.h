/*
 * router/limiter_redis.h - the buckets that several routers share live in Redis: asks for leases, gives them back, and says when
 * Redis is there. One connection, one script for a question, all of it asynchronous: nothing ever waits for Redis. Counts
 * nothing itself: limiter.c does, and takes the answers.
 *
 *      AWAY ──pause──▶ RESOLVING ──▶ GREETING ──▶ UP ──▶ LEAVING ──▶ gone
 *        ▲                │              │         │
 *        └────────────────┴── error ─────┴─ error ─┘   or no answer in time
 *
 * UP: the limiter's mode is LIMITER_SHARED; else the one that the configuration names for it. A connection that is silent is
 * asked for a sign of life, so that a Redis that hangs is noticed before a request comes. The pause between attempts is
 * random below a bound that doubles, so that many routers do not come back at once.
 *
 * Threads: on the loop. Needs Redis 5 or later: the script asks Redis for the time, so that routers need not share a clock.
 */
#ifndef ROUTER_LIMITER_REDIS_H
#define ROUTER_LIMITER_REDIS_H

#include "base/loop.h"
#include "daemon/api_key.h"
#include "router/limiter.h"

#define LIMITER_REDIS_ANSWER_MS                                                                    \
	250 /* an answer that has not come by then never comes; pauses of our own do not count */
#define LIMITER_REDIS_PING_MS  500  /* of silence */
#define LIMITER_REDIS_GREET_MS 2000 /* to look the host up, connect and greet */
#define LIMITER_REDIS_PAUSE_MS 2000 /* between attempts, at most */

struct limiter_redis;

struct limiter_redis_params {
	struct loop *loop;
	struct limiter *limiter;
	const char *url;           /* redis://HOST:PORT[/DB], checked by config_limits.c */
	const char *password_file; /* NULL = none */
	enum limiter_mode away;
	uint64_t seed; /* random */
	/* It came (why NULL), or it went: each once, in turns. */
	void (*changed)(void *user, bool up, const struct im_err *why);
	void *user;
};

/** Begin to connect; the mode is 'away' until then. IM_OK, or IM_ENOMEM and what api_key_init() says. */
IM_MUST_CHECK enum im_rc limiter_redis_start(const struct limiter_redis_params *params,
					     struct limiter_redis **ret, struct im_err *err);

/** The limiter may have questions: they are asked after the present callback. */
void limiter_redis_ask(struct limiter_redis *r);

/** Look at the clock: every 100 ms or so. */
void limiter_redis_tick(struct limiter_redis *r);

/** Give the leases back, wait LIMITER_REDIS_ANSWER_MS at most until Redis has them, and free 'r'; then 'stopped' is called, maybe
 *  inside. Nothing may be asked or ticked any more. NULL: at once. */
void limiter_redis_stop(struct limiter_redis *r, loop_fn stopped, void *arg);

bool limiter_redis_is_up(const struct limiter_redis *r);

/** How many questions were answered, and how many were not. */
void limiter_redis_counts(const struct limiter_redis *r, uint64_t *ret_answered,
			  uint64_t *ret_unanswered);

#endif
