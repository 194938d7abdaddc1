/*
 * inference/local_inputs.c - see local_inputs.h.
 */
#include "inference/local_inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "base/json.h"

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "no memory for the request; try again later");
}

/* "input[2]", or "input" where there is one. */
static enum im_rc
at_input(const struct local_inputs *in, size_t i, struct im_err *err)
{
	if (err != NULL && in->count > 1)
		(void)snprintf(err->param, sizeof(err->param), "%s[%zu]", in->param, i);
	else if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "%s", in->param);
	return IM_EINVAL;
}

static enum im_rc
too_long(const struct local_model *model, const struct local_inputs *in, size_t i,
	 struct im_err *err)
{
	(void)err_reason(err, IM_EINVAL, "context_length_exceeded",
			 "this model's maximum context length is %u tokens, and %s[%zu] has more; "
			 "shorten it",
			 model->context_tokens, in->param, i);
	return at_input(in, i, err);
}

static enum im_rc
copy_tokens(const struct local_model *model, const struct input *from, struct local_inputs *in,
	    size_t i, struct im_err *err)
{
	uint32_t known = (uint32_t)llama_vocab_n_tokens(model->vocab);

	if (from->token_count > model->context_tokens)
		return too_long(model, in, i, err);
	for (size_t k = 0; k < from->token_count; k++) {
		int32_t token = (int32_t)from->tokens[k];

		if (from->tokens[k] >= known) {
			(void)err_reason(err, IM_EINVAL, "invalid_value",
					 "the model has no token %u, only those below %u",
					 from->tokens[k], known);
			return at_input(in, i, err);
		}
		(void)buf_append(&in->bytes, &token, sizeof(token));
	}
	in->list[i].tokens = true;
	return IM_OK;
}

enum im_rc
inputs_copy(const struct local_model *model, const struct generate_request *req,
	    struct local_inputs *ret, struct im_err *err)
{
	size_t most = (size_t)model->context_tokens * model->token_bytes;
	enum im_rc rc = IM_OK;

	ret->list = calloc(req->input_count + 1, sizeof(*ret->list));
	if (ret->list == NULL)
		return no_memory(err);
	ret->count = req->input_count;
	ret->param = req->operation == OPERATION_EMBEDDING ? "input" : "prompt";
	for (size_t i = 0; i < ret->count && rc == IM_OK; i++) {
		const struct input *from = &req->inputs[i];
		size_t len = strlen(from->text != NULL ? from->text : "");

		ret->list[i].from = ret->bytes.len;
		if (from->token_count > 0)
			rc = copy_tokens(model, from, ret, i, err);
		else if (len > most)
			rc = too_long(model, ret, i, err);
		else if (len > 0)
			(void)buf_append(&ret->bytes, from->text, len);
		ret->list[i].len = ret->bytes.len - ret->list[i].from;
	}
	if (rc == IM_OK && !buf_ok(&ret->bytes))
		rc = no_memory(err);
	return rc;
}

void
inputs_done(struct local_inputs *in)
{
	buf_done(&in->bytes);
	free(in->list);
	*in = (struct local_inputs){ 0 };
}

enum im_rc
inputs_tokens(const struct local_model *model, const struct local_inputs *in, size_t i,
	      bool special, uint32_t most, int32_t **ret_tokens, uint32_t *ret_count,
	      struct im_err *err)
{
	const struct local_input *one = &in->list[i];
	const char *bytes = one->len > 0 ? (const char *)in->bytes.data + one->from : "";
	int32_t *tokens = calloc((size_t)most + 1, sizeof(*tokens));
	int32_t n;

	if (tokens == NULL)
		return no_memory(err);
	if (one->tokens) {
		n = (int32_t)(one->len / sizeof(*tokens));
		if ((uint32_t)n <= most)
			memcpy(tokens, bytes, one->len);
	} else {
		n = llama_tokenize(model->vocab, bytes, (int32_t)one->len, tokens, (int32_t)most,
				   true, special);
	}
	if (n < 0 || (uint32_t)n > most) {
		free(tokens);
		return too_long(model, in, i, err);
	}
	if (n == 0) {
		free(tokens);
		(void)err_reason(err, IM_EINVAL, "invalid_value",
				 "it has no token: a text that is not empty is needed");
		return at_input(in, i, err);
	}
	*ret_tokens = tokens;
	*ret_count = (uint32_t)n;
	return IM_OK;
}

bool
inputs_text(const struct local_model *model, const int32_t *tokens, uint32_t count, struct buf *out)
{
	int32_t size = 1024, n;
	char *text = NULL;
	bool ok;

	do { /* when it is not enough we are told how much is */
		free(text);
		text = malloc((size_t)size);
		if (text == NULL)
			return false;
		n = llama_detokenize(model->vocab, tokens, (int32_t)count, text, size, true, true);
		ok = n >= 0;
		size = ok ? size : -n;
	} while (!ok);
	ok = utf8_mend(out, text, (size_t)n);
	free(text);
	return ok;
}
