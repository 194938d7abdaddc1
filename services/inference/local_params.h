/*
 * inference/local_params.h - what the local backend makes of a request's parameters: defaults, and a clear no to what it
 * cannot do. Pure; knows no llama.cpp.
 */
#ifndef INFERENCE_LOCAL_PARAMS_H
#define INFERENCE_LOCAL_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/generate.h"

#define LOCAL_TEMPERATURE 0.7 /* what a request gets that does not say */
#define LOCAL_TOP_K       40
#define LOCAL_TOP_P       0.95
#define LOCAL_MAX_TOKENS  16 /* of a completion: as OpenAI's API has it */

struct local_params {
	float temperature; /* 0 = the most likely token, always */
	float top_p, min_p;
	int32_t top_k; /* 0 = all */
	float frequency_penalty, presence_penalty, repeat_penalty;
	uint32_t max_tokens;   /* UINT32_MAX = as many as fit */
	uint32_t choices;      /* in all */
	uint32_t choices_each; /* of a prompt: choice i is of prompt i / choices_each */
	bool logprobs;
	bool legacy_logprobs;  /* in the form of completions */
	uint32_t top_logprobs; /* of the likeliest tokens, beside that which came */
	uint64_t seed;         /* choice i draws with seed + i */
};

/**
 * Read the parameters of 'req', whose ranges were checked when it was decoded. Without a seed a random one is taken.
 * IM_OK, or IM_EINVAL with err->param for what this backend does not do: tools; of completions suffix,
 * best_of, echo together with logprobs.
 */
IM_MUST_CHECK enum im_rc local_params_read(const struct generate_request *req,
					   struct local_params *ret, struct im_err *err);

#endif
