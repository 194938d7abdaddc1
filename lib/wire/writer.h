/*
 * wire/writer.h - writes the fields of a protobuf message by hand, for messages that are made very often: a number that is 0 and what is empty
 * are left out, so with ascending tags the bytes are those of protobuf-c. For this room and the audit service's record_codec.c. Never checks what
 * is written. Source: protobuf encoding specification, proto3.
 *
 * Fails only by buf_ok() turning false.
 */
#ifndef WIRE_WRITER_H
#define WIRE_WRITER_H

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "wire/reader.h"

#define WRITER_VARINT_MAX ((size_t)10) /* bytes */

static inline uint8_t *
writer_room(struct buf *out, size_t extra)
{
	return buf_has_room(out, extra) ? out->data + out->len : buf_reserve(out, extra);
}

static inline size_t
writer_varint_len(uint64_t v)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);

	return (bits * 9 + 64) / 64; /* a seventh, rounded up: right for 1 to 64 */
}

static inline uint8_t *
writer_put_varint(uint8_t *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*to++ = (uint8_t)(v | 0x80);
	*to++ = (uint8_t)v;
	return to;
}

static inline void
writer_num(struct buf *out, uint32_t tag, uint64_t v)
{
	uint8_t *to;

	if (v == 0 || (to = writer_room(out, 2 * WRITER_VARINT_MAX)) == NULL)
		return;
	to = writer_put_varint(to, (uint64_t)tag << 3 | READER_VARINT);
	out->len = (size_t)(writer_put_varint(to, v) - out->data);
}

static inline void
writer_bytes(struct buf *out, uint32_t tag, const void *data, size_t len)
{
	uint8_t *to;

	if (len == 0 || (to = writer_room(out, 2 * WRITER_VARINT_MAX + len)) == NULL)
		return;
	to = writer_put_varint(to, (uint64_t)tag << 3 | READER_BYTES);
	to = writer_put_varint(to, len);
	memcpy(to, data, len);
	out->len = (size_t)(to - out->data) + len;
}

/** Only if 'has'. */
static inline void
writer_bytes_if(struct buf *out, uint32_t tag, bool has, const void *data, size_t len)
{
	if (has)
		writer_bytes(out, tag, data, len);
}

/** NULL = "". */
static inline void
writer_text(struct buf *out, uint32_t tag, const char *s)
{
	if (s != NULL && *s != '\0')
		writer_bytes(out, tag, s, strlen(s));
}

/** Begin a message within the message, which is there also if nothing is written into it; the result is for writer_end(). */
static inline size_t
writer_begin(struct buf *out, uint32_t tag)
{
	uint8_t *to = writer_room(out, WRITER_VARINT_MAX + 1);

	if (to != NULL) {
		to = writer_put_varint(to, (uint64_t)tag << 3 | READER_BYTES);
		out->len = (size_t)(to - out->data) + 1; /* its length: most take a byte */
	}
	return out->len;
}

static inline void
writer_end(struct buf *out, size_t begun)
{
	size_t len = out->len - begun, more = writer_varint_len(len) - 1;

	if (writer_room(out, more) == NULL)
		return;
	if (more > 0)
		memmove(out->data + begun + more, out->data + begun, len);
	out->len += more;
	(void)writer_put_varint(out->data + begun - 1, len);
}

#endif
