/*
 * router/pool.h - the workers of one model as a policy sees them: numbered places with a load, a weight and whether they may
 * be picked now. Pure: it knows no worker, no link and no clock. It never counts requests itself; whoever owns the members
 * tells it each change with pool_set().
 *
 * Members that may be picked stand in a tournament tree over the places (Knuth, TAOCP vol. 3, 5.4.1): each node knows
 * the cheapest place below it, so the cheapest of all is read at the root, a change mends one path, log2(n) nodes at
 * most, and the cheapest of each part of the places is known too. A member that is full or not usable is a hole.
 *
 * A member's cost is (in_flight + 1) / weight: what its load would be with one more request. Source: weighted least
 * connections as the Linux Virtual Server describes it, with the "+ 1" so that weights also count for idle workers. Among equal
 * costs the one picked longest ago is cheaper, so that ties spread.
 *
 * Threads: as its owner. Memory: 68 bytes a place; grows, never shrinks.
 */
#ifndef ROUTER_POOL_H
#define ROUTER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ring.h"
#include "router/smooth.h"

#define POOL_NONE          UINT32_MAX
#define POOL_IN_FLIGHT_MAX 0x3fffff /* more count as this */
#define POOL_FEW           16
#define POOL_PARTS         8  /* a power of two */
#define POOL_WEIGHT_ONE    64 /* weights are in 64ths, so that a ramp has steps */

/* How a member stands. */
struct pool_load {
	uint32_t in_flight; /* requests there now, whoever sent them */
	uint32_t capacity;  /* never more than these */
	uint32_t weight;    /* against other members; 0 = is not to be picked */
	uint64_t last_pick; /* sequence number of its last pick, 0 = never */
	bool usable;        /* could be picked if it had room */
};

/* Costs are quotients of whole numbers below 2^53: equal ones are equal doubles, others never. */
struct pool_key {
	double cost; /* infinite: may not be picked now */
	uint64_t last_pick;
};

struct pool_seat {
	void *owner; /* NULL = free */
	uint64_t name;
	uint32_t in_flight, weight;
	uint32_t ready_at; /* place in pool.ready; POOL_NONE = may not be picked now */
	bool usable;
};

struct pool {
	uint32_t places;           /* a power of two, or 0 */
	uint32_t members;          /* seats that are not free */
	uint32_t full_below;       /* no seat below this one is free */
	struct pool_seat *seats;   /* by place */
	struct pool_key *keys;     /* by place */
	uint32_t *cheapest;        /* 2 * places; [1] is the root, [places + i] is i */
	uint32_t *ready;           /* places that may be picked now, in no order */
	uint32_t ready_count;      /* of these */
	uint32_t usable_count;     /* members that are usable, full ones included */
	uint64_t usable_weight;    /* their weights */
	uint64_t usable_in_flight; /* and loads */
	uint32_t turn;             /* round_robin.c: the place whose turn is next */
	bool smooth_on;            /* smooth is kept up to date */
	struct smooth smooth;      /* smooth_weighted_round_robin.c */
	bool ring_on;              /* ring is kept up to date */
	struct ring ring;          /* prefix_affinity.c */
};

/** Zeroed memory is an empty pool. */
void pool_done(struct pool *p);

/** A new member, not usable yet; 'name' is where it stands on the ring, a ring_hash(). Its place, which stays its own until
 *  pool_remove(), or POOL_NONE without memory. */
uint32_t pool_add(struct pool *p, void *owner, uint64_t name);

/** The member leaves. Also off the ring. */
void pool_remove(struct pool *p, uint32_t place);

/** How the member stands from now on. At most about log2(n) steps. */
void pool_set(struct pool *p, uint32_t place, const struct pool_load *load);

/** True if the member may be picked now. */
static inline bool
pool_is_ready(const struct pool *p, uint32_t place)
{
	return p->seats[place].ready_at != POOL_NONE;
}

/** The cheapest member that may be picked, or POOL_NONE. */
static inline uint32_t
pool_cheapest(const struct pool *p)
{
	return p->ready_count == 0 ? POOL_NONE : p->cheapest[1];
}

/** A strict order. No branches: they could not be predicted. */
static inline bool
pool_key_less(const struct pool_key *x, const struct pool_key *y)
{
	return (x->cost < y->cost) | ((x->cost == y->cost) & (x->last_pick < y->last_pick));
}

/** True if 'a' is to be preferred over 'b'. Both must be places of members. */
static inline bool
pool_cheaper(const struct pool *p, uint32_t a, uint32_t b)
{
	return pool_key_less(&p->keys[a], &p->keys[b]);
}

/** The first member from 'place' on that may be picked, going round; POOL_NONE if there is none. */
uint32_t pool_next_ready(const struct pool *p, uint32_t place);

/**
 * Members worth telling somebody who asks what else there was: all of them while there are no more than POOL_FEW places, else
 * the cheapest ready one of each of POOL_PARTS equal parts of the places, the cheapest of all among them. Returns their
 * number, POOL_FEW at most.
 */
uint32_t pool_sample(const struct pool *p, uint32_t ret_places[POOL_FEW]);

/** Keep 'smooth' or 'ring' up to date from now on. False without memory: it is not. */
bool pool_use_smooth(struct pool *p);
bool pool_use_ring(struct pool *p);

#endif
