/*
 * cache/entry_disk.c - see entry_disk.h.
 */
#include "cache/entry_disk.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/thread.h"
#include "cache/entry_db.h"

#define CHECK_US     1000000 /* how often the folder is looked at */
#define PAUSE_MIN_US 500000  /* between attempts to open it; doubles */
#define PAUSE_MAX_US 8000000

struct entry_disk {
	struct loop *loop;
	struct entry_map_params map;
	pthread_t thread;
	struct loop_task changed_task, stopped_task;
	loop_fn stopped;
	void *stopped_arg;

	/* The thread's alone. */
	struct entry_db *db;
	bool is_open;
	uint64_t generation, open_us, check_us, pause_us;

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t wake;
	struct entry_batch *batch; /* to be written */
	struct entry_disk_state state;
	bool low; /* too little room to write */
	bool stop;
};

static void
look_at_room(struct entry_disk *d)
{
	bool low = entry_db_is_low(d->db);

	(void)pthread_mutex_lock(&d->lock);
	d->low = low;
	(void)pthread_mutex_unlock(&d->lock);
}

bool
entry_disk_is_low(struct entry_disk *d)
{
	bool low;

	(void)pthread_mutex_lock(&d->lock);
	low = d->low;
	(void)pthread_mutex_unlock(&d->lock);
	return low;
}

static void
say(struct entry_disk *d, struct entry_map *loaded, const struct im_err *why)
{
	struct entry_map *old;

	(void)pthread_mutex_lock(&d->lock);
	old = d->state.loaded;
	d->state = (struct entry_disk_state){ .loaded = loaded };
	if (why != NULL)
		d->state.why = *why;
	else
		d->state.generation = d->generation;
	(void)pthread_mutex_unlock(&d->lock);
	entry_map_free(old);
	loop_hand(d->loop, &d->changed_task);
}

static void
go_away(struct entry_disk *d, const struct im_err *why)
{
	entry_db_close(d->db);
	d->is_open = false;
	d->open_us = clock_mono_us() + d->pause_us;
	d->pause_us = d->pause_us * 2 < PAUSE_MAX_US ? d->pause_us * 2 : PAUSE_MAX_US;
	say(d, NULL, why);
}

static void
come(struct entry_disk *d)
{
	struct entry_map *map;
	struct im_err err;

	if (entry_db_open(d->db, &d->map, &map, &err) != IM_OK) {
		go_away(d, &err);
		return;
	}
	d->is_open = true;
	d->generation++;
	d->check_us = clock_mono_us() + CHECK_US;
	look_at_room(d);
	say(d, map, NULL);
}

static void
check(struct entry_disk *d)
{
	struct im_err err;

	d->check_us = clock_mono_us() + CHECK_US;
	look_at_room(d);
	if (entry_db_check(d->db, &err) == IM_OK)
		d->pause_us = PAUSE_MIN_US;
	else
		go_away(d, &err);
}

static void
serve(struct entry_disk *d, struct entry_batch *b)
{
	struct im_err err = { .rc = IM_OK };

	if (d->is_open && b->generation == d->generation) {
		b->err.rc = entry_db_write(d->db, &b->changes, &b->err);
		err = b->err;
		look_at_room(d);
	} else {
		(void)err_set(&b->err, IM_EUNAVAILABLE, "the entries were closed meanwhile");
	}
	loop_hand(d->loop, &b->task);
	if (err.rc != IM_OK)
		go_away(d, &err);
}

/* With the lock: until there is something to do. */
static void
wait_for_work(struct entry_disk *d)
{
	uint64_t until_us = d->is_open ? d->check_us : d->open_us;
	const struct timespec until = { (time_t)(until_us / 1000000),
					(long)(until_us % 1000000 * 1000) };

	while (!d->stop && d->batch == NULL && clock_mono_us() < until_us)
		(void)pthread_cond_timedwait(&d->wake, &d->lock, &until);
}

static void *
run(void *arg)
{
	struct entry_disk *d = arg;
	struct entry_batch *b;
	bool stop;

	do {
		(void)pthread_mutex_lock(&d->lock);
		wait_for_work(d);
		b = d->batch;
		d->batch = NULL;
		stop = d->stop;
		(void)pthread_mutex_unlock(&d->lock);
		if (b != NULL)
			serve(d, b);
		if (!stop && !d->is_open && clock_mono_us() >= d->open_us)
			come(d);
		else if (!stop && d->is_open && clock_mono_us() >= d->check_us)
			check(d);
	} while (!stop);
	entry_db_close(d->db);
	loop_hand(d->loop, &d->stopped_task);
	return NULL;
}

static void
release(struct entry_disk *d)
{
	if (d->db != NULL)
		entry_db_free(d->db);
	entry_map_free(d->state.loaded);
	(void)pthread_mutex_destroy(&d->lock);
	(void)pthread_cond_destroy(&d->wake);
	free(d);
}

static void
on_stopped(void *arg)
{
	struct entry_disk *d = arg;
	loop_fn stopped = d->stopped;
	void *stopped_arg = d->stopped_arg;

	(void)pthread_join(d->thread, NULL);
	loop_cancel(d->loop, &d->changed_task);
	release(d);
	stopped(stopped_arg);
}

enum im_rc
entry_disk_new(struct loop *loop, const struct entry_disk_params *params, loop_fn changed,
	       void *arg, struct entry_disk **ret, struct im_err *err)
{
	struct entry_disk *d = calloc(1, sizeof(*d));
	pthread_condattr_t attr;
	enum im_rc rc;
	int e;

	if (d == NULL)
		return err_set(err, IM_ENOMEM, "no memory for entries");
	d->loop = loop;
	d->map = params->map;
	d->pause_us = PAUSE_MIN_US;
	d->changed_task = (struct loop_task){ .fn = changed, .arg = arg };
	d->stopped_task = (struct loop_task){ .fn = on_stopped, .arg = d };
	(void)err_set(&d->state.why, IM_EUNAVAILABLE, "the entries are being loaded");
	(void)pthread_mutex_init(&d->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&d->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	rc = entry_db_new(params->parent, &d->db, err);
	if (rc == IM_OK && (e = thread_start(&d->thread, run, d)) != 0)
		rc = err_errno(err, IM_ENOMEM, e, "no thread for entries");
	if (rc != IM_OK) {
		release(d);
		return rc;
	}
	*ret = d;
	return IM_OK;
}

void
entry_disk_write(struct entry_disk *d, struct entry_batch *b)
{
	(void)pthread_mutex_lock(&d->lock);
	d->batch = b;
	(void)pthread_cond_signal(&d->wake);
	(void)pthread_mutex_unlock(&d->lock);
}

void
entry_disk_take(struct entry_disk *d, struct entry_disk_state *ret)
{
	(void)pthread_mutex_lock(&d->lock);
	*ret = d->state;
	d->state.loaded = NULL;
	(void)pthread_mutex_unlock(&d->lock);
}

void
entry_disk_stop(struct entry_disk *d, loop_fn stopped, void *arg)
{
	d->stopped = stopped;
	d->stopped_arg = arg;
	(void)pthread_mutex_lock(&d->lock);
	d->stop = true;
	(void)pthread_cond_signal(&d->wake);
	(void)pthread_mutex_unlock(&d->lock);
}
