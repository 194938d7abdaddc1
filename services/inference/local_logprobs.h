/*
 * inference/local_logprobs.h - the probabilities of the tokens of one choice, as OpenAI's API has them: natural logarithms, of the
 * model's own distribution before temperature and all else. They go out with the text of their tokens. On the decode thread.
 */
#ifndef INFERENCE_LOCAL_LOGPROBS_H
#define INFERENCE_LOCAL_LOGPROBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define LOGPROBS_TOP_MAX 20

struct llama_vocab;

/* Zeroed, then 'top' is set. */
struct logprobs {
	uint32_t top;       /* likeliest tokens to name */
	bool legacy;        /* as completions have them: arrays side by side */
	uint64_t chars;     /* of the tokens before, for their text_offset */
	struct buf waiting; /* entries whose text was not given out yet */
};

/** 'token' was drawn from 'logits', one for each of the vocabulary; its text begins at byte 'at' of the answer. False when memory
 *  ran out. O(vocabulary). */
bool logprobs_add(struct logprobs *l, const struct llama_vocab *vocab, const float *logits,
		  int32_t token, uint64_t at);

/** Append {"content":[...]}, or {"tokens":[...],"token_logprobs":[...],...}, with the entries of tokens that begin before byte 'given' of the answer; nothing if there are none.
 *  False when memory ran out. */
bool logprobs_take(struct logprobs *l, uint64_t given, struct buf *out);

/** Free. A zeroed one is fine. */
void logprobs_done(struct logprobs *l);

#endif
