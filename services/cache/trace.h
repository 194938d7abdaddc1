/*
 * cache/trace.h - for the benchmark: traces of questions, and how many of them other ways of evicting would hit. Every
 * question counts one; sizes do not matter here.
 */
#ifndef CACHE_TRACE_H
#define CACHE_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"

/* Which question is asked one after the other. */
struct trace {
	uint32_t *at;
	size_t len;
	uint32_t questions; /* numbers in 'at' are below */
};

/** Ends the program without memory; so does every function here. */
void trace_init(struct trace *t, size_t len);
void trace_done(struct trace *t);

/** Each question of 'questions' with the probability of its rank to the power of -'s'. */
void trace_zipf(struct trace *t, struct prng *rng, uint32_t questions, double s);

/** As trace_zipf(), and after each 'every' of them 'scan' questions that nobody asks again. */
void trace_scans(struct trace *t, struct prng *rng, uint32_t questions, double s, size_t every,
		 size_t scan);

/** As trace_zipf(), and after each 'every' of them other questions are the ones that are asked most. */
void trace_shifts(struct trace *t, struct prng *rng, uint32_t questions, double s, size_t every);

/** Hits of a cache of 'room' answers: the least recently used one goes; SIEVE (Zhang et al., NSDI 2024). */
size_t trace_lru(const struct trace *t, size_t room);
size_t trace_sieve(const struct trace *t, size_t room);

/** The one goes that is asked for last: knows the future, so nobody has more hits (Belady 1966). */
size_t trace_belady(const struct trace *t, size_t room);

/** A cache that keeps the 'room' questions that occur most in the whole trace, from the beginning: knows how often, not when.
 *  For a trace without order nobody who does not know the future has more, but for chance. */
size_t trace_most_asked(const struct trace *t, size_t room);

#endif
