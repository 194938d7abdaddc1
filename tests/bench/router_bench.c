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

#include "router_field.h"

#define ROUNDS        7
#define SIZES         4
#define ROUND_NS      20000000 /* about so long lasts a round of one policy */
#define TARGET_NS     300.0
#define TARGET_BIG_NS 1000.0

static const size_t sizes[SIZES] = { 10, 100, 1000, 10000 };

/* Of this process, so that others on the machine count for less. */
static uint64_t
cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ns of a pick, a place taken and one given back. The places are taken before, and all given back afterwards. */
static double
round_ns(struct field *f, int what)
{
	/* The clock is not asked at each pick, nor a slow scan made too often. */
	uint64_t from_ns, ns, done = 0, batch = f->count < 200 || what < POLICY_COUNT ? 2000 : 100;

	field_fill(f, what);
	from_ns = cpu_ns();
	do {
		for (uint64_t n = 0; n < batch; n++)
			field_step(f, what);
		done += batch;
		ns = cpu_ns() - from_ns;
	} while (ns < ROUND_NS);
	field_empty(f, what);
	return (double)ns / (double)done;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* What the processor is asked to do, whatever it then has to wait for memory. */
static void
report_instructions(double n[SIZES][FIELD_WHATS])
{
	(void)printf("instructions\n");
	for (int what = 0; what < POLICY_COUNT; what++)
		(void)printf("%-30s %8.0f %8.0f %8.0f %8.0f %9s %9.2f\n", field_name(what),
			     n[0][what], n[1][what], n[2][what], n[3][what], "",
			     n[3][what] / n[1][what]);
}

static int
report(double ns[FIELD_WHATS][SIZES], double n[SIZES][FIELD_WHATS], bool counted, int json)
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
	for (int what = 0; what < FIELD_WHATS; what++) {
		const double *v = ns[what];
		double of_scan = v[2] / ns[FIELD_SCAN][2], growth = v[3] / v[1];

		if (json)
			(void)printf("%s{\"name\": \"%s\", \"ns\": [%.1f, %.1f, %.1f, %.1f], "
				     "\"of_scan_1000\": %.4f, \"growth_100_to_10000\": %.2f, "
				     "\"instructions_growth\": %.2f}",
				     what > 0 ? ", " : "", field_name(what), v[0], v[1], v[2], v[3],
				     of_scan, growth,
				     counted && what < POLICY_COUNT ? n[3][what] / n[1][what] : 0);
		else
			(void)printf("%-30s %8.0f %8.0f %8.0f %8.0f %9.4f %9.2f\n",
				     field_name(what), v[0], v[1], v[2], v[3], of_scan, growth);
		if (what < POLICY_COUNT && (v[2] > TARGET_NS || v[3] > TARGET_BIG_NS))
			missed++;
	}
	if (!json && counted)
		report_instructions(n);
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
	static double ns[FIELD_WHATS][SIZES], rounds[FIELD_WHATS][SIZES][ROUNDS];
	static double instructions[SIZES][FIELD_WHATS];
	bool counted = true;
	int json = argc == 2 && strcmp(argv[1], "--json") == 0;

	for (size_t s = 0; s < SIZES; s++) {
		struct field f;

		field_init(&f, sizes[s]);
		for (int what = 0; what < FIELD_WHATS; what++)
			(void)round_ns(&f, what); /* warm */
		for (int i = 0; i < ROUNDS; i++)
			for (int what = 0; what < FIELD_WHATS; what++)
				rounds[what][s][i] = round_ns(&f, what);
		for (int what = 0; what < FIELD_WHATS; what++) {
			qsort(rounds[what][s], ROUNDS, sizeof(double), by_value);
			ns[what][s] = rounds[what][s][ROUNDS / 2];
		}
		field_done(&f);
	}
	for (size_t s = 0; s < SIZES; s++)
		counted = counted && field_instructions(sizes[s], instructions[s]);
	return report(ns, instructions, counted, json);
}
