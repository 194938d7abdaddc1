/*
 * audit/sha256_lanes.h - SHA-256 of several messages at once. Each step of SHA-256 waits for the one before, so one message leaves most of a processor
 * idle. Only for hasher.c; one message alone is OpenSSL's. docs/adr/0016 has what it brings.
 */
#ifndef AUDIT_SHA256_LANES_H
#define AUDIT_SHA256_LANES_H

#include <stddef.h>
#include <stdint.h>

#include "audit/hasher.h"

#define SHA256_BLOCK_BYTES ((size_t)64)
#define SHA256_ROUNDS      ((size_t)64)

/** FIPS 180-4 §4.2.2 and §5.3.3. */
extern const uint32_t sha256_constants[SHA256_ROUNDS];
extern const uint32_t sha256_begin[HASH_BYTES / sizeof(uint32_t)];

/** Of two, with the instructions that newer x86 processors have for SHA-256. NULL: this processor cannot. Any thread. */
hasher_lanes_fn sha256_pair(void);

/** Of sixteen, in vectors of sixteen words (AVX-512). NULL: this processor cannot. Any thread. */
hasher_lanes_fn sha256_sixteen(void);

#endif
