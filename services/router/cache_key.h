/*
 * router/cache_key.h - under which key an answer is cached: SHA-256 of everything that shapes it, and the rule for which
 * answers are cached at all. Pure. The encoding that is hashed is described in docs/cache.md and is injective: two
 * requests share a key only if they ask for the same in every respect.
 */
#ifndef ROUTER_CACHE_KEY_H
#define ROUTER_CACHE_KEY_H

#include "base/sha256.h"
#include "wire/mesh.h"

/**
 * The key of 'req' for 'tenant', answered with weights of 'model_digest' ("" = not known). How the caller wants to be
 * answered (stream, user, request id, cache policy) does not count. False without memory.
 */
bool cache_key_make(const struct generate_request *req, const char *tenant,
		    const char *model_digest, uint8_t ret[CACHE_KEY_BYTES]);

#define CACHE_OFF (-1.0)
#define CACHE_ALL 3.0 /* above every temperature */

/** True if answers to 'req' may be kept and reused: little chance is involved (temperature up to 'max_temperature', or a
 *  seed) or the caller says by max-age that one given before will do; nobody forbids it (CACHE_OFF, no-store); and no part of
 *  the answer is lost on the way (logprobs are). CACHE_ALL: whatever chance is involved. */
bool cache_wanted(const struct generate_request *req, double max_temperature);

#endif
