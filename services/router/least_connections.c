/*
 * router/least_connections.c - the policy: the member that is cheapest, as pool.h keeps it; see policy.h.
 */
#include "router/policy.h"

uint32_t
least_connections_pick(const struct pool *p, enum pick_reason *ret_reason)
{
	*ret_reason = PICK_CHEAPEST;
	return pool_cheapest(p);
}
