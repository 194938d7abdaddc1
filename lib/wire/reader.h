/*
 * wire/reader.h - walks the fields of an encoded protobuf message without allocating. Inside this room: for the check of
 * untrusted bytes and for frames whose payload must not be copied. Source: protobuf encoding specification, proto3.
 */
#ifndef WIRE_READER_H
#define WIRE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
bool reader_next(struct reader *r, struct reader_field *ret);

/** True if all bytes were read as fields. */
bool reader_at_end(const struct reader *r);

/** One varint of at most 64 bits. False if the bytes end first or it is longer. */
bool reader_varint(struct reader *r, uint64_t *ret);

#endif
