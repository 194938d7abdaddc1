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

/** False: wire_unpack() takes the 'len' bytes at 'buf' as a message of 'type', below unpack_types, and protobuf-c does not, or as
 *  another one, or it is packed otherwise; or wire_check() says something else than wire_unpack(). '*ret_taken', which may be NULL: it takes them. */
bool unpack_agrees(size_t type, const uint8_t *buf, size_t len, bool *ret_taken);

#endif
