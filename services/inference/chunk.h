/*
 * inference/chunk.h - one piece of an upstream's answer, a chat.completion.chunk or a whole chat.completion, from JSON to
 * plain structs. Pure; knows one piece only: what an answer as a whole must have is answer.h's business.
 * Dialects: OpenAI, DeepSeek, vLLM, llama-server, Ollama.
 */
#ifndef INFERENCE_CHUNK_H
#define INFERENCE_CHUNK_H

#include "base/arena.h"
#include "base/json.h"
#include "wire/generate.h"

#define CHUNK_DEPTH_MAX 64         /* of the JSON */
#define CHUNK_NO_INDEX  UINT32_MAX /* a tool call whose upstream did not number it */

struct chunk {
	struct delta *deltas; /* one a choice, as the upstream sent them; absent texts are "" */
	size_t count;
	const char *system_fingerprint; /* "" = none */
	bool whole;                     /* a chat.completion: nothing follows */
	bool has_usage;
	struct usage usage;
	/* The string in the JSON, with its quotes, if the piece is one choice's that says one text and nothing else but perhaps
	 * that it is the assistant's; else len is 0. */
	struct json_span said;
};

/**
 * Parse the 'len' bytes at 'text', which are untrusted. The result lies in 'arena'.
 * Returns IM_OK; what the upstream reports in an "error" object (errors.h); IM_EUPSTREAM for what is no JSON, has lone
 * surrogates or U+0000, or has members of a wrong type; IM_ENOMEM. '*ret' is untouched then.
 */
IM_MUST_CHECK enum im_rc chunk_parse(const char *text, size_t len, struct arena *arena,
				     struct chunk *ret, struct im_err *err);

/** The usage in the object 'u', as OpenAI, DeepSeek, vLLM and llama-server write it. False, and '*ret' as it was, if 'u' is no
 *  object. */
bool chunk_usage(struct json_span u, struct usage *ret);

#endif
