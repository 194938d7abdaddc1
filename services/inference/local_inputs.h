/*
 * inference/local_inputs.h - what a request that is no chat brings: texts, or tokens of the model. Copied when it comes, made
 * into tokens one by one when their turn has come.
 */
#ifndef INFERENCE_LOCAL_INPUTS_H
#define INFERENCE_LOCAL_INPUTS_H

#include "inference/local_model.h"

struct local_input {
	size_t from, len; /* in local_inputs.bytes */
	bool tokens;      /* those are int32 of the host */
};

/* Zero-initialised is empty. */
struct local_inputs {
	struct buf bytes;
	struct local_input *list;
	size_t count;
	const char *param; /* how the request calls them: input, prompt */
};

/** Copy those of 'req'. IM_OK; IM_EINVAL with err->param for a token that the model has not, or what can fit into no context;
 *  IM_ENOMEM. The caller frees '*ret', which was empty, in any case. */
IM_MUST_CHECK enum im_rc inputs_copy(const struct local_model *model,
				     const struct generate_request *req, struct local_inputs *ret,
				     struct im_err *err);
void inputs_done(struct local_inputs *in);

/**
 * The tokens of input 'i' into a new array (free()), which has room for 'most' of them. 'special': control tokens that are written
 * in the text are read as such. IM_OK; IM_EINVAL with reason context_length_exceeded when there are more, or with err->param when
 * there are none; IM_ENOMEM. Threads: any, and it may take a while.
 */
IM_MUST_CHECK enum im_rc inputs_tokens(const struct local_model *model,
				       const struct local_inputs *in, size_t i, bool special,
				       uint32_t most, int32_t **ret_tokens, uint32_t *ret_count,
				       struct im_err *err);

/** Append the text of 'count' tokens to 'out': valid UTF-8 whatever they are. False without memory. */
bool inputs_text(const struct local_model *model, const int32_t *tokens, uint32_t count,
		 struct buf *out);

#endif
