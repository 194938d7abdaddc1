/*
 * wire/pack.c - messages as bytes, which protobuf-c's descriptors guide; see pack.h and wire.h.
 */
#include "wire/pack.h"

#include <string.h>

#include "wire/wire.h"
#include "wire/writer.h"

const struct shape shapes[] = {
	[PROTOBUF_C_TYPE_INT32] = { READER_VARINT, 4 },
	[PROTOBUF_C_TYPE_SINT32] = { READER_VARINT, 4 },
	[PROTOBUF_C_TYPE_SFIXED32] = { READER_FIXED32, 4 },
	[PROTOBUF_C_TYPE_INT64] = { READER_VARINT, 8 },
	[PROTOBUF_C_TYPE_SINT64] = { READER_VARINT, 8 },
	[PROTOBUF_C_TYPE_SFIXED64] = { READER_FIXED64, 8 },
	[PROTOBUF_C_TYPE_UINT32] = { READER_VARINT, 4 },
	[PROTOBUF_C_TYPE_FIXED32] = { READER_FIXED32, 4 },
	[PROTOBUF_C_TYPE_UINT64] = { READER_VARINT, 8 },
	[PROTOBUF_C_TYPE_FIXED64] = { READER_FIXED64, 8 },
	[PROTOBUF_C_TYPE_FLOAT] = { READER_FIXED32, sizeof(float) },
	[PROTOBUF_C_TYPE_DOUBLE] = { READER_FIXED64, sizeof(double) },
	[PROTOBUF_C_TYPE_BOOL] = { READER_VARINT, sizeof(protobuf_c_boolean) },
	[PROTOBUF_C_TYPE_ENUM] = { READER_VARINT, 4 },
	[PROTOBUF_C_TYPE_STRING] = { READER_BYTES, sizeof(char *) },
	[PROTOBUF_C_TYPE_BYTES] = { READER_BYTES, sizeof(ProtobufCBinaryData) },
	[PROTOBUF_C_TYPE_MESSAGE] = { READER_BYTES, sizeof(ProtobufCMessage *) },
};

/* The value itself; where that is no number what it begins with: a pointer, or a length. */
static inline uint64_t
word_at(ProtobufCType type, const void *at)
{
	return shapes[type].size == 4 ? *(const uint32_t *)at : *(const uint64_t *)at;
}

/* A number as it is on the wire. */
static inline uint64_t
number(ProtobufCType type, const void *at)
{
	uint64_t v = word_at(type, at);

	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		return v != 0;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM:
		return (uint64_t)(int32_t)v;
	case PROTOBUF_C_TYPE_SINT32:
		return (uint32_t)v << 1 ^ -((uint32_t)v >> 31);
	case PROTOBUF_C_TYPE_SINT64:
		return v << 1 ^ -(v >> 63);
	default:
		return v;
	}
}

static inline const void *
member(const ProtobufCMessage *msg, unsigned offset)
{
	return (const char *)msg + offset;
}

/* How many values of 'fd' there are to write. Outside of a oneof 0 and "" are not told apart from absent. */
static inline size_t
count_of(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
	const void *at = member(msg, fd->offset);

	if (fd->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)member(msg, fd->quantifier_offset);
	if ((fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
		return *(const uint32_t *)member(msg, fd->quantifier_offset) == fd->id;
	return word_at(fd->type, at) != 0 &&
	       (fd->type != PROTOBUF_C_TYPE_STRING || **(const char *const *)at != '\0');
}

/* The first of them, if there are any. */
static inline const char *
first_of(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
	const void *at = member(msg, fd->offset);

	return fd->label == PROTOBUF_C_LABEL_REPEATED ? *(const char *const *)at : at;
}

static size_t
size_of(ProtobufCType type, const void *at)
{
	size_t len;

	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
		len = strlen(*(const char *const *)at);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		len = ((const ProtobufCBinaryData *)at)->len;
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		len = pack_size(*(const ProtobufCMessage *const *)at);
		break;
	default:
		return shapes[type].wire == READER_VARINT ? writer_varint_len(number(type, at))
							  : shapes[type].size;
	}
	return writer_varint_len(len) + len;
}

/* Of the values alone, without keys. */
static size_t
size_of_all(const ProtobufCFieldDescriptor *fd, const char *at, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += size_of(fd->type, at + i * shapes[fd->type].size);
	return size;
}

static bool
is_packed(const ProtobufCFieldDescriptor *fd)
{
	return (fd->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0;
}

size_t
pack_size(const ProtobufCMessage *msg)
{
	const ProtobufCMessageDescriptor *desc = msg->descriptor;
	size_t size = 0;

	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *fd = &desc->fields[i];
		size_t n = count_of(msg, fd), all;

		if (n == 0)
			continue;
		all = size_of_all(fd, first_of(msg, fd), n);
		if (is_packed(fd)) {
			all += writer_varint_len(all);
			n = 1;
		}
		size += n * writer_varint_len((uint64_t)fd->id << 3) + all;
	}
	return size;
}

static uint8_t *
put_bytes(uint8_t *to, const void *at, size_t len)
{
	to = writer_put_varint(to, len);
	if (len > 0)
		memcpy(to, at, len);
	return to + len;
}

/* Most messages need one byte for their length; those that need more are moved, which is less work than a second look at their size. */
static uint8_t *
put_message(uint8_t *to, const ProtobufCMessage *msg)
{
	size_t len = (size_t)(pack_put(msg, to + 1) - (to + 1));
	size_t before = writer_varint_len(len);

	if (before > 1)
		memmove(to + before, to + 1, len);
	return writer_put_varint(to, len) + len;
}

static uint8_t *
put_fixed(uint8_t *to, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		*to++ = (uint8_t)(v >> 8 * i);
	return to;
}

static uint8_t *
put_value(uint8_t *to, ProtobufCType type, const void *at)
{
	const ProtobufCBinaryData *bytes = at;
	const char *text;

	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
		text = *(const char *const *)at;
		return put_bytes(to, text, strlen(text));
	case PROTOBUF_C_TYPE_BYTES:
		return put_bytes(to, bytes->data, bytes->len);
	case PROTOBUF_C_TYPE_MESSAGE:
		return put_message(to, *(const ProtobufCMessage *const *)at);
	default:
		return shapes[type].wire == READER_VARINT
			   ? writer_put_varint(to, number(type, at))
			   : put_fixed(to, number(type, at), shapes[type].size);
	}
}

uint8_t *
pack_put(const ProtobufCMessage *msg, uint8_t *to)
{
	const ProtobufCMessageDescriptor *desc = msg->descriptor;

	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *fd = &desc->fields[i];
		size_t n = count_of(msg, fd);
		uint64_t key;
		const char *at;

		if (n == 0)
			continue;
		key = (uint64_t)fd->id << 3;
		at = first_of(msg, fd);
		if (is_packed(fd)) {
			to = writer_put_varint(to, key | READER_BYTES);
			to = writer_put_varint(to, size_of_all(fd, at, n));
			for (size_t k = 0; k < n; k++)
				to = put_value(to, fd->type, at + k * shapes[fd->type].size);
			continue;
		}
		for (size_t k = 0; k < n; k++) {
			to = writer_put_varint(to, key | shapes[fd->type].wire);
			to = put_value(to, fd->type, at + k * shapes[fd->type].size);
		}
	}
	return to;
}

void
wire_pack(const struct ProtobufCMessage *msg, struct buf *out)
{
	uint8_t *at = buf_reserve(out, pack_size(msg));

	if (at != NULL)
		out->len = (size_t)(pack_put(msg, at) - out->data);
}
