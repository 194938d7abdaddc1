/*
 * base/thread.c - see thread.h.
 */
#include "base/thread.h"

#include <sched.h>
#include <signal.h>

int
thread_start(pthread_t *ret, void *(*fn)(void *arg), void *arg)
{
	const struct sched_param none = { 0 };
	sigset_t all, was;
	int failed;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &was);
	failed = pthread_create(ret, NULL, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (failed == 0)
		(void)pthread_setschedparam(*ret, SCHED_BATCH,
					    &none); /* else it is no less right */
	return failed;
}
