/*
 * router/smooth.c - smooth weighted round robin in logarithmic time; see smooth.h.
 */
#include "router/smooth.h"

#include <stdlib.h>
#include <string.h>

/* Later than anybody will see: 4 * 10^12 picks. Times a weight it still fits; beyond it picks are right, but slow. */
#define NEVER (INT64_MAX >> 21)

void
smooth_done(struct smooth *s)
{
	free(s->nodes);
	memset(s, 0, sizeof(*s));
}

static int64_t
sum_of(const struct smooth *s, const struct smooth_node *n)
{
	return n->at + (int64_t)n->weight * s->turn;
}

/* 'yes' if 'c' is 1, 'no' if it is 0: a choice of which no compiler makes a branch. */
static inline int64_t
choose(int64_t c, int64_t yes, int64_t no)
{
	return no ^ ((yes ^ no) & -c);
}

/*
 * Who of two is larger; 'draw' = 1 if 'a' is the left one, which wins a draw: it is the lower place. The loser overtakes the
 * winner at the least turn with gain * turn >= gap. Most often that is later than what comes up from below, and no
 * quotient is needed; one of doubles is off by less than 1, as turns are.
 */
static inline struct smooth_node
match(const struct smooth *s, struct smooth_node a, struct smooth_node b, int64_t draw)
{
	int64_t first = sum_of(s, &a) + draw > sum_of(s, &b);
	int64_t at = choose(first, a.at, b.at), weight = choose(first, a.weight, b.weight);
	int64_t gap = at - choose(first, b.at, a.at) + (first == draw);
	int64_t gain = choose(first, b.weight, a.weight) - weight;
	int64_t until = choose(a.until < b.until, a.until, b.until);

	if (a.largest == SMOOTH_NONE || b.largest == SMOOTH_NONE)
		return a.largest == SMOOTH_NONE ? b : a;
	if ((gain > 0) & (gain * (until - 1) >= gap)) {
		until = (int64_t)((double)gap / (double)gain);
		until += gain * until < gap;
		until -= gain * (until - 1) >= gap;
	}
	return (struct smooth_node){ .at = at,
				     .until = until,
				     .weight = (uint32_t)weight,
				     .largest = (uint32_t)choose(first, a.largest, b.largest) };
}

static void
play(struct smooth *s, size_t i)
{
	s->nodes[i] = match(s, s->nodes[2 * i], s->nodes[2 * i + 1], 1);
}

/* Play the matches above 'place' again, as far up as its change can be felt. As in pool.c, who comes up stays in registers. */
static void
replay(struct smooth *s, uint32_t place)
{
	struct smooth_node up = s->nodes[s->places + place];

	for (uint32_t i = s->places + place; i > 1;) {
		struct smooth_node *n = &s->nodes[i / 2];

		up = match(s, up, s->nodes[i ^ 1], i % 2 == 0);
		if (up.largest == n->largest && up.until == n->until && up.largest != place)
			break;
		*n = up;
		i /= 2;
	}
}

/* Visit the nodes below 'i' where lines have crossed. As deep as the tree: at most 32. */
static void
advance(struct smooth *s, size_t i) /* NOLINT(misc-no-recursion) */
{
	if (i >= s->places)
		return;
	if (s->nodes[2 * i].until <= s->turn)
		advance(s, 2 * i);
	if (s->nodes[2 * i + 1].until <= s->turn)
		advance(s, 2 * i + 1);
	play(s, i);
}

bool
smooth_grow(struct smooth *s, uint32_t places)
{
	struct smooth_node *nodes;

	if (places <= s->places)
		return true;
	nodes = calloc(2ULL * places, sizeof(*nodes));
	if (nodes == NULL)
		return false;
	for (uint32_t i = 0; i < places; i++)
		nodes[places + i] = (struct smooth_node){ .until = NEVER, .largest = SMOOTH_NONE };
	if (s->places > 0)
		memcpy(&nodes[places], &s->nodes[s->places], s->places * sizeof(*nodes));
	free(s->nodes);
	s->nodes = nodes;
	s->places = places;
	for (size_t i = places - 1; i > 0; i--)
		play(s, i);
	return true;
}

void
smooth_set(struct smooth *s, uint32_t place, uint32_t weight)
{
	struct smooth_node *leaf = &s->nodes[s->places + place];

	s->total += (int64_t)weight - leaf->weight;
	leaf->at = sum_of(s, leaf) - (int64_t)weight * s->turn;
	leaf->weight = weight;
	leaf->largest = weight > 0 ? place : SMOOTH_NONE;
	replay(s, place);
}

void
smooth_forget(struct smooth *s, uint32_t place)
{
	s->nodes[s->places + place].at = 0;
}

uint32_t
smooth_pick(struct smooth *s)
{
	uint32_t place;

	if (s->places == 0 || s->total == 0)
		return SMOOTH_NONE;
	s->turn++;
	if (s->nodes[1].until <= s->turn)
		advance(s, 1);
	place = s->nodes[1].largest;
	s->nodes[s->places + place].at -= s->total;
	replay(s, place);
	return place;
}
