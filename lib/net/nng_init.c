/*
 * net/nng_init.c - starts nng with few threads. Holds the only interposed function of the project.
 *
 * nng 1.5 sizes its thread pools by sysconf(_SC_NPROCESSORS_ONLN): two task threads and one timer thread a core, besides
 * seven fixed ones. A container that may use two cores of a 64-core host would get 88 threads, and there is no setting.
 * So this file defines sysconf(), which the dynamic linker then prefers to libc's also inside libnng. It answers with the
 * limit only for that name and only in the thread that is starting nng; everybody else gets what libc says.
 */
#include "net/nng_init.h"

#include <nng/nng.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "net/net.h"

/* libc's own, under the other name that glibc exports. */
long libc_sysconf(int name) __asm__("__sysconf");

#ifdef __SANITIZE_THREAD__
/* nng counts references to its dialers with atomics that ThreadSanitizer does not see in Debian's build. */
const char *
__tsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier): the sanitizer's name */

const char *
__tsan_default_suppressions(void)
{
	return "race_top:pthread_mutex_destroy\n";
}
#endif

static atomic_uint thread_limit = 1;
static __thread bool starting;
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static bool started; /* guarded by start_lock */

__attribute__((no_sanitize("address", "thread", "undefined"))) long
sysconf(int name)
{
	long n = libc_sysconf(name);

	if (name == _SC_NPROCESSORS_ONLN && starting) {
		long limit = (long)atomic_load(&thread_limit);

		return n > limit || n < 1 ? limit : n;
	}
	return n;
}

void
net_limit_threads(unsigned n)
{
	atomic_store(&thread_limit, n > 0 ? n : 1);
}

enum im_rc
net_nng_start(struct im_err *err)
{
	nng_aio *aio = NULL;
	int rv = 0;

	(void)pthread_mutex_lock(&start_lock);
	if (!started) {
		/* Any first call starts the threads. */
		starting = true;
		rv = nng_aio_alloc(&aio, NULL, NULL);
		starting = false;
		nng_aio_free(aio);
		started = rv == 0;
	}
	(void)pthread_mutex_unlock(&start_lock);
	if (rv != 0)
		return err_set(err, IM_ENOMEM,
			       "cannot start the threads of nng: %s; check 'ulimit -u'",
			       nng_strerror(rv));
	return IM_OK;
}

enum im_rc
net_nng_rc(int rv)
{
	switch (rv) {
	case NNG_ENOMEM:
		return IM_ENOMEM;
	case NNG_EADDRINUSE:
		return IM_EEXIST;
	case NNG_EADDRINVAL:
	case NNG_EINVAL:
	case NNG_ENOTSUP:
		return IM_EINVAL;
	case NNG_EPERM:
		return IM_EPERM;
	case NNG_ECONNREFUSED:
	case NNG_ECONNRESET:
	case NNG_ECONNSHUT:
	case NNG_ECONNABORTED:
	case NNG_ECLOSED:
	case NNG_ECANCELED:
	case NNG_EUNREACHABLE:
	case NNG_ETIMEDOUT:
	case NNG_EAGAIN:
		return IM_EUNAVAILABLE;
	default:
		return IM_EIO;
	}
}

void
net_off_loop(void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int rc;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* Signals belong to the daemon's own thread. */
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&thread, &attr, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	if (rc != 0)
		(void)fn(arg);
}
