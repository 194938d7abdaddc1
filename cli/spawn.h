/*
 * cli/spawn.h - starts a daemon, or a tool that a daemon's program has, as a child process.
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

/**
 * Start infermesh-ROLE with the arguments 'argv' (NULL at the end; argv[0] is free for its path) and its standard output in 'out_fd', which
 * stays the caller's. All else as spawn_daemon().
 */
IM_MUST_CHECK enum im_rc spawn_tool(const char *role, const char *argv[], int out_fd,
				    pid_t *ret_pid, struct im_err *err);

#endif
