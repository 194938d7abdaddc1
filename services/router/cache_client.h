/*
 * router/cache_client.h - the router's side of the cache: ask, and store without waiting. A cache that is away, late or broken
 * is a miss; no request ever fails because of it. Threads: on the loop.
 */
#ifndef ROUTER_CACHE_CLIENT_H
#define ROUTER_CACHE_CLIENT_H

#include "net/net.h"
#include "wire/mesh.h"

struct cache_client {
	struct endpoint *ep; /* NULL = off */
	struct link *link;
	uint32_t cache_ms;
	uint64_t hits, misses, errors, stores;
	void (*changed)(void *user, bool connected, const struct im_err *why); /* for the log */
	void *user;
};

/** 'url' NULL: off. */
IM_MUST_CHECK enum im_rc
cache_client_start(struct cache_client *cc, struct net *net, const char *url, uint32_t cache_ms,
		   void (*changed)(void *user, bool connected, const struct im_err *why),
		   void *user, struct im_err *err);

void cache_client_stop(struct cache_client *cc);

/** "connected", "unavailable" or "off". */
const char *cache_client_state(const struct cache_client *cc);

/** Open a lookup; 'ops->end' says what came of it. False if there is nobody to ask. */
bool cache_client_lookup(struct cache_client *cc, const struct cache_lookup *lookup,
			 const struct call_ops *ops, void *user, struct call **ret_call);

/** Read the answer to a lookup. True on a hit; '*ret' is then in 'arena'. Counts. */
bool cache_client_found(struct cache_client *cc, const struct im_err *err, const uint8_t *body,
			size_t len, struct arena *arena, struct cache_found *ret);

/** Store and forget. */
void cache_client_store(struct cache_client *cc, const struct cache_store *store);

#endif
