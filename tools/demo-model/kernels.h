/*
 * demo-model/kernels.h - what a transformer does beside products of matrices, and the way back through it. Rows are tokens. Sums are
 * taken in 16 parts whatever the processor is, and exp() is our own: the same numbers in give the same bits out.
 */
#ifndef DEMO_MODEL_KERNELS_H
#define DEMO_MODEL_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/** exp(x) to 2 units in the last place; x below -87 gives about 0. */
float kernel_exp(float x);

/** out = x / rms(x) * gain; 'inverse' keeps 1 / rms of each row. */
void norm_forward(float *out, float *inverse, const float *x, const float *gain, size_t rows,
		  size_t width);

/** Adds to 'dx' and 'dgain'. */
void norm_backward(float *dx, float *dgain, const float *dout, const float *x, const float *inverse,
		   const float *gain, size_t rows, size_t width);

/** Turn the first 'width' floats of each row ('row' floats apart) by their position; 'sign' -1 turns back. */
void rope(float *x, size_t row, const float *cosines, const float *sines, const uint32_t *position,
	  size_t rows, size_t width, size_t head, float sign);

/** Of scores (rows x rows, a row is 'stride' from the next): causal softmax of score * scale, in place; later columns become 0. */
void softmax_causal(float *scores, size_t rows, size_t stride, float scale);

/** dscores (in: of the probabilities) through that softmax, in place. */
void softmax_causal_backward(float *dscores, const float *p, size_t rows, size_t stride,
			     float scale);

/** out = silu(gate) * up, where a row of 'gate_up' is hidden gates and hidden ups. */
void swiglu_forward(float *out, const float *gate_up, size_t rows, size_t hidden);
void swiglu_backward(float *dgate_up, const float *dout, const float *gate_up, size_t rows,
		     size_t hidden);

/** -log softmax(logits)[target]; the logits become derivatives, times 'scale'. */
double cross_entropy(float *logits, size_t n, size_t target, float scale);

#endif
