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

#define BYTES_HUGE                                                                                 \
	((size_t)2 * 1024 *                                                                        \
	 1024) /* a huge page: blocks are as large as so many, or smaller than one */

struct bytes {
	atomic_uint refs;
	size_t cap;
	uint8_t data[];
};

/** A block of 'cap' bytes with one reference, the caller's. Large ones lie on huge pages where the kernel has them: taking these costs a
 *  fifth of taking small ones. NULL: no memory. */
struct bytes *bytes_new(size_t cap);

/** One more reference; returns 'b'. Whoever has one may. */
struct bytes *bytes_ref(struct bytes *b);

/** Give a reference back; the last one frees the block. NULL is fine. Any thread. */
void bytes_unref(struct bytes *b);

/** True if others hold it too. */
bool bytes_shared(const struct bytes *b);

#endif
