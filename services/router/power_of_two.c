/*
 * router/power_of_two.c - the policy: draw two at random, take the cheaper; see policy.h. Good with many routers, whose loads
 * are old: they do not all run after the same worker. Source: Mitzenmacher, "The Power of Two Choices in Randomized Load
 * Balancing", 1996.
 */
#include "router/policy.h"

uint32_t
power_of_two_pick(const struct pool *p, struct prng *prng, enum pick_reason *ret_reason)
{
	uint32_t i, k;

	if (p->ready_count == 1) {
		*ret_reason = PICK_ONLY;
		return p->ready[0];
	}
	*ret_reason = PICK_OF_TWO;
	i = prng_below(prng, p->ready_count);
	k = prng_below(prng, p->ready_count - 1);
	k += k >= i; /* never the same one twice */
	return pool_cheaper(p, p->ready[k], p->ready[i]) ? p->ready[k] : p->ready[i];
}
