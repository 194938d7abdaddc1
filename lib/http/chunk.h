/*
 * http/chunk.h - takes the chunked coding off a request body as its bytes come (RFC 9112 section 7.1). Used by the reader
 * of requests. Pure. Never keeps a chunk extension or a trailer field: nothing here has a use for them.
 */
#ifndef HTTP_CHUNK_H
#define HTTP_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define CHUNK_LINE_MAX    256  /* bytes of a size line with its extensions */
#define CHUNK_TRAILER_MAX 8192 /* bytes of all trailer fields */

enum chunk_rc {
	CHUNK_MORE,   /* all was taken and more must come */
	CHUNK_END,    /* the body is whole */
	CHUNK_BAD,    /* malformed */
	CHUNK_TOOBIG, /* the body is larger than it may be; known from the size line on */
	CHUNK_NOMEM,
};

enum chunk_state {
	CHUNK_SIZE_FIRST = 0, /* first digit of a size */
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER_FIRST, /* first byte of a trailer line */
	CHUNK_TRAILER,
	CHUNK_TRAILER_LF,
	CHUNK_LAST_LF,
	CHUNK_DONE,
};

/* Zero-initialised is ready for the first byte. */
struct chunk_decoder {
	enum chunk_state state;
	uint32_t line;    /* bytes of the present size line */
	uint32_t trailer; /* bytes of all trailer lines */
	uint64_t left;    /* size of the chunk, then what is missing of it */
};

/**
 * Take up to 'len' untrusted bytes at 'in' and append what they hold of the body to 'body', which never grows over
 * 'max_bytes'. '*ret_used' is how many were taken: less than 'len' only with CHUNK_END (the rest is the next request) or
 * an error. After an error the decoder is of no use.
 */
enum chunk_rc http_chunk_decode(struct chunk_decoder *d, const uint8_t *in, size_t len,
				size_t max_bytes, struct buf *body, size_t *ret_used);

#endif
