/*
 * wire/plain_event.h - the usual AppendRequest read by hand: two events pass for each request. Results are those of wire_unpack(), and so
 * protobuf-c's. Unusual, and left to wire_unpack() to take or refuse, are: fields of a later version, gaps, failed attempts, routing or usage there
 * twice in an event, bytes that are written out and empty, an event of more than 128 KiB, and whatever mesh.h does not allow. In this room only.
 */
#ifndef WIRE_PLAIN_EVENT_H
#define WIRE_PLAIN_EVENT_H

#include "wire/mesh.h"

/** Decode the 'len' bytes at 'buf', which are untrusted; the result lies in 'arena'. False, and '*ret' as it was: something is in it that is
 *  not usual, it is broken or not allowed, or 'arena' is full; audit_append_unpack() says which. */
bool plain_events_decode(const uint8_t *buf, size_t len, struct arena *arena,
			 struct audit_append *ret);

/** audit_append_decode() by wire_unpack(), whatever is in it. */
IM_MUST_CHECK enum im_rc audit_append_unpack(const uint8_t *buf, size_t len, struct arena *arena,
					     struct audit_append *ret, struct im_err *err);

#endif
