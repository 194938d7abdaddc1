/*
 * http/harness.h - for tests: a server with a few well-known pages on a loop in its own thread, and a blocking client
 * that speaks raw bytes.
 *
 *   /hello            "hello"
 *   /echo             the body back; header X-Path: the decoded path, X-Query: the query
 *   /hold             no reply until harness_release(), then "held"
 *   /stream?N         N bytes, as fast as the client reads them
 *   /abort            begins a stream, writes "part", aborts
 *   /drop             aborts without a byte
 *   /inject           tries to break out of header values
 *   anything else     404
 */
#ifndef HTTP_HARNESS_H
#define HTTP_HARNESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "http/http.h"

#define HARNESS_HELD 64

struct harness {
	struct loop *loop;
	struct http_server *server;
	pthread_t thread;
	char address[160];
	struct loop_task act; /* harness_on_loop() */
	void (*act_fn)(struct harness *h);
	atomic_bool acted;

	struct http_exchange *held[HARNESS_HELD]; /* on the loop */
	atomic_uint held_count;
	size_t left[HARNESS_HELD]; /* of streams, on the loop */
	unsigned streams;
	atomic_uint requests;
	atomic_uint gone;
	atomic_size_t produced; /* bytes given to http_stream_write() */
	atomic_bool produced_all;
};

/** Start a server. 'params' without a 'listen' uses a free port of 127.0.0.1. */
void harness_start(struct harness *h, struct http_params params);

/** Stop the thread and check that nothing is left. */
void harness_stop(struct harness *h);

/** Run 'fn' on the loop and wait until it returned. */
void harness_on_loop(struct harness *h, void (*fn)(struct harness *h));

/** Answer everything at /hold. */
void harness_release(struct harness *h);

/** Open connections, asked on the loop. */
unsigned harness_connections(struct harness *h);

/** Wait until *counter == value; fails the test after ten seconds. */
void harness_await(atomic_uint *counter, unsigned value);

/** Wait until so many connections are open. */
void harness_await_connections(struct harness *h, unsigned value);

/* The client. Every operation fails the test if it takes longer than ten seconds. */

/** 'rcvbuf': SO_RCVBUF, 0 = the system's. */
int client_connect(const char *address, int rcvbuf);
void client_send(int fd, const char *text);
void client_send_bytes(int fd, const void *bytes, size_t len);
/** As client_send_bytes(), but a connection that the server ended is fine; false then. */
bool client_try_send(int fd, const void *bytes, size_t len);

struct response {
	int status;
	bool complete; /* ended as its framing says */
	char head[4096];
	char *body; /* NUL-terminated; freed by response_done() */
	size_t len;
};

/** Read exactly one response. 'head_only': it answers a HEAD request. */
void client_read(int fd, struct response *ret, bool head_only);
void response_done(struct response *r);

/** Send and read one response; its status is checked. */
void client_ask(int fd, const char *request, int status, struct response *ret);

/** True if the server has closed or closes the connection without a further byte. */
bool client_at_end(int fd);

/** Value of a header in 'r->head', in a static buffer; NULL if absent. */
const char *response_header(const struct response *r, const char *name);

#endif
