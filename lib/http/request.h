/*
 * http/request.h - puts requests together from the bytes of a connection: head, then body. Used by connections (conn.h)
 * and the fuzz target. Pure: does no I/O and knows no clock, so that what is taken and refused can be tested with bytes
 * alone.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "http/chunk.h"
#include "http/head.h"

/* One request. Owns its memory. */
struct request {
	struct http_head *head; /* spans are offsets in 'text'; fields[] ends after field_count */
	char *text;             /* the head's bytes as C strings, see http_head_own() */
	struct buf body;
	struct chunk_decoder chunks;
	struct arena joined; /* values of headers that came several times */
};

enum reader_state {
	READER_IDLE, /* no byte of a request yet */
	READER_IN_HEAD,
	READER_IN_BODY,
	READER_COMPLETE, /* until http_reader_take() */
	READER_BROKEN,
};

enum reader_event {
	READER_MORE,    /* all was taken and more must come */
	READER_HEAD,    /* the head is there, a body follows: feed the rest */
	READER_REQUEST, /* a request is whole: http_reader_take() */
	READER_REFUSED, /* 'refusal' says why; the bytes that follow have no meaning */
};

struct reader {
	size_t header_bytes; /* limits, set by the owner */
	size_t body_bytes;
	enum reader_state state;
	struct buf partial; /* of a head */
	size_t scanned;
	struct request *request; /* from the head on, until taken; also after a refusal */
	struct http_refusal refusal;
};

/** 'r' needs no other initialisation than zero and this. */
void http_reader_init(struct reader *r, size_t header_bytes, size_t body_bytes);

/** Free what it holds. Idempotent. */
void http_reader_done(struct reader *r);

/** Take up to 'len' untrusted bytes. '*ret_used' is how many: fewer than 'len' with every event but READER_MORE. */
enum reader_event http_reader_feed(struct reader *r, const uint8_t *data, size_t len,
				   size_t *ret_used);

/** The request (whole, or its head only after a refusal), or NULL; the caller frees it. The next one may follow. */
struct request *http_reader_take(struct reader *r);

/** NULL is fine. */
void http_request_free(struct request *req);

/** As http_header(). */
const char *http_request_header(struct request *req, const char *name);

#endif
