/*
 * sim/sim_report.h - the figures of a report, and the forms in which it is written.
 */
#ifndef SIM_SIM_REPORT_H
#define SIM_SIM_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define REPORT_ROWS_MAX 12
#define REPORT_LOADS    5
#define REPORT_PANELS   4

enum report_kind {
	ROW_ROUTER,
	ROW_RANDOM,
	ROW_SHORTEST,
	ROW_ONE_QUEUE,
};

struct report_row {
	const char *name;
	const char *policy; /* of the configuration */
	enum report_kind kind;
};

/* wait: until a worker begins; total: until the answer is whole. */
struct report_cell {
	double wait_p50_ms, wait_p99_ms, total_p99_ms;
};

/* In what world the policies are compared. */
struct report_panel {
	const char *title;
	uint32_t routers;
	uint32_t places;        /* that a worker announces; it serves one at a time */
	enum report_kind ideal; /* the best that can be done where requests wait here */
	double target;          /* least_connections' p99 is within so many times that ideal's */
	uint32_t loads;         /* at the first so many loads */
};

struct report {
	uint32_t row_count;
	struct report_row rows[REPORT_ROWS_MAX];
	double loads[REPORT_LOADS];
	struct report_panel panels[REPORT_PANELS];
	struct report_cell cells[REPORT_ROWS_MAX][REPORT_PANELS][REPORT_LOADS];
	uint64_t requests;
};

/* sim_table.c */

/** A table for each panel: a row for each policy, a column for each load. */
void report_markdown(const struct report *report, FILE *out);
void report_json(const struct report *report, FILE *out);

/** True if least_connections keeps to its targets; says to 'out' where it does not. */
bool report_holds(const struct report *report, FILE *out);

/* sim_svg.c */
void report_svg(const struct report *report, FILE *out);

#endif
