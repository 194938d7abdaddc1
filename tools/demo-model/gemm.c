/*
 * demo-model/gemm.c - products of matrices: panels of both operands are packed, and small tiles of the result stay in registers.
 */
#include "gemm.h"

#include <stdlib.h>
#include <string.h>

#ifdef __AVX512F__
#	define VEC_BYTES 64
#	define TILE_ROWS ((size_t)12)
#else
#	define VEC_BYTES 32
#	define TILE_ROWS ((size_t)6)
#endif
#define VEC_FLOATS ((size_t)VEC_BYTES / 4)
#define TILE_COLS  (2 * VEC_FLOATS)
#define BLOCK_K    ((size_t)256)
#define BLOCK_COLS ((size_t)512)

typedef float vec __attribute__((vector_size(VEC_BYTES)));

struct gemm_room {
	vec b[BLOCK_K * BLOCK_COLS / VEC_FLOATS];
	vec tile[TILE_ROWS * 2];
	float a[BLOCK_K * TILE_ROWS];
};

struct gemm_room *
gemm_room_new(void)
{
	return aligned_alloc(VEC_BYTES, sizeof(struct gemm_room) + VEC_BYTES -
					    sizeof(struct gemm_room) % VEC_BYTES);
}

void
gemm_room_free(struct gemm_room *room)
{
	free(room);
}

static inline size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* tile += a * b, for panels of 'k': TILE_ROWS floats of a and TILE_COLS of b for each. */
static void
tile_product(size_t k, const float *restrict a, const vec *restrict b, vec *restrict tile)
{
	vec sum[TILE_ROWS][2];

	memcpy(sum, tile, sizeof(sum));
	for (size_t p = 0; p < k; p++, a += TILE_ROWS, b += 2) {
		const vec b0 = b[0], b1 = b[1];

#pragma GCC unroll 12
		for (size_t i = 0; i < TILE_ROWS; i++) {
			sum[i][0] += a[i] * b0;
			sum[i][1] += a[i] * b1;
		}
	}
	memcpy(tile, sum, sizeof(sum));
}

/* 'rows' x 'k' of a; what is missing of a tile's rows is 0. */
static void
pack_a(struct view a, size_t first, size_t rows, size_t from_k, size_t k, float *to)
{
	for (size_t p = 0; p < k; p++, to += TILE_ROWS) {
		const float *from = a.at + first * a.row + (from_k + p) * a.col;

		for (size_t i = 0; i < TILE_ROWS; i++)
			to[i] = i < rows ? from[i * a.row] : 0;
	}
}

static void
pack_b(struct view b, size_t from_k, size_t k, size_t first, size_t cols, float *to)
{
	for (size_t at = 0; at < cols; at += TILE_COLS) {
		const size_t n = least(TILE_COLS, cols - at);

		for (size_t p = 0; p < k; p++, to += TILE_COLS) {
			const float *from = b.at + (from_k + p) * b.row + (first + at) * b.col;

			if (n == TILE_COLS && b.col == 1) {
				memcpy(to, from, TILE_COLS * sizeof(*to));
				continue;
			}
			for (size_t j = 0; j < TILE_COLS; j++)
				to[j] = j < n ? from[j * b.col] : 0;
		}
	}
}

/* One tile of the result: 'rows' x 'cols' at 'out'. */
static void
tile_run(struct gemm_room *room, size_t k, const vec *b, float *out, size_t out_row, size_t rows,
	 size_t cols, int add)
{
	float *tile = (float *)room->tile;

	if (!add || rows < TILE_ROWS || cols < TILE_COLS)
		memset(tile, 0, sizeof(room->tile));
	for (size_t i = 0; add && i < rows; i++)
		memcpy(tile + i * TILE_COLS, out + i * out_row, cols * sizeof(*out));
	tile_product(k, room->a, b, room->tile);
	for (size_t i = 0; i < rows; i++)
		memcpy(out + i * out_row, tile + i * TILE_COLS, cols * sizeof(*out));
}

void
gemm(struct gemm_room *room, size_t m, size_t n, size_t k, struct view a, struct view b, float *out,
     size_t out_row, int add)
{
	for (size_t p = 0; p < k; p += BLOCK_K) {
		const size_t depth = least(BLOCK_K, k - p);

		for (size_t c = 0; c < n; c += BLOCK_COLS) {
			const size_t width = least(BLOCK_COLS, n - c);

			pack_b(b, p, depth, c, width, (float *)room->b);
			for (size_t r = 0; r < m; r += TILE_ROWS) {
				const size_t rows = least(TILE_ROWS, m - r);

				pack_a(a, r, rows, p, depth, room->a);
				for (size_t j = 0; j < width; j += TILE_COLS)
					tile_run(room, depth, room->b + j / VEC_FLOATS * depth,
						 out + r * out_row + c + j, out_row, rows,
						 least(TILE_COLS, width - j), add || p > 0);
			}
		}
	}
}
