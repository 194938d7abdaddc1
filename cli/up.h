/*
 * cli/up.h - what 'infermesh up' as a supervisor of five daemons (up_children.c) and in one process (up_single.c) share.
 */
#ifndef CLI_UP_H
#define CLI_UP_H

#include <stdbool.h>

#include "daemon/config.h"

struct up {
	const struct config *config;
	const char *config_file; /* for the children's --config; NULL = none */
	char key_file[512];      /* the plain key of this machine; "" = none */
	bool new_key;
};

/** Say on standard output that the mesh is up, where, and how to try it. 'address': HOST:PORT or unix:PATH. 'missing': what
 *  keeps it from answering yet, "" = nothing. */
void up_banner(const struct up *up, const char *address, const char *missing);

/** Run until a signal. Return the exit status. */
int up_children(const struct up *up);
int up_single(const struct up *up);

#endif
