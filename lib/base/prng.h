/*
 * base/prng.h - random numbers that can be replayed: the same seed gives the same sequence on every machine. For jitter,
 * sampling and simulations; never for secrets or identifiers (random_bytes() of hex.h is for those).
 *
 * xoshiro256** 1.0, seeded through splitmix64, both by David Blackman and Sebastiano Vigna (public domain,
 * https://prng.di.unimi.it). About 1 ns a number. A struct prng belongs to one thread at a time.
 */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <stdint.h>

struct prng {
	uint64_t s[4]; /* never all zero */
};

/** Any seed is as good as another; 0 too. */
void prng_seed(struct prng *p, uint64_t seed);

/** 64 random bits. */
uint64_t prng_next(struct prng *p);

/** A whole number from 0 to 'n' - 1, each as likely; 'n' > 0. Lemire, "Fast Random Integer Generation in an Interval", 2019. */
uint32_t prng_below(struct prng *p, uint32_t n);

/** From 0 (included) to 1 (excluded), a multiple of 2^-53. */
double prng_unit(struct prng *p);

/** One step of splitmix64: advances '*state' and returns 64 well-mixed bits. Also a hash of a number. */
uint64_t prng_splitmix(uint64_t *state);

#endif
