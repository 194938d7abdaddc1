/*
 * inference/request_json.h - a request as the JSON body of POST …/chat/completions, …/completions or
 * …/embeddings. Pure.
 *
 * Members come from three places; the first that has one wins: what this version understands (typed members), what the caller
 * sent beyond that (extra_json), what the configuration adds (workers[].extra). A caller cannot name the members that are
 * ours alone: model, messages, stream, stream_options, user, user_id. Extras of the configuration that are not null are not added
 * to an embedding. An extra whose value is null in the configuration is
 * never sent, wherever it came from: for servers that refuse members which they do not know.
 */
#ifndef INFERENCE_REQUEST_JSON_H
#define INFERENCE_REQUEST_JSON_H

#include "base/buf.h"
#include "wire/generate.h"

#define REQUEST_EXTRA_MAX 64
#define REQUEST_USER_LEN  34 /* of an opaque name: "t-" and 32 hex digits */

struct request_extra {
	const char *name;
	const char *value; /* JSON, checked */
};

/**
 * Append the body to 'out'. 'model' is the upstream's name for it. The upstream is asked to stream, and for the usage
 * at the end, only if the caller reads a stream (req->stream): a whole answer is one JSON object, which is far less work.
 * Returns IM_OK, IM_EINVAL with err->param (extra_json or another …_json member is no JSON of the right kind), IM_ETOOBIG
 * (over the bound of 'out'), IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc request_json_write(const struct generate_request *req, const char *model,
					    const struct request_extra *extra, size_t extra_count,
					    struct buf *out, struct im_err *err);

/**
 * Name under which the upstream knows a tenant, or with 'user' one user of it: a hash, so that the upstream learns no names
 * and cannot be told the same name by two tenants. [A-Za-z0-9_-]+ as DeepSeek wants it. False without memory.
 */
IM_MUST_CHECK bool request_opaque_user(const char *tenant, const char *user,
				       char ret[REQUEST_USER_LEN + 1]);

#endif
