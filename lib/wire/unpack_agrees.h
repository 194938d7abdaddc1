/*
 * wire/unpack_agrees.h - our unpacker and packer against protobuf-c's own, for the test and the fuzz target.
 */
#ifndef WIRE_UNPACK_AGREES_H
#define WIRE_UNPACK_AGREES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types of messages; all that there are lie in these or below them. */
extern const size_t unpack_types;

struct arena;
struct ProtobufCMessage;
struct ProtobufCMessageDescriptor;

/** What protobuf-c makes of untrusted bytes, in 'arena', without what it does not know. NULL: it refuses them. */
struct ProtobufCMessage *unpack_by_protobuf(const struct ProtobufCMessageDescriptor *type,
					    const uint8_t *buf, size_t len, struct arena *arena);

/** A message that is no element of a list is there twice, at any depth: protobuf-c puts both together in a way of its own, where 0 does
 *  not count, and not at all if there is a oneof. */
bool unpack_has_twice(const struct ProtobufCMessageDescriptor *type, const uint8_t *buf,
		      size_t len);

/** False: wire_unpack() takes the 'len' bytes at 'buf' as a message of 'type', below unpack_types, and protobuf-c does not, or as
 *  another one, or it is packed otherwise; or wire_check() says something else than wire_unpack();
 *  or wire_unpack() refuses what protobuf-c takes for no reason that wire.h gives. '*ret_taken', which may be NULL: it takes them. */
bool unpack_agrees(size_t type, const uint8_t *buf, size_t len, bool *ret_taken);

#endif
