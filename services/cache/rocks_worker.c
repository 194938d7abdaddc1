/*
 * cache/rocks_worker.c - see rocks_worker.h.
 */
#include "cache/rocks_worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/thread.h"

#define CHECK_US     1000000 /* how often the folder is looked at */
#define PAUSE_MIN_US 500000  /* between attempts to open it; doubles */
#define PAUSE_MAX_US 8000000
#define BATCH_MAX    256
#define PURGE_STEP   500
#define STOP_US      2000000 /* for what waits to be written when it is stopped */

struct rocks_worker {
	struct loop *loop;
	struct rocks_params params;
	char *dir;
	pthread_t thread;
	struct loop_task changed_task, stopped_task;
	loop_fn stopped;
	void *stopped_arg;

	/* The thread's alone. */
	struct rocks *rocks;
	struct list purges; /* under way and next */
	bool purging;
	uint64_t check_us, open_us, pause_us;

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t wake;
	struct list gets, changes; /* rocks_job.node */
	struct rocks_state state;
	bool stop;
};

static void
give_back(struct rocks_worker *w, struct rocks_job *job)
{
	loop_hand(w->loop, &job->task);
}

static void
say(struct rocks_worker *w, bool open, bool lost, const struct im_err *why)
{
	struct rocks_state s = { .open = open, .lost = lost };

	if (open)
		rocks_size(w->rocks, &s.size);
	else
		s.why = *why;
	(void)pthread_mutex_lock(&w->lock);
	w->state = s;
	(void)pthread_mutex_unlock(&w->lock);
	loop_hand(w->loop, &w->changed_task);
}

/* The folder is of no use as it is. */
static void
go_away(struct rocks_worker *w, const struct im_err *why)
{
	rocks_close(w->rocks);
	w->rocks = NULL;
	w->purging = false;
	w->open_us = clock_mono_us() + w->pause_us;
	w->pause_us = w->pause_us * 2 < PAUSE_MAX_US ? w->pause_us * 2 : PAUSE_MAX_US;
	say(w, false, false, why);
}

static void
come(struct rocks_worker *w)
{
	struct im_err err;
	bool lost;

	if (rocks_open(&w->params, &w->rocks, &lost, &err) != IM_OK) {
		w->rocks = NULL;
		go_away(w, &err);
		return;
	}
	say(w, true, lost, NULL);
	w->check_us = clock_mono_us() + CHECK_US;
}

static void
check(struct rocks_worker *w)
{
	struct im_err err;

	w->check_us = clock_mono_us() + CHECK_US;
	if (rocks_is_there(w->rocks)) {
		w->pause_us = PAUSE_MIN_US;
		say(w, true, false, NULL);
		return;
	}
	(void)err_set(&err, IM_EIO, "cache.l2_dir is gone, or another one than was opened");
	go_away(w, &err);
}

static void
not_open(struct rocks_job *job)
{
	(void)err_set(&job->err, IM_EUNAVAILABLE, "cache.l2_dir is not open");
}

static void
answer(struct rocks_worker *w, struct list *gets)
{
	struct list *node;

	while ((node = list_pop_front(gets)) != NULL) {
		struct rocks_job *job = CONTAINER_OF(node, struct rocks_job, node);

		if (w->rocks == NULL)
			not_open(job);
		else
			job->err.rc = rocks_get(w->rocks, job->key, clock_wall_us(), &job->kept,
						&job->len, &job->err);
		give_back(w, job);
	}
}

/* All of them with one write. */
static void
change(struct rocks_worker *w, struct list *changes)
{
	struct list *node;
	struct im_err err = { .rc = IM_OK };

	if (list_empty(changes))
		return;
	LIST_FOREACH (changes, job, struct rocks_job, node)
		if (w->rocks != NULL)
			rocks_change(w->rocks, job->key, job->expires_us,
				     job->kind == ROCKS_PUT ? job->frame : NULL, job->len);
	if (w->rocks == NULL)
		(void)err_set(&err, IM_EUNAVAILABLE, "cache.l2_dir is not open");
	else
		err.rc = rocks_write(w->rocks, &err);
	while ((node = list_pop_front(changes)) != NULL) {
		struct rocks_job *job = CONTAINER_OF(node, struct rocks_job, node);

		job->err = err;
		give_back(w, job);
	}
	if (w->rocks != NULL && err.rc != IM_OK)
		go_away(w, &err);
}

static void
purge(struct rocks_worker *w, bool stop)
{
	struct rocks_job *job;
	bool end = true;

	if (list_empty(&w->purges))
		return;
	job = CONTAINER_OF(w->purges.next, struct rocks_job, node);
	if (w->rocks == NULL || stop) {
		not_open(job);
	} else {
		if (!w->purging)
			rocks_purge_begin(w->rocks);
		w->purging = true;
		job->err.rc = rocks_purge_step(w->rocks, &job->sel, PURGE_STEP, &job->removed, &end,
					       &job->err);
	}
	if (!end && job->err.rc == IM_OK)
		return;
	if (w->rocks != NULL && job->err.rc != IM_OK && !stop)
		go_away(w, &job->err);
	w->purging = false;
	list_remove(&job->node);
	give_back(w, job);
}

/* Up to BATCH_MAX changes; a purge ends the batch, so that it begins behind what was put before it. */
static void
take_changes(struct rocks_worker *w, struct list *ret)
{
	for (unsigned n = 0;
	     n < BATCH_MAX && !list_empty(&w->changes) && (list_empty(&w->purges) || w->purging);
	     n++) {
		struct rocks_job *job = CONTAINER_OF(w->changes.next, struct rocks_job, node);

		list_remove(&job->node);
		list_push_back(job->kind == ROCKS_PURGE ? &w->purges : ret, &job->node);
	}
}

/* With the lock: until there is something to do. */
static void
wait_for_work(struct rocks_worker *w)
{
	uint64_t until_us = w->rocks != NULL ? w->check_us : w->open_us;
	const struct timespec until = { (time_t)(until_us / 1000000),
					(long)(until_us % 1000000 * 1000) };

	while (!w->stop && list_empty(&w->gets) && list_empty(&w->changes) &&
	       clock_mono_us() < until_us)
		(void)pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

/* False: it is over. */
static bool
turn(struct rocks_worker *w, uint64_t *stop_us)
{
	struct list gets, changes;
	bool stop, idle;

	list_init(&gets);
	list_init(&changes);
	(void)pthread_mutex_lock(&w->lock);
	if (list_empty(&w->purges))
		wait_for_work(w);
	list_move_all(&gets, &w->gets);
	take_changes(w, &changes);
	stop = w->stop;
	idle = list_empty(&gets) && list_empty(&changes) && list_empty(&w->changes);
	(void)pthread_mutex_unlock(&w->lock);
	answer(w, &gets);
	change(w, &changes);
	if (stop && *stop_us == 0)
		*stop_us = clock_mono_us() + STOP_US;
	if (stop && clock_mono_us() >= *stop_us) { /* what is left is given back undone */
		rocks_close(w->rocks);
		w->rocks = NULL;
	}
	purge(w, stop);
	if (!stop && w->rocks == NULL && clock_mono_us() >= w->open_us)
		come(w);
	else if (!stop && w->rocks != NULL && clock_mono_us() >= w->check_us)
		check(w);
	return !stop || !idle || !list_empty(&w->purges);
}

static void *
run(void *arg)
{
	struct rocks_worker *w = arg;
	uint64_t stop_us = 0;

	while (turn(w, &stop_us))
		continue;
	rocks_close(w->rocks);
	loop_hand(w->loop, &w->stopped_task);
	return NULL;
}

static void
release(struct rocks_worker *w)
{
	(void)pthread_mutex_destroy(&w->lock);
	(void)pthread_cond_destroy(&w->wake);
	free(w->dir);
	free(w);
}

/* On the loop, behind every job that was given back. */
static void
on_stopped(void *arg)
{
	struct rocks_worker *w = arg;
	loop_fn stopped = w->stopped;
	void *stopped_arg = w->stopped_arg;

	(void)pthread_join(w->thread, NULL);
	loop_cancel(w->loop, &w->changed_task);
	release(w);
	stopped(stopped_arg);
}

enum im_rc
rocks_worker_new(struct loop *loop, const struct rocks_params *params, loop_fn changed, void *arg,
		 struct rocks_worker **ret, struct im_err *err)
{
	struct rocks_worker *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;
	int failed;

	if (w == NULL || (w->dir = strdup(params->dir)) == NULL) {
		free(w);
		return err_set(err, IM_ENOMEM, "no memory for the cache on disk");
	}
	w->loop = loop;
	w->params = *params;
	w->params.dir = w->dir;
	w->pause_us = PAUSE_MIN_US;
	w->changed_task = (struct loop_task){ .fn = changed, .arg = arg };
	w->stopped_task = (struct loop_task){ .fn = on_stopped, .arg = w };
	list_init(&w->gets);
	list_init(&w->changes);
	list_init(&w->purges);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	failed = thread_start(&w->thread, run, w);
	if (failed != 0) {
		release(w);
		return err_errno(err, IM_ENOMEM, failed, "no thread for the cache on disk");
	}
	*ret = w;
	return IM_OK;
}

void
rocks_worker_do(struct rocks_worker *w, struct rocks_job *job)
{
	(void)pthread_mutex_lock(&w->lock);
	list_push_back(job->kind == ROCKS_GET ? &w->gets : &w->changes, &job->node);
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
}

void
rocks_worker_state(struct rocks_worker *w, struct rocks_state *ret)
{
	(void)pthread_mutex_lock(&w->lock);
	*ret = w->state;
	(void)pthread_mutex_unlock(&w->lock);
}

void
rocks_worker_stop(struct rocks_worker *w, loop_fn stopped, void *arg)
{
	w->stopped = stopped;
	w->stopped_arg = arg;
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
}
