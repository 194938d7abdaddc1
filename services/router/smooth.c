/*
 * router/smooth.c - smooth weighted round robin in logarithmic time; see smooth.h.
 */
#include "router/smooth.h"

#include <stdlib.h>
#include <string.h>

void
smooth_done(struct smooth *s)
{
	free(s->lines);
	free(s->nodes);
	memset(s, 0, sizeof(*s));
}

static int64_t
sum_of(const struct smooth *s, const struct smooth_line *l)
{
	return l->at + (int64_t)l->weight * s->turn;
}

/* The first pick from now on at which 'below', less than 'above' now, is ahead of it; 'ties' if a draw is ahead too. */
static int64_t
overtakes(const struct smooth_line *below, const struct smooth_line *above, bool ties)
{
	int64_t gap = above->at - below->at, gain = (int64_t)below->weight - above->weight;

	if (gain <= 0)
		return INT64_MAX;
	/* gain * turn > gap; or >= gap. The quotient may be negative: at present 'below' is behind, so turn is beyond it. */
	if (ties)
		return gap / gain + (gap % gain > 0);
	return gap / gain + (gap % gain >= 0);
}

/* Who is the largest below node 'i', from what its children know. Left wins a draw: it is the lower place. */
static void
play(struct smooth *s, uint32_t i)
{
	const struct smooth_node *l = &s->nodes[2 * i], *r = &s->nodes[2 * i + 1];
	struct smooth_node *n = &s->nodes[i];
	const struct smooth_line *a, *b;
	int64_t crossing;

	n->until = l->until < r->until ? l->until : r->until;
	if (l->largest == SMOOTH_NONE || r->largest == SMOOTH_NONE) {
		n->largest = l->largest == SMOOTH_NONE ? r->largest : l->largest;
		return;
	}
	a = &s->lines[l->largest];
	b = &s->lines[r->largest];
	if (sum_of(s, a) >= sum_of(s, b)) {
		n->largest = l->largest;
		crossing = overtakes(b, a, false);
	} else {
		n->largest = r->largest;
		crossing = overtakes(a, b, true);
	}
	if (crossing < n->until)
		n->until = crossing;
}

static void
replay(struct smooth *s, uint32_t place)
{
	for (uint32_t i = (s->places + place) / 2; i > 0; i /= 2)
		play(s, i);
}

/* Visit the nodes below 'i' where lines have crossed. As deep as the tree: at most 32. */
static void
advance(struct smooth *s, uint32_t i) /* NOLINT(misc-no-recursion) */
{
	if (s->nodes[i].until > s->turn)
		return;
	advance(s, 2 * i);
	advance(s, 2 * i + 1);
	play(s, i);
}

static void
set_leaf(struct smooth *s, uint32_t place)
{
	s->nodes[s->places + place] = (struct smooth_node){
		.until = INT64_MAX,
		.largest = s->lines[place].weight > 0 ? place : SMOOTH_NONE,
	};
}

bool
smooth_grow(struct smooth *s, uint32_t places)
{
	struct smooth_line *lines;
	struct smooth_node *nodes;

	if (places <= s->places)
		return true;
	lines = calloc(places, sizeof(*lines));
	nodes = calloc(2ULL * places, sizeof(*nodes));
	if (lines == NULL || nodes == NULL) {
		free(lines);
		free(nodes);
		return false;
	}
	if (s->places > 0)
		memcpy(lines, s->lines, s->places * sizeof(*lines));
	free(s->lines);
	free(s->nodes);
	s->lines = lines;
	s->nodes = nodes;
	s->places = places;
	for (uint32_t i = 0; i < places; i++)
		set_leaf(s, i);
	for (uint32_t i = places - 1; i > 0; i--)
		play(s, i);
	return true;
}

void
smooth_set(struct smooth *s, uint32_t place, uint32_t weight)
{
	struct smooth_line *l = &s->lines[place];

	s->total += (int64_t)weight - l->weight;
	l->at = sum_of(s, l) - (int64_t)weight * s->turn;
	l->weight = weight;
	set_leaf(s, place);
	replay(s, place);
}

void
smooth_forget(struct smooth *s, uint32_t place)
{
	s->lines[place].at = 0;
}

uint32_t
smooth_pick(struct smooth *s)
{
	uint32_t place;

	if (s->places == 0 || s->total == 0)
		return SMOOTH_NONE;
	s->turn++;
	advance(s, 1);
	place = s->nodes[1].largest;
	s->lines[place].at -= s->total;
	replay(s, place);
	return place;
}
