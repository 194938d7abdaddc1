/*
 * demo-model/optimizer.h - the step from derivatives to better weights: Muon for the layers' matrices (momentum, made nearly orthogonal
 * by a Newton-Schulz iteration; K. Jordan et al., 2024), AdamW for embeddings and norms.
 */
#ifndef DEMO_MODEL_OPTIMIZER_H
#define DEMO_MODEL_OPTIMIZER_H

#include "model.h"

/* One matrix that Muon moves. */
struct muon_matrix {
	size_t at, rows, cols;
};

struct optimizer {
	struct shape s;
	size_t floats, matrices;
	struct muon_matrix *matrix;
	float *moment;   /* as many as there are weights: both methods' first moment */
	float *variance; /* Adam's second */
	uint32_t step;
};

/* Room of one thread for a matrix. */
struct muon_room;

bool optimizer_init(struct optimizer *o, const struct shape *s);
void optimizer_done(struct optimizer *o);

struct muon_room *muon_room_new(const struct shape *s);
void muon_room_free(struct muon_room *room);

/**
 * Move matrix 'i' by 'rate'. Threads: different matrices may be moved at once, each thread with its own room.
 */
void optimizer_matrix(struct optimizer *o, size_t i, struct muon_room *room, float *weights,
		      const float *gradient, float rate);

/** Move all that is no matrix of a layer, by 'rate'; 'o->step' counts from 1. */
void optimizer_rest(struct optimizer *o, float *weights, const float *gradient, float rate);

/** Nearly the closest orthogonal matrix: x (rows x cols, rows <= cols) in place. Shown for its test. */
void muon_orthogonalize(struct muon_room *room, float *x, size_t rows, size_t cols);

#endif
