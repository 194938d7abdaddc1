/*
 * cli/terminal.h - text of strangers on a terminal.
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stddef.h>
#include <stdio.h>

/** Write 'len' bytes without control characters (but line break and tab): a model or a worker must not steer the terminal. */
void terminal_put(FILE *out, const char *text, size_t len);

#endif
