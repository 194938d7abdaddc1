/*
 * sim/sim_report.c - waiting times of every policy at several loads, with one router and with many, next to random choice and
 * to the ideal, as a table and a picture (sim_svg.c). See sim.h.
 *
 * The world: 1,000 workers that serve one request at a time, each request 1 s in the mean, exponentially; requests come at
 * random times. Nothing fails. All columns see the same requests. Workers that "queue" take every request, and the rest waits
 * inside them; workers that "refuse" announce the one place that they have, as ours do, and the rest waits in the routers. The first
 * compare with the shortest queue, the others with one queue for all.
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

static const double loads[REPORT_LOADS] = { 0.5, 0.7, 0.9, 0.95, 0.99 };
static const struct report_panel panels[REPORT_PANELS] = {
	{ "1 router, workers queue", 1, 1024, ROW_SHORTEST, 1.05, 5 },
	{ "1 router, workers refuse", 1, 1, ROW_ONE_QUEUE, 1.05, 5 },
	{ "32 routers, workers queue", 32, 1024, ROW_SHORTEST, 1.25, 5 },
	{ "32 routers, workers refuse", 32, 1, ROW_ONE_QUEUE, 1.25, 4 },
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
				    .one_class = true,
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
		static const enum ideal ideals[] = { [ROW_RANDOM] = IDEAL_RANDOM,
						     [ROW_SHORTEST] = IDEAL_SHORTEST,
						     [ROW_ONE_QUEUE] = IDEAL_ONE_QUEUE };

		ideal_run(&p, ideals[row->kind], requests, m.first, &m.wait, &m.total);
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
			for (uint32_t r = 1; r < REPORT_PANELS; r++) {
				memcpy(report->cells[row][r], report->cells[row][0],
				       sizeof(report->cells[row][r]));
			}
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

static void
write_files(const struct report *report, const char *dir)
{
	static const struct {
		const char *name;
		void (*write)(const struct report *r, FILE *out);
	} forms[] = { { "waiting.md", report_markdown },
		      { "waiting.json", report_json },
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

bool
report_write(const char *dir, const char *policy, uint64_t requests, uint64_t jobs)
{
	static const struct report_row others[] = {
		{ "random worker", NULL, ROW_RANDOM },
		{ "ideal: shortest queue", NULL, ROW_SHORTEST },
		{ "ideal: one queue", NULL, ROW_ONE_QUEUE },
	};
	bool holds;
	struct report *report =
	    mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	make_dir(dir);
	if (report == MAP_FAILED) {
		perror("infermesh-sim: mmap");
		exit(1);
	}
	for (int i = 0; i < POLICY_COUNT; i++) {
		const char *name = policy_text((enum policy)i);

		if (policy != NULL && strcmp(policy, name) != 0) {
			continue;
		}
		report->rows[report->row_count++] = (struct report_row){ name, name, ROW_ROUTER };
	}
	memcpy(&report->rows[report->row_count], others, sizeof(others));
	report->row_count += sizeof(others) / sizeof(others[0]);
	memcpy(report->loads, loads, sizeof(loads));
	memcpy(report->panels, panels, sizeof(panels));
	report->requests = requests;
	fill(report, requests, jobs);
	write_files(report, dir);
	holds = report_holds(report, stderr);
	(void)munmap(report, sizeof(*report));
	return holds;
}
