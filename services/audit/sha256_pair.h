/*
 * audit/sha256_pair.h - SHA-256 of two messages at once, with the instructions that newer x86 processors have for it. Each of them waits for
 * the one before, so a second message costs half as much again as one alone, and not as much. Only for hasher.c; one message is OpenSSL's.
 */
#ifndef AUDIT_SHA256_PAIR_H
#define AUDIT_SHA256_PAIR_H

#include <stddef.h>
#include <stdint.h>

#include "audit/hasher.h"

#define SHA256_BLOCK_BYTES ((size_t)64)

/** What does it, or NULL: this processor cannot. Any thread. */
hasher_pair_fn sha256_pair(void);

#endif
