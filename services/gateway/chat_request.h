/*
 * gateway/chat_request.h - the JSON body of POST /v1/chat/completions, /v1/completions or /v1/embeddings as a struct
 * generate_request. Checks what the contract of docs/http-api.md says about each member; members that it does not know travel on verbatim in extra_json.
 * Pure: no input or output.
 */
#ifndef GATEWAY_CHAT_REQUEST_H
#define GATEWAY_CHAT_REQUEST_H

#include "base/arena.h"
#include "base/json.h"
#include "wire/generate.h"

#define CHAT_DEPTH_MAX 64

struct chat_request {
	struct generate_request generate;
	bool include_usage; /* stream_options.include_usage */
	bool base64;        /* encoding_format of vectors */
};

/**
 * Parse the 'len' bytes at 'body', which are untrusted and ask for 'operation'. 'ret' points into 'arena', never into 'body'; members that the
 * caller knows better (ids, caller, times, cache policy) are left 0.
 * Returns IM_OK, IM_EINVAL with err->param and err->reason as clients expect them, or IM_ENOMEM. Threads: reentrant.
 */
IM_MUST_CHECK enum im_rc chat_request_parse(enum generate_op operation, const uint8_t *body,
					    size_t len, struct arena *arena,
					    struct chat_request *ret, struct im_err *err);

#endif
