/*
 * sim/sim_ideal.c - see sim_ideal.h. Workers are queues of one server each, so the time at which each has done all that it was
 * given says how long the next request waits there.
 */
#include "sim_ideal.h"

#include <stdlib.h>

#define LENGTHS_MAX 4096

void
waits_add(struct waits *w, double us)
{
	if (w->count == w->cap) {
		w->cap = w->cap == 0 ? 65536 : w->cap * 2;
		w->us = realloc(w->us, w->cap * sizeof(*w->us));
		if (w->us == NULL) {
			sim_fail("no memory for the simulation itself");
		}
	}
	w->us[w->count++] = (float)us;
}

static int
by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

double
waits_quantile(struct waits *w, double q)
{
	if (w->count == 0) {
		return 0;
	}
	qsort(w->us, w->count, sizeof(*w->us), by_size);
	return (double)w->us[(size_t)(q * (double)(w->count - 1))];
}

void
waits_done(struct waits *w)
{
	free(w->us);
	*w = (struct waits){ 0 };
}

/* Workers sorted by how many requests they have: those with n are order[start[n]] to order[start[n + 1] - 1]. */
struct shortest {
	uint32_t *order, *place, *length;
	uint32_t start[LENGTHS_MAX + 2];
	struct server *servers;
};

struct server {
	struct loop_timer done; /* of the request that it has begun */
	struct shortest *all;
	uint32_t index;
	uint32_t head, tail; /* times at which its requests will be done, a ring */
	uint64_t ends_us[LENGTHS_MAX];
	uint64_t free_us;
};

static void
swap(struct shortest *s, uint32_t a, uint32_t b)
{
	uint32_t wa = s->order[a], wb = s->order[b];

	s->order[a] = wb;
	s->order[b] = wa;
	s->place[wb] = a;
	s->place[wa] = b;
}

static void
longer(struct shortest *s, uint32_t worker)
{
	uint32_t n = s->length[worker]++;

	if (n + 1 >= LENGTHS_MAX) {
		sim_fail("the ideal's queue of a worker is longer than %d", LENGTHS_MAX);
	}
	swap(s, s->place[worker], --s->start[n + 1]);
}

static void
shorter(struct shortest *s, uint32_t worker)
{
	uint32_t n = s->length[worker]--;

	swap(s, s->place[worker], s->start[n]++);
}

static void
done_fire(void *arg)
{
	struct server *v = arg;

	shorter(v->all, v->index);
	v->head++;
	if (v->head != v->tail) {
		sim_at(&v->done, v->ends_us[v->head % LENGTHS_MAX]);
	}
}

static uint32_t
choose(const struct shortest *s, struct prng *rng)
{
	uint32_t n = 0;

	while (s->start[n + 1] == 0) {
		n++;
	}
	return s->order[prng_below(rng, s->start[n + 1])];
}

static void
shortest_init(struct shortest *s, uint32_t workers)
{
	s->order = calloc(workers, sizeof(uint32_t));
	s->place = calloc(workers, sizeof(uint32_t));
	s->length = calloc(workers, sizeof(uint32_t));
	s->servers = calloc(workers, sizeof(*s->servers));
	if (s->order == NULL || s->place == NULL || s->length == NULL || s->servers == NULL) {
		sim_fail("no memory for the simulation itself");
	}
	for (uint32_t i = 0; i < workers; i++) {
		s->order[i] = s->place[i] = i;
		s->servers[i].all = s;
		s->servers[i].index = i;
		s->servers[i].done = (struct loop_timer){ .fn = done_fire, .arg = &s->servers[i] };
	}
	s->start[0] = 0;
	for (uint32_t n = 1; n < LENGTHS_MAX + 2; n++) {
		s->start[n] = workers;
	}
}

static void
give(struct server *v, double now_us, double service_us)
{
	double from = (double)v->free_us > now_us ? (double)v->free_us : now_us;

	v->free_us = (uint64_t)(from + service_us);
	v->ends_us[v->tail++ % LENGTHS_MAX] = v->free_us;
	if (v->tail - v->head == 1) {
		sim_at(&v->done, v->free_us);
	}
	longer(v->all, v->index);
}

/* Where the request waits that came at 'now_us', and how long. */
static double
send(struct shortest *s, enum ideal ideal, const struct world_params *p, struct prng *rng,
     double now_us, double service_us)
{
	struct server *v;
	double wait_us;

	while (sim_loop_step((uint64_t)now_us)) {
	}
	v = &s->servers[ideal == IDEAL_SHORTEST ? choose(s, rng) : prng_below(rng, p->workers)];
	wait_us = (double)v->free_us > now_us ? (double)v->free_us - now_us : 0;
	give(v, now_us, service_us);
	return wait_us;
}

/* The worker that is idle first has the next request: a heap of the times at which they are. */
static double
take_turn(double *idle_us, uint32_t workers, double now_us, double service_us)
{
	double wait_us = idle_us[0] > now_us ? idle_us[0] - now_us : 0;
	double until_us = now_us + wait_us + service_us;
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < workers) {
		child += child + 1 < workers && idle_us[child + 1] < idle_us[child];
		if (idle_us[child] >= until_us) {
			break;
		}
		idle_us[i] = idle_us[child];
		i = child;
	}
	idle_us[i] = until_us;
	return wait_us;
}

void
ideal_run(const struct world_params *p, enum ideal ideal, uint64_t requests, uint64_t first,
	  struct waits *ret_wait, struct waits *ret_total)
{
	static struct shortest s;
	double now_us = SIM_START_US, gap_us = p->mean_us / (p->load * p->workers);
	double *idle_us = calloc(p->workers, sizeof(*idle_us));
	struct prng arrivals, rng;

	if (idle_us == NULL) {
		sim_fail("no memory for the simulation itself");
	}
	sim_loop_begin(p->seed);
	prng_seed(&arrivals, p->seed);
	prng_seed(&rng, p->seed * 2 + 1);
	shortest_init(&s, p->workers);
	for (uint64_t i = 0; i < requests; i++) {
		double service_us, wait_us;

		/* In the order in which sim_caller.c draws them. */
		now_us += world_exponential(&arrivals, gap_us);
		service_us = world_service(&arrivals, p->service, p->mean_us);
		wait_us = ideal == IDEAL_ONE_QUEUE
			      ? take_turn(idle_us, p->workers, now_us, service_us)
			      : send(&s, ideal, p, &rng, now_us, service_us);
		if (i >= first) {
			waits_add(ret_wait, wait_us);
			waits_add(ret_total, wait_us + service_us);
		}
	}
	sim_loop_done();
	free(idle_us);
	free(s.order);
	free(s.place);
	free(s.length);
	free(s.servers);
}
