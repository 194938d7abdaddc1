/*
 * demo-model/gemm.h - products of matrices on one thread. Each element of the result is one chain of additions in the order of k,
 * whatever the width of the processor's registers is: the same numbers in give the same bits out.
 */
#ifndef DEMO_MODEL_GEMM_H
#define DEMO_MODEL_GEMM_H

#include <stddef.h>

/* A matrix somewhere: element (r, c) is at[r * row + c * col]. A transposed one has its strides exchanged. */
struct view {
	const float *at;
	size_t row, col;
};

/* Room that gemm() packs its operands into; one for each thread. */
struct gemm_room;

/** NULL when there is no memory. Free with gemm_room_free(), which takes NULL too. */
struct gemm_room *gemm_room_new(void);
void gemm_room_free(struct gemm_room *room);

/** out[m x n] = a[m x k] * b[k x n], or += with 'add'. A row of 'out' is 'out_row' floats from the next. */
void gemm(struct gemm_room *room, size_t m, size_t n, size_t k, struct view a, struct view b,
	  float *out, size_t out_row, int add);

#endif
