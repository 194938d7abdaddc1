/*
 * inference/local_prefix.h - which sequence a prompt gets, and how much of what it or another one holds is used again: the next turn
 * of a conversation, and a system prompt that many share, are decoded only where they are new. Pure; knows no llama.cpp.
 */
#ifndef INFERENCE_LOCAL_PREFIX_H
#define INFERENCE_LOCAL_PREFIX_H

#include <stdbool.h>
#include <stdint.h>

/** How many tokens 'a' and 'b' have in common at their beginning. */
uint32_t prefix_common(const int32_t *a, uint32_t a_count, const int32_t *b, uint32_t b_count);

/** From how many tokens on it pays to copy a sequence: llama.cpp copies the whole of 'context_tokens'. */
uint32_t prefix_copy_min(uint32_t context_tokens);

/* A sequence, seen by a prompt that looks for one. */
struct prefix_view {
	bool free;
	uint32_t held; /* tokens in it */
	uint32_t
	    common; /* of these, so many of the prompt's first ones; 0 also if they are another tenant's */
	uint64_t used; /* the higher, the later it was used */
};

struct prefix_choice {
	uint32_t seat;   /* the sequence to take */
	uint32_t donor;  /* whose tokens to take over: 'seat' itself, or one to copy */
	uint32_t common; /* how many */
};

/**
 * Choose; at least one of the 'count' views is free, each of 'context_tokens'. In this order: a free sequence of which the prompt goes
 * on with half or more; unless another one, also one that is busy, has prefix_copy_min() tokens more, which is copied. Else one that
 * holds little, an eighth of its context at most, and lies beside busy ones: llama.cpp computes neighbours together, others one after
 * another. Else the free one that was not used for longest. So a prompt that shares but a system prompt with a long conversation
 * does not destroy that. O(count).
 */
struct prefix_choice prefix_choose(const struct prefix_view *views, uint32_t count,
				   uint32_t context_tokens);

#endif
