/*
 * demo-model/kernels.c - norms, rotation, softmax and activation, forward and backward.
 */
#include "kernels.h"

#include <math.h>
#include <string.h>

#define PARTS 16
#define EPS   1e-5f

union bits {
	float f;
	int32_t i;
};

/* 2^n * e^r with |r| <= ln 2 / 2; the polynomial is that of Cephes' expf. */
static inline float
exp_inline(float x)
{
	const float least = -87.0f, most = 88.0f, round = 12582912.0f;
	float n, r, y;
	union bits power;

	x = x < least ? least : x;
	x = x > most ? most : x;
	n = (x * 1.44269504f + round) - round;
	r = x - n * 0.693359375f + n * 2.12194440e-4f;
	y = 1.9875691500e-4f;
	y = y * r + 1.3981999507e-3f;
	y = y * r + 8.3334519073e-3f;
	y = y * r + 4.1665795894e-2f;
	y = y * r + 1.6666665459e-1f;
	y = y * r + 5.0000001201e-1f;
	y = y * r * r + r + 1.0f;
	power.i = ((int32_t)n + 127) * (1 << 23);
	return y * power.f;
}

float
kernel_exp(float x)
{
	return exp_inline(x);
}

static inline float
parts_sum(const float *part)
{
	float sum = 0;

	for (size_t j = 0; j < PARTS; j++)
		sum += part[j];
	return sum;
}

static inline float
dot(const float *restrict a, const float *restrict b, size_t n)
{
	float part[PARTS] = { 0 };
	size_t i = 0;

	for (; i + PARTS <= n; i += PARTS)
		for (size_t j = 0; j < PARTS; j++)
			part[j] += a[i + j] * b[i + j];
	for (; i < n; i++)
		part[i % PARTS] += a[i] * b[i];
	return parts_sum(part);
}

static inline float
greatest(const float *x, size_t n)
{
	float part[PARTS], most;
	size_t i = 0;

	for (size_t j = 0; j < PARTS; j++)
		part[j] = x[0];
	for (; i + PARTS <= n; i += PARTS)
		for (size_t j = 0; j < PARTS; j++)
			part[j] = x[i + j] > part[j] ? x[i + j] : part[j];
	for (; i < n; i++)
		part[0] = x[i] > part[0] ? x[i] : part[0];
	most = part[0];
	for (size_t j = 1; j < PARTS; j++)
		most = part[j] > most ? part[j] : most;
	return most;
}

/* x = exp(x * scale - most); returns the sum. */
static inline float
exp_row(float *restrict x, size_t n, float scale, float most)
{
	float part[PARTS] = { 0 };
	size_t i = 0;

	for (; i + PARTS <= n; i += PARTS) {
		for (size_t j = 0; j < PARTS; j++) {
			x[i + j] = exp_inline(x[i + j] * scale - most);
			part[j] += x[i + j];
		}
	}
	for (; i < n; i++) {
		x[i] = exp_inline(x[i] * scale - most);
		part[i % PARTS] += x[i];
	}
	return parts_sum(part);
}

void
norm_forward(float *out, float *inverse, const float *x, const float *gain, size_t rows,
	     size_t width)
{
	for (size_t i = 0; i < rows; i++, x += width, out += width) {
		const float q = 1.0f / sqrtf(dot(x, x, width) / (float)width + EPS);

		inverse[i] = q;
		for (size_t j = 0; j < width; j++)
			out[j] = x[j] * q * gain[j];
	}
}

void
norm_backward(float *restrict dx, float *restrict dgain, const float *restrict dout,
	      const float *restrict x, const float *restrict inverse, const float *restrict gain,
	      size_t rows, size_t width)
{
	for (size_t i = 0; i < rows; i++, x += width, dout += width, dx += width) {
		const float q = inverse[i];
		float part[PARTS] = { 0 }, back;

		for (size_t j = 0; j < width; j++)
			dgain[j] += dout[j] * x[j] * q;
		for (size_t j = 0; j < width; j += PARTS)
			for (size_t k = 0; k < PARTS && j + k < width; k++)
				part[k] += dout[j + k] * gain[j + k] * x[j + k];
		back = parts_sum(part) * q * q * q / (float)width;
		for (size_t j = 0; j < width; j++)
			dx[j] += dout[j] * gain[j] * q - x[j] * back;
	}
}

void
rope(float *x, size_t row, const float *cosines, const float *sines, const uint32_t *position,
     size_t rows, size_t width, size_t head, float sign)
{
	for (size_t i = 0; i < rows; i++, x += row) {
		const float *c = cosines + position[i] * (head / 2);
		const float *s = sines + position[i] * (head / 2);

		for (size_t h = 0; h < width; h += head) {
			for (size_t j = 0; j < head / 2; j++) {
				float *pair = x + h + 2 * j;
				const float a = pair[0], b = pair[1];

				pair[0] = a * c[j] - sign * b * s[j];
				pair[1] = sign * a * s[j] + b * c[j];
			}
		}
	}
}

void
softmax_causal(float *scores, size_t rows, size_t stride, float scale)
{
	for (size_t i = 0; i < rows; i++, scores += stride) {
		const float most = greatest(scores, i + 1) * scale;
		const float by = 1.0f / exp_row(scores, i + 1, scale, most);

		for (size_t j = 0; j <= i; j++)
			scores[j] *= by;
		for (size_t j = i + 1; j < rows; j++)
			scores[j] = 0;
	}
}

void
softmax_causal_backward(float *dscores, const float *p, size_t rows, size_t stride, float scale)
{
	for (size_t i = 0; i < rows; i++, dscores += stride, p += stride) {
		const float mean = dot(dscores, p, i + 1);

		for (size_t j = 0; j <= i; j++)
			dscores[j] = p[j] * (dscores[j] - mean) * scale;
		for (size_t j = i + 1; j < rows; j++)
			dscores[j] = 0;
	}
}

void
swiglu_forward(float *restrict out, const float *restrict gate_up, size_t rows, size_t hidden)
{
	for (size_t i = 0; i < rows; i++, out += hidden, gate_up += 2 * hidden) {
		for (size_t j = 0; j < hidden; j++) {
			const float g = gate_up[j];

			out[j] = g / (1.0f + exp_inline(-g)) * gate_up[hidden + j];
		}
	}
}

void
swiglu_backward(float *restrict dgate_up, const float *restrict dout, const float *restrict gate_up,
		size_t rows, size_t hidden)
{
	for (size_t i = 0; i < rows;
	     i++, dout += hidden, gate_up += 2 * hidden, dgate_up += 2 * hidden) {
		for (size_t j = 0; j < hidden; j++) {
			const float g = gate_up[j], s = 1.0f / (1.0f + exp_inline(-g));

			dgate_up[hidden + j] = dout[j] * g * s;
			dgate_up[j] = dout[j] * gate_up[hidden + j] * s * (1.0f + g * (1.0f - s));
		}
	}
}

double
cross_entropy(float *logits, size_t n, size_t target, float scale)
{
	const float most = greatest(logits, n), aim = logits[target] - most;
	const float sum = exp_row(logits, n, 1.0f, most), by = scale / sum;

	for (size_t j = 0; j < n; j++)
		logits[j] *= by;
	logits[target] -= scale;
	return log((double)sum) - (double)aim;
}
