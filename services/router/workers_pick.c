/*
 * router/workers_pick.c - which worker gets a request, and what the decision was based on; see workers.h. The policies
 * themselves are pure: policy.h.
 */
#include <string.h>

#include "router/workers_health.h"

/* Backups serve while no primary is usable. A primary that is full is usable: its place is worth waiting for. */
static enum tier
serving_tier(const struct model *m)
{
	return m->pool[TIER_PRIMARY].usable_count > 0 ? TIER_PRIMARY : TIER_BACKUP;
}

static struct worker_model *
tried_model(const struct workers *ws, const struct model *m, uint64_t id)
{
	const struct worker *w = workers_by_id(ws, id);
	struct worker_model *wm = w != NULL ? workers_serving(w, m) : NULL;

	return wm != NULL && wm->place != POOL_NONE ? wm : NULL;
}

/* Keep those that were tried out of the choice, until put_back(). */
static void
set_aside(struct workers *ws, struct model *m, const struct pick_ask *ask)
{
	for (size_t i = 0; i < ask->tried_count; i++) {
		struct worker_model *wm = tried_model(ws, m, ask->tried[i]);

		if (wm != NULL) {
			struct pool *p = &m->pool[wm->tier];

			pool_set(p, wm->place,
				 &(struct pool_load){ .weight = p->seats[wm->place].weight });
		}
	}
}

static void
put_back(struct workers *ws, struct model *m, const struct pick_ask *ask)
{
	for (size_t i = 0; i < ask->tried_count; i++) {
		struct worker_model *wm = tried_model(ws, m, ask->tried[i]);

		if (wm != NULL) {
			workers_reindex_model(wm);
		}
	}
}

static void
see(struct pick *pick, const struct worker_model *wm)
{
	const struct worker *w = wm->worker;
	size_t n = pick->seen_count++;

	workers_name_ref(w->name);
	pick->seen[n].name = w->name;
	pick->seen[n].in_flight = workers_in_flight(w);
	pick->seen[n].weight = w->operator_weight != 0 ? w->operator_weight : w->weight;
	/* Both number their states as the wire does, from 1. */
	pick->seen[n].state = (enum seen_state)(SEEN_JOINING + w->health.state);
	pick->seen[n].breaker = (enum seen_breaker)(SEEN_BREAKER_CLOSED + wm->breaker.state);
}

static void
see_all(struct pick *pick, const struct pool *p, uint32_t chosen)
{
	uint32_t places[POOL_FEW];
	uint32_t n = pool_sample(p, places);

	see(pick, p->seats[chosen].owner);
	for (uint32_t i = 0; i < n && pick->seen_count < AUDIT_SEEN_MAX; i++) {
		if (places[i] != chosen) {
			see(pick, p->seats[places[i]].owner);
		}
	}
}

/* Whoever may be well again gets the next request, so that it is known soon. */
static bool
pick_probe(struct model *m, const struct pick_ask *ask, struct pick *ret)
{
	struct worker_model *wm = workers_awaiting_probe(m, ask->tried, ask->tried_count);

	if (wm == NULL) {
		return false;
	}
	ret->wm = wm;
	ret->worker = wm->worker;
	ret->reason = PICK_PROBE;
	see_all(ret, &m->pool[wm->tier], wm->place);
	return true;
}

void
workers_pick(struct workers *ws, struct model *m, const struct pick_ask *ask, struct pick *ret)
{
	enum tier tier;
	struct pool *p;
	uint32_t place;

	ret->worker = NULL;
	ret->wm = NULL;
	ret->policy = ask->policy;
	ret->seen_count = 0;
	if (pick_probe(m, ask, ret)) {
		ws->decisions[ask->policy][ret->reason]++;
		return;
	}
	set_aside(ws, m, ask);
	tier = serving_tier(m);
	p = &m->pool[tier];
	place = policy_pick(ask->policy, p, ask->prefix, &ws->prng, &ret->reason);
	put_back(ws, m, ask);
	if (place != POOL_NONE) {
		ret->wm = p->seats[place].owner;
		ret->worker = ret->wm->worker;
		ret->reason = tier == TIER_BACKUP ? PICK_BACKUP : ret->reason;
		see_all(ret, p, place);
		ws->decisions[ask->policy][ret->reason]++;
	}
}

void
workers_pick_done(struct pick *pick)
{
	for (size_t i = 0; i < pick->seen_count; i++) {
		workers_name_unref(pick->seen[i].name);
	}
	pick->seen_count = 0;
	pick->worker = NULL;
	pick->wm = NULL;
}

bool
workers_any_usable(const struct workers *ws, const struct model *m, const uint64_t *tried,
		   size_t tried_count)
{
	uint32_t usable = m->pool[TIER_PRIMARY].usable_count + m->pool[TIER_BACKUP].usable_count;

	for (size_t i = 0; i < tried_count; i++) {
		const struct worker_model *wm = tried_model(ws, m, tried[i]);

		usable -= wm != NULL && m->pool[wm->tier].seats[wm->place].usable;
	}
	return usable > 0;
}

bool
workers_any_room(const struct model *m)
{
	return m->pool[serving_tier(m)].ready_count > 0;
}
