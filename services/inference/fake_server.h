/*
 * inference/fake_server.h - a small real HTTP server in threads, for tests: how it behaves is chosen by the request's model.
 * Sleeps only where it is to read slowly; one that is to hang waits until the client closes the connection.
 */
#ifndef INFERENCE_FAKE_SERVER_H
#define INFERENCE_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_server;

/** How one model is answered. The table ends with a NULL model; model "/models" answers GET. */
struct fake_reply {
	const char *model;
	const char *
	    head; /* status line and headers, without the empty line and without what 'body' needs */
	const char *body;
	enum fake_end {
		FAKE_LENGTH,      /* Content-Length, the connection is kept */
		FAKE_LENGTH_ONCE, /* the same, and closed when the next request has come */
		FAKE_LENGTH_STRAY, /* the same, with a byte behind it that nobody asked for, and closed */
		FAKE_LENGTH_LATE_STRAY, /* the same, but that byte is sent by itself */
		FAKE_CHUNKED,           /* one chunk a line of the body, the connection is kept */
		FAKE_CHUNKED_CUT,       /* the same, closed without the last chunk */
		FAKE_CHUNKED_HANG,      /* the same, then nothing until the client leaves */
		FAKE_CLOSE,             /* neither a length nor chunks: closed behind the body */
		FAKE_SLOW,              /* as FAKE_LENGTH, but the request is read with rests */
		FAKE_EARLY, /* as FAKE_CHUNKED, once the model is known; then reads until the client leaves */
		FAKE_EARLY_CLOSE, /* as FAKE_CLOSE, once the model is known */
		FAKE_HANG,        /* nothing at all until the client leaves */
	} end;
	uint32_t repeat; /* the body so often; 0 = once */
};

/** Listens on a free port of 127.0.0.1. NULL if that cannot be. 'replies' must live as long. */
struct fake_server *fake_server_start(const struct fake_reply *replies);

/** Closes all and joins the threads. */
void fake_server_stop(struct fake_server *s);

uint16_t fake_server_port(const struct fake_server *s);

/** Wait until 'count' connections are open. False after 10 s. */
bool fake_server_wait_open(struct fake_server *s, unsigned count);

/** Requests that came, as far as they were read. */
unsigned fake_server_requests(struct fake_server *s);

/** The last of them, head and body, NUL-terminated, cut to 'cap'. */
void fake_server_last(struct fake_server *s, char *out, size_t cap);

#endif
