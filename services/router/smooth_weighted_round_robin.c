/*
 * router/smooth_weighted_round_robin.c - the policy: nginx's smooth weighted round robin, see smooth.h and policy.h. Loads do
 * not matter, but who is full or not usable takes no part.
 */
#include "router/policy.h"

uint32_t
smooth_weighted_round_robin_pick(struct pool *p, enum pick_reason *ret_reason)
{
	/* Without memory for its state: who is cheapest serves as well. */
	if (!pool_use_smooth(p))
		return least_connections_pick(p, ret_reason);
	*ret_reason = PICK_TURN;
	return smooth_pick(&p->smooth);
}
