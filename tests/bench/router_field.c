/*
 * tests/bench/router_field.c - see router_field.h.
 */
#include "router_field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steps.h"

#define STEPS    4 /* they are counted one instruction at a time */
#define SCAN_MAX 2000

static void *
must(void *p)
{
	if (p == NULL) {
		(void)fprintf(stderr, "router_field: no memory\n");
		exit(1);
	}
	return p;
}

/* A new worker. Links are compared only: any distinct addresses do. */
static struct worker *
join(struct field *f, size_t i)
{
	static const uint32_t weights[] = { 50, 80, 100, 100, 100, 120, 150, 200 };
	static const uint8_t instance[16] = { 1 };
	struct model_info model = { .id = "m", .owned_by = "", .digest = "" };
	char name[16];
	struct announce a = { .worker = name,
			      .backend = "bench",
			      .models = &model,
			      .model_count = 1,
			      .load = { .capacity = FIELD_CAPACITY },
			      .weight = weights[prng_below(&f->prng, 8)] };
	struct announced what;
	struct im_err err;

	(void)snprintf(name, sizeof(name), "w%zu", i);
	if (workers_announce(f->ws, (struct link *)(void *)&f->plain[i], instance, NULL, &a, 1,
			     &what, &err) != IM_OK) {
		(void)fprintf(stderr, "router_field: %s\n", err.text);
		exit(1);
	}
	f->plain[i] = (struct plain){ .capacity = FIELD_CAPACITY, .weight = a.weight };
	return what.worker;
}

void
field_init(struct field *f, size_t count)
{
	memset(f, 0, sizeof(*f));
	prng_seed(&f->prng, count);
	f->count = count;
	f->ws = must(malloc(sizeof(*f->ws)));
	f->workers = must(calloc(count, sizeof(void *)));
	f->plain = must(calloc(count, sizeof(*f->plain)));
	f->held = must(calloc(count * FIELD_TAKEN, sizeof(*f->held)));
	workers_init(f->ws, 0, count);
	for (size_t i = 0; i < count; i++)
		f->workers[i] = join(f, i);
	f->model = workers_find_model(f->ws, "m");
}

void
field_done(struct field *f)
{
	workers_done(f->ws);
	free(f->ws);
	free(f->workers);
	free(f->plain);
	free(f->held);
}

/* One place more, at whoever 'what' picks: its index, which the address of its link tells. */
static uint32_t
place(struct field *f, int what)
{
	struct pick_ask ask = { .policy = (enum policy)what };
	struct pick pick;
	uint32_t i;

	if (what == FIELD_SCAN) {
		uint32_t best = UINT32_MAX;

		for (i = 0; i < f->count; i++) {
			const struct plain *c = &f->plain[i], *b = &f->plain[best];
			uint64_t x, y;

			if (c->in_flight >= c->capacity)
				continue;
			if (best == UINT32_MAX) {
				best = i;
				continue;
			}
			x = (c->in_flight + 1ULL) * b->weight;
			y = (b->in_flight + 1ULL) * c->weight;
			if (x < y || (x == y && c->last_pick < b->last_pick))
				best = i;
		}
		f->plain[best].in_flight++;
		f->plain[best].last_pick = ++f->picks;
		return best;
	}
	ask.prefix = prng_next(&f->prng) | 1;
	workers_pick(f->ws, f->model, &ask, &pick);
	i = (uint32_t)((struct plain *)(void *)pick.worker->link - f->plain);
	workers_take_slot(pick.worker);
	workers_pick_done(&pick);
	return i;
}

static void
leave(struct field *f, int what, uint32_t i)
{
	if (what == FIELD_SCAN)
		f->plain[i].in_flight--;
	else
		workers_free_slot(f->workers[i]);
}

/* A place where it would be after many picks: cheap also for the scan. */
static uint32_t
place_first(struct field *f, int what, size_t n)
{
	uint32_t i = (uint32_t)(n % f->count);

	if (what == FIELD_SCAN)
		f->plain[i].in_flight++;
	else
		workers_take_slot(f->workers[i]);
	return i;
}

void
field_fill(struct field *f, int what)
{
	for (f->held_count = 0; f->held_count < f->count * FIELD_TAKEN; f->held_count++)
		f->held[f->held_count] = place_first(f, what, f->held_count);
}

void
field_empty(struct field *f, int what)
{
	while (f->held_count > 0)
		leave(f, what, f->held[--f->held_count]);
}

void
field_step(struct field *f, int what)
{
	uint32_t k = prng_below(&f->prng, (uint32_t)f->held_count);

	leave(f, what, f->held[k]);
	f->held[k] = place(f, what);
}

struct counted {
	struct field *field;
	int what, steps;
};

static void
some_steps(void *arg)
{
	const struct counted *c = arg;

	for (int i = 0; i < c->steps; i++)
		field_step(c->field, c->what);
}

static bool
count_one(struct field *f, int what, int steps, double *ret)
{
	struct counted c = { f, what, steps };
	uint64_t n;

	field_fill(f, what);
	for (size_t i = 0; i < (what == FIELD_SCAN ? 1 : 4 * f->count); i++)
		field_step(f, what);
	n = steps_count(some_steps, &c);
	field_empty(f, what);
	*ret = (double)n / steps;
	return n != UINT64_MAX;
}

bool
field_instructions(size_t count, double ret[FIELD_WHATS])
{
	struct field f;
	bool ok = true;

	field_init(&f, count);
	for (int what = 0; what < POLICY_COUNT; what++)
		ok = ok && count_one(&f, what, STEPS, &ret[what]);
	field_done(&f);
	field_init(&f, count < SCAN_MAX ? count : SCAN_MAX);
	ok = ok && count_one(&f, FIELD_SCAN, 1, &ret[FIELD_SCAN]);
	field_done(&f);
	return ok;
}

const char *
field_name(int what)
{
	return what == FIELD_SCAN ? "a scan over all" : policy_text((enum policy)what);
}
