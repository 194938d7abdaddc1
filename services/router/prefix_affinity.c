/*
 * router/prefix_affinity.c - the policy: a conversation goes on where it began, so that a worker's cache of prompts is worth
 * something; see policy.h.
 *
 * The home is found by consistent hashing (ring.h). It is kept to while its load with this request stays within 1.25 times its
 * share: in_flight + 1 <= ceil(1.25 * (all in flight + 1) * weight / all weights), of the usable members. That is the bound of
 * Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018, with c = 1.25; what is beyond it goes to the
 * cheapest, not to the next on the ring. A home that is not usable at all is stood in for by the next on the ring, so that its
 * conversations stay together until it is back.
 */
#include "router/policy.h"

#define WALK_MAX 64 /* points looked at before the ring is given up */

/* True if one more request keeps 'place' within its bound. All factors fit: 5 * 2^37 * 2^20. */
static bool
within_bound(const struct pool *p, uint32_t place)
{
	const struct pool_seat *s = &p->seats[place];
	uint64_t share = 5 * (p->usable_in_flight + 1) * s->weight;
	uint64_t whole = 4 * p->usable_weight;

	return s->in_flight + 1 <= (share + whole - 1) / whole;
}

uint32_t
prefix_affinity_pick(struct pool *p, uint64_t prefix, enum pick_reason *ret_reason)
{
	uint32_t point = RING_NONE, first;

	if (prefix != 0 && pool_use_ring(p))
		point = ring_find(&p->ring, prefix);
	first = point;
	for (int i = 0; point != RING_NONE && i < WALK_MAX; i++) {
		uint32_t place = ring_place(&p->ring, point);

		if (p->seats[place].usable) {
			if (!pool_is_ready(p, place) || !within_bound(p, place)) {
				*ret_reason = PICK_HOME_BUSY;
				return pool_cheapest(p);
			}
			*ret_reason =
			    place == ring_place(&p->ring, first) ? PICK_HOME : PICK_NEXT_HOME;
			return place;
		}
		point = ring_after(&p->ring, point);
	}
	*ret_reason = PICK_NO_HOME;
	return pool_cheapest(p);
}
