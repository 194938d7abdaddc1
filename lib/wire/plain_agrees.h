/*
 * wire/plain_agrees.h - what is coded by hand (plain_event.h, plain_frame.h) against the general way and protobuf-c's own, for the tests and the fuzz
 * target.
 */
#ifndef WIRE_PLAIN_AGREES_H
#define WIRE_PLAIN_AGREES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct audit_append;
struct generate_frame;

/**
 * Read the 'len' bytes at 'buf', which may be anything, by hand, by wire_unpack() and by protobuf-c, and write what came of it. False: what one of
 * them took the next one did not, or as something else, in a member or in its bytes; or what is usual was not taken by hand.
 * '*ret_plain', which may be NULL: it was.
 */
typedef bool plain_agrees_fn(const uint8_t *buf, size_t len, bool *ret_plain);

/** As an AppendRequest, and as a GenerateFrame. */
plain_agrees_fn plain_events_agree, plain_frame_agrees;

/** 'bytes', which we encoded, are those that protobuf-c packs, and it unpacks them as 'want', in which a text may be NULL for "". A frame without a
 *  head. */
bool plain_events_are(const struct audit_append *want, const struct buf *bytes);
bool plain_frame_is(const struct generate_frame *want, const struct buf *bytes);

/** 'agrees' for the bytes, cut anywhere, and with each byte made any other; how often they were taken by hand then. False: not each time. */
bool plain_agrees_also_when_broken(plain_agrees_fn *agrees, const struct buf *bytes,
				   size_t *ret_cut, size_t *ret_changed);

#endif
