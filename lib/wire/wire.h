/*
 * wire/wire.h - what all codecs share: limits, the check of untrusted bytes, and the unpacker that allocates from an arena.
 * protobuf-c and its generated code are known in this room and in a service's *_codec.c only.
 *
 * Every decoder of this room works the same way: the bytes are checked against the message's descriptor (lengths, depth,
 * counts, UTF-8, no U+0000 in strings), and in the same walk unpacked into the given arena, whose bound holds: a value is
 * copied only after its check. Fields that the descriptor lacks are those of a later version: they must be whole, and are
 * skipped without memory. The result points into the arena, never into the input. On failure the result is untouched and
 * 'err' (may be NULL) says where: "messages[2].role: not UTF-8".
 *
 * Stricter than protobuf-c are the limits of depth and elements, the check of texts, tags (1 to 2^29 - 1), numbers (of at most 64 bits)
 * and a bool (a varint); nothing else that it takes is refused. Nothing that it refuses is taken, but for a message that is there twice and
 * has a oneof; and such a one, twice, is put together as protobuf says and not as protobuf-c does.
 *
 * Every encoder appends to a struct buf and fails only by buf_ok() turning false. Strings in plain structs are never NULL
 * after decoding ("" = absent); an encoder takes NULL for "".
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define WIRE_DEPTH_MAX    8
#define WIRE_ELEMENTS_MAX 65536 /* of one repeated field */

struct ProtobufCMessageDescriptor;
struct ProtobufCMessage;

/** Check the 'len' bytes at 'buf' as a message of 'desc'. IM_OK or IM_EPROTO. */
IM_MUST_CHECK enum im_rc wire_check(const struct ProtobufCMessageDescriptor *desc,
				    const uint8_t *buf, size_t len, struct im_err *err);

/** wire_check(), and unpack into 'arena'. The message needs no freeing of its own, and keeps no unknown fields. A message that
 *  is a member and is there twice is one, as in protobuf: what comes later counts, lists are put together. IM_OK; IM_EPROTO;
 *  IM_ENOMEM if the bytes are sound but memory, or the arena's bound, does not allow it. 'arena' may have grown also on
 *  failure. */
IM_MUST_CHECK enum im_rc wire_unpack(const struct ProtobufCMessageDescriptor *desc,
				     const uint8_t *buf, size_t len, struct arena *arena,
				     struct ProtobufCMessage **ret_msg, struct im_err *err);

/** Append the packed message to 'out'. */
void wire_pack(const struct ProtobufCMessage *msg, struct buf *out);

/* The fixed header of a frame, little-endian: length u32 (of the body), call id u32, kind u8, flags u8 (0), reserved u16
 * (0; ignored by readers). Call ids are even on the side that dialled, odd on the side that listened; 0 is the link. */
#define FRAME_HEADER_BYTES 12
#define WIRE_VERSION       1

enum frame_kind {
	FRAME_HELLO = 1,
	FRAME_REQUEST = 2,
	FRAME_DATA = 3,
	FRAME_END = 4,
	FRAME_CANCEL = 5,
	FRAME_CREDIT = 6,
	FRAME_PING = 7,
	FRAME_PONG = 8,
	FRAME_GOAWAY = 9,
};

struct frame_header {
	uint32_t body_len;
	uint32_t call_id;
	uint8_t kind; /* enum frame_kind; others are to be ignored */
	uint8_t flags;
};

void frame_header_put(uint8_t out[FRAME_HEADER_BYTES], const struct frame_header *h);
void frame_header_get(const uint8_t in[FRAME_HEADER_BYTES], struct frame_header *ret);

/* Bodies of frames. Decoded bytes members point into the INPUT here (only here), to spare a copy of each body. */

struct wire_bytes {
	const uint8_t *data;
	size_t len;
};

struct hello {
	uint32_t version, min_version;
	const char *role, *name;
	struct wire_bytes instance;
	uint32_t window_bytes, max_frame_bytes;
};

#define TRACEPARENT_LEN 55 /* of version 00; W3C Trace Context, section 3.2 */

struct request_frame {
	const char *method;
	uint32_t budget_ms;
	const char *traceparent;
	int32_t priority;
	struct wire_bytes body;
};

struct end_frame {
	bool failed;       /* 'err' counts */
	struct im_err err; /* texts are cut to fit */
	struct wire_bytes body;
};

void hello_encode(const struct hello *hello, struct buf *out);
IM_MUST_CHECK enum im_rc hello_decode(const uint8_t *buf, size_t len, struct arena *arena,
				      struct hello *ret, struct im_err *err);

/** Header and body of a whole REQUEST frame, so that its payload is copied once. */
void request_frame_encode(uint32_t call_id, const struct request_frame *req, struct buf *out);
IM_MUST_CHECK enum im_rc request_frame_decode(const uint8_t *buf, size_t len, struct arena *arena,
					      struct request_frame *ret, struct im_err *err);

/** Header and body of a whole END frame; 'err' NULL = success. */
void end_frame_encode(uint32_t call_id, const struct im_err *error, const uint8_t *body, size_t len,
		      struct buf *out);
IM_MUST_CHECK enum im_rc end_frame_decode(const uint8_t *buf, size_t len, struct end_frame *ret,
					  struct im_err *err);

void credit_encode(uint32_t bytes, struct buf *out);
IM_MUST_CHECK enum im_rc credit_decode(const uint8_t *buf, size_t len, uint32_t *ret_bytes,
				       struct im_err *err);

void goaway_encode(const char *reason, struct buf *out);
/** 'ret_reason' gets at most 'cap' - 1 bytes and a NUL. */
IM_MUST_CHECK enum im_rc goaway_decode(const uint8_t *buf, size_t len, char *ret_reason, size_t cap,
				       struct im_err *err);

#endif
