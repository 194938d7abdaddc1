/*
 * base/clock.h - the two clocks. Pure state machines take 'now' as an argument and never include this.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/** Microseconds of CLOCK_MONOTONIC: for durations and deadlines. */
uint64_t clock_mono_us(void);

/** Milliseconds of CLOCK_MONOTONIC. */
uint64_t clock_mono_ms(void);

/** Microseconds since 1970, CLOCK_REALTIME: for records and logs only. */
uint64_t clock_wall_us(void);

/** 'at' and 'by', but not after 'now', in any unit: since when somebody is silent if for so long we did not listen. */
static inline uint64_t
clock_later(uint64_t at, uint64_t by, uint64_t now)
{
	return at + by < now ? at + by : now;
}

#endif
