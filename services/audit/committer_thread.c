/*
 * audit/committer_thread.c - the commit thread; see committer.h.
 *
 * A job's events need not fit into one frame. A job is done when its last event is durable, and failed as soon as a frame
 * with one of its events fails; what was durable before stays, and finds itself again when the job is sent again. With it
 * fails all that waits behind it: else the end of a request could come before its beginning, which is sent again later.
 */
#include "audit/committer_internal.h"

#include <stdlib.h>
#include <string.h>

#include "audit/turn.h"
#include "base/clock.h"

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
		committer_note_shard(c);
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
	committer_note_shard(c); /* perhaps it is another one */
	c->stats.records[job->work_kind] += c->stats.size - size;
	(void)pthread_mutex_unlock(&c->lock);
	return rc == IM_EIO ? rc : IM_OK;
}

/* Decode the job's events, if that is still to be done. */
static enum im_rc
prepare(struct commit_job *job, struct im_err *err)
{
	enum im_rc (*fn)(struct commit_job * job, struct im_err * err) = job->prepare;
	enum im_rc rc;

	if (fn == NULL)
		return IM_OK;
	job->prepare = NULL;
	rc = fn(job, err);
	job->malformed = rc != IM_OK;
	return rc;
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
		if (prepare(job, &err) != IM_OK) {
			finish(t, job, &err);
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

/* The frame failed: so did all that waits, unless the reserve is there for it. IM_EIO: it is over. */
static enum im_rc
fail_frame(struct committer *c, struct turn *t, struct im_err *why)
{
	struct list failed;
	struct list *node;

	list_init(&failed);
	list_move_all(&failed, &t->frame);
	list_move_all(&failed, &t->work);
	(void)pthread_mutex_lock(&c->lock);
	list_move_all(&failed, &c->queue);
	(void)pthread_mutex_unlock(&c->lock);
	while ((node = list_pop_front(&failed)) != NULL) {
		struct commit_job *job = CONTAINER_OF(node, struct commit_job, node);
		struct im_err err = *why;
		enum im_rc rc = why->rc;

		if (rc == IM_EUNAVAILABLE && prepare(job, &err) != IM_OK)
			rc = err.rc;
		else if (rc == IM_EUNAVAILABLE && urgent(job))
			rc = commit_urgent(c, job, &err);
		finish(t, job, rc == IM_OK ? NULL : &err);
		if (rc == IM_EIO)
			*why = err; /* the rest fails with this */
	}
	return why->rc;
}

/* So few events that to answer them takes less time than to wake the loop's thread. */
#define ANSWER_HERE 4

static void
hand_back(struct committer *c, struct turn *t)
{
	size_t events = 0;
	bool more;

	if (list_empty(&t->done))
		return;
	LIST_FOREACH (&t->done, job, struct commit_job, node)
		events += job->events.count;
	(void)pthread_mutex_lock(&c->lock);
	list_move_all(&c->done, &t->done);
	more = !list_empty(&t->work) || !list_empty(&c->queue);
	(void)pthread_mutex_unlock(&c->lock);
	/* Else the next frame would wait for the answers of this one. */
	if (!more && events <= ANSWER_HERE)
		loop_post(c->loop, &c->report);
	else
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
	bool any;

	(void)pthread_mutex_lock(&c->lock);
	while (list_empty(&c->queue) && !c->stop)
		(void)pthread_cond_wait(&c->wake, &c->lock);
	list_move_all(&t->work, &c->queue);
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
	audit_log_recycle(c->log);
}

void *
committer_run(void *arg)
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
