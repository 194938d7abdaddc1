/*
 * cli/cache_call.h - the cache daemons of cache.addresses, for the commands that ask them. Blocking.
 */
#ifndef CLI_CACHE_CALL_H
#define CLI_CACHE_CALL_H

#include "base/buf.h"
#include "daemon/config.h"

struct mesh;

struct cache_daemons {
	struct config *config;
	struct mesh *mesh;
	size_t count;
};

/** IM_EUNAVAILABLE: there is none in the configuration; else as mesh_open(). 'config' is taken, also on failure. */
IM_MUST_CHECK enum im_rc cache_daemons_open(struct config *config, struct cache_daemons *ret,
					    struct im_err *err);
void cache_daemons_close(struct cache_daemons *d);

/** Of daemon number 'i'; it lives as long as 'd'. */
const char *cache_daemons_address(const struct cache_daemons *d, size_t i);

/** The daemon that is at home for a key. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc cache_daemons_home(const struct cache_daemons *d, const uint8_t *key,
					    size_t *ret, struct im_err *err);

/** Dial daemon number 'i', ask, wait. IM_EUNAVAILABLE says what to do when it is not reached; else as mesh_call(). */
IM_MUST_CHECK enum im_rc cache_daemons_ask(struct cache_daemons *d, size_t i, const char *method,
					   const struct buf *body, struct buf *reply,
					   struct im_err *err);

#endif
