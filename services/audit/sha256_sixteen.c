/*
 * audit/sha256_sixteen.c - SHA-256 in sixteen lanes; see sha256_lanes.h and FIPS 180-4 §6.2.2. Word i of a vector is lane i's.
 */
#include "audit/sha256_lanes.h"

#ifndef __x86_64__

hasher_lanes_fn
sha256_sixteen(void)
{
	return NULL;
}

#else

#	include <endian.h>
#	include <immintrin.h>
#	include <string.h>

#	define LANES   16
#	define WORDS   (HASH_BYTES / sizeof(uint32_t))
#	define TARGET  __attribute__((target("avx512f,avx512bw")))
#	define IN_LINE __attribute__((target("avx512f,avx512bw"), always_inline)) static inline

IN_LINE __m512i
add(__m512i a, __m512i b)
{
	return _mm512_add_epi32(a, b);
}

IN_LINE __m512i
xor3(__m512i a, __m512i b, __m512i c)
{
	return _mm512_ternarylogic_epi32(a, b, c, 0x96);
}

/* FIPS 180-4 §4.1.2: the functions of that section, by their names there. */
IN_LINE __m512i
ch(__m512i x, __m512i y, __m512i z)
{
	return _mm512_ternarylogic_epi32(x, y, z, 0xca);
}

IN_LINE __m512i
maj(__m512i x, __m512i y, __m512i z)
{
	return _mm512_ternarylogic_epi32(x, y, z, 0xe8);
}

IN_LINE __m512i
big_sigma_0(__m512i x)
{
	return xor3(_mm512_ror_epi32(x, 2), _mm512_ror_epi32(x, 13), _mm512_ror_epi32(x, 22));
}

IN_LINE __m512i
big_sigma_1(__m512i x)
{
	return xor3(_mm512_ror_epi32(x, 6), _mm512_ror_epi32(x, 11), _mm512_ror_epi32(x, 25));
}

IN_LINE __m512i
small_sigma_0(__m512i x)
{
	return xor3(_mm512_ror_epi32(x, 7), _mm512_ror_epi32(x, 18), _mm512_srli_epi32(x, 3));
}

IN_LINE __m512i
small_sigma_1(__m512i x)
{
	return xor3(_mm512_ror_epi32(x, 17), _mm512_ror_epi32(x, 19), _mm512_srli_epi32(x, 10));
}

/* Rows become columns: words, pairs of words, then quarters of a vector, twice. */
IN_LINE void
transpose(__m512i r[LANES])
{
	__m512i t[LANES];

	for (size_t i = 0; i < LANES; i += 2) {
		t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
	}
	for (size_t i = 0; i < LANES; i += 4) {
		r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
		r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
		r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
		r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
	}
	for (size_t half = 0; half < LANES; half += 8) {
		for (size_t i = half; i < half + 4; i++) {
			t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
			t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
		}
	}
	for (size_t i = 0; i < LANES / 2; i++) {
		r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
		r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
	}
}

/* The sixteen words of a block of each lane. */
IN_LINE void
schedule_begin(__m512i w[LANES], const uint8_t *const message[], size_t at)
{
	const __m512i swap =
	    _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));

	for (size_t i = 0; i < LANES; i++)
		w[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(message[i] + at), swap);
	transpose(w);
}

TARGET static void
hash_block(__m512i state[WORDS], const uint8_t *const message[], size_t at)
{
	__m512i a = state[0], b = state[1], c = state[2], d = state[3];
	__m512i e = state[4], f = state[5], g = state[6], h = state[7];
	__m512i w[LANES], t1, t2, x, sum;

	schedule_begin(w, message, at);
	for (size_t round = 0; round < SHA256_ROUNDS; round += LANES) {
#	pragma GCC unroll 16
		for (size_t i = 0; i < LANES; i++) {
			if (round > 0)
				w[i] = add(add(w[i], small_sigma_0(w[(i + 1) & 15])),
					   add(w[(i + 9) & 15], small_sigma_1(w[(i + 14) & 15])));
			x = add(_mm512_set1_epi32((int)sha256_constants[round + i]), w[i]);
			x = add(add(h, x), ch(e, f, g));
			sum = big_sigma_1(e);
			t1 = add(x, sum);
			t2 = add(big_sigma_0(a), maj(a, b, c));
			h = g;
			g = f;
			f = e;
			e = add(add(d, x), sum);
			d = c;
			c = b;
			b = a;
			a = add(t1, t2);
		}
	}
	state[0] = add(state[0], a);
	state[1] = add(state[1], b);
	state[2] = add(state[2], c);
	state[3] = add(state[3], d);
	state[4] = add(state[4], e);
	state[5] = add(state[5], f);
	state[6] = add(state[6], g);
	state[7] = add(state[7], h);
}

TARGET static void
hash_sixteen(const uint8_t *const message[], size_t blocks, struct hash *const ret[])
{
	uint32_t words[WORDS][LANES];
	__m512i state[WORDS];

	for (size_t i = 0; i < WORDS; i++)
		state[i] = _mm512_set1_epi32((int)sha256_begin[i]);
	for (size_t i = 0; i < blocks; i++)
		hash_block(state, message, i * SHA256_BLOCK_BYTES);
	for (size_t i = 0; i < WORDS; i++)
		_mm512_storeu_si512(words[i], state[i]);
	for (size_t lane = 0; lane < LANES; lane++) {
		for (size_t i = 0; i < WORDS; i++) {
			uint32_t word = htobe32(words[i][lane]);

			memcpy(ret[lane]->b + i * sizeof(word), &word, sizeof(word));
		}
	}
}

hasher_lanes_fn
sha256_sixteen(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
		   ? hash_sixteen
		   : NULL;
}

#endif
