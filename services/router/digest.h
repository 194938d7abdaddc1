/*
 * router/digest.h - SHA-256 for this room: one fetched algorithm, and "bytes in, 32 bytes out". Knows no formats.
 */
#ifndef ROUTER_DIGEST_H
#define ROUTER_DIGEST_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32

/** A running SHA-256, or NULL without memory. Free with EVP_MD_CTX_free(). Threads: any. */
EVP_MD_CTX *router_sha256_new(void);

/** What has gone in so far; 'ctx' can go on afterwards. False without memory. */
bool router_sha256_peek(const EVP_MD_CTX *ctx, uint8_t out[DIGEST_BYTES]);

/** Of the 'len' bytes at 'data'. False without memory. */
bool router_sha256(const void *data, size_t len, uint8_t out[DIGEST_BYTES]);

#endif
