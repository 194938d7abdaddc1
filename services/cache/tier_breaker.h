/*
 * cache/tier_breaker.h - when a tier is left alone: after some failures in a row nobody asks it any more, until a probe of the tier's
 * own comes back in time. Pure: time and randomness are arguments.
 *
 *      CLOSED ──failures in a row──▶ OPEN ──pause──▶ probe due ──well──▶ CLOSED
 *                                     ▲                  │
 *                                     └────── failed ────┘  (the pause doubles)
 */
#ifndef CACHE_TIER_BREAKER_H
#define CACHE_TIER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define TIER_BREAKER_FAILURES     5
#define TIER_BREAKER_PAUSE_US     250000
#define TIER_BREAKER_PAUSE_MAX_US 8000000

struct prng;

/* Zeroed: closed. */
struct tier_breaker {
	bool open;
	uint32_t failures;  /* in a row */
	uint64_t failed_us; /* the last one that counted */
	uint32_t pauses;    /* in a row */
	uint64_t opened;    /* how often */
	uint64_t probe_us;  /* open: not before */
};

/** The tier answered in time. True: the breaker was open and is not any more. */
bool tier_breaker_well(struct tier_breaker *b);

/** It did not. Failures within 'gap_us' of one that counted say the same again, so they do not: many questions at once that one hiccup
 *  of the machine makes late are one failure. A failure while it is open is that of a probe, or of what was asked before: 'probe' says which. True: the breaker has
 *  opened just now. */
bool tier_breaker_failed(struct tier_breaker *b, bool probe, uint64_t now_us, uint32_t gap_us,
			 struct prng *prng);

#endif
