/*
 * inference/vectors.h - an upstream's whole answer to POST …/embeddings, from JSON to float32, and its cutting into frames.
 * Vectors come as base64 or as lists of numbers, in any order. Pure. Dialects: OpenAI, vLLM, llama-server, Ollama.
 */
#ifndef INFERENCE_VECTORS_H
#define INFERENCE_VECTORS_H

#include "base/buf.h"
#include "wire/generate.h"

#define VECTORS_FRAME_BYTES ((size_t)64 * 1024) /* of a frame, or one vector if that is more */

struct vectors_want {
	size_t inputs;
	uint32_t dimensions; /* 0 = as many as the model has */
};

/* Zero-initialised is empty. */
struct vectors {
	struct buf numbers; /* all vectors, in the order of the inputs: float32, little-endian */
	uint32_t dimensions;
	bool has_usage;
	struct usage usage;
	size_t given; /* bytes that vectors_next() gave */
	bool finished;
};

/**
 * Parse the 'len' bytes at 'text', which are untrusted: one vector for each of want->inputs inputs, of finite numbers, all of one
 * length. Returns IM_OK; what the upstream reports in an "error" object; IM_EUPSTREAM for anything else, also for more than
 * GENERATE_VECTORS_MAX; IM_ENOMEM. The caller frees '*ret', which was empty, with vectors_done() in any case.
 */
IM_MUST_CHECK enum im_rc vectors_parse(const char *text, size_t len,
				       const struct vectors_want *want, struct vectors *ret,
				       struct im_err *err);
void vectors_done(struct vectors *v);

/** The next frame; it points to 'delta' and into 'v'. The last one is the finish_reason. False: there are no more. */
bool vectors_next(struct vectors *v, struct delta *delta, struct generate_frame *ret);

#endif
