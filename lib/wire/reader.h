/*
 * wire/reader.h - walks the fields of an encoded protobuf message without allocating. Inside this room: for the check of
 * untrusted bytes and for frames whose payload must not be copied. Source: protobuf encoding specification, proto3.
 */
#ifndef WIRE_READER_H
#define WIRE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READER_TAG_MAX ((1u << 29) - 1)

enum reader_type {
	READER_VARINT = 0,
	READER_FIXED64 = 1,
	READER_BYTES = 2,
	READER_FIXED32 = 5,
};

struct reader {
	const uint8_t *at, *end;
	bool malformed; /* reader_next() met bytes that are no field */
};

struct reader_field {
	uint32_t tag;
	enum reader_type type;
	uint64_t num;        /* READER_VARINT */
	const uint8_t *data; /* READER_BYTES */
	size_t len;
};

/** Next field. False at the end and on malformed bytes; after the end reader_at_end() is true. */
static inline bool reader_next(struct reader *r, struct reader_field *ret);

/** True if all bytes were read as fields. */
static inline bool
reader_at_end(const struct reader *r)
{
	return r->at == r->end && !r->malformed;
}

/** One varint of at most 64 bits. False if the bytes end first or it is longer. */
bool reader_varint(struct reader *r, uint64_t *ret);

/* Inside: most keys, numbers and lengths take a byte or two. NULL, or false: look again, with care, by reader_long(). */
static inline const uint8_t *
reader_short_varint(const uint8_t *p, const uint8_t *end, uint32_t *ret)
{
	if (p == end)
		return NULL;
	*ret = *p++;
	if (*ret < 0x80)
		return p;
	if (p == end || *p >= 0x80)
		return NULL;
	*ret = (*ret & 0x7f) | (uint32_t)*p << 7;
	return p + 1;
}

static inline bool
reader_short(struct reader *r, struct reader_field *ret)
{
	const uint8_t *p = r->at;
	uint32_t key, n;

	if ((p = reader_short_varint(p, r->end, &key)) == NULL || key < 8 ||
	    (p = reader_short_varint(p, r->end, &n)) == NULL)
		return false;
	ret->tag = key >> 3;
	ret->type = (enum reader_type)(key & 7);
	ret->data = p;
	if (ret->type == READER_VARINT) {
		ret->num = n;
		ret->len = 0;
		r->at = p;
		return true;
	}
	if (ret->type != READER_BYTES || n > (size_t)(r->end - p))
		return false;
	ret->num = 0;
	ret->len = n;
	r->at = p + n;
	return true;
}

/* Never inside another: what is seldom done would slow down what is done often. */
__attribute__((noinline, cold)) bool reader_long(struct reader *r, struct reader_field *ret);

static inline bool
reader_next(struct reader *r, struct reader_field *ret)
{
	if (r->at == r->end || r->malformed)
		return false;
	return reader_short(r, ret) || reader_long(r, ret);
}

#endif
