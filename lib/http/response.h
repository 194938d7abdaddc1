/*
 * http/response.h - the head of an HTTP/1.1 response: status line, and of the header fields what frames the body. Other fields are
 * looked up by name. Pure: does no I/O, allocates nothing, knows no clock.
 * Sources: RFC 9112 sections 4 (status line), 5 (fields), 6.3 (length of the body). Servers of models are lenient about lines, so is this (a LF
 * without CR, no reason phrase), but never about where a body ends: two lengths that differ,
 * or a coding that is not chunked, are refused, and a connection with a length and a coding is not used again.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "http/head.h"

#define HTTP_RESPONSE_HEAD_MAX ((size_t)64 * 1024) /* bytes of a head with its last line */

enum http_body {
	HTTP_BODY_NONE,   /* 1xx, 204, 304 */
	HTTP_BODY_LENGTH, /* 'length' bytes */
	HTTP_BODY_CHUNKED,
	HTTP_BODY_CLOSE, /* until the connection is closed */
};

struct http_response {
	uint16_t status; /* 100 to 599 */
	enum http_body body;
	uint64_t length;
	bool keep; /* the connection can serve a further request after the body */
};

/**
 * Look for the end of a head in the 'len' untrusted bytes at 'buf'. '*pos' is 0 for a new head and is kept between calls with
 * the same, grown bytes. SCAN_END: '*pos' is the length of the head with its last line. SCAN_REFUSED: it is longer than
 * HTTP_RESPONSE_HEAD_MAX, or does not begin with "HTTP/1.".
 */
enum http_scan http_response_scan(const uint8_t *buf, size_t len, size_t *pos);

/** Read the whole head of 'len' bytes at 'buf', as http_response_scan() found it. False: it is malformed or cannot be framed. */
bool http_response_parse(const uint8_t *buf, size_t len, struct http_response *ret);

/** Copy the value of the first field 'name' (lower case) of a head that was parsed into 'out', NUL-terminated. False, and "", if
 *  there is none or it has 'cap' bytes or more. */
bool http_response_field(const uint8_t *buf, size_t len, const char *name, char *out, size_t cap);

#endif
