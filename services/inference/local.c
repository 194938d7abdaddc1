/*
 * inference/local.c - the local backend: GGUF models in this process, by llama.cpp. The side on the loop: admission and frames.
 * Which models there are is local_models.c's matter, decoding local_engine.c's. It never blocks, but in start().
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/config.h"
#include "inference/backend.h"
#include "inference/local_models.h"

#define FRAME_DELTAS 64

struct local_stats {
	uint64_t ended, failed, cancelled, refused;
};

struct backend {
	struct local_models models;
	struct local_stats stats;
	uint32_t queue_max;
	loop_fn stopped;
	void *stopped_arg;
};

/* Start and stop. */

static void on_piece(struct job *job, struct buf *pieces);
static void on_done(struct job *job);

static enum im_rc
local_start(struct loop *loop, const struct config *item, struct backend **ret, struct im_err *err)
{
	struct backend *b = calloc(1, sizeof(*b));
	enum im_rc rc;

	if (b == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the local backend");
	b->queue_max = spec_setting(item, "workers[].queue_max");
	rc = models_start(&b->models, loop, item, on_piece, on_done, err);
	if (rc != IM_OK) {
		free(b);
		return rc;
	}
	*ret = b;
	return IM_OK;
}

static void
on_stopped(void *arg)
{
	struct backend *b = arg;
	loop_fn stopped = b->stopped;
	void *stopped_arg = b->stopped_arg;

	free(b);
	stopped(stopped_arg);
}

static void
local_stop(struct backend *b, loop_fn stopped, void *arg)
{
	b->stopped = stopped;
	b->stopped_arg = arg;
	models_stop(&b->models, on_stopped, b);
}

static const struct model_info *
local_models(const struct backend *b, size_t *ret_count)
{
	*ret_count = b->models.info_count;
	return b->models.infos;
}

static uint32_t
local_capacity(const struct backend *b)
{
	return models_capacity(&b->models);
}

static uint32_t
local_queued(const struct backend *b)
{
	return models_queued(&b->models);
}

static void
local_list(const struct backend *b, struct model_states *ret)
{
	models_list(&b->models, ret);
}

static enum im_rc
local_change(struct backend *b, enum model_change what, const char *model, backend_changed_fn done,
	     void *user, struct im_err *err)
{
	return models_change(&b->models, what, model, done, user, err);
}

/* Jobs. */

static struct backend *
backend_of(const struct job *job)
{
	return CONTAINER_OF(job->owner->owner, struct backend, models);
}

static enum im_rc
check_room(struct backend *b, const struct resident *r, struct im_err *err)
{
	if (r->in_flight < r->model.sequences + b->queue_max)
		return IM_OK;
	b->stats.refused++;
	(void)err_reason(
	    err, IM_EAGAIN, "queue_full",
	    "%u requests run or wait, more are not taken; try again later, or raise workers[].queue_max",
	    r->in_flight);
	if (err != NULL)
		err->retry_after_ms = 1000;
	return IM_EAGAIN;
}

static enum im_rc
local_submit(struct backend *b, const struct generate_request *req, uint32_t budget_ms,
	     const char *traceparent, const struct job_ops *ops, void *user, struct job **ret_job,
	     struct im_err *err)
{
	struct resident *r = models_find(&b->models, req->model, err);
	struct job *job = NULL;
	enum im_rc rc = r != NULL ? check_room(b, r, err) : IM_ENOTFOUND;

	(void)traceparent; /* it goes to no other process */
	if (rc == IM_OK)
		rc = job_new(&r->model, req, &job, err);
	if (rc != IM_OK)
		return rc;
	job->owner = r;
	job->ops = ops;
	job->user = user;
	job->deadline_us =
	    budget_ms == 0 ? UINT64_MAX : clock_mono_us() + budget_ms * UINT64_C(1000);
	*ret_job = job;
	resident_submit(r, job);
	return IM_OK;
}

/* What it holds in the engine is freed when that has let go of it. */
static void
job_forget(struct job *job)
{
	job->ops = NULL;
	resident_cancel(job->owner, job);
}

static void
local_cancel(struct job *job)
{
	backend_of(job)->stats.cancelled++;
	job_forget(job);
}

static void
local_pause(struct job *job, bool paused)
{
	if (atomic_exchange(&job->paused, paused) != paused)
		engine_wake(&job->owner->engine, false);
}

/* Frames. */

/* Deltas for one frame: no choice twice, so that a choice's role and its end never come together. */
struct framing {
	struct delta deltas[FRAME_DELTAS];
	size_t count;
};

static void
flush(struct job *job, struct framing *f)
{
	struct generate_frame frame = {
		.head = { .model = "", .cache = "", .worker = "" },
		.deltas = f->deltas,
		.delta_count = f->count,
		.system_fingerprint = job->owner->fingerprint,
	};

	if (f->count > 0 && job->ops != NULL)
		job->ops->frame(job->user, &frame);
	f->count = 0;
}

static bool
framing_has(const struct framing *f, uint32_t choice)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->deltas[i].index == choice)
			return true;
	return false;
}

static void
add_delta(struct job *job, struct framing *f, const struct piece *p, const char *text,
	  const char *logprobs)
{
	static const char *const finish[] = {
		[FINISH_NONE] = "", [FINISH_STOP] = "stop", [FINISH_LENGTH] = "length"
	};

	if (f->count == FRAME_DELTAS || framing_has(f, p->choice))
		flush(job, f);
	f->deltas[f->count++] = (struct delta){
		.index = p->choice,
		.role = p->first ? "assistant" : "",
		.content = text,
		.reasoning_content = "",
		.finish_reason = finish[p->finish],
		.logprobs_json = logprobs,
		.refusal = "",
	};
}

static void
fail_job(struct job *job, const struct im_err *err)
{
	const struct job_ops *ops = job->ops;
	void *user = job->user;

	backend_of(job)->stats.failed++;
	job_forget(job);
	ops->end(user, err, &(struct usage){ 0 });
}

/* Copy and end a text. Returns where the next one goes. */
static char *
take_text(char *to, const uint8_t *at, uint32_t len)
{
	memcpy(to, at, len);
	to[len] = '\0';
	return to + len + 1;
}

static void
on_piece(struct job *job, struct buf *pieces)
{
	struct framing f = { .count = 0 };
	/* Texts and their NULs take less room than a piece's head and the texts. */
	char *texts, *to;
	const uint8_t *at = pieces->data, *end = pieces->data + pieces->len;
	struct im_err err;
	struct piece p;

	if (job->embedding) {
		vectors_give(job, pieces);
		return;
	}
	if (job->ops == NULL)
		return;
	texts = to = malloc(pieces->len);
	if (texts == NULL) {
		(void)err_set(&err, IM_ENOMEM, "no memory for the answer; try again later");
		fail_job(job, &err);
		return;
	}
	while (job->ops != NULL && at < end) {
		const char *text = to, *logprobs;

		memcpy(&p, at, sizeof(p));
		to = take_text(to, at + sizeof(p), p.len);
		logprobs = to;
		to = take_text(to, at + sizeof(p) + p.len, p.logprobs_len);
		add_delta(job, &f, &p, text, logprobs);
		at += sizeof(p) + p.len + p.logprobs_len;
	}
	flush(job, &f);
	free(texts);
}

static void
on_done(struct job *job)
{
	const struct job_ops *ops = job->ops;
	struct backend *b = backend_of(job);
	struct resident *r = job->owner;
	struct im_err err = job->err;
	struct usage usage = job->usage;
	bool failed = job->failed;
	void *user = job->user;

	if (ops != NULL && job->embedding && !failed)
		vectors_finish(job); /* in which the reader may cancel it */
	ops = job->ops;
	job_free(job);
	resident_done(r, ops == NULL);
	if (ops == NULL)
		return;
	if (failed)
		b->stats.failed++;
	else
		b->stats.ended++;
	ops->end(user, failed ? &err : NULL, &usage);
}

static void
local_metrics(const struct backend *b, struct metrics_page *page)
{
	struct models_sum s = models_sum(&b->models);

	metrics_counter(page, "infermesh_local_ended_total", "Answers that came whole",
			b->stats.ended);
	metrics_counter(page, "infermesh_local_failed_total", "Answers that ended with an error",
			b->stats.failed);
	metrics_counter(page, "infermesh_local_cancelled_total",
			"Answers that nobody wanted any more", b->stats.cancelled);
	metrics_counter(page, "infermesh_local_refused_total",
			"Requests refused because the queue was full", b->stats.refused);
	metrics_counter(page, "infermesh_local_steps_total", "Decode steps", s.steps);
	metrics_counter(page, "infermesh_local_prompt_tokens_total", "Tokens read",
			s.prompt_tokens);
	metrics_counter(page, "infermesh_local_cached_tokens_total",
			"Tokens of prompts that a sequence held already", s.cached_tokens);
	metrics_counter(page, "infermesh_local_generated_tokens_total", "Tokens generated",
			s.generated_tokens);
	metrics_gauge(page, "infermesh_local_sequences", "Choices that are being generated",
		      s.seated);
	metrics_gauge(page, "infermesh_local_queue", "Requests that wait", s.waiting);
	metrics_gauge(page, "infermesh_local_models", "Models that are loaded", s.loaded);
	metrics_gauge(page, "infermesh_local_models_retiring",
		      "Older weights on which requests still run", s.retiring);
	metrics_counter(page, "infermesh_local_models_freed_total",
			"Weights that were unloaded or replaced, and are gone", s.freed);
}

const struct backend_ops backend_local = {
	.name = "local",
	.start = local_start,
	.stop = local_stop,
	.models = local_models,
	.capacity = local_capacity,
	.queued = local_queued,
	.submit = local_submit,
	.cancel = local_cancel,
	.pause = local_pause,
	.metrics = local_metrics,
	.list = local_list,
	.change = local_change,
};
