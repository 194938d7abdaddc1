/*
 * sim/sim_table.c - a report in words and figures: tables, JSON, and whether least connections keeps to its targets. See sim.h.
 */
#include <string.h>

#include "sim_report.h"

#define LINKS_MS                                                                                   \
	1.0 /* the ideal has no links: five trips over the slowest of ours, and what a refusal takes twice */

/* "0.1 / 8.8 ms", and from a second on "1.2 / 3.8 s". */
static void
put_pair(FILE *out, double p50_ms, double p99_ms)
{
	double unit = p99_ms >= 1000 ? 1000 : 1;

	(void)fprintf(out, " %.1f / %.1f %s |", p50_ms / unit, p99_ms / unit,
		      p99_ms >= 1000 ? "s" : "ms");
}

/* Of nothing there are no multiples. */
static void
put_ratio(FILE *out, double ms, double ideal_ms)
{
	if (ideal_ms > 0) {
		(void)fprintf(out, " %.2f |", ms / ideal_ms);
	} else {
		(void)fprintf(out, " - |");
	}
}

static const struct report_cell *
cells_of_ideal(const struct report *r, uint32_t panel)
{
	uint32_t row = 0;

	while (r->rows[row].kind != r->panels[panel].ideal) {
		row++;
	}
	return r->cells[row][panel];
}

void
report_markdown(const struct report *r, FILE *out)
{
	uint32_t last = REPORT_LOADS - 1;

	for (uint32_t i = 0; i < REPORT_PANELS; i++) {
		const struct report_cell *ideal = cells_of_ideal(r, i);

		(void)fprintf(out, "%s| %s |", i > 0 ? "\n" : "", r->panels[i].title);
		for (uint32_t l = 0; l < REPORT_LOADS; l++) {
			(void)fprintf(out, " load %.2f |", r->loads[l]);
		}
		(void)fprintf(out, " wait at %.2f | answer at %.2f |\n|", r->loads[last],
			      r->loads[last]);
		for (uint32_t l = 0; l < REPORT_LOADS + 3; l++) {
			(void)fprintf(out, "---|");
		}
		(void)fputc('\n', out);
		for (uint32_t row = 0; row < r->row_count; row++) {
			const struct report_cell *c = r->cells[row][i];

			(void)fprintf(out, "| %s |", r->rows[row].name);
			for (uint32_t l = 0; l < REPORT_LOADS; l++) {
				put_pair(out, c[l].wait_p50_ms, c[l].wait_p99_ms);
			}
			put_ratio(out, c[last].wait_p99_ms, ideal[last].wait_p99_ms);
			(void)fprintf(out, " %.2f s = %.2f |\n", c[last].total_p99_ms / 1000,
				      c[last].total_p99_ms / ideal[last].total_p99_ms);
		}
	}
}

void
report_json(const struct report *r, FILE *out)
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

static bool
is_within(const struct report *r, uint32_t panel, uint32_t load, const struct report_cell *ours,
	  FILE *out)
{
	const struct report_panel *p = &r->panels[panel];
	const struct report_cell *ideal = &cells_of_ideal(r, panel)[load];
	double wait_ms = p->target * ideal->wait_p99_ms + LINKS_MS;
	double total_ms = p->target * ideal->total_p99_ms;

	if (ours->wait_p99_ms <= wait_ms && ours->total_p99_ms <= total_ms) {
		return true;
	}
	(void)fprintf(
	    out,
	    "missed: least_connections, %s, load %.2f: p99 of the wait %.1f ms, allowed %.1f; "
	    "of the answer %.0f ms, allowed %.0f\n",
	    p->title, r->loads[load], ours->wait_p99_ms, wait_ms, ours->total_p99_ms, total_ms);
	return false;
}

bool
report_holds(const struct report *r, FILE *out)
{
	bool holds = true;

	for (uint32_t row = 0; row < r->row_count; row++) {
		if (strcmp(r->rows[row].name, "least_connections") != 0) {
			continue;
		}
		for (uint32_t i = 0; i < REPORT_PANELS; i++) {
			for (uint32_t l = 0; l < r->panels[i].loads; l++) {
				holds = is_within(r, i, l, &r->cells[row][i][l], out) && holds;
			}
		}
	}
	return holds;
}
