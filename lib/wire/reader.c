/*
 * wire/reader.c - walks encoded protobuf; see reader.h.
 */
#include "wire/reader.h"

#define VARINT32_MAX 5 /* bytes */

bool
reader_varint(struct reader *r, uint64_t *ret)
{
	uint64_t v = 0;

	if (r->at < r->end && *r->at < 0x80) { /* most of them */
		*ret = *r->at++;
		return true;
	}
	for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
		uint8_t byte = *r->at++;

		if (shift == 63 && byte > 1)
			return false;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool
skip(struct reader *r, size_t n)
{
	if ((size_t)(r->end - r->at) < n)
		return false;
	r->at += n;
	return true;
}

/* A key or a length: of 32 bits, and no longer than such a one may be, as for protobuf itself. */
static bool
read_short_varint(struct reader *r, uint64_t *ret)
{
	const uint8_t *from = r->at;

	return reader_varint(r, ret) && r->at - from <= VARINT32_MAX;
}

static bool
read_field(struct reader *r, struct reader_field *ret)
{
	uint64_t key, len;

	if (!read_short_varint(r, &key) || key >> 3 == 0 || key >> 3 > READER_TAG_MAX)
		return false;
	ret->tag = (uint32_t)(key >> 3);
	ret->type = (enum reader_type)(key & 7);
	ret->data = r->at;
	ret->len = 0;
	ret->num = 0;
	switch (ret->type) {
	case READER_VARINT:
		return reader_varint(r, &ret->num);
	case READER_FIXED64:
		return skip(r, 8);
	case READER_FIXED32:
		return skip(r, 4);
	case READER_BYTES:
		if (!read_short_varint(r, &len) || len > (uint64_t)(r->end - r->at))
			return false;
		ret->data = r->at;
		ret->len = (size_t)len;
		return skip(r, ret->len);
	}
	return false; /* groups, and the numbers that protobuf does not use */
}

bool
reader_long(struct reader *r, struct reader_field *ret)
{
	r->malformed = !read_field(r, ret);
	return !r->malformed;
}
