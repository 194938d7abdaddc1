/*
 * wire/text.h - strings, bytes and errors between plain structs and protobuf-c's. For this room and services'
 * *_codec.c.
 */
#ifndef WIRE_TEXT_H
#define WIRE_TEXT_H

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"
#include "infermesh/v1/common.pb-c.h"

/* Memory for a message whose members are few and small. What a stranger fills a frame with must not make it large; fields
 * of a later version take none of it. */
#define SMALL_MESSAGE_BYTES ((size_t)256 * 1024)

/** A string for a message that is only packed: protobuf-c's members are not const, packing does not write. NULL = "". */
char *text_out(const char *s);

/** The same for a list of strings, and back. The list is not copied. */
char **texts_out(const char **list);
const char **texts_in(char **list);

/** Bytes for a message that is only packed. */
ProtobufCBinaryData bytes_out(const uint8_t *data, size_t len);

/** Copy into a fixed place, cut at a whole character if it does not fit. */
void text_copy(char *dst, size_t cap, const char *s, size_t len);

/* Limits and what their packed form points to. */
struct rates_packed {
	Infermesh__V1__RateLimit m[2];
	Infermesh__V1__RateLimit *list[2];
	size_t count;
};

/** Those that there are. 'ret' must not move while it is packed. */
void rates_out(const struct im_rates *rates, struct rates_packed *ret);
struct im_rates rates_in(Infermesh__V1__RateLimit *const *list, size_t count);

/* An error and what its packed form points to. */
struct error_packed {
	Infermesh__V1__Error m;
	struct im_err copy;
	struct rates_packed rates;
};

/** 'ret' must not move while it is packed. What is not UTF-8 becomes '?': a text that somebody cut inside a character must
 *  not make the peer refuse the frame, and the link with it. */
void error_out(const struct im_err *error, struct error_packed *ret);
void error_in(const Infermesh__V1__Error *m, struct im_err *ret);

/** From encoded bytes that were checked before; allocates nothing. */
void error_in_raw(const uint8_t *buf, size_t len, struct im_err *ret);

#endif
