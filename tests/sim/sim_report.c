/*
 * sim/sim_report.c - waiting times of every policy at several loads, with one router and with many, next to random choice and
 * to the ideal, as a table and a picture (sim_svg.c). See sim.h.
 *
 * The world: 1,000 workers that serve one request at a time, each request 1 s in the mean, exponentially; requests come at
 * random times. Nothing fails. All columns see the same requests. Workers that "queue" take every request, and the rest waits
 * inside them; workers that "refuse" announce the one place that they have, as ours do, and the rest waits in the routers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim_ideal.h"
#include "sim_report.h"

#define MEAN_US   1e6
#define BUDGET_MS 3600000

static const double loads[REPORT_LOADS] = { 0.5, 0.7, 0.9, 0.95 };
static const struct report_panel panels[REPORT_PANELS] = {
	{ "1 router, workers queue", 1, 1024 },
	{ "1 router, workers refuse", 1, 1 },
	{ "32 routers, workers refuse", 32, 1 },
};

static void
params(struct world_params *p, const char *policy, const struct report_panel *panel, double load)
{
	*p = (struct world_params){ .seed = 42,
				    .routers = panel->routers,
				    .workers = 1000,
				    .models = 1,
				    .capacity_max = panel->places,
				    .servers = 1,
				    .service = SERVICE_EXPONENTIAL,
				    .mean_us = MEAN_US,
				    .load = load,
				    .delay_us = 200,
				    .budget_min_ms = BUDGET_MS,
				    .budget_max_ms = BUDGET_MS };
	(void)snprintf(
	    p->config, sizeof(p->config),
	    "queue_max: 100000, calls_max: 1000000, audit_mode: 'off', request_ms: '1h',%s%s%s",
	    policy != NULL ? " policy: '" : "", policy != NULL ? policy : "",
	    policy != NULL ? "'," : "");
}

struct measuring {
	struct waits wait, total;
	uint64_t first;
};

static void
count_wait(void *user, const struct ask *a, uint64_t now_us)
{
	struct measuring *m = user;

	if (a->number >= m->first) {
		waits_add(&m->wait, (double)(now_us - a->came_us));
		waits_add(&m->total, (double)(now_us - a->came_us + a->service_us));
	}
}

static void
run_router(const struct world_params *p, uint64_t requests, struct measuring *m)
{
	struct world w;

	world_begin(&w, p);
	w.started = count_wait;
	w.started_user = m;
	while (w.tally.asked < requests && sim_loop_step(UINT64_MAX)) {
	}
	callers_stop(&w);
	while (w.asks_open > 0 && sim_loop_step(UINT64_MAX)) {
	}
	if (w.tally.ok != w.tally.asked) {
		sim_fail("%llu of %llu requests of the report went wrong",
			 (unsigned long long)(w.tally.asked - w.tally.ok),
			 (unsigned long long)w.tally.asked);
	}
	world_end(&w);
}

static void
measure(const struct report_row *row, uint32_t r, uint32_t l, uint64_t requests,
	struct report_cell *ret)
{
	struct measuring m = { .first = requests / 5 };
	struct world_params p;

	params(&p, row->policy, &panels[r], loads[l]);
	if (row->kind == ROW_ROUTER) {
		run_router(&p, requests, &m);
	} else {
		ideal_run(&p, row->kind == ROW_IDEAL, requests, m.first, &m.wait, &m.total);
	}
	ret->wait_p50_ms = waits_quantile(&m.wait, 0.5) / 1000;
	ret->wait_p99_ms = waits_quantile(&m.wait, 0.99) / 1000;
	ret->total_p99_ms = waits_quantile(&m.total, 0.99) / 1000;
	waits_done(&m.wait);
	waits_done(&m.total);
	(void)fprintf(stderr, "%s, %s, load %.2f: wait p50 %.1f ms, p99 %.1f ms\n", row->name,
		      panels[r].title, loads[l], ret->wait_p50_ms, ret->wait_p99_ms);
}

/* Random and the ideal do not know routers: they are measured once. */
static void
fill(struct report *report, uint64_t requests, uint64_t jobs)
{
	uint32_t job = 0;

	for (uint64_t j = 0; j < jobs; j++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("infermesh-sim: fork");
			exit(1);
		}
		if (pid > 0) {
			continue;
		}
		for (uint32_t i = 0; i < report->row_count * REPORT_PANELS * REPORT_LOADS; i++) {
			uint32_t row = i % report->row_count, at = i / report->row_count;
			uint32_t r = REPORT_PANELS - 1 - at / REPORT_LOADS,
				 l = REPORT_LOADS - 1 - at % REPORT_LOADS;

			if ((report->rows[row].kind == ROW_ROUTER || r == 0) && job++ % jobs == j) {
				measure(&report->rows[row], r, l, requests,
					&report->cells[row][r][l]);
			}
		}
		_exit(0);
	}
	for (uint64_t j = 0; j < jobs; j++) {
		int status;

		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			exit(1);
		}
	}
	for (uint32_t row = 0; row < report->row_count; row++) {
		if (report->rows[row].kind != ROW_ROUTER) {
			memcpy(report->cells[row][1], report->cells[row][0],
			       sizeof(report->cells[row][1]));
			memcpy(report->cells[row][2], report->cells[row][0],
			       sizeof(report->cells[row][2]));
		}
	}
}

/* Before the measuring, which takes minutes, and not after it. */
static void
make_dir(const char *dir)
{
	if ((mkdir(dir, 0777) != 0 && errno != EEXIST) || access(dir, W_OK | X_OK) != 0) {
		(void)fprintf(stderr, "infermesh-sim: --report %s: cannot write there: %s\n", dir,
			      strerror(errno));
		exit(1);
	}
}

static FILE *
create(const char *dir, const char *name)
{
	char path[4096];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	out = fopen(path, "we");
	if (out == NULL) {
		perror(path);
		exit(1);
	}
	return out;
}

/* "0.1 / 8.8 ms", and from a second on "1.2 / 3.8 s". */
static void
put_pair(FILE *out, double p50_ms, double p99_ms)
{
	double unit = p99_ms >= 1000 ? 1000 : 1;

	(void)fprintf(out, " %.1f / %.1f %s |", p50_ms / unit, p99_ms / unit,
		      p99_ms >= 1000 ? "s" : "ms");
}

/* A table for each panel: a row for each policy, a column for each load. */
static void
markdown(const struct report *r, FILE *out)
{
	uint32_t ideal = r->row_count - 1, last = REPORT_LOADS - 1;

	for (uint32_t i = 0; i < REPORT_PANELS; i++) {
		(void)fprintf(out, "%s| %s |", i > 0 ? "\n" : "", r->panels[i].title);
		for (uint32_t l = 0; l < REPORT_LOADS; l++) {
			(void)fprintf(out, " load %.2f |", r->loads[l]);
		}
		(void)fprintf(out, " answer at %.2f |\n|---|---|---|---|---|---|\n",
			      r->loads[last]);
		for (uint32_t row = 0; row < r->row_count; row++) {
			const struct report_cell *c = r->cells[row][i];

			(void)fprintf(out, "| %s |", r->rows[row].name);
			for (uint32_t l = 0; l < REPORT_LOADS; l++) {
				put_pair(out, c[l].wait_p50_ms, c[l].wait_p99_ms);
			}
			(void)fprintf(out, " %.2f s = %.2f |\n", c[last].total_p99_ms / 1000,
				      c[last].total_p99_ms / r->cells[ideal][i][last].total_p99_ms);
		}
	}
}

static void
json(const struct report *r, FILE *out)
{
	const char *sep = "";

	(void)fprintf(out, "{\"requests\":%llu,\"cells\":[", (unsigned long long)r->requests);
	for (uint32_t i = 0; i < REPORT_PANELS; i++) {
		for (uint32_t row = 0; row < r->row_count; row++) {
			for (uint32_t l = 0; l < REPORT_LOADS; l++) {
				const struct report_cell *c = &r->cells[row][i][l];

				(void)fprintf(
				    out,
				    "%s\n{\"world\":\"%s\",\"routers\":%u,\"policy\":\"%s\",\"load\":%.2f,"
				    "\"wait_p50_ms\":%.3f,\"wait_p99_ms\":%.3f,"
				    "\"answer_p99_ms\":%.3f}",
				    sep, r->panels[i].title, r->panels[i].routers,
				    r->rows[row].name, r->loads[l], c->wait_p50_ms, c->wait_p99_ms,
				    c->total_p99_ms);
				sep = ",";
			}
		}
	}
	(void)fprintf(out, "\n]}\n");
}

static void
write_files(const struct report *report, const char *dir)
{
	static const struct {
		const char *name;
		void (*write)(const struct report *r, FILE *out);
	} forms[] = { { "waiting.md", markdown },
		      { "waiting.json", json },
		      { "waiting.svg", report_svg } };

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		FILE *out = create(dir, forms[i].name);

		forms[i].write(report, out);
		if (fclose(out) != 0) {
			perror(dir);
			exit(1);
		}
	}
}

void
report_write(const char *dir, uint64_t requests, uint64_t jobs)
{
	static const struct report_row others[] = { { "random worker", NULL, ROW_RANDOM },
						    { "ideal: shortest queue", NULL, ROW_IDEAL } };
	struct report *report =
	    mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	make_dir(dir);
	if (report == MAP_FAILED) {
		perror("infermesh-sim: mmap");
		exit(1);
	}
	for (int i = 0; i < POLICY_COUNT; i++) {
		const char *name = policy_text((enum policy)i);

		report->rows[report->row_count++] = (struct report_row){ name, name, ROW_ROUTER };
	}
	memcpy(&report->rows[report->row_count], others, sizeof(others));
	report->row_count += sizeof(others) / sizeof(others[0]);
	memcpy(report->loads, loads, sizeof(loads));
	memcpy(report->panels, panels, sizeof(panels));
	report->requests = requests;
	fill(report, requests, jobs);
	write_files(report, dir);
	(void)munmap(report, sizeof(*report));
}
