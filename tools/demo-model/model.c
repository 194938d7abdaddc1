/*
 * demo-model/model.c - the transformer of model.h, forward and backward, for one batch on one thread.
 */
#include "model.h"

#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the way back needs of a layer, a row for each token. */
struct saved {
	float *in, *normed, *qkv, *attended, *mid, *mid_normed, *gate_up, *activated;
	float *in_inverse, *mid_inverse;
	float *p; /* attention of each head: tokens x longest */
};

struct lane {
	struct shape s;
	struct layer_offsets at;
	size_t cap, head;
	struct gemm_room *room;
	float *memory; /* all that follows is cut from here */
	size_t used;
	struct saved *layers;
	float *last, *last_normed, *last_inverse, *picked, *logits;
	float *cosines, *sines, *dx, *dnormed, *dqkv, *dgate_up, *dactivated, *dp;
	uint32_t *position, *pick; /* pick: the places that count */
	size_t picks;
};

struct layer_offsets
layer_offsets(const struct shape *s)
{
	struct layer_offsets o = { 0 };

	o.qkv = s->width;
	o.attn_out = o.qkv + 3 * s->width * s->width;
	o.ffn_norm = o.attn_out + s->width * s->width;
	o.gate_up = o.ffn_norm + s->width;
	o.down = o.gate_up + 2 * s->hidden * s->width;
	o.floats = o.down + s->width * s->hidden;
	return o;
}

size_t
shape_layers_at(const struct shape *s)
{
	return (s->vocabulary + 1) * s->width;
}

size_t
shape_floats(const struct shape *s)
{
	return shape_layers_at(s) + s->layers * layer_offsets(s).floats;
}

/* xorshift64*, and of it a number that is nearly normal: the sum of 12 even ones. No libm, so the same bits everywhere. */
static float
near_normal(uint64_t *state)
{
	float sum = -6.0f;

	for (int i = 0; i < 12; i++) {
		*state ^= *state >> 12;
		*state ^= *state << 25;
		*state ^= *state >> 27;
		sum += (float)((*state * 2685821657736338717ull) >> 40) / 16777216.0f;
	}
	return sum;
}

static void
fill(float *to, size_t n, float deviation, uint64_t *state)
{
	for (size_t i = 0; i < n; i++)
		to[i] = deviation * near_normal(state);
}

void
weights_begin(const struct shape *s, float *weights, uint64_t seed)
{
	const struct layer_offsets o = layer_offsets(s);
	const float wide = 1.0f / sqrtf((float)s->width);
	const float back = 1.0f / sqrtf(2.0f * (float)s->layers);
	uint64_t state = seed * 0x9E3779B97F4A7C15ull + 1;

	fill(weights, s->vocabulary * s->width, 0.02f, &state);
	for (size_t i = 0; i < s->width; i++)
		weights[s->vocabulary * s->width + i] = 1.0f;
	for (size_t l = 0; l < s->layers; l++) {
		float *w = weights + shape_layers_at(s) + l * o.floats;

		for (size_t i = 0; i < s->width; i++)
			w[o.attn_norm + i] = w[o.ffn_norm + i] = 1.0f;
		fill(w + o.qkv, 3 * s->width * s->width, wide, &state);
		fill(w + o.attn_out, s->width * s->width, wide * back, &state);
		fill(w + o.gate_up, 2 * s->hidden * s->width, wide, &state);
		fill(w + o.down, s->width * s->hidden, back / sqrtf((float)s->hidden), &state);
	}
}

/* The next 'n' floats of the lane's memory; with no memory yet, only counted. */
static float *
cut(struct lane *k, size_t n)
{
	float *p = k->memory ? k->memory + k->used : NULL;

	k->used += (n + 15) / 16 * 16;
	return p;
}

static void
lane_cut(struct lane *k)
{
	const size_t n = k->cap, d = k->s.width, f = k->s.hidden,
		     table = k->s.longest * k->head / 2;

	for (size_t l = 0; l < k->s.layers; l++) {
		k->layers[l] = (struct saved){
			.in = cut(k, n * d),
			.normed = cut(k, n * d),
			.qkv = cut(k, 3 * n * d),
			.attended = cut(k, n * d),
			.mid = cut(k, n * d),
			.mid_normed = cut(k, n * d),
			.gate_up = cut(k, 2 * n * f),
			.activated = cut(k, n * f),
			.in_inverse = cut(k, n),
			.mid_inverse = cut(k, n),
			.p = cut(k, n * k->s.longest * k->s.heads),
		};
	}
	k->last = cut(k, n * d);
	k->last_normed = cut(k, n * d);
	k->last_inverse = cut(k, n);
	k->picked = cut(k, n * d);
	k->logits = cut(k, n * k->s.vocabulary);
	k->cosines = cut(k, table);
	k->sines = cut(k, table);
	k->dx = cut(k, n * d);
	k->dnormed = cut(k, n * d);
	k->dqkv = cut(k, 3 * n * d);
	k->dgate_up = cut(k, 2 * n * f);
	k->dactivated = cut(k, n * f);
	k->dp = cut(k, k->s.longest * k->s.longest);
	k->position = (uint32_t *)cut(k, n);
	k->pick = (uint32_t *)cut(k, n);
}

struct lane *
lane_new(const struct shape *s, size_t tokens)
{
	struct lane *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->s = *s;
	k->at = layer_offsets(s);
	k->cap = tokens;
	k->head = s->width / s->heads;
	k->layers = calloc(s->layers, sizeof(*k->layers));
	k->room = gemm_room_new();
	if (!k->layers || !k->room) {
		lane_free(k);
		return NULL;
	}
	lane_cut(k);
	k->memory = aligned_alloc(64, k->used * sizeof(float));
	if (!k->memory) {
		lane_free(k);
		return NULL;
	}
	k->used = 0;
	lane_cut(k);
	for (size_t p = 0; p < s->longest; p++) {
		for (size_t j = 0; j < k->head / 2; j++) {
			const double turn =
			    (double)p * pow(10000.0, -2.0 * (double)j / (double)k->head);

			k->cosines[p * k->head / 2 + j] = (float)cos(turn);
			k->sines[p * k->head / 2 + j] = (float)sin(turn);
		}
	}
	return k;
}

void
lane_free(struct lane *k)
{
	if (!k)
		return;
	gemm_room_free(k->room);
	free(k->layers);
	free(k->memory);
	free(k);
}

static struct view
rows(const float *at, size_t row)
{
	return (struct view){ at, row, 1 };
}

static struct view
turned(const float *at, size_t row)
{
	return (struct view){ at, 1, row };
}

/* out[n x to] (+)= x[n x from] * w[to x from], transposed */
static void
linear(struct lane *k, float *out, const float *x, const float *w, size_t n, size_t to, size_t from,
       int add)
{
	gemm(k->room, n, to, from, rows(x, from), turned(w, from), out, to, add);
}

/* The way back through linear(): dx (+)= dout * w, dw += dout transposed * x. */
static void
linear_back(struct lane *k, float *dx, float *dw, const float *dout, const float *x, const float *w,
	    size_t n, size_t to, size_t from)
{
	gemm(k->room, n, from, to, rows(dout, to), rows(w, from), dx, from, 0);
	gemm(k->room, to, from, n, turned(dout, to), rows(x, from), dw, from, 1);
}

static void
attention(struct lane *k, const struct saved *v, const struct batch *b)
{
	const size_t d = k->s.width, hd = k->head, longest = k->s.longest;
	const float scale = 1.0f / sqrtf((float)hd);

	for (size_t i = 0; i < b->dialogues; i++) {
		const size_t first = b->begin[i], n = b->begin[i + 1] - first;

		for (size_t h = 0; h < k->s.heads; h++) {
			const float *q = v->qkv + first * 3 * d + h * hd;
			float *p = v->p + (h * k->cap + first) * longest;

			gemm(k->room, n, n, hd, rows(q, 3 * d), turned(q + d, 3 * d), p, longest,
			     0);
			softmax_causal(p, n, longest, scale);
			gemm(k->room, n, hd, n, rows(p, longest), rows(q + 2 * d, 3 * d),
			     v->attended + first * d + h * hd, d, 0);
		}
	}
}

/* dnormed holds the derivatives of 'attended'; fills dqkv. */
static void
attention_back(struct lane *k, const struct saved *v, const struct batch *b)
{
	const size_t d = k->s.width, hd = k->head, longest = k->s.longest;
	const float scale = 1.0f / sqrtf((float)hd);

	for (size_t i = 0; i < b->dialogues; i++) {
		const size_t first = b->begin[i], n = b->begin[i + 1] - first;

		for (size_t h = 0; h < k->s.heads; h++) {
			const float *q = v->qkv + first * 3 * d + h * hd;
			const float *p = v->p + (h * k->cap + first) * longest;
			const float *dout = k->dnormed + first * d + h * hd;
			float *dq = k->dqkv + first * 3 * d + h * hd;

			gemm(k->room, n, n, hd, rows(dout, d), turned(q + 2 * d, 3 * d), k->dp,
			     longest, 0);
			gemm(k->room, n, hd, n, turned(p, longest), rows(dout, d), dq + 2 * d,
			     3 * d, 0);
			softmax_causal_backward(k->dp, p, n, longest, scale);
			gemm(k->room, n, hd, n, rows(k->dp, longest), rows(q + d, 3 * d), dq, 3 * d,
			     0);
			gemm(k->room, n, hd, n, turned(k->dp, longest), rows(q, 3 * d), dq + d,
			     3 * d, 0);
		}
	}
}

static void
forward(struct lane *k, const float *weights, const struct batch *b)
{
	const size_t n = b->tokens, d = k->s.width, f = k->s.hidden;

	for (size_t i = 0; i < n; i++)
		memcpy(k->layers[0].in + i * d, weights + b->token[i] * d, d * sizeof(float));
	for (size_t l = 0; l < k->s.layers; l++) {
		const float *w = weights + shape_layers_at(&k->s) + l * k->at.floats;
		const struct saved *v = &k->layers[l];
		float *out = l + 1 < k->s.layers ? k->layers[l + 1].in : k->last;

		norm_forward(v->normed, v->in_inverse, v->in, w + k->at.attn_norm, n, d);
		linear(k, v->qkv, v->normed, w + k->at.qkv, n, 3 * d, d, 0);
		rope(v->qkv, 3 * d, k->cosines, k->sines, k->position, n, 2 * d, k->head, 1.0f);
		attention(k, v, b);
		memcpy(v->mid, v->in, n * d * sizeof(float));
		linear(k, v->mid, v->attended, w + k->at.attn_out, n, d, d, 1);
		norm_forward(v->mid_normed, v->mid_inverse, v->mid, w + k->at.ffn_norm, n, d);
		linear(k, v->gate_up, v->mid_normed, w + k->at.gate_up, n, 2 * f, d, 0);
		swiglu_forward(v->activated, v->gate_up, n, f);
		memcpy(out, v->mid, n * d * sizeof(float));
		linear(k, out, v->activated, w + k->at.down, n, d, f, 1);
	}
	norm_forward(k->last_normed, k->last_inverse, k->last, weights + k->s.vocabulary * d, n, d);
	for (size_t i = 0; i < k->picks; i++)
		memcpy(k->picked + i * d, k->last_normed + k->pick[i] * d, d * sizeof(float));
	linear(k, k->logits, k->picked, weights, k->picks, k->s.vocabulary, d, 0);
}

/* The way back through layer 'l'; dx holds the derivatives of what it gave, then of what it was given. */
static void
layer_back(struct lane *k, const float *w, float *g, size_t l, const struct batch *b)
{
	const size_t n = b->tokens, d = k->s.width, f = k->s.hidden;
	const struct saved *v = &k->layers[l];

	linear_back(k, k->dactivated, g + k->at.down, k->dx, v->activated, w + k->at.down, n, d, f);
	swiglu_backward(k->dgate_up, k->dactivated, v->gate_up, n, f);
	linear_back(k, k->dnormed, g + k->at.gate_up, k->dgate_up, v->mid_normed, w + k->at.gate_up,
		    n, 2 * f, d);
	norm_backward(k->dx, g + k->at.ffn_norm, k->dnormed, v->mid, v->mid_inverse,
		      w + k->at.ffn_norm, n, d);
	linear_back(k, k->dnormed, g + k->at.attn_out, k->dx, v->attended, w + k->at.attn_out, n, d,
		    d);
	attention_back(k, v, b);
	rope(k->dqkv, 3 * d, k->cosines, k->sines, k->position, n, 2 * d, k->head, -1.0f);
	linear_back(k, k->dnormed, g + k->at.qkv, k->dqkv, v->normed, w + k->at.qkv, n, 3 * d, d);
	norm_backward(k->dx, g + k->at.attn_norm, k->dnormed, v->in, v->in_inverse,
		      w + k->at.attn_norm, n, d);
}

static void
backward(struct lane *k, const float *weights, const struct batch *b, float *g)
{
	const size_t n = b->tokens, d = k->s.width, layers_at = shape_layers_at(&k->s);

	memset(g, 0, shape_floats(&k->s) * sizeof(float));
	memset(k->dx, 0, n * d * sizeof(float));
	memset(k->dnormed, 0, n * d * sizeof(float));
	gemm(k->room, k->s.vocabulary, d, k->picks, turned(k->logits, k->s.vocabulary),
	     rows(k->picked, d), g, d, 1);
	gemm(k->room, k->picks, d, k->s.vocabulary, rows(k->logits, k->s.vocabulary),
	     rows(weights, d), k->picked, d, 0);
	for (size_t i = 0; i < k->picks; i++)
		memcpy(k->dnormed + k->pick[i] * d, k->picked + i * d, d * sizeof(float));
	norm_backward(k->dx, g + k->s.vocabulary * d, k->dnormed, k->last, k->last_inverse,
		      weights + k->s.vocabulary * d, n, d);
	for (size_t l = k->s.layers; l-- > 0;)
		layer_back(k, weights + layers_at + l * k->at.floats,
			   g + layers_at + l * k->at.floats, l, b);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < d; j++)
			g[b->token[i] * d + j] += k->dx[i * d + j];
}

double
lane_run(struct lane *k, const float *weights, const struct batch *b, float scale, float *gradient)
{
	double sum = 0;

	for (size_t i = 0; i < b->dialogues; i++)
		for (uint32_t t = b->begin[i]; t < b->begin[i + 1]; t++)
			k->position[t] = t - b->begin[i];
	k->picks = 0;
	for (uint32_t t = 0; t < b->tokens; t++)
		if (b->learned[t])
			k->pick[k->picks++] = t;
	forward(k, weights, b);
	for (size_t i = 0; i < k->picks; i++)
		sum += cross_entropy(k->logits + i * k->s.vocabulary, k->s.vocabulary,
				     b->target[k->pick[i]], scale);
	if (gradient)
		backward(k, weights, b, gradient);
	return sum;
}
