/*
 * router/cache_client.h - the router's side of the cache: ask, and store without waiting. A cache that is away, late or broken
 * is a miss; no request ever fails because of it. Of several daemons each is asked for its own share (daemon/cache_homes.h). Threads: on the loop.
 */
#ifndef ROUTER_CACHE_CLIENT_H
#define ROUTER_CACHE_CLIENT_H

#include "daemon/cache_homes.h"
#include "net/net.h"
#include "wire/mesh.h"

/* One cache daemon. */
struct cache_peer {
	struct cache_client *client;
	const char *url;
	struct endpoint *ep;
	struct link *link;
};

struct cache_client {
	struct cache_peer peers[CACHE_HOMES_MAX];
	size_t count; /* 0 = off */
	struct cache_homes homes;
	uint32_t cache_ms;
	uint64_t hits, misses, errors, stores;
	/* For the log: a daemon came, or went. */
	void (*changed)(void *user, const char *url, bool connected, const struct im_err *why);
	void *user;
};

/** The 'count' addresses, which must live as long; 0: off. */
IM_MUST_CHECK enum im_rc cache_client_start(
    struct cache_client *cc, struct net *net, const char *const *urls, size_t count,
    uint32_t cache_ms,
    void (*changed)(void *user, const char *url, bool connected, const struct im_err *why),
    void *user, struct im_err *err);

/** Links close by and by: cache_client_links(). */
void cache_client_stop(struct cache_client *cc);

/** How many daemons are reached. */
size_t cache_client_links(const struct cache_client *cc);

/** "connected", "partial" (some daemons are not reached), "unavailable" or "off". */
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
