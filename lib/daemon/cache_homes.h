/*
 * daemon/cache_homes.h - which of several cache daemons is at home for a key: consistent hashing of cache.addresses, for routers and the
 * command line alike. A daemon that is away keeps its share, which misses until it is back: nothing moves. When the list changes, only
 * the keys of the daemons that came or went move. The order of the list does not matter, how an address is spelled does. Pure.
 */
#ifndef DAEMON_CACHE_HOMES_H
#define DAEMON_CACHE_HOMES_H

#include <stddef.h>

#include "base/ring.h"

#define CACHE_HOMES_MAX       64 /* cache daemons */
#define CACHE_HOMES_KEY_BYTES 32 /* of a key, whose bytes are even: a SHA-256 */

struct cache_homes {
	struct ring ring; /* empty while there is only one */
};

/** The 'count' (1 to CACHE_HOMES_MAX) addresses are not kept. False without memory. */
bool cache_homes_init(struct cache_homes *h, const char *const *addresses, size_t count);

/** Zeroed memory is fine. */
void cache_homes_done(struct cache_homes *h);

/** The place in 'addresses' of the key's home. */
size_t cache_homes_find(const struct cache_homes *h, const uint8_t key[CACHE_HOMES_KEY_BYTES]);

#endif
