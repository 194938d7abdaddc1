/*
 * http/http.h - an HTTP/1.1 server on a loop: strict parsing, absolute deadlines, caps on everything, output that waits
 * for its reader, TLS 1.3. Serves the gateway's API and every daemon's metrics page. Knows nothing of what is served.
 * Sources: RFC 9110, RFC 9112.
 *
 * Threads: on the loop, as net.h. Callbacks run on the loop, never from inside a call of this header.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"

struct http_server;
struct http_exchange; /* one request and its response */

/* 0 or NULL stands for the default in brackets. */
struct http_params {
	const char
	    *listen; /* "HOST:PORT", "[::1]:PORT", port 0 = any free one; "unix:PATH" (mode 0600) */
	size_t header_bytes;        /* request line and headers together [32 KiB]; over: 431 */
	size_t body_bytes;          /* after chunked decoding [10 MiB]; over: 413 */
	uint32_t max_connections;   /* [16384]; over: accepted, 503 (with TLS: nothing), closed */
	uint32_t header_timeout_ms; /* first byte to last header, whatever trickles in [10,000] */
	uint32_t body_timeout_ms;   /* from the headers to the last body byte [60,000] */
	uint32_t idle_timeout_ms;   /* keep-alive without a request [75,000] */
	uint32_t write_timeout_ms;  /* a client takes no byte of waiting output [60,000]: dropped */
	size_t
	    write_high_bytes; /* unsent output above which http_stream_write() says stop [64 KiB] */
	const char *tls_cert_file; /* PEM chain [no TLS] */
	const char *tls_key_file;  /* PEM, readable by its owner and group only */
};

struct http_header {
	const char *name, *value;
};

struct http_ops {
	/* A whole request is there. Answer it now or later. */
	void (*request)(void *user, struct http_exchange *x);
	/* The client left before the response was over: stop the work. 'x' is still to be ended: http_abort(). A client that
	 * only shut down its sending side counts as gone too: that is how one that leaves is noticed at once. */
	void (*gone)(void *user, struct http_exchange *x);
	/* http_stream_write() had said false and the client has read: write on. */
	void (*writable)(void *user, struct http_exchange *x);
	/* The parser refused a request (status, text): give the body in your format. NULL: text/plain. Append to 'body' and
	 * return its content type (static). */
	const char *(*refused)(void *user, int status, const char *text, struct buf *body);
	/* Headers for every response, refusals included: http_put_header() each, or whole lines that need no check. May be NULL. 'x' is NULL for a refusal
	 * without a parsed head. The one callback that runs inside http_reply() and http_stream_begin(): it may look at 'x'
	 * but must not end it. */
	void (*common_headers)(void *user, struct http_exchange *x, struct buf *headers);
};

/** 'params' is copied. Returns IM_OK, IM_EINVAL (address, certificate, key: says which), IM_EEXIST (address in use),
 *  IM_EIO, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc http_server_open(struct loop *loop, const struct http_params *params,
					  const struct http_ops *ops, void *user,
					  struct http_server **ret_server, struct im_err *err);

/** Where it listens, with the real port: "127.0.0.1:8080" or "unix:PATH". */
const char *http_server_address(const struct http_server *server);

/** Stop accepting; idle connections are closed, the others after their present response ("Connection: close"). */
void http_server_drain(struct http_server *server);

/** Connections that are open. */
uint32_t http_server_connections(const struct http_server *server);

/** Close everything at once; 'gone' is not called; all exchanges are invalid. Memory goes at the end of the loop's turn.
 *  NULL is fine. */
void http_server_close(struct http_server *server);

/* The request. All strings live as long as the exchange. */

const char *http_method(const struct http_exchange *x);
/** Of the target, percent-decoded, without the query. */
const char *http_path(const struct http_exchange *x);
const char *http_query(const struct http_exchange *x); /* raw, "" if none */
/** Value of the header (case-insensitive), or NULL. Several of the same name are joined with ", ". */
const char *http_header(const struct http_exchange *x, const char *name);
const uint8_t *http_body(const struct http_exchange *x, size_t *ret_len);
/** The body is read and not wanted any more: its memory goes, long before a stream's end. */
void http_drop_body(struct http_exchange *x);
const char *http_peer(const struct http_exchange *x); /* address for logs */
/** CLOCK_MONOTONIC when the first byte of it was read. */
uint64_t http_started_us(const struct http_exchange *x);
void http_set_user(struct http_exchange *x, void *user);
void *http_user(const struct http_exchange *x);

/* The response. Exactly one of: http_reply(); http_stream_begin() … http_stream_end(); http_abort(). After each of these
 * ends 'x' is gone. Header names and values must hold no CR or LF: they are the server's, not a stranger's; a violation
 * is dropped. */

/** Append a header line to 'headers' in common_headers(). False, and nothing is appended, if the name or value holds what
 *  a header must not, or if it is one that the server sets (Content-Length, Transfer-Encoding, Connection, Date). */
bool http_put_header(struct buf *headers, const char *name, const char *value);

/** A whole response. Content-Length, Date and Connection are added. 'body' is copied. HEAD gets no body. */
void http_reply(struct http_exchange *x, int status, const struct http_header *headers,
		size_t header_count, const void *body, size_t len);

/** Status and headers of a response whose length is not known (chunked; HTTP/1.0: until close). Sent at once. */
void http_stream_begin(struct http_exchange *x, int status, const struct http_header *headers,
		       size_t header_count);

/** Body bytes, copied and written at the end of the loop's turn. False: over write_high_bytes, stop until 'writable'
 *  (what was given is kept). After the client left nothing is kept and it says true. */
bool http_stream_write(struct http_exchange *x, const void *data, size_t len);

/** Clean end (last chunk). */
void http_stream_end(struct http_exchange *x);

/** End by closing the connection once what was written has gone out, so that the client sees a broken transfer if a
 *  stream had begun (with HTTP/1.0, which knows no chunks, it cannot see that). Also the way to end an exchange after
 *  'gone'. */
void http_abort(struct http_exchange *x);

#endif
