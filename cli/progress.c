/*
 * cli/progress.c - see progress.h.
 */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define BAR      24               /* columns */
#define EVERY_US UINT64_C(100000) /* between two looks */

void
progress_begin(struct progress *p, const char *what)
{
	*p = (struct progress){ .on = isatty(STDERR_FILENO) != 0,
				.what = what,
				.unit = "records",
				.began_us = clock_mono_us() };
}

bool
progress_show(void *user, uint64_t done, uint64_t total)
{
	static const char full[] = "########################";
	struct progress *p = user;
	uint64_t now_us = clock_mono_us();
	double seconds = (double)(now_us - p->began_us) / 1e6;
	double rate = seconds > 0 ? (double)done / seconds : 0;
	double share = total > 0 ? (double)done / (double)total : 1;

	if (!p->on || (p->shown_us != 0 && done < total && now_us - p->shown_us < EVERY_US))
		return true;
	p->shown_us = now_us;
	(void)fprintf(stderr, "\r\033[K%s[%-*.*s] %3.0f%%  %" PRIu64 " %s, %.0f/s", p->what, BAR,
		      (int)(share * BAR), full, share * 100, done, p->unit, rate);
	if (rate > 0)
		(void)fprintf(stderr, ", %.0f s to go", (double)(total - done) / rate);
	(void)fflush(stderr);
	return true;
}

void
progress_end(struct progress *p)
{
	if (p->on && p->shown_us != 0)
		(void)fprintf(stderr, "\r\033[K");
}
