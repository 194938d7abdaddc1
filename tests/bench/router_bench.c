/*
 * tests/bench/router_bench.c - what it costs the router to pick a worker: the pick with what the audit record keeps of it, the
 * slot taken and another one given back, for each policy over 10 to 10,000 workers of one model; against a scan over all of
 * them in the same run. Weights differ and half of the places are taken. Rounds alternate and the medians are
 * reported.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "router/workers.h"

#define ROUNDS        7
#define SIZES         4
#define ROUND_NS      20000000 /* about so long lasts a round of one policy */
#define CAPACITY      16
#define TAKEN         8 /* of CAPACITY */
#define TARGET_NS     300.0
#define TARGET_BIG_NS 1000.0
#define WHATS         (POLICY_COUNT + 1) /* the policies, and the scan */

static const size_t sizes[SIZES] = { 10, 100, 1000, 10000 };

/* What a scan looks at: no more than it needs, all in a row. */
struct plain {
	uint32_t in_flight, capacity, weight;
	uint64_t last_pick;
};

struct field {
	size_t count;
	struct workers *ws;
	struct model *model;
	struct worker **workers;
	struct plain *plain;
	uint64_t picks;
	uint32_t *held; /* a worker for each place taken */
	size_t held_count;
	struct prng prng;
};

static void *
must(void *p)
{
	if (p == NULL) {
		(void)fprintf(stderr, "router_bench: no memory\n");
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
			      .load = { .capacity = CAPACITY },
			      .weight = weights[prng_below(&f->prng, 8)] };
	struct announced what;
	struct im_err err;

	(void)snprintf(name, sizeof(name), "w%zu", i);
	if (workers_announce(f->ws, (struct link *)(void *)&f->plain[i], instance, NULL, &a, 1,
			     &what, &err) != IM_OK) {
		(void)fprintf(stderr, "router_bench: %s\n", err.text);
		exit(1);
	}
	f->plain[i] = (struct plain){ .capacity = CAPACITY, .weight = a.weight };
	return what.worker;
}

static void
field_init(struct field *f, size_t count)
{
	memset(f, 0, sizeof(*f));
	prng_seed(&f->prng, count);
	f->count = count;
	f->ws = must(malloc(sizeof(*f->ws)));
	f->workers = must(calloc(count, sizeof(void *)));
	f->plain = must(calloc(count, sizeof(*f->plain)));
	f->held = must(calloc(count * TAKEN, sizeof(*f->held)));
	workers_init(f->ws, 0, count);
	for (size_t i = 0; i < count; i++)
		f->workers[i] = join(f, i);
	f->model = workers_find_model(f->ws, "m");
}

static void
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

	if (what == POLICY_COUNT) {
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
	if (what == POLICY_COUNT)
		f->plain[i].in_flight--;
	else
		workers_free_slot(f->workers[i]);
}

/* Of this process, so that others on the machine count for less. */
static uint64_t
cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A place where it would be after many picks: cheap also for the scan. */
static uint32_t
place_first(struct field *f, int what, size_t n)
{
	uint32_t i = (uint32_t)(n % f->count);

	if (what == POLICY_COUNT)
		f->plain[i].in_flight++;
	else
		workers_take_slot(f->workers[i]);
	return i;
}

/* ns of a pick, a place taken and one given back. The places are taken before, and all given back afterwards. */
static double
round_ns(struct field *f, int what)
{
	/* The clock is not asked at each pick, nor a slow scan made too often. */
	uint64_t from_ns, ns, done = 0, batch = f->count < 200 || what < POLICY_COUNT ? 2000 : 100;

	for (f->held_count = 0; f->held_count < f->count * TAKEN; f->held_count++)
		f->held[f->held_count] = place_first(f, what, f->held_count);
	from_ns = cpu_ns();
	do {
		for (uint64_t n = 0; n < batch; n++) {
			uint32_t k = prng_below(&f->prng, (uint32_t)f->held_count);

			leave(f, what, f->held[k]);
			f->held[k] = place(f, what);
		}
		done += batch;
		ns = cpu_ns() - from_ns;
	} while (ns < ROUND_NS);
	while (f->held_count > 0)
		leave(f, what, f->held[--f->held_count]);
	return (double)ns / (double)done;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static const char *
name_of(int what)
{
	return what == POLICY_COUNT ? "a scan over all" : policy_text((enum policy)what);
}

static int
report(double ns[WHATS][SIZES], int json)
{
	/* How much more log2(10,000) is than log2(100). */
	const double allowed = log2(10000) / log2(100);
	int missed = 0;

	if (json)
		(void)printf("{\"rows\": [");
	else
		(void)printf(
		    "ns for a pick, a place taken and one given back\n%-30s %8s %8s %8s %8s %9s %9s\n",
		    "", "10", "100", "1,000", "10,000", "of a scan", "growth");
	for (int what = 0; what < WHATS; what++) {
		const double *v = ns[what];
		double of_scan = v[2] / ns[POLICY_COUNT][2], growth = v[3] / v[1];

		if (json)
			(void)printf("%s{\"name\": \"%s\", \"ns\": [%.1f, %.1f, %.1f, %.1f], "
				     "\"of_scan_1000\": %.4f, \"growth_100_to_10000\": %.2f}",
				     what > 0 ? ", " : "", name_of(what), v[0], v[1], v[2], v[3],
				     of_scan, growth);
		else
			(void)printf("%-30s %8.0f %8.0f %8.0f %8.0f %9.4f %9.2f\n", name_of(what),
				     v[0], v[1], v[2], v[3], of_scan, growth);
		if (what < POLICY_COUNT && (v[2] > TARGET_NS || v[3] > TARGET_BIG_NS))
			missed++;
	}
	if (json)
		(void)printf("], \"log_growth\": %.2f, \"missed\": %d}\n", allowed, missed);
	else
		(void)printf(
		    "of a scan: at 1,000. growth: 10,000 against 100; log n grows by %.2f\n"
		    "at most %.0f ns at 1,000 and %.0f ns at 10,000: %s\n",
		    allowed, TARGET_NS, TARGET_BIG_NS, missed == 0 ? "met" : "missed");
	return missed == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	static double ns[WHATS][SIZES], rounds[WHATS][SIZES][ROUNDS];
	int json = argc == 2 && strcmp(argv[1], "--json") == 0;

	for (size_t s = 0; s < SIZES; s++) {
		struct field f;

		field_init(&f, sizes[s]);
		for (int what = 0; what < WHATS; what++)
			(void)round_ns(&f, what); /* warm */
		for (int i = 0; i < ROUNDS; i++)
			for (int what = 0; what < WHATS; what++)
				rounds[what][s][i] = round_ns(&f, what);
		for (int what = 0; what < WHATS; what++) {
			qsort(rounds[what][s], ROUNDS, sizeof(double), by_value);
			ns[what][s] = rounds[what][s][ROUNDS / 2];
		}
		field_done(&f);
	}
	return report(ns, json);
}
