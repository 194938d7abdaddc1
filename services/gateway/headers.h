/*
 * gateway/headers.h - request headers that are more than text. Pure.
 */
#ifndef GATEWAY_HEADERS_H
#define GATEWAY_HEADERS_H

#include <stdbool.h>

#include "wire/generate.h"
#include "wire/wire.h"

/** Is it a traceparent that may be passed on (W3C Trace Context, level 1; later versions only if they look the same)?
 *  NULL is none. */
bool gateway_traceparent_valid(const char *s);

/** Cache-Control of a request (RFC 9111 section 5.2.1; NULL = none) → what it asks of our cache. Unknown directives are
 *  ignored. */
void gateway_cache_control(const char *s, struct generate_request *req);

/** x-infermesh-session (NULL = none): which requests belong together, for routes. At most 256 printable ASCII characters,
 *  else IM_EINVAL. 'req' points to 's' then. */
IM_MUST_CHECK enum im_rc gateway_session(const char *s, struct generate_request *req,
					 struct im_err *err);

/** x-infermesh-priority (NULL = none): low, normal or high → the priority of the call to the router, -1, 0 or 1. Else
 *  IM_EINVAL. */
IM_MUST_CHECK enum im_rc gateway_priority(const char *s, int32_t *ret, struct im_err *err);

#endif
