/*
 * inference/local_pace.h - how many tokens of prompts go into one step of the local backend, and whose: so that a long prompt
 * stalls no answer that is under way, and no prompt waits for ever; and how many answers. Pure: it has no clock and knows no llama.cpp.
 */
#ifndef INFERENCE_LOCAL_PACE_H
#define INFERENCE_LOCAL_PACE_H

#include <stdint.h>

#define PACE_TOKENS_MIN 16 /* a step takes so many tokens of prompts, however slow the machine is */
#define PACE_STRETCH    4  /* times step_us */
#define PACE_SPARE_PART 4  /* of a step: it may be so much longer for a prompt that is whole then */
#define PACE_SURE       3  /* the first step of a size takes longer: llama.cpp plans it */
#define PACE_ANSWERS    64 /* more than so many are always decoded together */

/* Zeroed, then the first two are set. */
struct pace {
	uint32_t step_us;      /* a step beside answers takes no longer, but see pace_room() */
	uint32_t batch_tokens; /* a step never has more */
	uint32_t token_ns;     /* what one token of a prompt took lately; 0 = not known yet */
	uint32_t groups;       /* how often pace_group() chose */
	/* By the number of answers, what a step of so many took lately, and how often it was measured, at most PACE_SURE. */
	uint32_t answers_us[PACE_ANSWERS + 1];
	uint8_t answers_seen[PACE_ANSWERS + 1];
};

/** A step of 'tokens' tokens of prompts took 'us'. Steps of few tokens say nothing. */
void pace_fed(struct pace *p, uint32_t tokens, uint64_t us);

/** A step of the next tokens of 'answers' answers took 'us'. */
void pace_answered(struct pace *p, uint32_t answers, uint64_t us);

/**
 * How many tokens the next step may take of 'prompts' prompts, while 'answers' answers are under way and wait for its end. Each prompt
 * that waits beside the first makes it longer, the more so the fewer are answered: that is a share of 1/answers, PACE_STRETCH times at
 * most. Prompts that are computed together take a tenth less, and answers that begin together stay together.
 */
uint32_t pace_room(const struct pace *p, uint32_t prompts, uint32_t answers);

/** How many more than 'room' a step may take where a prompt gets to its end by that: what is left over of it would cost a step. */
uint32_t pace_spare(const struct pace *p, uint32_t room);

/**
 * How many of 'due' answers the next step is to give a token; the others go into the steps after it. It is all of them unless less time
 * was measured for smaller steps one after another: llama.cpp has kernels for one token and for many, and two tokens can take
 * twice as long together as one after the other. Now and then it measures what it does not choose.
 */
uint32_t pace_group(struct pace *p, uint32_t due);

/* A prompt that is not fed whole yet. */
struct pace_prompt {
	uint64_t age;  /* the lower, the earlier it came; all differ */
	uint32_t left; /* tokens */
	uint32_t take; /* out: so many in this step */
};

/**
 * Share 'room' tokens among 'count' prompts in step number 'turn', and up to 'spare' more if that makes the last of them whole. Every
 * other step begins with the eldest, so that each gets to its end; all else goes to those with the fewest tokens left, so that a short
 * one is not kept waiting by a long one. As few prompts as possible share a step: llama.cpp computes those of different lengths one
 * after another, and reads all weights for each. So none begins in less than half of the room without getting to its end: up to
 * half is left over then. O(count) for each prompt that gets something.
 */
void pace_share(struct pace_prompt *prompts, uint32_t count, uint32_t room, uint32_t spare,
		uint64_t turn);

#endif
