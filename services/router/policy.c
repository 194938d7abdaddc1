/*
 * router/policy.c - names of policies and the way to each; see policy.h. Decides nothing itself.
 */
#include "router/policy.h"

#include <string.h>

static const char *const policy_names[POLICY_COUNT] = {
#define X(name, text) [name] = text,
	POLICY_MAP(X)
#undef X
};

static const char *const reason_names[PICK_REASON_COUNT] = {
#define X(name, text) [name] = text,
	PICK_REASON_MAP(X)
#undef X
};

const char *
policy_text(enum policy policy)
{
	return policy < POLICY_COUNT ? policy_names[policy] : "?";
}

const char *
pick_reason_text(enum pick_reason reason)
{
	return reason < PICK_REASON_COUNT ? reason_names[reason] : "?";
}

enum policy
policy_find(const char *text)
{
	int i = 0;

	while (i < POLICY_COUNT && strcmp(policy_names[i], text) != 0)
		i++;
	return (enum policy)i;
}

uint32_t
policy_pick(enum policy policy, struct pool *p, uint64_t prefix, struct prng *prng,
	    enum pick_reason *ret_reason)
{
	*ret_reason = PICK_NOBODY;
	if (p->ready_count == 0)
		return POOL_NONE;
	switch (policy) {
	case POLICY_ROUND_ROBIN:
		return round_robin_pick(p, ret_reason);
	case POLICY_SMOOTH_WEIGHTED_ROUND_ROBIN:
		return smooth_weighted_round_robin_pick(p, ret_reason);
	case POLICY_POWER_OF_TWO:
		return power_of_two_pick(p, prng, ret_reason);
	case POLICY_PREFIX_AFFINITY:
		return prefix_affinity_pick(p, prefix, ret_reason);
	case POLICY_LEAST_CONNECTIONS:
	case POLICY_COUNT:
		break;
	}
	return least_connections_pick(p, ret_reason);
}
