/*
 * inference/local_embed_rig.h - for tests of vectors: requests, what came back, and what llama.cpp itself makes of a text.
 */
#ifndef INFERENCE_LOCAL_EMBED_RIG_H
#define INFERENCE_LOCAL_EMBED_RIG_H

#include "inference/local_rig.h"

#define RIG_INPUTS     100
#define RIG_DIMENSIONS 4096

/* The backend that all of them ask: rig_start(&embed_rig, ...). */
extern struct rig embed_rig;

/* One request and what came back. */
struct vectors {
	struct generate_request req;
	struct input inputs[RIG_INPUTS];
	struct job *job;
	struct buf numbers;
	uint32_t dimensions;
	unsigned frames, cancel_at, pause_at;
	bool finished, ended, failed;
	struct im_err err;
	struct usage usage;
};

/** A request for the vector of 'text', of the model "demo". */
void vectors_init(struct vectors *v, const char *text);

enum im_rc vectors_submit(struct vectors *v);

/** Submit and wait; it must go well. */
void vectors_ask(struct vectors *v);

/** Number 'i' of the vector of an input. */
float vectors_number(const struct vectors *v, size_t input, uint32_t i);

/** The cosine of two of them: both have the length 1. */
double vectors_likeness(const struct vectors *a, size_t i, const struct vectors *b, size_t k);

/** What llama.cpp itself pools, the mean, when the whole text is one step, as llama-server does it. 'file': NULL = the demo model. */
void vectors_reference(const char *file, const char *text, double ret[RIG_DIMENSIONS],
		       uint32_t *ret_tokens);

/** The vector of 'text' alone is vectors_reference(). Returns how many tokens it has. */
uint32_t vectors_expect_reference(const char *file, const char *text);

#endif
