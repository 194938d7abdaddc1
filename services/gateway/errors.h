/*
 * gateway/errors.h - from struct im_err to what an HTTP client is told: status, type, code, headers, JSON. The gateway's
 * one place for this. Pure: no input or output. Source: the error table of docs/http-api.md.
 */
#ifndef GATEWAY_ERRORS_H
#define GATEWAY_ERRORS_H

#include "base/buf.h"
#include "base/err.h"
#include "http/http.h"

/* How one error looks from outside. Strings are static or point into the error it was made of. */
struct api_error {
	int status;
	const char *type;
	const char *code;  /* NULL = null */
	const char *param; /* NULL = null */
	const char *message;
	uint32_t retry_after_ms; /* 0 = no header */
	bool never_retry;        /* a retry cannot mend it */
};

#define API_ERROR_HEADERS_MAX 4

/* The headers of an error reply, with the texts they point into. */
struct api_error_headers {
	struct http_header list[API_ERROR_HEADERS_MAX];
	size_t count;
	char retry_after[8], retry_after_ms[16];
};

/** 'ret' points into 'err', which must outlive it. */
void api_error_of(const struct im_err *err, struct api_error *ret);

/**
 * Rewrite an error that came from the mesh into what its cause means to a caller: there, "not authenticated" is about our
 * own key, "too large" about an answer, and so on. The words of the mesh become
 * those of the contract; a router that is not reachable is "router_unavailable".
 */
void api_error_from_mesh(struct im_err *err);

/** Append {"error":{…}} in one line. */
void api_error_put(const struct api_error *e, struct buf *out);

/** retry-after, retry-after-ms and x-should-retry, as far as they apply. 'ret' must not move while its list is used. */
void api_error_headers(const struct api_error *e, struct api_error_headers *ret);

#endif
