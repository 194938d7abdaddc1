/*
 * net/resolve.c - see resolve.h.
 *
 *   thread:  getaddrinfo ──▶ not cancelled: hand the task to the loop ──▶ end
 *                       └──▶ cancelled: free it ──▶ end
 */
#include "net/resolve.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

#define HOST_MAX 256

struct resolve {
	struct loop *loop;
	struct loop_task task;
	resolve_fn fn;
	void *arg;
	char host[HOST_MAX];
	uint32_t attempt;

	pthread_mutex_t lock; /* for what follows */
	bool cancelled, done;
	int failed; /* of getaddrinfo() */
	char ip[RESOLVE_IP_MAX];
};

static void
resolve_free(struct resolve *r)
{
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

/* On the loop. */
static void
tell(void *arg)
{
	struct resolve *r = arg;
	struct im_err why;

	/* The thread has let go of it: after that it touches nothing. */
	(void)pthread_mutex_lock(&r->lock);
	(void)pthread_mutex_unlock(&r->lock);
	if (r->failed != 0) {
		(void)err_set(&why, IM_EUNAVAILABLE, "cannot look up the host %s: %s", r->host,
			      gai_strerror(r->failed));
		r->fn(r->arg, NULL, &why);
	} else {
		r->fn(r->arg, r->ip, NULL);
	}
	resolve_free(r);
}

static const struct addrinfo *
choose(const struct addrinfo *found, uint32_t attempt)
{
	const struct addrinfo *a = found;
	uint32_t count = 1;

	while ((a = a->ai_next) != NULL)
		count++;
	for (a = found, attempt %= count; attempt > 0; attempt--)
		a = a->ai_next;
	return a;
}

static void *
look_up(void *arg)
{
	struct resolve *r = arg;
	struct addrinfo want = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char ip[RESOLVE_IP_MAX] = "";
	int failed = getaddrinfo(r->host, NULL, &want, &found);
	bool cancelled;

	if (failed == 0) {
		const struct addrinfo *a = choose(found, r->attempt);

		failed =
		    getnameinfo(a->ai_addr, a->ai_addrlen, ip, sizeof(ip), NULL, 0, NI_NUMERICHOST);
		freeaddrinfo(found);
	}
	(void)pthread_mutex_lock(&r->lock);
	r->failed = failed;
	memcpy(r->ip, ip, sizeof(r->ip));
	r->done = true;
	cancelled = r->cancelled;
	if (!cancelled)
		loop_hand(r->loop, &r->task);
	(void)pthread_mutex_unlock(&r->lock);
	if (cancelled)
		resolve_free(r);
	return NULL;
}

static int
start_thread(struct resolve *r)
{
	pthread_t thread;
	int failed = thread_start(&thread, look_up, r);

	if (failed == 0)
		(void)pthread_detach(thread);
	return failed;
}

enum im_rc
resolve_start(struct loop *loop, const char *host, uint32_t attempt, resolve_fn fn, void *arg,
	      struct resolve **ret, struct im_err *err)
{
	struct resolve *r = calloc(1, sizeof(*r));
	size_t len = strlen(host);
	int failed;

	if (r == NULL)
		return err_set(err, IM_ENOMEM, "no memory to look up a host");
	r->loop = loop;
	r->attempt = attempt;
	r->task = (struct loop_task){ .fn = tell, .arg = r };
	r->fn = fn;
	r->arg = arg;
	if (host[0] == '[' && len > 2 && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	(void)snprintf(r->host, sizeof(r->host), "%.*s", (int)len, host);
	(void)pthread_mutex_init(&r->lock, NULL);
	failed = start_thread(r);
	if (failed != 0) {
		resolve_free(r);
		return err_errno(err, IM_ENOMEM, failed, "no thread to look up a host");
	}
	*ret = r;
	return IM_OK;
}

void
resolve_cancel(struct resolve *r)
{
	bool done;

	if (r == NULL)
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->cancelled = true;
	done = r->done;
	(void)pthread_mutex_unlock(&r->lock);
	if (done) {
		loop_cancel(r->loop, &r->task);
		resolve_free(r);
	}
}
