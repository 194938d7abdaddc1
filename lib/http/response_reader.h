/*
 * http/response_reader.h - takes the bytes of a connection's input apart into a response's head and its body, as they come, for the client's
 * side. Preliminary responses (1xx) are passed over. Pure but for memory: a head that comes in pieces is gathered.
 */
#ifndef HTTP_RESPONSE_READER_H
#define HTTP_RESPONSE_READER_H

#include "http/chunk.h"
#include "http/response.h"

/* Zero-initialised is ready for a response's first byte. */
struct response_reader {
	bool in_body;
	struct http_response head; /* once in_body */
	struct buf partial;        /* of a head that is not whole */
	size_t scanned;
	uint64_t left; /* of HTTP_BODY_LENGTH */
	struct chunk_decoder chunk;
};

struct response_ops {
	/* The head of 'len' bytes, for http_response_field(); valid inside the call. */
	void (*head)(void *user, const struct http_response *head, const uint8_t *bytes,
		     size_t len);
	/* The next bytes of the body, never none. False: stop. */
	bool (*body)(void *user, const uint8_t *bytes, size_t len);
};

enum response_event {
	RESPONSE_MORE,    /* all was taken and more must come */
	RESPONSE_END,     /* the body is whole */
	RESPONSE_BAD,     /* malformed, or 101 (another protocol) */
	RESPONSE_STOPPED, /* by 'body' */
	RESPONSE_NOMEM,
};

/**
 * Take 'len' untrusted bytes (not 0), with at most one call of each of 'ops'. 'scratch' holds a body's bytes meanwhile, without the
 * chunked coding; the reader may be freed with its owner only after this returned. '*ret_used' is set with RESPONSE_END: less than 'len' means that
 * the server said more than it was asked.
 */
enum response_event http_response_feed(struct response_reader *r, const uint8_t *bytes, size_t len,
				       struct buf *scratch, const struct response_ops *ops,
				       void *user, size_t *ret_used);

/** The connection was closed: true if that ends the body. */
bool http_response_eof(const struct response_reader *r);

/** Ready for the next response. Gives the memory back. */
void http_response_reset(struct response_reader *r);

#endif
