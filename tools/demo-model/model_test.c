/*
 * demo-model/model_test.c - the derivatives against differences, and the parts that they are made of.
 */
#include "kernels.h"
#include "optimizer.h"
#include "reader.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TOKENS 30
#define ROWS   ((size_t)8)
#define COLS   ((size_t)64)

static const struct shape small = { 40, 64, 2, 4, 96, 32 };

static float
odd(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

static void
test_gemm_odd_sizes_and_strides_are_plain_sums(void **state)
{
	static const size_t sizes[][3] = {
		{ 1, 1, 1 }, { 13, 35, 300 }, { 25, 64, 7 }, { 5, 530, 257 }
	};
	struct gemm_room *room = gemm_room_new();
	uint32_t seed = 7;

	(void)state;
	assert_non_null(room);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		const size_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
		float *a = calloc(m * k, sizeof(float)), *b = calloc(k * n, sizeof(float));
		float *c = calloc(m * n, sizeof(float));

		assert_true(a && b && c);
		for (size_t i = 0; i < m * k; i++)
			a[i] = odd(&seed);
		for (size_t i = 0; i < k * n; i++)
			b[i] = odd(&seed);
		for (size_t i = 0; i < m * n; i++)
			c[i] = 2;
		gemm(room, m, n, k, (struct view){ a, 1, m }, (struct view){ b, 1, k }, c, n, 1);
		for (size_t i = 0; i < m; i++) {
			for (size_t j = 0; j < n; j++) {
				double sum = 2;

				for (size_t p = 0; p < k; p++)
					sum += (double)a[p * m + i] * b[j * k + p];
				assert_true(fabs(sum - c[i * n + j]) < 1e-4);
			}
		}
		free(a);
		free(b);
		free(c);
	}
	gemm_room_free(room);
}

static void
test_kernel_exp_is_near_that_of_the_library(void **state)
{
	(void)state;
	for (int i = -6200; i < 6200; i++) {
		const float x = (float)i * 0.0137f;

		assert_true(fabs(kernel_exp(x) / exp(x) - 1) < 3e-7);
	}
	assert_true(kernel_exp(-1000) < 1e-37f);
}

/* A batch of two dialogues, and weights large enough that every part matters. */
struct little {
	uint16_t token[TOKENS], target[TOKENS];
	uint8_t learned[TOKENS];
	uint32_t begin[3];
	struct batch batch;
	struct lane *lane;
	float *weights, *gradient;
	size_t floats;
};

static void
little_init(struct little *l)
{
	memset(l, 0, sizeof(*l));
	for (size_t i = 0; i < TOKENS; i++) {
		l->token[i] = (uint16_t)((i * 7 + 3) % small.vocabulary);
		l->target[i] = (uint16_t)(i * 11 % small.vocabulary);
		l->learned[i] = i % 3 != 0;
	}
	l->begin[1] = 17;
	l->begin[2] = TOKENS;
	l->batch = (struct batch){ TOKENS, 2, l->token, l->target, l->learned, l->begin };
	l->floats = shape_floats(&small);
	l->lane = lane_new(&small, TOKENS);
	l->weights = calloc(l->floats, sizeof(float));
	l->gradient = calloc(l->floats, sizeof(float));
	assert_true(l->lane && l->weights && l->gradient);
	weights_begin(&small, l->weights, 3);
	for (size_t i = 0; i < small.vocabulary * small.width; i++)
		l->weights[i] *= 20;
}

static void
little_done(struct little *l)
{
	lane_free(l->lane);
	free(l->weights);
	free(l->gradient);
}

/* The difference of the loss when weight 'i' moves a little both ways, for each unit of the move. */
static double
difference(struct little *l, size_t i)
{
	const float was = l->weights[i], by = 0.01f * fmaxf(fabsf(was), 0.1f);
	const float more = was + by, less = was - by;
	double high, low;

	l->weights[i] = more;
	high = lane_run(l->lane, l->weights, &l->batch, 1, NULL);
	l->weights[i] = less;
	low = lane_run(l->lane, l->weights, &l->batch, 1, NULL);
	l->weights[i] = was;
	return (high - low) / ((double)more - (double)less);
}

/* Of 'count' weights from 'from' on: how far the derivatives are from the differences, as a part of these. */
static double
distance(struct little *l, size_t from, size_t count)
{
	double off = 0, all = 0;
	uint32_t seed = 1;

	for (int n = 0; n < 20; n++) {
		const size_t i = from + (size_t)((odd(&seed) + 1) / 2 * (float)(count - 1));
		const double expected = difference(l, i);

		off += (expected - l->gradient[i]) * (expected - l->gradient[i]);
		all += expected * expected;
	}
	return sqrt(off / all);
}

static void
test_lane_derivatives_of_every_part_are_the_differences(void **state)
{
	const struct layer_offsets at = layer_offsets(&small);
	const size_t d = small.width, embeddings = small.vocabulary * d;
	struct little l;

	(void)state;
	little_init(&l);
	lane_run(l.lane, l.weights, &l.batch, 1, l.gradient);
	assert_true(distance(&l, 0, embeddings) < 0.02);
	assert_true(distance(&l, embeddings, d) < 0.02);
	for (size_t layer = 0; layer < small.layers; layer++) {
		const size_t from = shape_layers_at(&small) + layer * at.floats;

		assert_true(distance(&l, from + at.attn_norm, d) < 0.02);
		assert_true(distance(&l, from + at.qkv, 3 * d * d) < 0.02);
		assert_true(distance(&l, from + at.attn_out, d * d) < 0.02);
		assert_true(distance(&l, from + at.ffn_norm, d) < 0.02);
		assert_true(distance(&l, from + at.gate_up, 2 * small.hidden * d) < 0.02);
		assert_true(distance(&l, from + at.down, d * small.hidden) < 0.02);
	}
	little_done(&l);
}

static void
test_lane_dialogue_does_not_see_its_neighbour(void **state)
{
	struct little l;
	double alone, beside;

	(void)state;
	little_init(&l);
	memset(l.learned, 0, l.begin[1]);
	beside = lane_run(l.lane, l.weights, &l.batch, 1, NULL);
	l.batch.token += l.begin[1];
	l.batch.target += l.begin[1];
	l.batch.learned += l.begin[1];
	l.batch.tokens -= l.begin[1];
	l.batch.dialogues = 1;
	l.begin[1] = (uint32_t)l.batch.tokens;
	alone = lane_run(l.lane, l.weights, &l.batch, 1, NULL);
	assert_true(alone == beside);
	little_done(&l);
}

static void
test_optimizer_steps_on_one_batch_make_it_likely(void **state)
{
	struct optimizer o;
	struct muon_room *room = muon_room_new(&small);
	struct little l;
	double before, after;

	(void)state;
	little_init(&l);
	weights_begin(&small, l.weights, 3);
	assert_true(optimizer_init(&o, &small) && room);
	before = lane_run(l.lane, l.weights, &l.batch, 1, NULL);
	for (int n = 0; n < 40; n++) {
		lane_run(l.lane, l.weights, &l.batch, 1.0f / TOKENS, l.gradient);
		o.step++;
		for (size_t i = 0; i < o.matrices; i++)
			optimizer_matrix(&o, i, room, l.weights, l.gradient, 0.02f);
		optimizer_rest(&o, l.weights, l.gradient, 0.004f);
	}
	after = lane_run(l.lane, l.weights, &l.batch, 1, NULL);
	assert_true(after < before / 10);
	muon_room_free(room);
	optimizer_done(&o);
	little_done(&l);
}

static void
test_muon_rows_become_nearly_orthogonal(void **state)
{
	struct muon_room *room = muon_room_new(&small);
	static float x[ROWS * COLS];
	uint32_t seed = 5;

	(void)state;
	assert_non_null(room);
	for (size_t i = 0; i < ROWS * COLS; i++)
		x[i] = odd(&seed);
	muon_orthogonalize(room, x, ROWS, COLS);
	for (size_t a = 0; a < ROWS; a++) {
		for (size_t b = 0; b < ROWS; b++) {
			float product = 0;

			for (size_t i = 0; i < COLS; i++)
				product += x[a * COLS + i] * x[b * COLS + i];
			assert_true(fabsf(product - (a == b)) < 0.45f);
		}
	}
	muon_room_free(room);
}

/* Whether a corpus of these words is taken. */
static bool
taken(const uint16_t *words, size_t count)
{
	char path[] = "/tmp/demo-corpus-XXXXXX";
	struct reader r;
	FILE *f = fdopen(mkstemp(path), "wb");
	bool ok;

	assert_non_null(f);
	assert_int_equal(fwrite(words, sizeof(*words), count, f), count);
	assert_int_equal(fclose(f), 0);
	ok = reader_open(&r, path, &small);
	if (ok)
		reader_close(&r);
	assert_int_equal(unlink(path), 0);
	return ok;
}

static void
test_reader_damaged_corpora_are_refused(void **state)
{
	static const uint16_t whole[] = { 3, 1, 0x8002, 3, 2, 4, 0x8027 };
	static const uint16_t token_too_great[] = { 3, 1, 0x8002, 40 };
	static const uint16_t too_long[] = { 33, 1, 2 };

	(void)state;
	assert_true(taken(whole, 7));
	for (size_t cut = 0; cut < 7; cut++)
		assert_int_equal(taken(whole, cut), cut == 4);
	assert_false(taken(token_too_great, 4));
	assert_false(taken(too_long, 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gemm_odd_sizes_and_strides_are_plain_sums),
		cmocka_unit_test(test_kernel_exp_is_near_that_of_the_library),
		cmocka_unit_test(test_lane_derivatives_of_every_part_are_the_differences),
		cmocka_unit_test(test_lane_dialogue_does_not_see_its_neighbour),
		cmocka_unit_test(test_optimizer_steps_on_one_batch_make_it_likely),
		cmocka_unit_test(test_muon_rows_become_nearly_orthogonal),
		cmocka_unit_test(test_reader_damaged_corpora_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
