/*
 * http/conn.h - inside of the HTTP server: what server.c (listening), conn.c (connections) and exchange.c (responses)
 * share. Included by these only.
 */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"
#include "http/http.h"
#include "http/request.h"
#include "http/tls.h"

#define CONN_READ_BYTES                                                                            \
	65536 /* of one read; also the most that is kept of requests that came too early */
#define CONN_PEER_MAX    64
#define CONN_EXTRA       64 /* connections over the limit that are told so with 503 at a time */
#define CONN_LINGER_US   5000000u /* how long a closing connection waits for its client to read */
#define CONN_LINGER_MORE 1048576u /* bytes dropped meanwhile, beside twice the largest body */

struct http_server {
	struct loop *loop;
	struct http_params params; /* without 0 for defaults; the strings are not kept */
	struct http_ops ops;
	void *user;
	char address[160];
	char unix_path[108]; /* "" = not a unix socket */
	struct tls_server *tls;

	struct loop_fd listener;
	struct loop_timer pause; /* while there are no descriptors, nothing is accepted */
	int reserve_fd;          /* given up to accept and close a connection when there are none */

	struct list conns;
	uint32_t open;  /* of these, those with a descriptor */
	uint32_t alive; /* struct conn that exist; the server goes with the last one */
	bool draining;
	bool closed;

	uint8_t *
	    scratch; /* CONN_READ_BYTES: all connections read into it, so that an idle one has no buffer */
	char date[40]; /* of the second 'date_s' */
	uint64_t date_s;
};

/* See conn.c for how they follow each other. */
enum conn_state {
	CONN_HANDSHAKE,
	CONN_READING,
	CONN_BUSY,
	CONN_CLOSING,
	CONN_LINGER,
	CONN_GONE,
	CONN_DEAD,
};

struct conn {
	struct http_server *server;
	struct list node;
	enum conn_state state;
	struct loop_fd w;
	uint32_t watched; /* events that the loop looks for */
	struct tls *tls;
	struct loop_task turn; /* writes what was gathered and goes on */
	struct loop_timer timer;
	uint64_t
	    phase_us; /* when the present wait began: for a request, its head, its body, the end */
	uint64_t progress_us; /* when the client took output last */

	struct reader reader;
	uint64_t started_us; /* first byte of the present request */
	struct buf early;    /* bytes of requests that came before their turn */
	size_t early_at;
	struct buf out; /* from 'out_at' on not yet written */
	size_t out_at;
	struct http_exchange *x;
	size_t lingered; /* bytes read and dropped */

	bool blocked;         /* the client must read before more can be written */
	bool want_writable;   /* http_stream_write() said false */
	bool resume;          /* there is something to do without waiting for the client */
	bool muted;           /* it sent more while busy: do not look for that until it is read */
	bool linger;          /* when closing: let the client read the reply first */
	bool broken;          /* when closing: do not say that the transfer is complete */
	bool tls_in, tls_out; /* TLS waits for the other direction */

	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
};

struct http_exchange {
	struct conn *conn;
	struct request *req;
	void *user;
	uint64_t started_us;
	bool begun;   /* http_stream_begin() was called */
	bool chunked; /* the response is */
	bool no_body; /* HEAD, or a status that has none */
	bool close;   /* the connection ends with this response */
	bool gone;
	char peer[CONN_PEER_MAX];
};

/** Take over 'fd'. 'crowded': answer 503 and close. On failure 'fd' is closed. */
void http_conn_open(struct http_server *server, int fd, const struct sockaddr *peer,
		    size_t peer_len, bool crowded);

/** Close at once without a word to anybody. Its memory goes at the end of the loop's turn. */
void http_conn_destroy(struct conn *c);

/** True if it waits for a request and owes nothing. */
bool http_conn_idle(const struct conn *c);

/** Output was appended or the exchange is over: go on at the end of the loop's turn. */
void http_conn_post(struct conn *c);

/** True while the next request may be read. Who does not read its replies is not asked for more requests. */
bool http_conn_may_read(const struct conn *c);

/** The events that 'c' waits for now. */
uint32_t http_conn_wanted_events(const struct conn *c);

/** Until when it waits (CLOCK_MONOTONIC); 0 = for ever. */
uint64_t http_conn_deadline_us(const struct conn *c);

/** Unsent bytes. */
size_t http_conn_unsent(const struct conn *c);

/** The response is complete ('close': the connection ends with it). 'x' is freed. */
void http_conn_response_over(struct conn *c, bool close);

/** Free the server if it is closed and its last connection is gone. */
void http_server_unref(struct http_server *server);

/** NULL without memory; then 'req' is freed. */
struct http_exchange *http_exchange_new(struct conn *c, struct request *req);
void http_exchange_free(struct http_exchange *x);

/** Append the reply of a refused request to the output. 'x' may be NULL. */
void http_exchange_refuse(struct conn *c, struct http_exchange *x,
			  const struct http_refusal *refusal);

#endif
