/*
 * demo-model/optimizer.c - Muon and AdamW.
 */
#include "optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MUON_MOMENTUM 0.95f
#define MUON_DECAY    0.1f
#define ITERATIONS    5
#define ADAM_FIRST    0.9f
#define ADAM_SECOND   0.98f
#define ADAM_EPS      1e-8f

struct muon_room {
	struct gemm_room *gemm;
	float *x, *gram, *poly, *next;
};

static void
matrices_list(struct optimizer *o)
{
	const struct layer_offsets at = layer_offsets(&o->s);
	const size_t d = o->s.width, f = o->s.hidden;

	for (size_t l = 0; l < o->s.layers; l++) {
		const size_t begin = shape_layers_at(&o->s) + l * at.floats;
		const struct muon_matrix of_layer[] = {
			{ begin + at.qkv, d, d },
			{ begin + at.qkv + d * d, d, d },
			{ begin + at.qkv + 2 * d * d, d, d },
			{ begin + at.attn_out, d, d },
			{ begin + at.gate_up, f, d },
			{ begin + at.gate_up + f * d, f, d },
			{ begin + at.down, d, f },
		};

		memcpy(o->matrix + o->matrices, of_layer, sizeof(of_layer));
		o->matrices += sizeof(of_layer) / sizeof(of_layer[0]);
	}
}

bool
optimizer_init(struct optimizer *o, const struct shape *s)
{
	memset(o, 0, sizeof(*o));
	o->s = *s;
	o->floats = shape_floats(s);
	o->matrix = calloc(7 * s->layers, sizeof(*o->matrix));
	o->moment = calloc(o->floats, sizeof(float));
	o->variance = calloc(o->floats, sizeof(float));
	if (!o->matrix || !o->moment || !o->variance) {
		optimizer_done(o);
		return false;
	}
	matrices_list(o);
	return true;
}

void
optimizer_done(struct optimizer *o)
{
	free(o->matrix);
	free(o->moment);
	free(o->variance);
	memset(o, 0, sizeof(*o));
}

struct muon_room *
muon_room_new(const struct shape *s)
{
	const size_t wide = s->width > s->hidden ? s->width : s->hidden, floats = wide * wide;
	struct muon_room *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->gemm = gemm_room_new();
	r->x = calloc(4 * floats, sizeof(float));
	if (!r->gemm || !r->x) {
		muon_room_free(r);
		return NULL;
	}
	r->gram = r->x + floats;
	r->poly = r->gram + floats;
	r->next = r->poly + floats;
	return r;
}

void
muon_room_free(struct muon_room *r)
{
	if (!r)
		return;
	gemm_room_free(r->gemm);
	free(r->x);
	free(r);
}

void
muon_orthogonalize(struct muon_room *r, float *x, size_t rows, size_t cols)
{
	const struct view in = { x, cols, 1 }, in_turned = { x, 1, cols };
	const struct view gram = { r->gram, rows, 1 }, poly = { r->poly, rows, 1 };
	double square = 0;
	float by;

	for (size_t i = 0; i < rows * cols; i++)
		square += (double)x[i] * x[i];
	by = (float)(1.0 / (sqrt(square) + 1e-7));
	for (size_t i = 0; i < rows * cols; i++)
		x[i] *= by;
	for (int n = 0; n < ITERATIONS; n++) {
		gemm(r->gemm, rows, rows, cols, in, in_turned, r->gram, rows, 0);
		gemm(r->gemm, rows, rows, rows, gram, gram, r->poly, rows, 0);
		for (size_t i = 0; i < rows * rows; i++)
			r->poly[i] = 2.0315f * r->poly[i] - 4.7750f * r->gram[i];
		for (size_t i = 0; i < rows; i++)
			r->poly[i * rows + i] += 3.4445f;
		gemm(r->gemm, rows, cols, rows, poly, in, r->next, cols, 0);
		memcpy(x, r->next, rows * cols * sizeof(float));
	}
}

void
optimizer_matrix(struct optimizer *o, size_t i, struct muon_room *r, float *weights,
		 const float *gradient, float rate)
{
	const struct muon_matrix *m = &o->matrix[i];
	const bool tall = m->rows > m->cols;
	const float far = rate * (tall ? sqrtf((float)m->rows / (float)m->cols) : 1.0f);
	float *w = weights + m->at, *moment = o->moment + m->at;
	const float *g = gradient + m->at;

	for (size_t row = 0; row < m->rows; row++) {
		for (size_t col = 0; col < m->cols; col++) {
			const size_t k = row * m->cols + col;

			moment[k] = MUON_MOMENTUM * moment[k] + (1.0f - MUON_MOMENTUM) * g[k];
			r->x[tall ? col * m->rows + row : k] =
			    MUON_MOMENTUM * moment[k] + (1.0f - MUON_MOMENTUM) * g[k];
		}
	}
	muon_orthogonalize(r, r->x, tall ? m->cols : m->rows, tall ? m->rows : m->cols);
	for (size_t row = 0; row < m->rows; row++) {
		for (size_t col = 0; col < m->cols; col++) {
			const size_t k = row * m->cols + col;

			w[k] -=
			    far * r->x[tall ? col * m->rows + row : k] + rate * MUON_DECAY * w[k];
		}
	}
}

static void
adam(struct optimizer *o, size_t from, size_t to, float *w, const float *g, float rate)
{
	const float first = (float)(1.0 / (1.0 - pow(ADAM_FIRST, o->step)));
	const float second = (float)(1.0 / (1.0 - pow(ADAM_SECOND, o->step)));

	for (size_t i = from; i < to; i++) {
		o->moment[i] = ADAM_FIRST * o->moment[i] + (1.0f - ADAM_FIRST) * g[i];
		o->variance[i] = ADAM_SECOND * o->variance[i] + (1.0f - ADAM_SECOND) * g[i] * g[i];
		w[i] -= rate * o->moment[i] * first / (sqrtf(o->variance[i] * second) + ADAM_EPS);
	}
}

void
optimizer_rest(struct optimizer *o, float *weights, const float *gradient, float rate)
{
	const struct layer_offsets at = layer_offsets(&o->s);
	const size_t layers = shape_layers_at(&o->s);

	adam(o, 0, layers, weights, gradient, rate);
	for (size_t l = 0; l < o->s.layers; l++) {
		const size_t begin = layers + l * at.floats;

		adam(o, begin + at.attn_norm, begin + at.attn_norm + o->s.width, weights, gradient,
		     rate);
		adam(o, begin + at.ffn_norm, begin + at.ffn_norm + o->s.width, weights, gradient,
		     rate);
	}
}
