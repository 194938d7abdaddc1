/*
 * gateway/cors.h - what browsers are told about pages of other origins. Pure. Sources: the Fetch standard; docs/http-api.md.
 */
#ifndef GATEWAY_CORS_H
#define GATEWAY_CORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "http/http.h"

struct gateway_cors {
	bool any;             /* every origin may call */
	const char **origins; /* else these; borrowed */
	size_t count;
};

#define CORS_HEADERS_MAX 5

/* The headers of the answer to a preflight; the values live as long as what they were made of. */
struct cors_preflight {
	struct http_header list[CORS_HEADERS_MAX];
	size_t count;
};

/** Append the lines that every response carries. 'origin' is the request's header, or NULL. */
void gateway_cors_put(const struct gateway_cors *cors, const char *origin, struct buf *headers);

/** Headers beside those. 'requested' is Access-Control-Request-Headers, or NULL; it is reflected only if it is a list of
 *  header names. */
void gateway_cors_preflight(const char *requested, struct cors_preflight *ret);

#endif
