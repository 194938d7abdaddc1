/*
 * inference/exchange.h - one HTTP request to the upstream and its answer, as bytes. Who carries it is decided once a backend: plain HTTP
 * goes over connections of our own (exchange_plain.c), everything else (TLS, HTTP/2, proxies, a user in the address) over libcurl
 * (exchange_curl.c). See docs/adr/0019-plain-upstream.md. Of the upstream backend's files; nobody else includes this.
 */
#ifndef INFERENCE_EXCHANGE_H
#define INFERENCE_EXCHANGE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/wire.h"

struct backend;

/* Embedded in its owner. */
struct exchange {
	/* Of the owner, before it starts. */
	struct backend *b;
	enum generate_op operation; /* which address */
	struct buf request;         /* JSON; given back when it is sent and the answer begins */
	char traceparent[TRACEPARENT_LEN + 1]; /* "" = none */
	/* The next bytes of the body; 'reply' is set. False: give up, 'done' follows. stop() may not be called in here. */
	bool (*body)(struct exchange *x, const char *bytes, size_t len);
	/* It is over, CURLE_OK: the answer is whole; the carrier has let go of 'x'. Never inside a function of the carrier. */
	void (*done)(struct exchange *x, CURLcode code);

	/* Of the carrier. */
	struct reply_head {
		long status;             /* 0 = no answer yet */
		char type[128];          /* Content-Type; "" = none, or longer */
		char retry_after[32];    /* only where the status is not 2xx; "" = none */
		char retry_after_ms[16]; /* the same */
	} reply;
	bool inside; /* its 'body' is being called */
	bool paused;
	union {
		struct conn *conn;
		struct curl_call *call;
	} via; /* NULL = not under way */
};

struct carrier {
	/* Set up b->carried. IM_OK; IM_ENOMEM. */
	enum im_rc (*open)(struct backend *b, struct im_err *err);
	/* Close all; no exchange is under way. After an open() that failed, too. */
	void (*close)(struct backend *b);
	/* Begin; 'done' follows unless stop() comes first. IM_OK; IM_ENOMEM; or as api_key_get(). */
	enum im_rc (*start)(struct exchange *x, struct im_err *err);
	/* Break it off: its connection is closed, 'done' does not follow. Does nothing if it is not under way. */
	void (*stop)(struct exchange *x);
	/* True: stop() may not be called now. */
	bool (*busy)(const struct exchange *x);
	/* Read no more until resumed; what was read already may still come. */
	void (*pause)(struct exchange *x, bool paused);
	/* Bytes of the request that went out, for seeing that they go; less again when the answer begins. */
	uint64_t (*sent)(const struct exchange *x);
};

extern const struct carrier carrier_plain, carrier_curl;

#endif
