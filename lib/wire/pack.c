/*
 * wire/pack.c - messages as bytes, which protobuf-c's descriptors guide; see wire.h.
 */
#include <protobuf-c/protobuf-c.h>

#include "wire/wire.h"

void
wire_pack(const struct ProtobufCMessage *msg, struct buf *out)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t *at = buf_reserve(out, len);

	if (at == NULL)
		return;
	out->len += protobuf_c_message_pack(msg, at);
}
