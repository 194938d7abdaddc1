/*
 * audit/committer.c - jobs to the commit thread and back; see committer.h.
 */
#include "audit/committer_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

static const struct histogram_bounds batch_bounds = {
	14, { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16384 }
};
static const struct histogram_bounds sync_bounds = {
	15, { .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5 }
};

void
committer_note_shard(struct committer *c)
{
	const struct open_shard *s = &c->log->shard;

	c->stats.size = audit_log_size(c->log);
	c->stats.first = s->first;
	memcpy(c->stats.origin, s->signer.name, sizeof(c->stats.origin));
	note_signer_vkey(&s->signer, c->stats.vkey);
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
		loop_beside(c->loop, false);
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
	committer_note_shard(c);
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
	failed = thread_start(&c->thread, committer_run, c);
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
	job->malformed = false;
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
		loop_beside(c->loop, true);
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
