/*
 * net/pace.h - when to dial again and when a silent peer is dead: pure functions of time. Known in this room only.
 */
#ifndef NET_PACE_H
#define NET_PACE_H

#include <stdint.h>

/**
 * How long to wait before try number 'attempt' (0 = the first after a loss): uniformly between 0 and
 * min(max_ms, min_ms * 2^attempt). Full jitter, so that many daemons do not come back at once. 'random' is any number.
 */
uint64_t backoff_delay_us(uint32_t attempt, uint32_t min_ms, uint32_t max_ms, uint64_t random);

enum beat {
	BEAT_WAIT, /* all is well */
	BEAT_PING, /* ask whether it is there */
	BEAT_DEAD, /* it is not */
};

#define BEAT_LIMIT 3 /* so many intervals of silence, or of refusing what we send, mean dead */

/**
 * What to do at 'now_us' about a peer that was last heard at 'heard_us' and has refused to take what we send since
 * 'stuck_us' (0 = it takes it). '*ret_next_us' is when to ask again.
 */
enum beat beat_step(uint64_t now_us, uint64_t heard_us, uint64_t stuck_us, uint64_t interval_us,
		    uint64_t *ret_next_us);

#endif
