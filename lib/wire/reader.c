/*
 * wire/reader.c - walks encoded protobuf; see reader.h.
 */
#include "wire/reader.h"

#define TAG_MAX ((1u << 29) - 1)

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

static bool
read_field(struct reader *r, struct reader_field *ret)
{
	uint64_t key, len;

	if (!reader_varint(r, &key) || key >> 3 == 0 || key >> 3 > TAG_MAX)
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
		if (!reader_varint(r, &len) || len > (uint64_t)(r->end - r->at))
			return false;
		ret->data = r->at;
		ret->len = (size_t)len;
		return skip(r, ret->len);
	}
	return false; /* groups, and the numbers that protobuf does not use */
}

/* A field whose key and whose number or length are a byte each, as most are. False: look again, with care. */
static bool
read_short(struct reader *r, struct reader_field *ret)
{
	const uint8_t *p = r->at;

	if (r->end - p < 2 || p[0] < 8 || ((p[0] | p[1]) & 0x80) != 0)
		return false;
	ret->tag = p[0] >> 3;
	ret->type = (enum reader_type)(p[0] & 7);
	if (ret->type == READER_VARINT) {
		ret->num = p[1];
		ret->data = p + 1;
		ret->len = 0;
		r->at = p + 2;
		return true;
	}
	if (ret->type != READER_BYTES || p[1] > r->end - p - 2)
		return false;
	ret->num = 0;
	ret->data = p + 2;
	ret->len = p[1];
	r->at = p + 2 + p[1];
	return true;
}

bool
reader_next(struct reader *r, struct reader_field *ret)
{
	if (r->at == r->end || r->malformed)
		return false;
	if (read_short(r, ret))
		return true;
	r->malformed = !read_field(r, ret);
	return !r->malformed;
}

bool
reader_at_end(const struct reader *r)
{
	return r->at == r->end && !r->malformed;
}
