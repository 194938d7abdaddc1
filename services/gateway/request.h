/*
 * gateway/request.h - one HTTP request from its arrival to its line in the access log. Handlers (chat.c, models.c) do the
 * work and end it with exactly one of the functions below.
 *
 * Threads: on the loop.
 */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H

#include "gateway/gateway_state.h"
#include "gateway/route.h"

#define REQUEST_ID_LEN 32

struct gateway_request;

/* What a handler that works on provides. */
struct request_work {
	/* The client left or the gateway stops: cancel calls and free everything, at once. The request is ended by the
	 * caller. */
	void (*drop)(void *work);
	/* The client has read and more may be written. */
	void (*writable)(void *work);
};

struct gateway_request {
	struct list node; /* in gateway.requests */
	struct gateway *gateway;
	struct http_exchange *x;
	struct route_match match;
	char id[REQUEST_ID_LEN + 1];
	uint64_t received_us; /* since 1970 */
	struct gateway_caller caller;
	int32_t priority;        /* of its call to the router */
	const char *traceparent; /* checked, of the exchange; NULL = none */

	const struct request_work *work; /* NULL: answered inside the callback */
	void *work_data;

	struct im_rates rates; /* of the caller, as the router said last */

	/* For the access log; "" = not known. */
	char trace_id[33];
	char model[GENERATE_MODEL_MAX + 1];
	char cache[24];
	uint64_t age_ms;                       /* of a cached answer */
	char fallback[GENERATE_MODEL_MAX + 1]; /* "model:" and at most 250 bytes */
	bool has_usage;
	struct usage usage;
};

/** Begin; NULL without memory ('x' was answered then). */
struct gateway_request *gateway_request_new(struct gateway *g, struct http_exchange *x);

/** Milliseconds since the request's first byte. */
uint64_t gateway_request_age_us(const struct gateway_request *rq);

/** End with a whole response. 'error' is the code for log and metrics, NULL for none. */
void gateway_request_reply(struct gateway_request *rq, int status,
			   const struct http_header *headers, size_t header_count,
			   const struct buf *body, const char *error);

/** End with an error response. */
void gateway_request_fail(struct gateway_request *rq, const struct im_err *err);

/** End after a stream that was begun with http_stream_begin(): cleanly (error NULL), or by breaking it off. */
void gateway_request_stream_end(struct gateway_request *rq, const char *error);

/** End of a request whose client left. 'work' is dropped. */
void gateway_request_gone(struct gateway_request *rq);

/** The server closes and takes the exchange with it. 'work' is dropped. */
void gateway_request_discard(struct gateway_request *rq);

/** The lines that every response carries; 'rq' may be NULL (a refusal by the parser). */
void gateway_request_common_headers(struct gateway *g, const struct gateway_request *rq,
				    const struct http_exchange *x, struct buf *headers);

#endif
