/*
 * base/sha256.h - SHA-256 by libcrypto with the algorithm fetched once, "bytes in, 32 bytes out". Knows no formats. Its library is
 * im_sha256, so that who hashes nothing needs no libcrypto.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

/* A running SHA-256 of short texts, in place: what OpenSSL makes of a context costs as much as hashing some blocks (docs/adr/0016-sha256-lanes.md).
 * Plain data. None of the three can fail. */
struct sha256 {
	SHA256_CTX ctx;
};

void sha256_start(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);

/** What has gone in so far; 's' can go on afterwards. */
void sha256_so_far(const struct sha256 *s, uint8_t out[SHA256_BYTES]);

/** A running SHA-256, or NULL without memory. Free with EVP_MD_CTX_free(). Threads: any. */
EVP_MD_CTX *sha256_new(void);

/** What has gone in so far; 'ctx' can go on afterwards. False without memory. */
bool sha256_peek(const EVP_MD_CTX *ctx, uint8_t out[SHA256_BYTES]);

/** Of the 'len' bytes at 'data'. True. */
bool sha256_of(const void *data, size_t len, uint8_t out[SHA256_BYTES]);

#endif
