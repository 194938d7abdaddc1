/*
 * base/prng.c - random numbers that can be replayed; see prng.h.
 */
#include "base/prng.h"

static uint64_t
rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t
prng_splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

void
prng_seed(struct prng *p, uint64_t seed)
{
	/* Four consecutive outputs of splitmix64 are never all zero: it is a bijection. */
	for (int i = 0; i < 4; i++)
		p->s[i] = prng_splitmix(&seed);
}

uint64_t
prng_next(struct prng *p)
{
	uint64_t *s = p->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint32_t
prng_below(struct prng *p, uint32_t n)
{
	uint64_t m = (prng_next(p) >> 32) * n;

	if ((uint32_t)m < n) {
		uint32_t unfair = -n % n;

		while ((uint32_t)m < unfair)
			m = (prng_next(p) >> 32) * n;
	}
	return (uint32_t)(m >> 32);
}

double
prng_unit(struct prng *p)
{
	return (double)(prng_next(p) >> 11) * 0x1p-53;
}
