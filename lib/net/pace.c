/*
 * net/pace.c - back-off and heartbeat; see pace.h.
 */
#include "net/pace.h"

uint64_t
backoff_delay_us(uint32_t attempt, uint32_t min_ms, uint32_t max_ms, uint64_t random)
{
	uint64_t cap_ms = min_ms;

	while (attempt-- > 0 && cap_ms < max_ms)
		cap_ms *= 2;
	if (cap_ms > max_ms)
		cap_ms = max_ms;
	return random % (cap_ms * 1000 + 1);
}

enum beat
beat_step(uint64_t now_us, uint64_t heard_us, uint64_t stuck_us, uint64_t interval_us,
	  uint64_t *ret_next_us)
{
	uint64_t silent_us = now_us > heard_us ? now_us - heard_us : 0;

	if (silent_us >= BEAT_LIMIT * interval_us)
		return BEAT_DEAD;
	if (stuck_us != 0 && now_us >= stuck_us && now_us - stuck_us >= BEAT_LIMIT * interval_us)
		return BEAT_DEAD;
	if (silent_us >= interval_us) {
		*ret_next_us = now_us + interval_us;
		return BEAT_PING;
	}
	*ret_next_us = heard_us + interval_us;
	return BEAT_WAIT;
}
