/*
 * cache/redis_pool_internal.h - what the halves of redis_pool.c share: questions, and the nodes with their table of slots.
 */
#ifndef CACHE_REDIS_POOL_INTERNAL_H
#define CACHE_REDIS_POOL_INTERNAL_H

#include "cache/redis_pool.h"

#define NODE_NONE 0xff /* of a slot; more than REDIS_NODES_MAX */

struct redis_node {
	struct redis_pool *pool;
	struct redis_place place;
	bool seed;                                      /* from the configuration: it stays */
	bool owner;                                     /* holds keys */
	struct redis_link *link[REDIS_CONNECTIONS_MAX]; /* [0] NULL = no node here */
};

enum redis_mode {
	REDIS_MODE_UNKNOWN,
	REDIS_MODE_ALONE,
	REDIS_MODE_CLUSTER,
};

struct redis_pool {
	struct redis_pool_params with; /* less urls */
	int db;
	struct api_key password;
	uint64_t seeds;
	enum redis_mode mode;
	struct redis_node node[REDIS_NODES_MAX];
	uint8_t *map; /* by slot: number of a node; REDIS_MODE_CLUSTER */
	uint64_t generation;
	struct loop_timer tick;
	struct loop_task tidy;
	uint64_t asked_us; /* for the table, last */
	bool asking, stale;
	unsigned turn;
	enum {
		TOLD_NOTHING,
		TOLD_UP,
		TOLD_DOWN
	} told;
	uint64_t lost, redirections;
};

/** Number of the node at 'place', made if need be; NODE_NONE: there are too many, or no memory. */
uint8_t redis_nodes_find(struct redis_pool *pool, const struct redis_place *place);

/** The connection for 'lane', or NULL. */
struct redis_link *redis_node_link(const struct redis_pool *pool, const struct redis_node *node,
				   enum redis_lane lane);

/** A slot is elsewhere: note it, and learn the table soon. */
void redis_nodes_moved(struct redis_pool *pool, uint16_t slot, uint8_t node);

/** Begin: the nodes of the configuration. */
IM_MUST_CHECK enum im_rc redis_nodes_start(struct redis_pool *pool, struct im_err *err);
void redis_nodes_stop(struct redis_pool *pool);

#endif
