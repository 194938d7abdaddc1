/*
 * cli/progress.h - a bar on standard error for work that may take long; nothing at all where nobody looks at it.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool on;          /* standard error is a terminal */
	const char *what; /* before the bar: "indexing "; may be "" */
	const char *unit; /* what is counted: "records" unless it is set to another word */
	uint64_t began_us, shown_us;
};

void progress_begin(struct progress *p, const char *what);

/** 'user' is the struct progress; 'done' of 'total' are done. Always true: go on. */
bool progress_show(void *user, uint64_t done, uint64_t total);

/** Clear the line. */
void progress_end(struct progress *p);

#endif
