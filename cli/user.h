/*
 * cli/user.h - who sits at the terminal.
 */
#ifndef CLI_USER_H
#define CLI_USER_H

#include <stddef.h>

/** The Unix user's name, or "uid-N" if it has none. */
void user_name(char *out, size_t cap);

#endif
