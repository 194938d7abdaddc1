/*
 * base/buf.h - a growing run of bytes with a bound. Used wherever bytes are gathered. Never shrinks by itself.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

/* Zero-initialised is a valid empty buffer without a bound. Not thread-safe. */
struct buf {
	uint8_t *data;    /* NULL while cap is 0 */
	size_t len;       /* bytes in use */
	size_t cap;       /* bytes allocated */
	size_t max_bytes; /* len never passes this; 0 = no bound */
	bool failed;      /* an append did not fit or memory ran out: contents are incomplete */
};

#define BUF_INIT(max)                                                                              \
	{                                                                                          \
		.max_bytes = (max)                                                                 \
	}

void buf_init(struct buf *b, size_t max_bytes);

/** Free the memory; 'b' is an empty buffer with the same bound afterwards. NULL is fine. */
void buf_done(struct buf *b);

/** Forget the contents, keep the memory, clear 'failed'. */
void buf_clear(struct buf *b);

/**
 * Make room for 'extra' more bytes. Returns where they go (the caller writes, then adds to b->len), or NULL when the
 * bound or memory does not allow it, and sets b->failed.
 */
uint8_t *buf_reserve(struct buf *b, size_t extra);

/**
 * Appends. After a failure every later append does nothing, so a writer checks once, at the end: buf_ok().
 * Each returns false when it failed now or before.
 */
static inline bool buf_append(struct buf *b, const void *data, size_t len);
static inline bool buf_append_str(struct buf *b, const char *s);
static inline bool buf_append_byte(struct buf *b, uint8_t byte);
bool buf_append_uint(struct buf *b, uint64_t n); /* decimal */
bool buf_printf(struct buf *b, const char *fmt, ...) IM_PRINTF(2, 3);

/** True if no append failed. */
bool buf_ok(const struct buf *b);

/** Drop the first 'n' bytes (n <= len) and move the rest to the front. */
void buf_consume(struct buf *b, size_t n);

/** NUL-terminate without counting the NUL. Returns the text; "" after a failure without memory. */
const char *buf_cstr(struct buf *b);

/** Take the memory: the caller frees 'data' with free(). 'b' is empty afterwards. */
uint8_t *buf_take(struct buf *b, size_t *ret_len);

/* Inside: most appends are a few bytes, often constant, into memory that is there. Capacity never passes the bound by
 * more than the NUL of buf_cstr(), so the bound is looked at too. */
static inline bool
buf_has_room(const struct buf *b, size_t extra)
{
	return extra < b->cap - b->len && !b->failed &&
	       (b->max_bytes == 0 || (b->len <= b->max_bytes && extra <= b->max_bytes - b->len));
}

static inline bool
buf_append(struct buf *b, const void *data, size_t len)
{
	uint8_t *at = buf_has_room(b, len) ? b->data + b->len : buf_reserve(b, len);

	if (at == NULL)
		return false;
	if (len > 0)
		memcpy(at, data, len);
	b->len += len;
	return true;
}

static inline bool
buf_append_str(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

static inline bool
buf_append_byte(struct buf *b, uint8_t byte)
{
	uint8_t *at = buf_has_room(b, 1) ? b->data + b->len : buf_reserve(b, 1);

	if (at == NULL)
		return false;
	*at = byte;
	b->len++;
	return true;
}

#endif
