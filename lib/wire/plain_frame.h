/*
 * wire/plain_frame.h - the usual GenerateFrame, pieces of text without a head and without tool calls, coded by hand: it passes
 * three times for each token. Bytes and results are those of wire_pack() and wire_unpack(); whatever is unusual is left to them. That is for
 * encoding a head and tool calls; for decoding vectors and dimensions too, fields of a later version, no piece at all, and what is not allowed. In this
 * room only.
 */
#ifndef WIRE_PLAIN_FRAME_H
#define WIRE_PLAIN_FRAME_H

#include "wire/generate.h"

/** Append 'frame' to 'out', which fails without memory. False, and nothing is appended: it is not plain. */
bool plain_frame_encode(const struct generate_frame *frame, struct buf *out);

/** Decode the 'len' bytes at 'buf', which are untrusted; texts lie in 'arena'. False, and '*ret' as it was: it is not plain, it is
 *  broken, or 'arena' is full; the long way says which. */
bool plain_frame_decode(const uint8_t *buf, size_t len, struct arena *arena,
			struct generate_frame *ret);

#endif
