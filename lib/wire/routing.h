/*
 * wire/routing.h - a routing decision, usage and a gap between plain structs and messages: the audit's Event and its Record hold the
 * same. Written by hand, because every request does it three times; the bytes are those of protobuf-c. For this room and the audit service's
 * record_codec.c, so that they are packed in one place.
 */
#ifndef WIRE_ROUTING_H
#define WIRE_ROUTING_H

#include "infermesh/v1/audit.pb-c.h"
#include "wire/mesh.h"

/** Append what 'r' holds, the body of a Routing. Loads and attempts beyond the limits are left out. */
void routing_put(const struct routing *r, struct buf *out);

/** False when something is beyond its limit (mesh.h) or no number of its kind. 'ret' points into 'm', which may be NULL:
 *  all empty. */
IM_MUST_CHECK bool routing_in(const Infermesh__V1__Routing *m, struct routing *ret);

/** The same for usage. */
void usage_put(const struct usage *u, struct buf *out);

/** The same for a gap; 'm' may be NULL. */
void gap_put(const struct gap *g, struct buf *out);
struct gap gap_in(const Infermesh__V1__Gap *m);

/** Bytes that are absent or exactly 'want' long: copied to 'ret', and 'ret_has' says which. False for other lengths. */
IM_MUST_CHECK bool exact_in(const ProtobufCBinaryData *b, size_t want, uint8_t *ret, bool *ret_has);

/** Absent, or 'len' bytes. */
ProtobufCBinaryData exact_out(bool has, const uint8_t *data, size_t len);

#endif
