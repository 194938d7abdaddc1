/*
 * wire/pack.h - messages as bytes, and what both ways share of protobuf-c's types. Inside this room; for a whole message see wire_pack().
 */
#ifndef WIRE_PACK_H
#define WIRE_PACK_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/* What a type is on the wire, and in protobuf-c's structs; by ProtobufCType. */
struct shape {
	uint8_t wire; /* enum reader_type */
	uint8_t size; /* of one */
};

extern const struct shape shapes[];

/** Bytes that pack_put() will write. */
size_t pack_size(const ProtobufCMessage *msg);

/** Write 'msg' to 'to', which has room for pack_size() bytes; returns where they end. The bytes are those of protobuf-c; unknown fields
 *  are none. */
uint8_t *pack_put(const ProtobufCMessage *msg, uint8_t *to);

#endif
