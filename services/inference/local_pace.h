/*
 * inference/local_pace.h - how many tokens of prompts go into one step of the local backend, and whose: so that a long prompt
 * stalls no answer that is under way, and no prompt waits for ever. Pure: it has no clock and knows no llama.cpp.
 */
#ifndef INFERENCE_LOCAL_PACE_H
#define INFERENCE_LOCAL_PACE_H

#include <stdint.h>

#define PACE_TOKENS_MIN 16 /* a step takes so many tokens of prompts, however slow the machine is */

/* Zeroed, then the first two are set. */
struct pace {
	uint32_t step_us;      /* a step beside answers that are under way is to take no longer */
	uint32_t batch_tokens; /* a step never has more */
	uint32_t token_ns;     /* what one token of a prompt took lately; 0 = not known yet */
};

/** A step of 'tokens' tokens, 'prompt_tokens' of them of prompts, took 'us'. Steps with few of those say nothing. */
void pace_took(struct pace *p, uint32_t tokens, uint32_t prompt_tokens, uint64_t us);

/** How many tokens of prompts the next step may take beside the next token of each of 'answers' answers. */
uint32_t pace_room(const struct pace *p, uint32_t answers);

/* A prompt that is not fed whole yet. */
struct pace_prompt {
	uint64_t age;  /* the lower, the earlier it came; all differ */
	uint32_t left; /* tokens */
	uint32_t take; /* out: so many in this step */
};

/**
 * Share 'room' tokens among 'count' prompts in step number 'turn'. Every other step begins with the eldest, so that each gets to its
 * end; all else goes to those with the fewest tokens left, so that a short one is not kept waiting by a long one. As few prompts
 * as possible share a step: llama.cpp computes those of different lengths one after another, and reads all weights for
 * each. Room is left over only when nothing is left to feed. O(count) for each prompt that gets something.
 */
void pace_share(struct pace_prompt *prompts, uint32_t count, uint32_t room, uint64_t turn);

#endif
