/*
 * cli/spawn.h - starts a daemon as a child process.
 */
#ifndef CLI_SPAWN_H
#define CLI_SPAWN_H

#include <sys/types.h>

#include "base/err.h"

/**
 * Start infermesh-ROLE, found beside this program or else in PATH, with '--config' and '--name' where they are not NULL and
 * NOTIFY_SOCKET set. It is in a process group of its own, so that Ctrl-C reaches only us, gets SIGTERM when we die, and
 * its standard error is ours. IM_EIO: no process could be made. A program that cannot be run ends with status 127 after a
 * message on standard error.
 */
IM_MUST_CHECK enum im_rc spawn_daemon(const char *role, const char *config_file, const char *name,
				      const char *notify_socket, pid_t *ret_pid,
				      struct im_err *err);

#endif
