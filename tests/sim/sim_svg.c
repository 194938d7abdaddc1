/*
 * sim/sim_svg.c - the picture of a report: p99 of the wait by load, a panel for each world, a line for each policy. The
 * scale is logarithmic from 0.1 ms, which is a link's delay and stands for "none". Colours are those of Okabe and Ito, which
 * colour-blind people tell apart; every line has a mark of its own too.
 */
#include <math.h>

#include "sim_report.h"

#define PANEL_W 260
#define PANEL_H 300
#define LEFT    110
#define TOP     56
#define GAP     30
#define LEGEND  240
#define DECADES 6 /* 0.1 ms to 100 s */

static const char *const colours[] = { "#0072B2", "#E69F00", "#009E73", "#CC79A7",
				       "#56B4E9", "#D55E00", "#000000", "#7F7F7F" };
#define COLOURS (sizeof(colours) / sizeof(colours[0]))

static double
y_of(double ms)
{
	double at = ms < 0.1 ? 0 : log10(ms) + 1;

	return TOP + PANEL_H * (1 - (at < DECADES ? at : DECADES) / DECADES);
}

static double
x_of(uint32_t panel, uint32_t load)
{
	return LEFT + panel * (PANEL_W + GAP) + PANEL_W * (0.5 + load) / REPORT_LOADS;
}

static void
mark(FILE *out, uint32_t row, double x, double y)
{
	const char *colour = colours[row % COLOURS];

	if (row % 3 == 0) {
		(void)fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", x, y,
			      colour);
	} else if (row % 3 == 1) {
		(void)fprintf(
		    out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"7\" height=\"7\" fill=\"%s\"/>\n",
		    x - 3.5, y - 3.5, colour);
	} else {
		(void)fprintf(out, "<path d=\"M%.1f %.1f l4.5 8 l-9 0 z\" fill=\"%s\"/>\n", x,
			      y - 5, colour);
	}
}

static void
axes(const struct report *r, uint32_t panel, FILE *out)
{
	static const char *const labels[DECADES + 1] = { "0.1 ms or less", "1 ms", "10 ms",
							 "100 ms",         "1 s",  "10 s",
							 "100 s" };
	double left = LEFT + panel * (PANEL_W + GAP);

	(void)fprintf(
	    out,
	    "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" font-weight=\"bold\">%s</text>\n",
	    left + PANEL_W / 2.0, TOP - 14, r->panels[panel].title);
	for (int i = 0; i <= DECADES; i++) {
		double y = TOP + PANEL_H * (1 - (double)i / DECADES);

		(void)fprintf(out,
			      "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" "
			      "stroke=\"#d0d0d0\"/>\n",
			      left, left + PANEL_W, y, y);
		if (panel == 0) {
			(void)fprintf(out,
				      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
				      left - 8, y + 4, labels[i]);
		}
	}
	for (uint32_t l = 0; l < REPORT_LOADS; l++) {
		(void)fprintf(out,
			      "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f %%</text>\n",
			      x_of(panel, l), TOP + PANEL_H + 20, r->loads[l] * 100);
	}
	(void)fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">load</text>\n",
		      left + PANEL_W / 2.0, TOP + PANEL_H + 40);
}

static void
line(const struct report *r, uint32_t row, uint32_t panel, FILE *out)
{
	(void)fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s points=\"",
		      colours[row % COLOURS],
		      r->rows[row].kind == ROW_ROUTER ? "" : " stroke-dasharray=\"6 4\"");
	for (uint32_t l = 0; l < REPORT_LOADS; l++) {
		(void)fprintf(out, "%.1f,%.1f ", x_of(panel, l),
			      y_of(r->cells[row][panel][l].wait_p99_ms));
	}
	(void)fprintf(out, "\"/>\n");
	for (uint32_t l = 0; l < REPORT_LOADS; l++) {
		mark(out, row, x_of(panel, l), y_of(r->cells[row][panel][l].wait_p99_ms));
	}
}

void
report_svg(const struct report *r, FILE *out)
{
	int width = LEFT + REPORT_PANELS * (PANEL_W + GAP) + LEGEND;
	double x = LEFT + REPORT_PANELS * (PANEL_W + GAP);

	(void)fprintf(
	    out,
	    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
	    "font-family=\"sans-serif\" font-size=\"13\" fill=\"#202020\">\n"
	    "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
	    "<text x=\"%d\" y=\"22\" font-size=\"16\">Wait for a worker: p99, 1,000 workers, answers "
	    "of 1 s in the mean</text>\n",
	    width, TOP + PANEL_H + 56, width, TOP + PANEL_H + 56, LEFT);
	for (uint32_t panel = 0; panel < REPORT_PANELS; panel++) {
		axes(r, panel, out);
		for (uint32_t row = 0; row < r->row_count; row++) {
			line(r, row, panel, out);
		}
	}
	for (uint32_t row = 0; row < r->row_count; row++) {
		double y = TOP + 14 + row * 24;

		mark(out, row, x, y);
		(void)fprintf(out, "<text x=\"%.1f\" y=\"%.1f\">%s</text>\n", x + 14, y + 4,
			      r->rows[row].name);
	}
	(void)fprintf(out, "</svg>\n");
}
