/*
 * audit/committer.c - the commit thread; see committer.h.
 *
 * A job's events need not fit into one frame. A job is done when its last event is durable, and failed as soon as a frame
 * with one of its events fails; what was durable before stays, and finds itself again when the job is sent again. With it
 * fails all that waits behind it: else the end of a request could come before its beginning, which is sent again later.
 */
#include "audit/committer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "audit/turn.h"
#include "base/clock.h"
#include "base/thread.h"

static const struct histogram_bounds batch_bounds = {
	14, { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16384 }
};
static const struct histogram_bounds sync_bounds = {
	15, { .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5 }
};

struct committer {
	struct loop *loop;
	struct audit_log *log; /* the thread's */
	audit_fatal_fn fatal;
	void *user;
	pthread_t thread;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	struct list queue; /* of struct commit_job */
	struct list done;
	size_t bytes; /* that queued and unfinished jobs take */
	struct commit_stats stats;
	bool stop;

	/* On the loop. */
	struct loop_task report; /* jobs in 'done' */
	struct loop_task ended;  /* the thread is about to return */
	struct loop_timer join;  /* armed from the beginning, so that arming it again cannot fail */
	const struct audit_event *last;
	loop_fn stopped;
	void *stopped_arg;
};

/* Jobs of the thread: 'work' waits, 'frame' has events in the present frame and no others to come. */
struct turn {
	struct list work;
	struct list frame;
	struct list done;
	uint64_t kinds[RECORD_STOP + 1];
};

static void
finish(struct turn *t, struct commit_job *job, const struct im_err *err)
{
	list_remove(&job->node);
	if (err != NULL)
		job->err = *err;
	else
		job->err.rc = IM_OK;
	list_push_back(&t->done, &job->node);
}

/* Under the lock, or before there is a thread. */
static void
note_shard(struct committer *c)
{
	const struct open_shard *s = &c->log->shard;

	c->stats.size = audit_log_size(c->log);
	c->stats.first = s->first;
	memcpy(c->stats.origin, s->signer.name, sizeof(c->stats.origin));
	note_signer_vkey(&s->signer, c->stats.vkey);
}

/* Go on in another shard if it is time. IM_OK, or IM_EIO: it is over. */
static enum im_rc
turn_if_due(struct committer *c, struct im_err *err)
{
	uint64_t first = c->log->shard.first;
	struct im_err why;
	enum im_rc rc;

	if (!audit_log_idle(c->log) || !audit_log_turn_due(c->log))
		return IM_OK;
	rc = audit_log_turn(c->log, &why);
	(void)pthread_mutex_lock(&c->lock);
	if (c->log->shard.first != first) {
		c->stats.records[RECORD_KEY_ROTATE] += 2;
		note_shard(c);
	}
	if (rc != IM_OK)
		c->stats.turn_trouble = why;
	else
		c->stats.turn_trouble.rc = IM_OK;
	(void)pthread_mutex_unlock(&c->lock);
	if (rc == IM_EIO)
		*err = why;
	return rc == IM_EIO ? rc : IM_OK;
}

/* What is no event is done alone. IM_OK, or IM_EIO: it is over. */
static enum im_rc
do_work(struct committer *c, struct turn *t, struct commit_job *job, struct im_err *err)
{
	uint64_t size = audit_log_size(c->log);
	enum im_rc rc = job->work(c->log, job->user, err);

	finish(t, job, rc == IM_OK ? NULL : err);
	(void)pthread_mutex_lock(&c->lock);
	note_shard(c); /* perhaps it is another one */
	c->stats.records[job->work_kind] += c->stats.size - size;
	(void)pthread_mutex_unlock(&c->lock);
	return rc == IM_EIO ? rc : IM_OK;
}

/* Put events into the frame until it is full, work is next, or nothing is left. IM_OK, or IM_EIO: it is over. */
static enum im_rc
gather(struct committer *c, struct turn *t, struct im_err *fatal)
{
	struct im_err err;

	LIST_FOREACH_SAFE (&t->work, job, struct commit_job, node) {
		if (job->work != NULL) {
			if (!audit_log_idle(c->log))
				return IM_OK; /* the frame first */
			if (do_work(c, t, job, fatal) != IM_OK)
				return IM_EIO;
			continue;
		}
		while (job->cursor < job->events.count) {
			const struct audit_event *e = &job->events.events[job->cursor];
			uint64_t size = c->log->next.size;
			enum im_rc rc = audit_log_add(c->log, e, &job->index[job->cursor], &err);

			if (rc == IM_EAGAIN)
				return IM_OK;
			if (rc != IM_OK) {
				finish(t, job, &err);
				break;
			}
			job->cursor++;
			if (c->log->next.size > size) /* else the log had it */
				t->kinds[e->kind]++;
		}
		if (job->cursor == job->events.count && list_linked(&job->node) &&
		    job->err.rc == IM_OK) {
			list_remove(&job->node);
			list_push_back(&t->frame, &job->node);
		}
	}
	return IM_OK;
}

/* Does the job only say that the log has a gap, or stops? Then it may use the reserve. */
static bool
urgent(const struct commit_job *job)
{
	if (job->work != NULL)
		return false;
	for (size_t i = 0; i < job->events.count; i++)
		if (job->events.events[i].kind != RECORD_GAP &&
		    job->events.events[i].kind != RECORD_STOP)
			return false;
	return true;
}

static void
note_commit(struct committer *c, const struct turn *t, uint64_t records, uint64_t began_us,
	    bool reserve, const struct im_err *failure)
{
	struct commit_stats *s = &c->stats;

	(void)pthread_mutex_lock(&c->lock);
	s->size = audit_log_size(c->log);
	s->open_requests = c->log->dedup.open;
	if (failure != NULL) {
		s->trouble = *failure;
		s->failures++;
	}
	if (failure == NULL && records > 0) {
		if (!reserve) /* else the disk is as full as before */
			s->trouble.rc = IM_OK;
		s->frames++;
		for (int k = 0; k <= RECORD_STOP; k++)
			s->records[k] += t->kinds[k];
		histogram_add(&s->batch, (double)records);
		histogram_add(&s->sync, (double)(clock_mono_us() - began_us) / 1e6);
	}
	(void)pthread_mutex_unlock(&c->lock);
}

/* Commit one frame and settle its jobs. */
static enum im_rc
commit(struct committer *c, struct turn *t, bool reserve, struct im_err *err)
{
	uint64_t began_us = clock_mono_us();
	uint64_t records = c->log->count;
	struct list *node;
	enum im_rc rc = audit_log_commit(c->log, reserve, err);

	note_commit(c, t, records, began_us, reserve, rc == IM_OK ? NULL : err);
	memset(t->kinds, 0, sizeof(t->kinds));
	if (rc != IM_OK)
		return rc;
	while (!list_empty(&t->frame)) {
		struct commit_job *job;

		node = t->frame.next;
		job = CONTAINER_OF(node, struct commit_job, node);
		job->checkpoint = strdup(c->log->checkpoint);
		if (job->checkpoint == NULL)
			(void)err_set(&job->err, IM_ENOMEM, "no memory for an answer");
		list_remove(node);
		list_push_back(&t->done, node);
	}
	return IM_OK;
}

/* Try a job alone, in the space that is reserved for it. */
static enum im_rc
commit_urgent(struct committer *c, struct commit_job *job, struct im_err *err)
{
	struct turn one = { .kinds = { 0 } };
	enum im_rc rc = IM_OK;

	list_init(&one.work);
	list_init(&one.frame);
	list_init(&one.done);
	job->cursor = 0;
	list_push_back(&one.work, &job->node);
	(void)gather(c, &one, err); /* there is no work among it */
	if (!list_empty(&one.frame))
		rc = commit(c, &one, true, err);
	else
		*err = job->err;
	list_remove(&job->node);
	return job->err.rc != IM_OK ? job->err.rc : rc;
}

static void
move_all(struct list *to, struct list *from)
{
	struct list *node;

	while ((node = list_pop_front(from)) != NULL)
		list_push_back(to, node);
}

/* The frame failed: so did all that waits, unless the reserve is there for it. IM_EIO: it is over. */
static enum im_rc
fail_frame(struct committer *c, struct turn *t, struct im_err *why)
{
	struct list failed;
	struct list *node;

	list_init(&failed);
	move_all(&failed, &t->frame);
	move_all(&failed, &t->work);
	(void)pthread_mutex_lock(&c->lock);
	move_all(&failed, &c->queue);
	(void)pthread_mutex_unlock(&c->lock);
	while ((node = list_pop_front(&failed)) != NULL) {
		struct commit_job *job = CONTAINER_OF(node, struct commit_job, node);
		struct im_err err = *why;
		enum im_rc rc = why->rc;

		if (rc == IM_EUNAVAILABLE && urgent(job))
			rc = commit_urgent(c, job, &err);
		finish(t, job, rc == IM_OK ? NULL : &err);
		if (rc == IM_EIO)
			*why = err; /* the rest fails with this */
	}
	return why->rc;
}

static void
hand_back(struct committer *c, struct turn *t)
{
	struct list *node;

	if (list_empty(&t->done))
		return;
	(void)pthread_mutex_lock(&c->lock);
	while ((node = list_pop_front(&t->done)) != NULL)
		list_push_back(&c->done, node);
	(void)pthread_mutex_unlock(&c->lock);
	loop_hand(c->loop, &c->report);
}

/* Commit everything in t->work. IM_OK, or IM_EIO: it is over. */
static enum im_rc
work_off(struct committer *c, struct turn *t, struct im_err *err)
{
	while (!list_empty(&t->work) || !list_empty(&t->frame)) {
		enum im_rc rc = turn_if_due(c, err);

		if (rc == IM_OK)
			rc = gather(c, t, err);
		if (rc == IM_OK)
			rc = commit(c, t, false, err);
		if (rc != IM_OK && fail_frame(c, t, err) == IM_EIO)
			return IM_EIO;
		hand_back(c, t); /* they must not wait for the frames behind theirs */
	}
	return IM_OK;
}

/* Wait for jobs, and take them all. False when it is time to stop and nothing is left. */
static bool
take(struct committer *c, struct turn *t)
{
	struct list *node;
	bool any;

	(void)pthread_mutex_lock(&c->lock);
	while (list_empty(&c->queue) && !c->stop)
		(void)pthread_cond_wait(&c->wake, &c->lock);
	while ((node = list_pop_front(&c->queue)) != NULL)
		list_push_back(&t->work, node);
	any = !list_empty(&t->work);
	(void)pthread_mutex_unlock(&c->lock);
	return any;
}

/* The last record and the last checkpoint; what cannot be written now is no loss. */
static void
say_goodbye(struct committer *c)
{
	struct im_err err;
	uint64_t index;
	enum im_rc rc = IM_OK;

	if (c->last != NULL) {
		rc = audit_log_add(c->log, c->last, &index, &err);
		if (rc == IM_OK)
			rc = audit_log_commit(c->log, true, &err);
	}
	if (rc == IM_EIO)
		c->fatal(c->user, &err);
	publisher_stop(&c->log->publisher);
	wal_recycle(&c->log->wal, publisher_published(&c->log->publisher));
}

static void *
run(void *arg)
{
	struct committer *c = arg;
	struct im_err err;
	struct turn t = { .kinds = { 0 } };

	list_init(&t.work);
	list_init(&t.frame);
	list_init(&t.done);
	while (take(c, &t)) {
		while (work_off(c, &t, &err) == IM_EIO)
			c->fatal(
			    c->user,
			    &err); /* comes back in a test only; the log takes nothing any more */
		hand_back(c, &t);
	}
	say_goodbye(c);
	loop_post(c->loop, &c->ended);
	return NULL;
}

/* On the loop: give finished jobs back. */
static void
report(void *arg)
{
	struct committer *c = arg;
	struct list *node;

	for (;;) {
		struct commit_job *job;

		(void)pthread_mutex_lock(&c->lock);
		node = list_pop_front(&c->done);
		job = node != NULL ? CONTAINER_OF(node, struct commit_job, node) : NULL;
		if (job != NULL) {
			c->bytes -= job->bytes;
			c->stats.pending -= job->events.count;
		}
		(void)pthread_mutex_unlock(&c->lock);
		if (job == NULL)
			return;
		job->done(job->user, job);
	}
}

/* On the loop, perhaps inside the commit thread itself: a timer runs on the loop's own thread, which can join it. */
static void
on_ended(void *arg)
{
	struct committer *c = arg;

	(void)!loop_timer_set(c->loop, &c->join, 0); /* armed already: cannot fail */
}

static void
on_join(void *arg)
{
	struct committer *c = arg;

	if (c->stopped == NULL) { /* it fired because its first delay ended: centuries from now */
		(void)!loop_timer_set(c->loop, &c->join, UINT64_MAX);
		return;
	}
	(void)pthread_join(c->thread, NULL);
	c->stopped(c->stopped_arg);
}

enum im_rc
committer_new(struct loop *loop, struct audit_log *log, audit_fatal_fn fatal, void *user,
	      struct committer **ret, struct im_err *err)
{
	struct committer *c = calloc(1, sizeof(*c));
	int failed;

	if (c == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the commit thread");
	c->loop = loop;
	c->log = log;
	c->fatal = fatal;
	c->user = user;
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->wake, NULL);
	list_init(&c->queue);
	list_init(&c->done);
	note_shard(c);
	c->stats.open_requests = log->dedup.open;
	c->stats.batch.bounds = &batch_bounds;
	c->stats.sync.bounds = &sync_bounds;
	c->report = (struct loop_task){ .fn = report, .arg = c };
	c->ended = (struct loop_task){ .fn = on_ended, .arg = c };
	c->join = (struct loop_timer){ .fn = on_join, .arg = c };
	if (loop_timer_set(loop, &c->join, UINT64_MAX) != IM_OK) {
		committer_free(c);
		return err_set(err, IM_ENOMEM, "no memory for the commit thread");
	}
	failed = thread_start(&c->thread, run, c);
	if (failed != 0) {
		committer_free(c);
		return err_errno(err, IM_ENOMEM, failed, "cannot start the commit thread");
	}
	*ret = c;
	return IM_OK;
}

enum im_rc
committer_submit(struct committer *c, struct commit_job *job, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	job->cursor = 0;
	job->err.rc = IM_OK;
	job->checkpoint = NULL;
	(void)pthread_mutex_lock(&c->lock);
	if (c->stop)
		rc = err_reason(err, IM_EUNAVAILABLE, DISK_UNAVAILABLE,
				"the audit service is stopping");
	else if (c->stats.pending + job->events.count > COMMITTER_EVENTS_MAX ||
		 c->bytes + job->bytes > COMMITTER_BYTES_MAX)
		rc = err_reason(
		    err, IM_EUNAVAILABLE, DISK_UNAVAILABLE,
		    "%llu records wait to be made durable already; the disk is too slow for this load",
		    (unsigned long long)c->stats.pending);
	if (rc == IM_OK) {
		c->stats.pending += job->events.count;
		c->bytes += job->bytes;
		list_push_back(&c->queue, &job->node);
		(void)pthread_cond_signal(&c->wake);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return rc;
}

void
committer_stats(struct committer *c, struct commit_stats *ret)
{
	(void)pthread_mutex_lock(&c->lock);
	*ret = c->stats;
	(void)pthread_mutex_unlock(&c->lock);
	ret->published = publisher_published_number(&c->log->publisher);
}

uint64_t
committer_pending(struct committer *c)
{
	uint64_t n;

	(void)pthread_mutex_lock(&c->lock);
	n = c->stats.pending;
	(void)pthread_mutex_unlock(&c->lock);
	return n;
}

void
committer_stop(struct committer *c, const struct audit_event *last, loop_fn stopped, void *arg)
{
	c->stopped = stopped;
	c->stopped_arg = arg;
	(void)pthread_mutex_lock(&c->lock);
	c->last = last;
	c->stop = true;
	(void)pthread_cond_signal(&c->wake);
	(void)pthread_mutex_unlock(&c->lock);
}

void
committer_free(struct committer *c)
{
	if (c == NULL)
		return;
	loop_timer_cancel(c->loop, &c->join);
	(void)pthread_cond_destroy(&c->wake);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}
