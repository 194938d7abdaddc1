/*
 * tests/bench/steps.c - see steps.h. The child stops itself before and behind what is counted.
 */
#include "steps.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void
be_counted(void (*fn)(void *arg), void *arg)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(1);
	(void)raise(SIGSTOP);
	fn(arg);
	(void)raise(SIGSTOP);
	_exit(0);
}

static bool
is_stopped(pid_t pid, int sig)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == sig;
}

static uint64_t
count(void (*fn)(void *arg), void *arg)
{
	uint64_t steps = 0;
	pid_t pid = fork();
	bool ok = pid > 0;

	if (pid == 0)
		be_counted(fn, arg);
	ok = ok && is_stopped(pid, SIGSTOP);
	do {
		ok = ok && ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0;
		steps++;
	} while (ok && is_stopped(pid, SIGTRAP));
	/* Stopped by its own SIGSTOP, unless it is gone. */
	if (pid > 0 && kill(pid, SIGKILL) == 0)
		(void)waitpid(pid, NULL, 0);
	return ok ? steps : UINT64_MAX;
}

static void
do_nothing(void *arg)
{
	(void)arg;
}

uint64_t
steps_count(void (*fn)(void *arg), void *arg)
{
	uint64_t all = count(fn, arg), rest = count(do_nothing, NULL);

	return all == UINT64_MAX || rest > all ? UINT64_MAX : all - rest;
}
