/*
 * audit/publisher.c - the thread behind the commit thread; see publisher.h.
 */
#include "audit/publisher.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/thread.h"

enum im_rc
publisher_init(struct publisher *p, uint64_t publish_ms, audit_fatal_fn fatal, void *user,
	       struct im_err *err)
{
	pthread_condattr_t attr;
	int failed;

	p->publish_ms = publish_ms;
	p->fatal = fatal;
	p->user = user;
	p->published = p->store.published;
	list_init(&p->chunks);
	list_init(&p->older);
	list_init(&p->gone);
	(void)pthread_mutex_init(&p->lock, NULL);
	failed = pthread_condattr_init(&attr);
	if (failed == 0) {
		(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		failed = pthread_cond_init(&p->wake, &attr);
		if (failed == 0)
			failed = pthread_cond_init(&p->freed, &attr);
		(void)pthread_condattr_destroy(&attr);
	}
	return failed == 0 ? IM_OK : err_set(err, IM_ENOMEM, "no memory for the publisher");
}

void
publisher_push(struct publisher *p, struct chunk *c)
{
	bool wake;

	(void)pthread_mutex_lock(&p->lock);
	/* Between the first and too many it sleeps until the time is up anyway. */
	wake = list_empty(&p->chunks) || p->backlog + chunk_bytes(c) >= PUBLISHER_EARLY;
	list_push_back(&p->chunks, &c->node);
	p->backlog += chunk_bytes(c);
	if (wake)
		(void)pthread_cond_signal(&p->wake);
	(void)pthread_mutex_unlock(&p->lock);
}

void
publisher_close(struct publisher *p, struct list *gone)
{
	if (list_empty(gone))
		return;
	(void)pthread_mutex_lock(&p->lock);
	list_move_all(&p->gone, gone);
	(void)pthread_mutex_unlock(&p->lock);
}

enum im_rc
publisher_room(struct publisher *p, struct im_err *err)
{
	enum im_rc rc = IM_OK;
	struct timespec until;

	(void)pthread_mutex_lock(&p->lock);
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PUBLISHER_PATIENCE_MS / 1000;
	while (p->backlog >= PUBLISHER_BACKLOG_MAX && p->running && p->trouble.rc == IM_OK &&
	       pthread_cond_timedwait(&p->freed, &p->lock, &until) == 0)
		;
	if (p->backlog >= PUBLISHER_BACKLOG_MAX) {
		if (p->trouble.rc != IM_OK)
			rc = err_reason(err, IM_EUNAVAILABLE, DISK_UNAVAILABLE, "%s",
					p->trouble.text);
		else
			rc = err_reason(err, IM_EUNAVAILABLE, DISK_UNAVAILABLE,
					"the disk of %s is too slow for the tiles", p->store.dir);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return rc;
}

enum im_rc
publisher_trouble(struct publisher *p, struct im_err *err)
{
	enum im_rc rc;

	(void)pthread_mutex_lock(&p->lock);
	rc = p->trouble.rc;
	if (rc != IM_OK && err != NULL)
		*err = p->trouble;
	(void)pthread_mutex_unlock(&p->lock);
	return rc;
}

uint64_t
publisher_published(struct publisher *p)
{
	uint64_t v;

	(void)pthread_mutex_lock(&p->lock);
	v = p->published;
	(void)pthread_mutex_unlock(&p->lock);
	return v;
}

uint64_t
publisher_published_number(struct publisher *p)
{
	uint64_t v;

	(void)pthread_mutex_lock(&p->lock);
	v = p->base + p->published;
	(void)pthread_mutex_unlock(&p->lock);
	return v;
}

void
publisher_pending(struct publisher *p, const char *dir, uint64_t *first)
{
	(void)pthread_mutex_lock(&p->lock);
	LIST_FOREACH (&p->older, o, struct pruning, node)
		if (strcmp(o->dir, dir) == 0 && o->min_index > *first)
			*first = o->min_index;
	(void)pthread_mutex_unlock(&p->lock);
}

void
publisher_prune_older(struct publisher *p, struct pruning *pruning)
{
	(void)pthread_mutex_lock(&p->lock);
	list_push_back(&p->older, &pruning->node);
	(void)pthread_cond_signal(&p->wake);
	(void)pthread_mutex_unlock(&p->lock);
}

void
publisher_prune(struct publisher *p, uint64_t min_index, uint64_t record)
{
	(void)pthread_mutex_lock(&p->lock);
	if (min_index > p->prune_min) {
		p->prune_min = min_index;
		p->prune_after = record + 1;
		(void)pthread_cond_signal(&p->wake);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

uint64_t
publisher_minimum(struct publisher *p)
{
	uint64_t v;

	(void)pthread_mutex_lock(&p->lock);
	v = p->prune_min > p->first ? p->prune_min : p->first;
	(void)pthread_mutex_unlock(&p->lock);
	return v;
}

/* The first older shard of which something is to be deleted, and the record of that published. Under the lock. */
static struct pruning *
older_due(const struct publisher *p)
{
	LIST_FOREACH (&p->older, o, struct pruning, node)
		if (p->published >= o->after)
			return o;
	return NULL;
}

/* Is there something to delete, and the record of it published? Under the lock. */
static bool
prune_due(const struct publisher *p)
{
	return (p->first < p->prune_min && p->published >= p->prune_after) || older_due(p) != NULL;
}

/* The older shards first: entries go in the order in which they came. */
static enum im_rc
prune_older(struct publisher *p, struct pruning *o, struct im_err *err)
{
	enum im_rc rc =
	    store_prune(p->store.ops, o->dir, &o->first, o->min_index, PUBLISHER_PRUNE, err);

	if (rc == IM_OK && o->first >= o->min_index) {
		(void)pthread_mutex_lock(&p->lock);
		list_remove(&o->node);
		(void)pthread_mutex_unlock(&p->lock);
		free(o);
	}
	return rc;
}

/* Some of what is to be deleted; the rest when the next pass comes. */
static enum im_rc
prune_some(struct publisher *p, struct im_err *err)
{
	uint64_t first, min_index;
	struct pruning *older;
	enum im_rc rc = IM_OK;
	bool due;

	(void)pthread_mutex_lock(&p->lock);
	p->published = p->store.published;
	due = prune_due(p);
	older = older_due(p);
	first = p->first;
	min_index = p->prune_min;
	(void)pthread_mutex_unlock(&p->lock);
	if (older != NULL)
		return prune_older(p, older, err);
	if (due)
		rc = store_prune(p->store.ops, p->store.dir, &first, min_index, PUBLISHER_PRUNE,
				 err);
	(void)pthread_mutex_lock(&p->lock);
	p->first = first;
	(void)pthread_mutex_unlock(&p->lock);
	return rc;
}

static struct chunk *
first_chunk(struct publisher *p)
{
	struct chunk *c = NULL;

	(void)pthread_mutex_lock(&p->lock);
	if (!list_empty(&p->chunks))
		c = CONTAINER_OF(p->chunks.next, struct chunk, node);
	(void)pthread_mutex_unlock(&p->lock);
	return c;
}

static void
drop_chunk(struct publisher *p, struct chunk *c)
{
	p->dropped += chunk_bytes(c);
	(void)pthread_mutex_lock(&p->lock);
	list_remove(&c->node);
	p->backlog -= chunk_bytes(c);
	(void)pthread_cond_signal(&p->freed);
	(void)pthread_mutex_unlock(&p->lock);
	chunk_free(c);
}

static struct chunk *
last_chunk(struct publisher *p)
{
	struct chunk *c = NULL;

	(void)pthread_mutex_lock(&p->lock);
	if (!list_empty(&p->chunks))
		c = CONTAINER_OF(p->chunks.prev, struct chunk, node);
	(void)pthread_mutex_unlock(&p->lock);
	return c;
}

/* Take in some chunks up to 'last', which stays: its checkpoint is needed to publish. '*ret_all': it was the last. */
static enum im_rc
take_in(struct publisher *p, const struct chunk *last, bool *ret_all, struct im_err *err)
{
	size_t taken = 0;

	*ret_all = false;
	while (!*ret_all && taken < PUBLISHER_PORTION) {
		struct chunk *c = first_chunk(p);
		enum im_rc rc = store_add(&p->store, c, err);

		if (rc != IM_OK)
			return rc;
		taken += chunk_bytes(c);
		*ret_all = c == last;
		if (c != last)
			drop_chunk(p, c);
	}
	return IM_OK;
}

/*
 * What waits now becomes tiles, all of it but not what comes meanwhile: else no checkpoint would ever be published. In portions,
 * each of which is written before the next is taken in: what the store holds counts to nobody's bound.
 */
static enum im_rc
write_tiles(struct publisher *p, const struct chunk *last, struct im_err *err)
{
	enum im_rc rc = store_flush(&p->store, err); /* what an earlier pass could not write */
	bool all = last == NULL;

	while (rc == IM_OK && !all) {
		rc = take_in(p, last, &all, err);
		if (rc == IM_OK)
			rc = store_flush(&p->store, err);
	}
	return rc;
}

/*
 * After a burst most of the heap is free, but its end is not: one small block there, the newest checkpoint, and free() gives nothing
 * back of what 64 MiB of chunks took. Only when little waits: else it would be needed again at once.
 */
static void
trim(struct publisher *p)
{
	size_t waiting;

	(void)pthread_mutex_lock(&p->lock);
	waiting = p->backlog;
	(void)pthread_mutex_unlock(&p->lock);
	if (p->dropped < PUBLISHER_TRIM || waiting > PUBLISHER_PORTION)
		return;
	(void)malloc_trim(0);
	p->dropped = 0;
}

enum im_rc
publisher_pass(struct publisher *p, bool publish, struct im_err *err)
{
	struct chunk *last = last_chunk(p);
	struct im_err why = { 0 };
	struct list gone;
	enum im_rc rc;

	list_init(&gone);
	rc = write_tiles(p, last, &why);
	if (rc == IM_OK && publish && last != NULL)
		rc = store_publish(&p->store, last->checkpoint, last->checkpoint_len, &why);
	if (rc == IM_OK && publish && last != NULL && p->told != NULL)
		p->told(p->told_user, last->checkpoint, last->checkpoint_len);
	if (rc == IM_OK && publish && last != NULL)
		drop_chunk(p, last);
	if (rc == IM_OK)
		rc = prune_some(p, &why);
	if (rc == IM_OK && publish)
		trim(p);
	(void)pthread_mutex_lock(&p->lock);
	p->published = p->store.published;
	p->trouble = why;
	p->trouble.rc = rc;
	list_move_all(&gone, &p->gone);
	(void)pthread_cond_signal(&p->freed);
	(void)pthread_mutex_unlock(&p->lock);
	disk_gone_close(&gone);
	if (rc != IM_OK && err != NULL)
		*err = why;
	return rc;
}

/* Wait for work. Returns false when it is time to stop. */
static bool
wait_for_work(struct publisher *p, uint64_t due_ms)
{
	struct timespec until = { (time_t)(due_ms / 1000), (long)(due_ms % 1000) * 1000000 };
	bool stop;

	(void)pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		if (prune_due(p) && p->trouble.rc == IM_OK)
			break;
		if (list_empty(&p->chunks) && !prune_due(p)) {
			(void)pthread_cond_wait(&p->wake, &p->lock);
			continue;
		}
		if ((p->backlog >= PUBLISHER_EARLY && p->trouble.rc == IM_OK) ||
		    clock_mono_ms() >= due_ms)
			break;
		(void)pthread_cond_timedwait(&p->wake, &p->lock, &until);
	}
	stop = p->stop;
	(void)pthread_mutex_unlock(&p->lock);
	return !stop;
}

static void *
run(void *arg)
{
	struct publisher *p = arg;
	uint64_t due_ms = clock_mono_ms() + p->publish_ms;
	struct im_err err;
	bool going = true;

	/* Of this thread alone (setpriority(2), "NPTL"). Without the right to it everything is as well, only slower. */
	(void)setpriority(PRIO_PROCESS, 0, PUBLISHER_NICE);
	while (going) {
		bool due;
		enum im_rc rc;

		going = wait_for_work(p, due_ms);
		due = !going || clock_mono_ms() >= due_ms;
		rc = publisher_pass(p, due, &err);
		if (due)
			due_ms = clock_mono_ms() + p->publish_ms;
		if (rc == IM_EIO || rc == IM_ECORRUPT) {
			p->fatal(p->user, &err);
			break; /* only a test gets here */
		}
	}
	return NULL;
}

enum im_rc
publisher_start(struct publisher *p, struct im_err *err)
{
	int failed;

	failed = thread_start(&p->thread, run, p);
	if (failed != 0)
		return err_errno(err, IM_ENOMEM, failed, "cannot start the publishing thread");
	p->running = true;
	return IM_OK;
}

void
publisher_turn(struct publisher *p, struct store *next, uint64_t base, struct store *ret_store,
	       struct list *ret_chunks)
{
	list_init(ret_chunks);
	(void)pthread_mutex_lock(&p->lock);
	list_move_all(ret_chunks, &p->chunks);
	/* Sizes are counted anew. */
	LIST_FOREACH (&p->older, o, struct pruning, node)
		o->after = o->after <= p->published ? 0 : PRUNING_AFTER_END;
	store_move(ret_store, &p->store);
	store_move(&p->store, next);
	p->backlog = 0;
	p->published = p->store.published;
	p->base = base;
	p->first = p->prune_min = p->prune_after = 0;
	(void)pthread_mutex_unlock(&p->lock);
}

void
publisher_ended(struct publisher *p)
{
	(void)pthread_mutex_lock(&p->lock);
	LIST_FOREACH (&p->older, o, struct pruning, node)
		if (o->after == PRUNING_AFTER_END)
			o->after = 0;
	(void)pthread_cond_signal(&p->wake);
	(void)pthread_mutex_unlock(&p->lock);
}

void
publisher_stop(struct publisher *p)
{
	if (!p->running)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->stop = true;
	(void)pthread_cond_signal(&p->wake);
	(void)pthread_mutex_unlock(&p->lock);
	(void)pthread_join(p->thread, NULL);
	p->running = false;
	p->stop = false;
}

void
publisher_done(struct publisher *p)
{
	struct list *node;

	while ((node = list_pop_front(&p->chunks)) != NULL)
		chunk_free(CONTAINER_OF(node, struct chunk, node));
	while ((node = list_pop_front(&p->older)) != NULL)
		free(CONTAINER_OF(node, struct pruning, node));
	disk_gone_close(&p->gone);
	(void)pthread_cond_destroy(&p->wake);
	(void)pthread_cond_destroy(&p->freed);
	(void)pthread_mutex_destroy(&p->lock);
	store_done(&p->store);
}
