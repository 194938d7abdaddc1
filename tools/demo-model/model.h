/*
 * demo-model/model.h - a small transformer as llama.cpp's "llama" architecture has it (RMS norms, rotary positions of neighbouring
 * pairs, SwiGLU, the output tied to the embeddings), with its backward pass. No file, no thread of its own, no randomness but a seed.
 */
#ifndef DEMO_MODEL_MODEL_H
#define DEMO_MODEL_MODEL_H

#include "gemm.h"

#include <stdbool.h>
#include <stdint.h>

struct shape {
	size_t vocabulary, width, layers, heads, hidden;
	size_t longest; /* tokens of a dialogue */
};

/* Where the weights of a layer begin, in floats from the layer's own beginning. Matrices are rows x columns. */
struct layer_offsets {
	size_t attn_norm; /* width */
	size_t qkv;       /* 3 * width x width */
	size_t attn_out;  /* width x width */
	size_t ffn_norm;  /* width */
	size_t gate_up;   /* 2 * hidden x width */
	size_t down;      /* width x hidden */
	size_t floats;
};

struct layer_offsets layer_offsets(const struct shape *s);

/** Floats of the whole: embeddings (vocabulary x width), the last norm (width), then the layers. */
size_t shape_floats(const struct shape *s);

/** The layers begin here. */
size_t shape_layers_at(const struct shape *s);

/** Fill 'weights' for a beginning; the same seed gives the same bits. */
void weights_begin(const struct shape *s, float *weights, uint64_t seed);

/* Dialogues one after another: what one lane works through at once. */
struct batch {
	size_t tokens, dialogues;
	uint16_t *token;  /* what is read at each place */
	uint16_t *target; /* what is to be said next */
	uint8_t *learned; /* whether that counts */
	uint32_t *begin;  /* of each dialogue, and one more at the end */
};

/* The room for one batch on its way forward and back. */
struct lane;

/** For batches of at most 'tokens'. NULL when there is no memory. */
struct lane *lane_new(const struct shape *s, size_t tokens);
void lane_free(struct lane *k);

/**
 * The sum of -log p of all that counts in 'b'. With 'gradient' (shape_floats() of them, overwritten) also its derivatives, times 'scale'.
 * Threads: lanes do not know each other; 'weights' is only read.
 */
double lane_run(struct lane *k, const float *weights, const struct batch *b, float scale,
		float *gradient);

#endif
