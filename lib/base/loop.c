/*
 * base/loop.c - the serial executor; see loop.h.
 *
 * Who runs a task: whoever holds 'run'. A poster queues first and tries the lock second; the holder unlocks first and
 * looks at the queue second. So a task is always seen by one of them. A thread that waits in loop_enter() is counted in
 * 'waiters' before it waits and drains the queue when it leaves, so a holder that sees a waiter may leave the rest to it.
 * Only loop_run() leaves with tasks in the queue: it looks at its descriptors and comes back for them.
 */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/loop_wait.h"
#include "base/timers.h"

#define LOOP_BATCH 256   /* tasks run before a waiting thread, timers, descriptors get a turn */
#define LATE_US    20000 /* a timer that is so late: this process did not run for a while */
#define LOOKS_MAX  16    /* turns that such a timer waits, while there is more in the descriptors */

struct loop {
	pthread_mutex_t run; /* held by the thread on the loop; guards all but the queue */

	pthread_mutex_t qlock;
	struct list queue;   /* of struct loop_task, guarded by qlock */
	atomic_uint queued;  /* length of 'queue' */
	atomic_uint waiters; /* threads in loop_enter() */
	atomic_uint posters; /* threads in loop_post() and loop_stop() */
	struct list last;    /* tasks of loop_post_last() */

	struct timers timers;
	unsigned looks;          /* at the descriptors, since a timer was found to be late */
	int last_n;              /* descriptors served in the last turn */
	uint64_t sleep_until_us; /* until when the thread in loop_run() sleeps at most */
	struct loop_wait wait;

	struct fds fds;
	int wakefd;
	atomic_bool stop;
};

/* The innermost loop that this thread holds: a task of one loop may post to another, idle one. */
static __thread const struct loop *held;

enum im_rc
loop_new(struct loop **ret_loop, struct im_err *err)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return err_set(err, IM_ENOMEM, "no memory for an event loop");
	(void)pthread_mutex_init(&l->run, NULL);
	(void)pthread_mutex_init(&l->qlock, NULL);
	list_init(&l->queue);
	list_init(&l->last);
	l->sleep_until_us = UINT64_MAX;
	l->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!fds_init(&l->fds, l->wakefd)) {
		err_errno(err, IM_EIO, errno, "cannot make an event loop; check 'ulimit -n'");
		loop_free(l);
		return IM_EIO;
	}
	*ret_loop = l;
	return IM_OK;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	/* The last task, or loop_stop(), may have told somebody to free the loop while its thread was on its way out. */
	while (atomic_load(&l->posters) > 0)
		(void)sched_yield();
	assert(list_empty(&l->queue) && list_empty(&l->last) && l->timers.count == 0 &&
	       atomic_load(&l->wait.beside) == 0);
	fds_done(&l->fds);
	if (l->wakefd >= 0)
		(void)close(l->wakefd);
	(void)pthread_mutex_destroy(&l->run);
	(void)pthread_mutex_destroy(&l->qlock);
	timers_done(&l->timers);
	free(l);
}

static void
wake(struct loop *l)
{
	int saved = errno; /* a signal handler may call us */
	uint64_t one = 1;
	ssize_t n = write(l->wakefd, &one, sizeof(one));

	(void)n; /* a full counter wakes just as well */
	errno = saved;
}

static void
woken(struct loop *l)
{
	uint64_t count;
	ssize_t n = read(l->wakefd, &count, sizeof(count));

	(void)n; /* only there to wake us */
}

static struct loop_task *
queue_pop(struct loop *l)
{
	struct list *node;
	struct loop_task *t = NULL;

	if (atomic_load(&l->queued) == 0)
		return NULL;
	(void)pthread_mutex_lock(&l->qlock);
	node = list_pop_front(&l->queue);
	if (node != NULL) {
		t = CONTAINER_OF(node, struct loop_task, node);
		t->queued = false;
		atomic_fetch_sub(&l->queued, 1);
	}
	(void)pthread_mutex_unlock(&l->qlock);
	return t;
}

static void
run_last(struct loop *l)
{
	struct list *node;

	while ((node = list_pop_front(&l->last)) != NULL) {
		struct loop_task *t = CONTAINER_OF(node, struct loop_task, node);

		(void)pthread_mutex_lock(
		    &l->qlock); /* other threads may post it: 'queued' is theirs too */
		t->queued = false;
		(void)pthread_mutex_unlock(&l->qlock);
		t->fn(t->arg);
	}
}

/* Run what is queued, all of it or one batch. With 'run' held. */
static void
drain(struct loop *l, bool one_batch)
{
	unsigned done = 0;
	struct loop_task *t;

	for (;;) {
		while ((t = queue_pop(l)) != NULL) {
			t->fn(t->arg);
			if (++done >= LOOP_BATCH && (one_batch || atomic_load(&l->waiters) > 0)) {
				run_last(l);
				return;
			}
		}
		if (list_empty(&l->last))
			return;
		run_last(l);
	}
}

/* Run and let go, until nothing is queued or somebody else is there to run it. With 'run' held. */
static void
finish(struct loop *l, const struct loop *outer)
{
	for (;;) {
		drain(l, false);
		held = outer;
		(void)pthread_mutex_unlock(&l->run);
		if (atomic_load(&l->queued) == 0 || atomic_load(&l->waiters) > 0)
			return;
		if (pthread_mutex_trylock(&l->run) != 0)
			return;
		held = l;
	}
}

static void
queue_push(struct loop *l, struct loop_task *t)
{
	(void)pthread_mutex_lock(&l->qlock);
	if (!t->queued) {
		t->queued = true;
		list_push_back(&l->queue, &t->node);
		atomic_fetch_add(&l->queued, 1);
	}
	(void)pthread_mutex_unlock(&l->qlock);
}

void
loop_post(struct loop *l, struct loop_task *t)
{
	const struct loop *outer = held;

	atomic_fetch_add(&l->posters, 1);
	queue_push(l, t);
	if (outer != l && pthread_mutex_trylock(&l->run) == 0) {
		held = l;
		finish(l, outer);
	}
	atomic_fetch_sub(&l->posters, 1);
}

void
loop_hand(struct loop *l, struct loop_task *t)
{
	assert(!loop_is_held(l));
	atomic_fetch_add(&l->posters, 1);
	queue_push(l, t);
	/* Who holds the loop will look at the queue. Somebody who tried meanwhile relies on us, and is served as well. */
	if (pthread_mutex_trylock(&l->run) == 0) {
		(void)pthread_mutex_unlock(&l->run);
		wake(l);
	}
	atomic_fetch_sub(&l->posters, 1);
}

void
loop_post_last(struct loop *l, struct loop_task *t)
{
	assert(loop_is_held(l));
	(void)pthread_mutex_lock(&l->qlock);
	if (!t->queued) {
		t->queued = true;
		list_push_back(&l->last, &t->node);
	}
	(void)pthread_mutex_unlock(&l->qlock);
}

void
loop_cancel(struct loop *l, struct loop_task *t)
{
	assert(loop_is_held(l));
	(void)pthread_mutex_lock(&l->qlock);
	if (t->queued && list_linked(&t->node)) {
		bool in_last = false;

		LIST_FOREACH (&l->last, other, struct loop_task, node)
			in_last = in_last || other == t;
		list_remove(&t->node);
		t->queued = false;
		if (!in_last)
			atomic_fetch_sub(&l->queued, 1);
	}
	(void)pthread_mutex_unlock(&l->qlock);
}

void
loop_enter(struct loop *l)
{
	assert(held != l);
	atomic_fetch_add(&l->waiters, 1);
	(void)pthread_mutex_lock(&l->run);
	atomic_fetch_sub(&l->waiters, 1);
	held = l;
}

void
loop_leave(struct loop *l)
{
	assert(held == l);
	finish(l, NULL);
}

bool
loop_is_held(struct loop *l)
{
	return held == l;
}

/* Timers. */

enum im_rc
loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_us)
{
	uint64_t at_us;

	assert(loop_is_held(l));
	if (__builtin_add_overflow(clock_mono_us(), delay_us, &at_us))
		at_us = UINT64_MAX;
	if (!timers_set(&l->timers, t, at_us))
		return IM_ENOMEM;
	if (at_us < l->sleep_until_us) {
		l->sleep_until_us = at_us;
		wake(l);
	}
	return IM_OK;
}

void
loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
	if (t->heap_pos == 0)
		return;
	assert(loop_is_held(l));
	timers_remove(&l->timers, t);
}

bool
loop_timer_armed(const struct loop_timer *t)
{
	return t->heap_pos != 0;
}

/* True if any was due. */
static bool
fire_timers(struct loop *l, uint64_t now_us)
{
	struct loop_timer *t;
	bool fired = false;

	while ((t = timers_first(&l->timers)) != NULL && t->at_us <= now_us) {
		timers_remove(&l->timers, t);
		t->fn(t->arg);
		fired = true;
	}
	return fired;
}

/* Descriptors. */

enum im_rc
loop_fd_add(struct loop *l, struct loop_fd *w, uint32_t events)
{
	assert(loop_is_held(l));
	return fds_add(&l->fds, w, events);
}

void
loop_fd_events(struct loop *l, struct loop_fd *w, uint32_t events)
{
	assert(loop_is_held(l));
	fds_events(&l->fds, w, events);
}

void
loop_fd_del(struct loop *l, struct loop_fd *w)
{
	if (w->slot == 0)
		return;
	assert(loop_is_held(l));
	fds_del(&l->fds, w);
}

void
loop_poll_busily(struct loop *l, uint32_t max_us)
{
	assert(loop_is_held(l));
	l->wait.poll_us = max_us;
}

void
loop_beside(struct loop *l, bool more)
{
	(void)(more ? atomic_fetch_add(&l->wait.beside, 1) : atomic_fetch_sub(&l->wait.beside, 1));
}

/* What came while this process did not run lies in its descriptors: they are looked at, for some turns if they are many, before somebody is
 * told that nothing came in time. */
static bool
must_look_first(struct loop *l, const struct loop_timer *first, uint64_t now_us)
{
	bool late = now_us > first->at_us && now_us - first->at_us >= LATE_US;
	bool more = l->looks == 0 || l->last_n == FDS_EVENTS || atomic_load(&l->queued) > 0;

	l->looks = late && more && l->looks < LOOKS_MAX ? l->looks + 1 : 0;
	return l->looks > 0;
}

/* Run tasks and timers, let go and wait for descriptors; with 'run' held and not any more. Returns their number. Tasks that
 * post each other without end do not keep timers and descriptors waiting: one batch of them is run. */
static int
wait_events(struct loop *l, struct epoll_event ev[FDS_EVENTS])
{
	const struct loop_timer *first;
	uint64_t until_us = UINT64_MAX, now_us;
	bool more;

	drain(l, true);
	if ((first = timers_first(&l->timers)) != NULL) {
		now_us = clock_mono_us();
		if (!must_look_first(l, first, now_us) && fire_timers(l, now_us))
			drain(l, true);
		first = timers_first(&l->timers);
		until_us = first != NULL ? first->at_us : UINT64_MAX;
	} else {
		l->looks = 0;
	}
	l->sleep_until_us = until_us;
	held = NULL;
	(void)pthread_mutex_unlock(&l->run);
	more = atomic_load(&l->queued) > 0;
	/* An earlier timer that is set from here on writes wakefd. */
	return loop_wait_fds(&l->wait, l->fds.epfd[0], ev, FDS_EVENTS, more ? 0 : until_us);
}

void
loop_run(struct loop *l)
{
	struct epoll_event ev[FDS_EVENTS];

	loop_enter(l);
	while (!atomic_exchange(&l->stop, false)) {
		/* Events, and the tasks and timers that come of them, in one turn: the loop is taken once for all. */
		l->last_n = wait_events(l, ev);
		loop_enter(l);
		l->sleep_until_us = 0; /* awake: nobody needs to wake us */
		if (fds_serve(&l->fds, ev, l->last_n))
			woken(l);
	}
	loop_leave(l); /* what was posted before the stop runs before we return */
}

void
loop_stop(struct loop *l)
{
	/* loop_run() may return, and its thread free the loop, before 'wakefd' is written to. */
	atomic_fetch_add(&l->posters, 1);
	atomic_store(&l->stop, true);
	wake(l);
	atomic_fetch_sub(&l->posters, 1);
}
