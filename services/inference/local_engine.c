/*
 * inference/local_engine.c - the decode thread; see local_engine.h.
 */
#include "inference/local_engine.h"

#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "base/clock.h"

#define STACK_BYTES      ((size_t)16 * 1024 * 1024) /* some tokenizers recurse over the text */
#define ABORTABLE_TOKENS 16 /* a step of so many tokens and more is worth breaking off */

/* On the decode thread. */

static bool
out_of_time(const struct job *job)
{
	return job->deadline_us != UINT64_MAX && clock_mono_us() >= job->deadline_us;
}

/* The job's turn came, or will not come any more. */
static void
mark_begun(struct engine *e, struct job *job)
{
	if (!job->begun)
		atomic_fetch_sub(&e->stats.waiting, 1);
	job->begun = true;
}

/* An ending job leaves its seats and the queue: nothing here knows it once it was published. */
static void
drop_job(struct engine *e, struct job *job)
{
	for (uint32_t i = 0; i < e->seat_count; i++)
		if (e->seats[i].job == job)
			seat_leave(e, i, FINISH_NONE);
	list_remove(&job->node);
	embed_forget(e, job);
	mark_begun(e, job);
	job_touch(e, job);
}

/* End 'job' if it was cancelled, is out of time or has failed. */
static void
check_job(struct engine *e, struct job *job)
{
	struct im_err err;

	if (atomic_load(&job->cancelled)) {
		(void)err_set(&err, IM_ECANCELED, "cancelled");
		job_end(e, job, &err);
	} else if (out_of_time(job)) {
		(void)err_reason(
		    &err, IM_EDEADLINE, "upstream_timeout",
		    "the time for this request was over before the answer was; ask for less, or give it more time");
		job_end(e, job, &err);
	}
	if (job->ending)
		drop_job(e, job);
}

static void
check_jobs(struct engine *e)
{
	LIST_FOREACH_SAFE (&e->waiting, job, struct job, node)
		check_job(e, job);
	LIST_FOREACH_SAFE (&e->embedding, job, struct job, node)
		check_job(e, job);
	for (uint32_t i = 0; i < e->seat_count; i++)
		if (e->seats[i].job != NULL)
			check_job(e, e->seats[i].job);
}

/* Tokenise when the job's turn has come. False: it ended with an error. */
static bool
begin_job(struct engine *e, struct job *job)
{
	struct im_err err;

	if (job->begun)
		return true;
	mark_begun(e, job);
	if (job_tokenize(e->model, job, &err) != IM_OK) {
		job_end(e, job, &err);
		return false;
	}
	return true;
}

static bool
has_free_seat(const struct engine *e)
{
	for (uint32_t i = 0; i < e->seat_count; i++)
		if (e->seats[i].job == NULL)
			return true;
	return false;
}

static bool
seat_next(struct engine *e, struct job *job, struct im_err *err)
{
	struct prefix_choice c = reuse_choose(e, job);

	return seat_take(e, &c, job, err);
}

/* Give free seats to waiting jobs, the eldest first; one that wants several choices queues up again for each, so that it does not
 * keep others out. */
static void
admit(struct engine *e)
{
	struct im_err err;

	while (has_free_seat(e) && !list_empty(&e->waiting)) {
		struct job *job = CONTAINER_OF(e->waiting.next, struct job, node);

		list_remove(&job->node);
		if (begin_job(e, job) && !seat_next(e, job, &err))
			job_end(e, job, &err);
		if (job->ending)
			drop_job(e, job);
		else if (job->started < job->params.choices)
			list_push_back(&e->waiting, &job->node);
	}
}

bool
engine_abort_step(void *engine)
{
	struct engine *e = engine;

	return atomic_load_explicit(&e->abortable, memory_order_relaxed) &&
	       atomic_load_explicit(&e->abort, memory_order_relaxed);
}

void
engine_step_begins(struct engine *e, uint32_t tokens)
{
	atomic_store(&e->abortable, tokens >= ABORTABLE_TOKENS);
	atomic_fetch_add(&e->stats.steps, 1);
}

/* Make the context what it was before the step: some of its tokens may be in. */
static void
undo_step(struct engine *e)
{
	llama_memory_t memory = llama_get_memory(e->model->context);

	for (uint32_t i = 0; i < e->seat_count; i++)
		if (e->seats[i].in_batch > 0)
			(void)llama_memory_seq_rm(memory, (llama_seq_id)i,
						  (llama_pos)e->seats[i].fed, -1);
}

static void
fail_step(struct engine *e, int code)
{
	struct im_err err;

	(void)err_reason(
	    &err, IM_EINTERNAL, "decode_failed",
	    "llama.cpp could not decode (code %d); if it happens again, lower workers[].max_batch_size",
	    code);
	for (uint32_t i = 0; i < e->seat_count; i++)
		if (e->seats[i].job != NULL && e->seats[i].in_batch > 0) {
			job_end(e, e->seats[i].job, &err);
			reuse_forget(e, i);
		}
	check_jobs(e);
}

static void
take_outputs(struct engine *e)
{
	for (uint32_t i = 0; i < e->seat_count; i++) {
		struct seat *s = &e->seats[i];

		if (s->job == NULL || s->in_batch == 0)
			continue;
		if (!s->answering)
			atomic_fetch_add(&e->stats.prompt_tokens, s->in_batch);
		else
			s->served = true;
		reuse_fed(e, i);
		if (s->output >= 0)
			seat_sample(e, i);
	}
}

static void
step(struct engine *e)
{
	bool prompts = batch_build(e);
	uint32_t tokens = (uint32_t)e->batch->n_tokens;
	uint64_t began_us;
	int rc;

	if (tokens == 0)
		return;
	began_us = clock_mono_us();
	engine_step_begins(e, tokens);
	rc = llama_decode(e->model->context, *e->batch);
	if (rc == 0) {
		if (prompts)
			pace_fed(&e->pace, tokens, clock_mono_us() - began_us);
		else
			pace_answered(&e->pace, tokens, clock_mono_us() - began_us);
		take_outputs(e);
		return;
	}
	undo_step(e);
	if (rc != 2) /* 2: broken off for a cancelled job; the others do the step again */
		fail_step(e, rc);
}

/* Hand what the step made to the loop. */
static void
publish(struct engine *e)
{
	struct list *node;

	if (list_empty(&e->touched))
		return;
	(void)pthread_mutex_lock(&e->lock);
	while ((node = list_pop_front(&e->touched)) != NULL) {
		struct job *job = CONTAINER_OF(node, struct job, touched_node);

		if ((!buf_ok(&job->stage) ||
		     !buf_append(&job->out, job->stage.data, job->stage.len)) &&
		    !job->failed) {
			job->failed = true;
			job->ending = true;
			(void)err_set(&job->err, IM_ENOMEM,
				      "no memory for the answer; try again later");
		}
		buf_clear(&job->stage);
		if (!list_linked(&job->ready_node))
			list_push_back(&e->ready, &job->ready_node);
		/* With a seat it is not over: drop_job() comes first, which touches it again. */
		job->done = job->ending && job->finished == job->started;
	}
	(void)pthread_mutex_unlock(&e->lock);
	loop_post(e->loop, &e->deliver);
}

/* Vectors need no seat. */
static void
take_in(struct engine *e, struct job *job)
{
	if (job->embedding)
		mark_begun(e, job);
	list_push_back(job->embedding ? &e->embedding : &e->waiting, &job->node);
}

/* Wait until there is something to do. False: the end. */
static bool
take_inbox(struct engine *e)
{
	struct list *node;
	/* A seat that became free in the last step is for whoever waits. */
	bool busy = !list_empty(&e->waiting) && has_free_seat(e);
	bool stopping;

	for (uint32_t i = 0; i < e->seat_count; i++)
		busy = busy || seat_runnable(&e->seats[i]);
	busy = busy || embed_busy(e);
	(void)pthread_mutex_lock(&e->lock);
	while (!busy && !e->wake)
		(void)pthread_cond_wait(&e->changed, &e->lock);
	e->wake = false;
	atomic_store(&e->abort, false); /* the flags of jobs that it stood for are looked at now */
	stopping = e->stopping;
	while ((node = list_pop_front(&e->inbox)) != NULL)
		take_in(e, CONTAINER_OF(node, struct job, node));
	(void)pthread_mutex_unlock(&e->lock);
	return !stopping;
}

static void *
engine_main(void *arg)
{
	struct engine *e = arg;

	while (take_inbox(e)) {
		check_jobs(e);
		admit(e);
		step(e);
		if (batch_round_over(e))
			embed_step(e);
		check_jobs(e);
		publish(e);
	}
	LIST_FOREACH (&e->waiting, job, struct job, node)
		atomic_store(&job->cancelled, true);
	LIST_FOREACH (&e->embedding, job, struct job, node)
		atomic_store(&job->cancelled, true);
	for (uint32_t i = 0; i < e->seat_count; i++)
		if (e->seats[i].job != NULL)
			atomic_store(&e->seats[i].job->cancelled, true);
	check_jobs(e);
	publish(e);
	loop_post(e->loop, &e->exited);
	return NULL;
}

/* On the loop. */

static void
deliver(void *arg)
{
	struct engine *e = arg;
	struct list now, *node;

	list_init(&now);
	(void)pthread_mutex_lock(&e->lock);
	while ((node = list_pop_front(&e->ready)) != NULL)
		list_push_back(&now, &CONTAINER_OF(node, struct job, ready_node)->loop_node);
	(void)pthread_mutex_unlock(&e->lock);
	while ((node = list_pop_front(&now)) != NULL) {
		struct job *job = CONTAINER_OF(node, struct job, loop_node);
		struct buf pieces;
		bool done;

		(void)pthread_mutex_lock(&e->lock);
		pieces = job->out;
		buf_init(&job->out, 0);
		done = job->done;
		(void)pthread_mutex_unlock(&e->lock);
		if (pieces.len > 0)
			e->on_piece(job, &pieces);
		buf_done(&pieces);
		if (done)
			e->on_done(job);
	}
}

/* What is left on failure engine_join() frees. */
static bool
make_seats(struct engine *e, const struct local_model *model)
{
	bool ok;

	e->seats = calloc(model->sequences, sizeof(*e->seats));
	e->prompts = calloc(model->sequences, sizeof(*e->prompts));
	e->views = calloc(model->sequences, sizeof(*e->views));
	e->candidates = calloc((size_t)llama_vocab_n_tokens(model->vocab), sizeof(*e->candidates));
	ok = e->seats != NULL && e->prompts != NULL && e->views != NULL && e->candidates != NULL;
	for (uint32_t i = 0; ok && i < model->sequences; i++) {
		e->seats[i].past.tokens = calloc(model->context_tokens, sizeof(int32_t));
		ok = e->seats[i].past.tokens != NULL;
	}
	return ok;
}

enum im_rc
engine_start(struct engine *e, struct loop *loop, struct local_model *model, uint32_t step_ms,
	     void (*on_piece)(struct job *, struct buf *), void (*on_done)(struct job *),
	     struct im_err *err)
{
	pthread_attr_t attr;

	*e = (struct engine){ .loop = loop, .model = model, .seat_count = model->sequences };
	e->pace.step_us = step_ms * 1000;
	e->pace.batch_tokens = model->batch_tokens;
	e->on_piece = on_piece;
	e->on_done = on_done;
	e->deliver.fn = deliver;
	e->deliver.arg = e;
	list_init(&e->inbox);
	list_init(&e->ready);
	list_init(&e->waiting);
	list_init(&e->embedding);
	list_init(&e->touched);
	(void)pthread_mutex_init(&e->lock, NULL);
	(void)pthread_cond_init(&e->changed, NULL);
	e->batch = calloc(1, sizeof(*e->batch));
	if (make_seats(e, model) && e->batch != NULL) {
		*e->batch = llama_batch_init((int32_t)model->batch_tokens, 0, 1);
		llama_set_abort_callback(model->context, engine_abort_step, e);
		(void)pthread_attr_init(&attr);
		(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
		e->running = pthread_create(&e->thread, &attr, engine_main, e) == 0;
		(void)pthread_attr_destroy(&attr);
	}
	if (e->running)
		return IM_OK;
	engine_join(e);
	return err_set(err, IM_ENOMEM,
		       "cannot start the decode thread; check memory and 'ulimit -u'");
}

void
engine_wake(struct engine *e, bool cancelled)
{
	(void)pthread_mutex_lock(&e->lock);
	e->wake = true;
	if (cancelled)
		atomic_store(&e->abort, true);
	(void)pthread_cond_signal(&e->changed);
	(void)pthread_mutex_unlock(&e->lock);
}

void
engine_submit(struct engine *e, struct job *job)
{
	atomic_fetch_add(&e->stats.waiting, 1);
	(void)pthread_mutex_lock(&e->lock);
	list_push_back(&e->inbox, &job->node);
	e->wake = true;
	(void)pthread_cond_signal(&e->changed);
	(void)pthread_mutex_unlock(&e->lock);
}

void
engine_stop(struct engine *e, loop_fn exited, void *arg)
{
	e->exited.fn = exited;
	e->exited.arg = arg;
	(void)pthread_mutex_lock(&e->lock);
	e->stopping = true;
	e->wake = true;
	atomic_store(&e->abort, true);
	(void)pthread_cond_signal(&e->changed);
	(void)pthread_mutex_unlock(&e->lock);
}

void
engine_join(struct engine *e)
{
	if (e->loop == NULL)
		return;
	if (e->running)
		(void)pthread_join(e->thread, NULL);
	embed_free(e);
	if (e->batch != NULL && e->batch->token != NULL)
		llama_batch_free(*e->batch);
	free(e->batch);
	for (uint32_t i = 0; e->seats != NULL && i < e->seat_count; i++)
		free(e->seats[i].past.tokens);
	free(e->seats);
	free(e->prompts);
	free(e->views);
	free(e->candidates);
	(void)pthread_cond_destroy(&e->changed);
	(void)pthread_mutex_destroy(&e->lock);
	*e = (struct engine){ 0 };
}
