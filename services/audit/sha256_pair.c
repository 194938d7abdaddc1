/*
 * audit/sha256_pair.c - SHA-256 in two lanes; see sha256_lanes.h and FIPS 180-4 §6.2.2. Intel's manual has the instructions (SHA256RNDS2 makes two
 * rounds, SHA256MSG1 and SHA256MSG2 four words of the schedule); they want the state as ABEF and CDGH.
 */
#include "audit/sha256_lanes.h"

#ifndef __x86_64__

hasher_lanes_fn
sha256_pair(void)
{
	return NULL;
}

#else

#	include <cpuid.h>
#	include <immintrin.h>
#	include <pthread.h>
#	include <stdbool.h>

#	define STEPS (SHA256_ROUNDS / 4)

static pthread_once_t looked = PTHREAD_ONCE_INIT;
static bool can;

static void
look(void)
{
	unsigned a, b, c, d;

	can = __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
	      __get_cpuid_count(7, 0, &a, &b, &c, &d) == 1 && (b & bit_SHA) != 0;
}

/* One of the two messages. All that works on it is put in line, where its words stay in registers. */
struct lane {
	__m128i abef, cdgh;
	__m128i abef_was, cdgh_was; /* before this block */
	__m128i w[4];               /* the last sixteen words of the schedule */
};

#	define IN_LINE __attribute__((target("sha,sse4.1,ssse3"), always_inline)) static inline

/* FIPS 180-4 §5.3.3. */
IN_LINE void
lane_begin(struct lane *l)
{
	l->abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
	l->cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
}

IN_LINE __m128i
four_words(const uint8_t *at)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

	return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)at), swap);
}

IN_LINE void
block_begin(struct lane *l, const uint8_t *block)
{
	l->abef_was = l->abef;
	l->cdgh_was = l->cdgh;
	l->w[0] = four_words(block);
	l->w[1] = four_words(block + 16);
	l->w[2] = four_words(block + 32);
	l->w[3] = four_words(block + 48);
}

IN_LINE void
four_rounds(struct lane *l, size_t step)
{
	__m128i w = l->w[step & 3], last = l->w[(step + 3) & 3], sum;

	if (step >= 4) {
		w = _mm_add_epi32(_mm_sha256msg1_epu32(w, l->w[(step + 1) & 3]),
				  _mm_alignr_epi8(last, l->w[(step + 2) & 3], 4));
		w = _mm_sha256msg2_epu32(w, last);
		l->w[step & 3] = w;
	}
	sum = _mm_add_epi32(
	    w, _mm_loadu_si128((const __m128i *)(const void *)&sha256_constants[4 * step]));
	l->cdgh = _mm_sha256rnds2_epu32(l->cdgh, l->abef, sum);
	l->abef = _mm_sha256rnds2_epu32(l->abef, l->cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

IN_LINE void
block_end(struct lane *l)
{
	l->abef = _mm_add_epi32(l->abef, l->abef_was);
	l->cdgh = _mm_add_epi32(l->cdgh, l->cdgh_was);
}

IN_LINE void
lane_end(const struct lane *l, struct hash *ret)
{
	const __m128i reverse = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
	__m128i abcd = _mm_unpackhi_epi64(l->cdgh, l->abef);
	__m128i efgh = _mm_unpacklo_epi64(l->cdgh, l->abef);

	_mm_storeu_si128((__m128i *)(void *)ret->b, _mm_shuffle_epi8(abcd, reverse));
	_mm_storeu_si128((__m128i *)(void *)(ret->b + 16), _mm_shuffle_epi8(efgh, reverse));
}

__attribute__((target("sha,sse4.1,ssse3"))) static void
hash_pair(const uint8_t *const message[], size_t blocks, struct hash *const ret[])
{
	const uint8_t *first = message[0], *second = message[1];
	struct lane a, b;

	lane_begin(&a);
	lane_begin(&b);
	for (size_t i = 0; i < blocks; i++) {
		block_begin(&a, first + i * SHA256_BLOCK_BYTES);
		block_begin(&b, second + i * SHA256_BLOCK_BYTES);
#	pragma GCC unroll 16
		for (size_t step = 0; step < STEPS; step++) {
			four_rounds(&a, step);
			four_rounds(&b, step);
		}
		block_end(&a);
		block_end(&b);
	}
	lane_end(&a, ret[0]);
	lane_end(&b, ret[1]);
}

hasher_lanes_fn
sha256_pair(void)
{
	(void)pthread_once(&looked, look);
	return can ? hash_pair : NULL;
}

#endif
