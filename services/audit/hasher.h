/*
 * audit/hasher.h - SHA-256 and HMAC-SHA256 without an allocation for each use. Under everything in this room that hashes.
 * Never knows what it hashes.
 */
#ifndef AUDIT_HASHER_H
#define AUDIT_HASHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define HASH_BYTES ((size_t)32)

struct evp_md_st;
struct evp_md_ctx_st;

struct hash {
	uint8_t b[HASH_BYTES];
};

/* SHA-256 of as many messages as it has lanes, which were padded to 'blocks' blocks each. */
typedef void (*hasher_lanes_fn)(const uint8_t *const message[], size_t blocks,
				struct hash *const ret[]);

/* One for each thread. Zero-initialised is "not initialised", which hasher_done() takes. */
struct hasher {
	struct evp_md_st *md; /* fetched once: looking it up costs more than hashing a record */
	struct evp_md_ctx_st *ctx;
	hasher_lanes_fn pair, sixteen; /* NULL: not on this processor */
};

/* A piece of what is hashed. */
struct hash_part {
	const void *data;
	size_t len;
};

/** Returns IM_OK, IM_ENOMEM. After it nothing here can fail: the context has all the memory that it will need. */
IM_MUST_CHECK enum im_rc hasher_init(struct hasher *h, struct im_err *err);
void hasher_done(struct hasher *h);

/** SHA-256 of the parts, one after the other. */
void hasher_parts(struct hasher *h, const struct hash_part *parts, size_t count, struct hash *ret);

/**
 * ret[i] = SHA-256 of 'prefix' and message[i], for 'count' messages. Faster than hasher_parts() for short ones, and the faster the more are
 * given at once. For what is no secret: copies are made, and not wiped. 'ret' must not lie in the messages.
 */
void hasher_prefixed(struct hasher *h, uint8_t prefix, const struct hash_part *message,
		     size_t count, struct hash *ret);

/* What HMAC makes of a key before it sees a message, for a key that comes again and again: as secret as the key. */
struct hmac_key {
	uint32_t inner[8], outer[8];
};

void hasher_hmac_key(const struct hash *key, struct hmac_key *ret);

/** hasher_hmac() under the key that 'key' was made of: half the work. Reentrant, as hasher_hmac() is. */
void hasher_hmac_under(const struct hmac_key *key, const struct hash_part *parts, size_t count,
		       struct hash *ret);

/** HMAC-SHA256 (RFC 2104) of the parts under a 32-byte key. */
void hasher_hmac(struct hasher *h, const struct hash *key, const struct hash_part *parts,
		 size_t count, struct hash *ret);

#endif
