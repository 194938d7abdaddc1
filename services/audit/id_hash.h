/*
 * audit/id_hash.h - where a request id goes in a table of this room. Ids are chosen by whoever asks: without the key, which a process draws
 * anew, nobody can find many that meet at one place. SipHash-2-4, by libsodium: multiplying and shifting with a secret seed does
 * not do, for ids that differ in their high bits alone meet whatever the seed is.
 */
#ifndef AUDIT_ID_HASH_H
#define AUDIT_ID_HASH_H

#include <sodium.h>
#include <stdint.h>
#include <string.h>

#include "audit/record.h"
#include "base/hex.h"

/* Plain data. Not initialised it still tells ids apart, and keeps nobody from aiming. */
struct id_hash {
	uint8_t key[crypto_shorthash_KEYBYTES];
};

static inline void
id_hash_init(struct id_hash *h)
{
	random_bytes(h->key, sizeof(h->key));
}

static inline uint64_t
id_hash(const struct id_hash *h, const uint8_t id[RECORD_ID_BYTES])
{
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t v;

	(void)crypto_shorthash(out, id, RECORD_ID_BYTES, h->key); /* it always succeeds */
	memcpy(&v, out, sizeof(v));
	return v;
}

#endif
