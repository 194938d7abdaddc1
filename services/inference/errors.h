/*
 * inference/errors.h - what upstreams say when they fail, as the mesh's errors. Pure. The rule behind it: a fault of the
 * caller goes back to the caller with the upstream's own words; a fault of ours (key, balance, address) names the key of the
 * configuration to look at and repeats nothing that might hold a part of our key.
 */
#ifndef INFERENCE_ERRORS_H
#define INFERENCE_ERRORS_H

#include "base/err.h"
#include "base/json.h"

#define ERRORS_BODY_MAX    ((size_t)64 * 1024) /* of an error's body that is looked at */
#define ERRORS_RETRY_MAX_S 3600                /* a longer Retry-After is taken as this */

/* An answer other than 2xx. */
struct upstream_reply {
	long status;
	const char *body; /* may be cut at ERRORS_BODY_MAX; NULL = none */
	size_t body_len;
	const char *retry_after; /* header values, or NULL */
	const char *retry_after_ms;
	const char *model; /* as the caller named it, for the text */
	int64_t now_s;     /* since 1970, for a Retry-After that is a date */
};

/** Fill 'err' (not NULL) and return its code, which is never IM_OK. */
enum im_rc errors_from_reply(const struct upstream_reply *reply, struct im_err *err);

/** True if a JSON object (checked) with these values of its members "error" and "object" (length 0 = missing) reports an
 *  error: {"error":…} or {"object":"error",…}. */
bool errors_is_report(struct json_span error, struct json_span object);

/** The same for a report in the middle of a stream or with status 200. 'err' may be NULL. Never IM_OK. */
enum im_rc errors_from_report(struct json_span root, struct im_err *err);

#endif
