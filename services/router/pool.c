/*
 * router/pool.c - the members of a model and the tournament among them; see pool.h.
 */
#include "router/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PLACES_MIN 4
#define RING_SHARE                                                                                 \
	(100 * POOL_WEIGHT_ONE / 16) /* of weight for one point: 16 points for the usual 100 */
#define COST_SHIFT                                                                                 \
	40 /* with POOL_IN_FLIGHT_MAX + 1 requests of weight 1 a cost still fits 63 bits */

void
pool_done(struct pool *p)
{
	smooth_done(&p->smooth);
	ring_done(&p->ring);
	free(p->seats);
	free(p->keys);
	free(p->cheapest);
	free(p->ready);
	memset(p, 0, sizeof(*p));
}

/* Left wins a draw, so that the lower place is preferred among members never picked. */
static inline uint32_t
match(const struct pool *p, uint32_t left, uint32_t right)
{
	return pool_cheaper(p, right, left) ? right : left;
}

static inline bool
any_ready(const struct pool *p, uint32_t node)
{
	return p->keys[p->cheapest[node]].cost < INFINITY;
}

/*
 * Play the matches above 'place' again, as far up as its change can be felt. Who comes up stays in registers, and the others on
 * the way are known before: so the processor need not wait at each level for the one below.
 */
static void
replay(struct pool *p, uint32_t place)
{
	uint32_t *tree = p->cheapest, winner = place;
	struct pool_key key = p->keys[place];

	for (uint32_t i = p->places + place; i > 1;) {
		uint32_t other = tree[i ^ 1];
		struct pool_key k = p->keys[other];
		bool even = (k.cost == key.cost) & (k.last_pick == key.last_pick);
		bool lost = pool_key_less(&k, &key) | (even & i & 1); /* the other is left */

		winner = lost ? other : winner;
		key.cost = lost ? k.cost : key.cost;
		key.last_pick = lost ? k.last_pick : key.last_pick;
		i /= 2;
		if (winner == tree[i] && winner != place)
			break;
		tree[i] = winner;
	}
}

static bool
resize(void *array, size_t count, size_t size)
{
	void **at = array;
	void *bigger = realloc(*at, count * size);

	if (bigger != NULL)
		*at = bigger;
	return bigger != NULL;
}

/* Twice as many places. Nothing has changed for a reader when it fails. */
static bool
grow(struct pool *p)
{
	uint32_t places = p->places == 0 ? PLACES_MIN : 2 * p->places;
	uint32_t *tree = malloc(2ULL * places * sizeof(*tree));

	if (tree == NULL || !resize(&p->seats, places, sizeof(*p->seats)) ||
	    !resize(&p->keys, places, sizeof(*p->keys)) ||
	    !resize(&p->ready, places, sizeof(*p->ready)) ||
	    (p->smooth_on && !smooth_grow(&p->smooth, places))) {
		free(tree);
		return false;
	}
	for (uint32_t i = p->places; i < places; i++) {
		p->seats[i] = (struct pool_seat){ .ready_at = POOL_NONE };
		p->keys[i] = (struct pool_key){ .cost = INFINITY };
	}
	free(p->cheapest);
	p->cheapest = tree;
	p->places = places;
	for (uint32_t i = 0; i < places; i++)
		tree[places + i] = i;
	for (size_t i = places - 1; i > 0; i--)
		tree[i] = match(p, tree[2 * i], tree[2 * i + 1]);
	return true;
}

uint32_t
pool_add(struct pool *p, void *owner, uint64_t name)
{
	uint32_t place = p->full_below;

	if (p->members == p->places && !grow(p))
		return POOL_NONE;
	while (p->seats[place].owner != NULL)
		place++;
	p->full_below = place + 1;
	if (p->smooth_on)
		smooth_forget(&p->smooth, place);
	p->seats[place] = (struct pool_seat){ .owner = owner, .name = name, .ready_at = POOL_NONE };
	p->members++;
	return place;
}

static uint32_t
ring_points(uint32_t weight)
{
	uint32_t n = weight / RING_SHARE;

	return weight == 0 || n > 0 ? n : 1;
}

void
pool_remove(struct pool *p, uint32_t place)
{
	pool_set(p, place, &(struct pool_load){ .usable = false });
	p->seats[place].owner = NULL;
	p->members--;
	if (place < p->full_below)
		p->full_below = place;
}

static void
set_ready(struct pool *p, uint32_t place, bool ready)
{
	struct pool_seat *s = &p->seats[place];

	if (ready) {
		s->ready_at = p->ready_count;
		p->ready[p->ready_count++] = place;
	} else {
		uint32_t last = p->ready[--p->ready_count];

		p->ready[s->ready_at] = last;
		p->seats[last].ready_at = s->ready_at;
		s->ready_at = POOL_NONE;
	}
}

void
pool_set(struct pool *p, uint32_t place, const struct pool_load *load)
{
	struct pool_seat *s = &p->seats[place];
	uint32_t in_flight =
	    load->in_flight < POOL_IN_FLIGHT_MAX ? load->in_flight : POOL_IN_FLIGHT_MAX;
	bool usable = load->usable && load->weight > 0;
	bool ready = usable && load->in_flight < load->capacity;
	bool was_ready = pool_is_ready(p, place);

	if (s->usable) {
		p->usable_count--;
		p->usable_weight -= s->weight;
		p->usable_in_flight -= s->in_flight;
	}
	if (usable) {
		p->usable_count++;
		p->usable_weight += load->weight;
		p->usable_in_flight += in_flight;
	}
	if (p->smooth_on && (ready != was_ready || load->weight != s->weight))
		smooth_set(&p->smooth, place, ready ? load->weight : 0);
	/* Without memory for its points it is nobody's home until its weight changes again. */
	if (p->ring_on && ring_points(load->weight) != ring_points(s->weight))
		(void)ring_set(&p->ring, place, s->name, ring_points(load->weight));
	s->usable = usable;
	s->in_flight = in_flight;
	s->weight = load->weight;
	p->keys[place] = (struct pool_key){
		.cost = ready ? (in_flight + 1.0) / load->weight : INFINITY,
		.last_pick = load->last_pick,
	};
	if (ready != was_ready)
		set_ready(p, place, ready);
	if (ready || was_ready)
		replay(p, place);
}

/* The lowest ready place below node 'i', which has one. */
static uint32_t
first_below(const struct pool *p, uint32_t i)
{
	while (i < p->places)
		i = 2 * i + !any_ready(p, 2 * i);
	return i - p->places;
}

uint32_t
pool_next_ready(const struct pool *p, uint32_t place)
{
	if (p->ready_count == 0)
		return POOL_NONE;
	for (uint32_t i = p->places + place % p->places; i > 1; i /= 2) {
		if (i >= p->places && any_ready(p, i))
			return i - p->places;
		if (i % 2 == 0 && any_ready(p, i + 1))
			return first_below(p, i + 1);
	}
	return first_below(p, 1);
}

uint32_t
pool_sample(const struct pool *p, uint32_t ret_places[POOL_FEW])
{
	uint32_t n = 0;

	if (p->places <= POOL_FEW) {
		for (uint32_t i = 0; i < p->places; i++)
			if (p->seats[i].owner != NULL)
				ret_places[n++] = i;
		return n;
	}
	for (uint32_t i = POOL_PARTS; i < 2 * POOL_PARTS; i++)
		if (any_ready(p, i))
			ret_places[n++] = p->cheapest[i];
	return n;
}

bool
pool_use_smooth(struct pool *p)
{
	if (p->smooth_on)
		return true;
	if (!smooth_grow(&p->smooth, p->places))
		return false;
	p->smooth_on = true;
	for (uint32_t i = 0; i < p->places; i++)
		if (pool_is_ready(p, i))
			smooth_set(&p->smooth, i, p->seats[i].weight);
	return true;
}

bool
pool_use_ring(struct pool *p)
{
	if (p->ring_on)
		return true;
	for (uint32_t i = 0; i < p->places; i++) {
		const struct pool_seat *s = &p->seats[i];

		if (s->owner != NULL && !ring_set(&p->ring, i, s->name, ring_points(s->weight))) {
			ring_done(&p->ring);
			return false;
		}
	}
	p->ring_on = true;
	return true;
}
