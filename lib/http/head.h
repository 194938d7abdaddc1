/*
 * http/head.h - the head of an HTTP/1.1 request: request line and header fields, taken strictly. Used by the reader of
 * requests (request.h). Pure: does no I/O, allocates nothing, knows no clock.
 * Sources: RFC 9110 (semantics), RFC 9112 (syntax). Where they let a recipient be lenient, we refuse, because two readers
 * that are lenient in different ways are what request smuggling lives on.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_TARGET_MAX 8192 /* bytes of a request target; over: 414 */
#define HTTP_METHOD_MAX 32   /* bytes of a method */
#define HTTP_FIELDS_MAX 100  /* header fields; over: 431 */

/* Why a request is not taken. 'text' is static. */
struct http_refusal {
	int status; /* 0 = it is not refused */
	const char *text;
};

/* A run of bytes of the head. */
struct http_span {
	uint32_t at, len;
};

struct http_field {
	struct http_span name, value; /* the value without blanks around it */
};

struct http_head {
	struct http_span method;
	struct http_span path;  /* raw, percent-encoding checked; empty means "/" */
	struct http_span query; /* raw, without the question mark */
	uint8_t minor;          /* HTTP/1.minor: 0 or 1 */
	bool close;             /* the connection ends with the response */
	bool expect_continue;   /* the client waits for 100 (Continue) */
	bool chunked;           /* the body is chunked, else 'length' bytes */
	bool has_length;        /* Content-Length was given */
	uint64_t length;
	uint32_t field_count;
	struct http_field fields[HTTP_FIELDS_MAX];
};

enum http_scan {
	SCAN_MORE,
	SCAN_END,
	SCAN_REFUSED,
};

/**
 * Look for the end of a head in the 'len' untrusted bytes at 'buf'. '*pos' is 0 for a new head and is kept between calls
 * with the same, grown bytes, so that a head that trickles in is looked at once only. SCAN_END: '*pos' is the length of the
 * head with its last line. SCAN_REFUSED: 'ret' says why: it is longer than 'max_bytes' (414, 431), has a bare LF or does
 * not begin like a request (400).
 */
enum http_scan http_head_scan(const uint8_t *buf, size_t len, size_t max_bytes, size_t *pos,
			      struct http_refusal *ret);

/**
 * Parse the whole head of 'len' bytes at 'buf', as http_head_scan() found it. True: '*ret_head' is set, its spans are
 * offsets in 'buf'. False: 'ret' says why; '*ret_head' holds rubbish.
 */
bool http_head_parse(const uint8_t *buf, size_t len, struct http_head *ret_head,
		     struct http_refusal *ret);

/**
 * Turn a private copy of the parsed bytes into C strings, in place: each span ends in NUL and the path is percent-decoded
 * (path.len shrinks). Dots and double slashes stay as they are.
 */
void http_head_own(struct http_head *head, char *text);

/** True if the NUL-terminated 'name' is a header name and 'value' may stand after it: no CR, LF or other controls. */
bool http_field_valid(const char *name, const char *value);

#endif
