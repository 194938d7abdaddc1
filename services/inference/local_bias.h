/*
 * inference/local_bias.h - a request's logit_bias: what is added to the logits of some tokens before one is drawn. Pure; knows no
 * llama.cpp. Source: OpenAI's API, "logit_bias".
 */
#ifndef INFERENCE_LOCAL_BIAS_H
#define INFERENCE_LOCAL_BIAS_H

#include <stdint.h>

#include "base/err.h"

#define LOCAL_BIAS_TOKENS_MAX 1024
#define LOCAL_BIAS_MAX        100 /* either way; so much means always, and never */

struct token_bias {
	int32_t token;
	float bias;
};

struct local_bias {
	struct token_bias *list; /* NULL = none */
	uint32_t count;
};

/**
 * Read it from 'extra_json', the object of members that the mesh does not know itself, which was checked when the request was decoded
 * (NULL and "" are fine). 'known': how many tokens the model has. The caller frees '*ret' with local_bias_done(). IM_OK, also when there
 * is none; IM_EINVAL with err->param: no object, a key that is no token of the model, a value that is no number from -100 to 100,
 * too many; IM_ENOMEM. On failure '*ret' is untouched. Threads: reentrant.
 */
IM_MUST_CHECK enum im_rc local_bias_read(const char *extra_json, uint32_t known,
					 struct local_bias *ret, struct im_err *err);

/** Free. A zeroed one is fine. */
void local_bias_done(struct local_bias *b);

#endif
