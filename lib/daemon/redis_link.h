/*
 * daemon/redis_link.h - one connection to one Redis (or Valkey) that comes back when it is lost: looks the host up, connects, greets
 * (AUTH, SELECT), notices a server that is silent, and tries again after a random pause. Knows no command of its user's.
 *
 *      AWAY ──pause──▶ RESOLVING ──▶ GREETING ──▶ UP
 *        ▲                │              │         │
 *        └────────────────┴── error ─────┴─ error ─┘   or no answer in time
 *
 * Every answer that is due is given: with the connection its questions are given up. A connection that is silent is asked for a
 * sign of life, so that a server that hangs is noticed before somebody needs it. The pause between attempts is random below
 * a bound that doubles, so that many daemons do not come back at once.
 *
 * Threads: on the loop.
 */
#ifndef DAEMON_REDIS_LINK_H
#define DAEMON_REDIS_LINK_H

#include <hiredis/hiredis.h>

#include "base/loop.h"
#include "daemon/api_key.h"

#define REDIS_LINK_SILENT_MS                                                                       \
	1000 /* an answer that has not come by then never comes; pauses of our own do not count */
#define REDIS_LINK_PING_MS  1000 /* of silence */
#define REDIS_LINK_GREET_MS 2000 /* to look the host up, connect and greet */
#define REDIS_LINK_PAUSE_MS 2000 /* between attempts, at most */

struct redis_link;

struct redis_link_params {
	struct loop *loop;
	const char *host; /* copied */
	int port, db;
	struct api_key *password; /* of the user, who keeps it as long as the link */
	size_t reply_bytes;       /* what one reply may take of memory */
	uint64_t seed;            /* random */
	/* It came (why NULL), or it went: each once, in turns. Never inside a function below. */
	void (*changed)(void *user, bool up, const struct im_err *why);
	/* An attempt failed that was not preceded by changed(…, true). May be NULL. */
	void (*failed)(void *user, const struct im_err *why);
	void *user;
};

/** A reply, valid inside the callback; NULL: there will be none. */
typedef void (*redis_link_fn)(void *arg, const redisReply *reply);

/** Begin to connect. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc redis_link_new(const struct redis_link_params *params,
					struct redis_link **ret, struct im_err *err);

/** Is this the answer to PING of a Redis that can be used? One that cannot save itself says MISCONF, and may be read all the same. */
bool redis_link_is_pong(const redisReply *reply);

/** Close; what is due is given up inside. Not inside a callback of this link. NULL is fine. */
void redis_link_free(struct redis_link *link);

/** Send one command as redisFormatCommandArgv() made it; it is copied. 'fn' exactly once, maybe inside a later function of this
 *  link, never inside this one. False: it is not up, or there is no memory; 'fn' is not called then. */
bool redis_link_send(struct redis_link *link, redis_link_fn fn, void *arg, const char *command,
		     size_t len);

bool redis_link_is_up(const struct redis_link *link);

/** How many answers are due. */
uint32_t redis_link_pending(const struct redis_link *link);

/** How often it came. */
uint64_t redis_link_ups(const struct redis_link *link);

#endif
