/*
 * inference/local_prompt.h - messages → the model's chat template → tokens. What a user wrote is never read as a control
 * token: the template is rendered around placeholders, and the text that takes their places is tokenised as plain text.
 */
#ifndef INFERENCE_LOCAL_PROMPT_H
#define INFERENCE_LOCAL_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "wire/generate.h"

struct llama_vocab;

/* The template of a model. Read-only after local_template_init(): any thread. */
struct local_template {
	const char *text; /* the model's own; lives as long as the model */
	bool trims[3];    /* by enum local_role: it takes blanks off both ends of a message */
};

enum local_role {
	LOCAL_SYSTEM,
	LOCAL_USER,
	LOCAL_ASSISTANT,
};

/* A piece of a prompt. */
struct prompt_piece {
	size_t from, len; /* in prompt.text */
	bool literal;     /* somebody's words: markers in it are text */
};

/* A rendered prompt. Zero-initialised is empty. */
struct prompt {
	struct buf text;
	struct prompt_piece *pieces;
	size_t count;
};

/**
 * Prepare the template 'text' of a model. IM_OK, or IM_EINVAL: the template is not among those that llama.cpp knows.
 */
IM_MUST_CHECK enum im_rc local_template_init(struct local_template *t, const char *text,
					     struct im_err *err);

/**
 * Render 'count' messages. 'max_bytes': more text than this fits into no context of the model, 'context_tokens' stands in
 * the error. The caller frees '*ret' with prompt_done(); it points into no message.
 * IM_OK; IM_EINVAL with err->param (a part that is no text, a tool's message, too long); IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc prompt_render(const struct local_template *t,
				       const struct message *messages, size_t count,
				       size_t max_bytes, uint32_t context_tokens,
				       struct prompt *ret, struct im_err *err);

/** Free. NULL and an empty one are fine. */
void prompt_done(struct prompt *p);

/**
 * Tokens of 'p' into a new array (free()), which has room for 'context_tokens'. IM_OK; IM_EINVAL with reason
 * context_length_exceeded when they leave no room for an answer; IM_ENOMEM. Threads: any, and it may take a while.
 */
IM_MUST_CHECK enum im_rc prompt_tokens(const struct llama_vocab *vocab, const struct prompt *p,
				       uint32_t context_tokens, int32_t **ret_tokens,
				       uint32_t *ret_count, struct im_err *err);

#endif
