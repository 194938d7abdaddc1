/*
 * audit/bytes.h - a block of bytes that several share: what was read of a file at once outlives the reading as long as a part of it is
 * needed, so that it need not be copied. Never grows.
 */
#ifndef AUDIT_BYTES_H
#define AUDIT_BYTES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Blocks of a file that is mapped begin at multiples of it: of a page, whatever size pages have. */
#define BYTES_MAP_ALIGN ((uint64_t)65536)

struct bytes {
	atomic_uint refs;
	size_t cap;
	size_t mapped; /* 0 = it is memory */
	uint8_t *data; /* of a file: must not be written */
};

/** A block of 'cap' bytes with one reference, the caller's. NULL: no memory. */
struct bytes *bytes_new(size_t cap);

/**
 * The 'len' bytes of a file at 'at', a multiple of BYTES_MAP_ALIGN, with one reference: the file's pages themselves, which take no memory
 * and need no copy. All of them are there when it returns. The file may lose its name, but must not become shorter. NULL: it cannot be done,
 * for reasons that reading will tell.
 */
struct bytes *bytes_map(int fd, uint64_t at, size_t len);

/** One more reference; returns 'b'. Whoever has one may. */
struct bytes *bytes_ref(struct bytes *b);

/** Give a reference back; the last one frees the block. NULL is fine. Any thread. */
void bytes_unref(struct bytes *b);

/** True if others hold it too. */
bool bytes_shared(const struct bytes *b);

#endif
