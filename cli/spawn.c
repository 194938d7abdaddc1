/*
 * cli/spawn.c - see spawn.h.
 */
#include "cli/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* "…/infermesh-ROLE" beside this program if it is there, else the bare name for PATH. */
static void
find_program(const char *role, char *out, size_t cap)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash != NULL) {
			*slash = '\0';
			if (snprintf(out, cap, "%s/infermesh-%s", self, role) < (int)cap &&
			    access(out, X_OK) == 0)
				return;
		}
	}
	(void)snprintf(out, cap, "infermesh-%s", role);
}

/* In the child: never returns. Without 'notify_socket' it has nobody to tell that it is ready. */
static void
become(const char *program, const char *argv[], const char *notify_socket, int out_fd, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	/* The signal counts from now on; a parent that died before would not send it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	(void)setpgid(0, 0);
	(void)sigemptyset(&none);
	(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)close(null);
	}
	(void)dup2(out_fd, STDOUT_FILENO);
	/* The environment belongs to one thread here, after the fork. */
	(void)unsetenv("NOTIFY_SOCKET"); /* NOLINT(concurrency-mt-unsafe) */
	if (notify_socket != NULL)
		(void)setenv("NOTIFY_SOCKET", notify_socket, 1); /* NOLINT(concurrency-mt-unsafe) */
	(void)unsetenv("WATCHDOG_USEC");                         /* NOLINT(concurrency-mt-unsafe) */
	(void)unsetenv("WATCHDOG_PID");                          /* NOLINT(concurrency-mt-unsafe) */
	argv[0] = program;
	(void)execvp(program, (char *const *)argv);
	(void)fprintf(
	    stderr,
	    "infermesh: cannot run %s: %m; is it installed beside 'infermesh' or in PATH?\n",
	    program);
	_exit(127);
}

/* Start infermesh-ROLE; argv[0] is free for its path. */
static enum im_rc
start(const char *role, const char *argv[], const char *notify_socket, int out_fd, pid_t *ret_pid,
      struct im_err *err)
{
	char program[PATH_MAX + 32];
	pid_t parent = getpid(), pid;

	find_program(role, program, sizeof(program));
	(void)fflush(NULL);
	pid = fork();
	if (pid < 0)
		return err_errno(err, IM_EIO, errno, "cannot make a process for infermesh-%s",
				 role);
	if (pid == 0)
		become(program, argv, notify_socket, out_fd, parent);
	*ret_pid = pid;
	return IM_OK;
}

enum im_rc
spawn_daemon(const char *role, const char *config_file, const char *name, const char *notify_socket,
	     pid_t *ret_pid, struct im_err *err)
{
	const char *argv[6] = { NULL };
	size_t n = 1;

	if (config_file != NULL) {
		argv[n++] = "--config";
		argv[n++] = config_file;
	}
	if (name != NULL) {
		argv[n++] = "--name";
		argv[n++] = name;
	}
	/* Standard output is for the words to the user; a daemon writes its log to standard error only. */
	return start(role, argv, notify_socket, STDERR_FILENO, ret_pid, err);
}

enum im_rc
spawn_tool(const char *role, const char *argv[], int out_fd, pid_t *ret_pid, struct im_err *err)
{
	return start(role, argv, NULL, out_fd, ret_pid, err);
}
