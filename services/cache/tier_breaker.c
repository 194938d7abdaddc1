/*
 * cache/tier_breaker.c - see tier_breaker.h.
 */
#include "cache/tier_breaker.h"

#include "base/prng.h"

bool
tier_breaker_well(struct tier_breaker *b)
{
	bool was_open = b->open;

	b->open = false;
	b->failures = b->pauses = 0;
	return was_open;
}

/* Half of the pause is random, so that many daemons do not probe at once. */
static void
pause_again(struct tier_breaker *b, uint64_t now_us, struct prng *prng)
{
	uint32_t pause_us = TIER_BREAKER_PAUSE_MAX_US;

	if (b->pauses < 5)
		pause_us = TIER_BREAKER_PAUSE_US << b->pauses;
	b->pauses++;
	b->probe_us = now_us + pause_us / 2 + prng_below(prng, pause_us / 2);
}

bool
tier_breaker_failed(struct tier_breaker *b, bool probe, uint64_t now_us, uint32_t gap_us,
		    struct prng *prng)
{
	if (b->open) {
		if (probe)
			pause_again(b, now_us, prng);
		return false;
	}
	if (b->failures > 0 && now_us - b->failed_us < gap_us)
		return false;
	b->failed_us = now_us;
	if (++b->failures < TIER_BREAKER_FAILURES)
		return false;
	b->open = true;
	b->opened++;
	b->pauses = 0;
	pause_again(b, now_us, prng);
	return true;
}
