/*
 * sim/sim_report.h - the figures of a report, and the forms in which it is written.
 */
#ifndef SIM_SIM_REPORT_H
#define SIM_SIM_REPORT_H

#include <stdint.h>
#include <stdio.h>

#define REPORT_ROWS_MAX 12
#define REPORT_LOADS    4
#define REPORT_PANELS   3

enum report_kind {
	ROW_ROUTER,
	ROW_RANDOM,
	ROW_IDEAL,
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
	uint32_t places; /* that a worker announces; it serves one at a time */
};

struct report {
	uint32_t row_count;
	struct report_row rows[REPORT_ROWS_MAX];
	double loads[REPORT_LOADS];
	struct report_panel panels[REPORT_PANELS];
	struct report_cell cells[REPORT_ROWS_MAX][REPORT_PANELS][REPORT_LOADS];
	uint64_t requests;
};

/* sim_svg.c */
void report_svg(const struct report *report, FILE *out);

#endif
