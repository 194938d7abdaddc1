/*
 * router/round_robin.c - the policy: one after the other; see policy.h. Those that are full or not usable lose their turn.
 */
#include "router/policy.h"

uint32_t
round_robin_pick(struct pool *p, enum pick_reason *ret_reason)
{
	uint32_t place = pool_next_ready(p, p->turn);

	*ret_reason = PICK_TURN;
	p->turn = place + 1;
	return place;
}
