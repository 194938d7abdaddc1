/*
 * cache/redis_pool.h - some connections to one Redis (or Valkey), or to each primary of a cluster of them: finds who has a key, follows
 * MOVED and ASK, learns the table of slots anew when it has changed. Commands are pipelined. Knows no command of its user's.
 *
 * Each node has a connection for writing, and some for reading, so that a long value being written does not hold up a lookup; what is
 * sent for writing to one node arrives in that order.
 *
 * Threads: on the loop.
 */
#ifndef CACHE_REDIS_POOL_H
#define CACHE_REDIS_POOL_H

#include "cache/redis_slots.h"
#include "daemon/redis_link.h"

#define REDIS_NODES_MAX       64
#define REDIS_CONNECTIONS_MAX 16

enum redis_lane {
	REDIS_READ,
	REDIS_WRITE,
};

struct redis_pool;
struct redis_op;

struct redis_pool_params {
	struct loop *loop;
	const char *const *
	    urls; /* of one Redis, or of some nodes of a cluster; checked by config_check.c, read here */
	size_t url_count;
	const char *password_file; /* NULL = none */
	unsigned
	    connections; /* to each node, 1 to REDIS_CONNECTIONS_MAX; with 1 both lanes are one */
	size_t reply_bytes; /* what one reply may take of memory */
	uint64_t seed;      /* random */
	/* Somebody can be asked now (why NULL), or nobody any more: each once, in turns. */
	void (*changed)(void *user, bool up, const struct im_err *why);
	void *user;
};

/** A reply, never a redirection, valid inside the callback; NULL: there will be none. */
typedef void (*redis_op_fn)(void *arg, const redisReply *reply);

/** Begin to connect. IM_OK, or IM_ENOMEM and what api_key_init() says. */
IM_MUST_CHECK enum im_rc redis_pool_new(const struct redis_pool_params *params,
					struct redis_pool **ret, struct im_err *err);

/** Close. Every question is given up inside. Not inside a callback of it. NULL is fine. */
void redis_pool_free(struct redis_pool *pool);

/** Send the command of 'argc' words, whose second is a key, to who has the key. 'fn' is called once, never inside this. NULL: it cannot be
 *  sent; 'fn' is not called. */
struct redis_op *redis_pool_send(struct redis_pool *pool, enum redis_lane lane, int argc,
				 const char *const *argv, const size_t *len, redis_op_fn fn,
				 void *arg);

/** As redis_pool_send() for EVAL, script, 1, key, …: the key is the fourth word. */
struct redis_op *redis_pool_eval(struct redis_pool *pool, enum redis_lane lane, int argc,
				 const char *const *argv, const size_t *len, redis_op_fn fn,
				 void *arg);

/** As redis_pool_send() to one node of redis_pool_next(), for commands without a key. */
struct redis_op *redis_pool_send_to(struct redis_pool *pool, size_t node, enum redis_lane lane,
				    int argc, const char *const *argv, const size_t *len,
				    redis_op_fn fn, void *arg);

/** 'fn' will not be called. What was sent stays sent. */
void redis_op_forget(struct redis_op *op);

/** The first node from number 'from' on that holds keys, or REDIS_NODES_MAX: there is none. */
size_t redis_pool_next(const struct redis_pool *pool, size_t from);

/** Another number: keys have gone from one node to another. */
uint64_t redis_pool_generation(const struct redis_pool *pool);

/** Can every key be asked for, and written? */
bool redis_pool_is_whole(const struct redis_pool *pool);

bool redis_pool_is_up(const struct redis_pool *pool);
bool redis_pool_is_cluster(const struct redis_pool *pool);

/** Connections that were lost. */
uint64_t redis_pool_lost(const struct redis_pool *pool);

/** Redirections that were followed. */
uint64_t redis_pool_redirections(const struct redis_pool *pool);

#endif
