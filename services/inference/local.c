/*
 * inference/local.c - the local backend: a GGUF model in this process, by llama.cpp. The side on the loop: configuration,
 * admission, frames. Decoding is local_engine.c's. It never logs and never blocks, but in start().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/config.h"
#include "inference/backend.h"
#include "inference/local_engine.h"

#define NEVER_US     (UINT64_MAX / 2)
#define ALIASES_MAX  64
#define FRAME_DELTAS 64

struct local_stats {
	uint64_t ended, failed, cancelled, refused;
};

struct backend {
	struct loop *loop;
	struct local_model model;
	struct engine engine;
	struct model_info infos[1 + ALIASES_MAX];
	size_t info_count;
	char id[GENERATE_MODEL_MAX + 1];
	char fingerprint[24];
	uint32_t capacity, queue_max;
	uint32_t in_flight; /* submitted and not delivered as done; cancelled ones do not count */
	struct local_stats stats;

	/* Armed from the start, so that setting it at the end cannot fail. */
	struct loop_timer reap;
	loop_fn stopped;
	void *stopped_arg;
};

/* Configuration. */

/* A number of the worker's entry; without one the schema's default. */
static uint32_t
setting(const struct config *item, const char *path)
{
	if (item != NULL)
		return (uint32_t)config_int(item, path);
	for (size_t i = 0; i < config_schema_len; i++)
		if (strcmp(config_schema[i].path, path) == 0 && config_schema[i].def != NULL)
			return (uint32_t)strtoul(config_schema[i].def, NULL, 10);
	return 0;
}

static enum im_rc
add_name(struct backend *b, const char *id, struct im_err *err)
{
	if (b->info_count == sizeof(b->infos) / sizeof(b->infos[0]))
		return err_set(err, IM_EINVAL, "workers[].aliases: at most %d are possible",
			       ALIASES_MAX);
	if (id[0] == '\0' || strlen(id) > GENERATE_MODEL_MAX)
		return err_set(
		    err, IM_EINVAL,
		    "a model's name has 1 to %d bytes: check workers[].models and aliases",
		    GENERATE_MODEL_MAX);
	b->infos[b->info_count++] = (struct model_info){
		.id = id,
		.owned_by = "infermesh",
		.digest = b->model.digest,
		.created = b->model.created,
		.context_tokens = b->model.context_tokens,
	};
	return IM_OK;
}

/* "demo", what the configuration says, or the name of the file without its end. */
static enum im_rc
name_model(struct backend *b, const struct config *item, const char *file, struct im_err *err)
{
	const char *id = "demo", *slash, *alias = NULL, *model = NULL;
	size_t len;
	enum im_rc rc;

	if (item != NULL && config_strings_len(item, "workers[].models") > 1)
		return err_set(
		    err, IM_EINVAL,
		    "workers[].models: a local worker serves one model; give it one name, or use workers[].aliases");
	if (item != NULL && config_strings_len(item, "workers[].models") == 1) {
		id = config_strings_at(item, "workers[].models", 0);
	} else if (file != NULL) {
		slash = strrchr(file, '/');
		id = slash != NULL ? slash + 1 : file;
	}
	len = strlen(id);
	if (file != NULL && len > 5 && strcmp(id + len - 5, ".gguf") == 0)
		len -= 5;
	if (len > GENERATE_MODEL_MAX)
		len = GENERATE_MODEL_MAX;
	memcpy(b->id, id, len);
	rc = add_name(b, b->id, err);
	for (size_t i = 0;
	     item != NULL && rc == IM_OK && i < config_map_len(item, "workers[].aliases"); i++) {
		config_map_at(item, "workers[].aliases", i, &alias, &model);
		if (strcmp(model, b->id) != 0)
			return err_set(
			    err, IM_EINVAL,
			    "workers[].aliases: '%s' stands for '%s', but this worker serves '%s' only",
			    alias, model, b->id);
		rc = add_name(b, alias, err);
	}
	return rc;
}

/* Start and stop. */

static void on_piece(struct job *job, struct buf *pieces);
static void on_done(struct job *job);

static void
backend_free(struct backend *b)
{
	loop_timer_cancel(b->loop, &b->reap);
	engine_join(&b->engine);
	local_model_done(&b->model);
	free(b);
}

static void
reap(void *arg)
{
	struct backend *b = arg;
	loop_fn stopped = b->stopped;
	void *stopped_arg = b->stopped_arg;

	backend_free(b);
	stopped(stopped_arg);
}

static enum im_rc
local_start(struct loop *loop, const struct config *item, struct backend **ret, struct im_err *err)
{
	const char *file = item != NULL ? config_str(item, "workers[].model_file") : NULL;
	struct local_model_params p = {
		.file = file,
		.sha256 = item != NULL ? config_str(item, "workers[].sha256") : NULL,
		.sequences = setting(item, "workers[].max_batch_size"),
		.context_tokens = setting(item, "workers[].max_context_length"),
		.batch_tokens = setting(item, "workers[].batch_tokens"),
		.threads = setting(item, "workers[].threads"),
		.exact = item != NULL && config_bool(item, "workers[].exact"),
		.sinks = setting(item, "workers[].context_sinks"),
	};
	struct backend *b = calloc(1, sizeof(*b));
	enum im_rc rc;

	if (b == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the local backend");
	b->loop = loop;
	b->queue_max = setting(item, "workers[].queue_max");
	b->capacity = setting(item, "workers[].capacity");
	b->reap.fn = reap;
	b->reap.arg = b;
	rc = local_model_load(&p, &b->model, err);
	if (b->capacity == 0)
		b->capacity = b->model.sequences;
	if (rc == IM_OK)
		rc = name_model(b, item, file, err);
	(void)snprintf(b->fingerprint, sizeof(b->fingerprint), "fp_%.12s", b->model.digest);
	if (rc == IM_OK && loop_timer_set(loop, &b->reap, NEVER_US) != IM_OK)
		rc = err_set(err, IM_ENOMEM, "no memory for the local backend");
	if (rc == IM_OK)
		rc = engine_start(&b->engine, loop, &b->model, setting(item, "workers[].step_ms"),
				  on_piece, on_done, err);
	if (rc != IM_OK) {
		backend_free(b);
		return rc;
	}
	*ret = b;
	return IM_OK;
}

/* Runs on the loop, maybe in the thread that is ending: so it can only ask for another turn. */
static void
on_exited(void *arg)
{
	struct backend *b = arg;

	(void)!loop_timer_set(b->loop, &b->reap, 0); /* armed already: it cannot fail */
}

static void
local_stop(struct backend *b, loop_fn stopped, void *arg)
{
	b->stopped = stopped;
	b->stopped_arg = arg;
	engine_stop(&b->engine, on_exited, b);
}

static const struct model_info *
local_models(const struct backend *b, size_t *ret_count)
{
	*ret_count = b->info_count;
	return b->infos;
}

static uint32_t
local_capacity(const struct backend *b)
{
	return b->capacity;
}

static uint32_t
local_queued(const struct backend *b)
{
	return atomic_load(&b->engine.stats.waiting);
}

/* Jobs. */

static enum im_rc
check_room(struct backend *b, const struct generate_request *req, struct im_err *err)
{
	size_t i = 0;

	while (i < b->info_count && strcmp(b->infos[i].id, req->model) != 0)
		i++;
	if (i == b->info_count)
		return err_reason(err, IM_ENOTFOUND, "model_not_found",
				  "this worker does not serve the model '%.200s', only '%s'",
				  req->model, b->id);
	if (b->in_flight < b->model.sequences + b->queue_max)
		return IM_OK;
	b->stats.refused++;
	(void)err_reason(
	    err, IM_EAGAIN, "queue_full",
	    "%u requests run or wait, more are not taken; try again later, or raise workers[].queue_max",
	    b->in_flight);
	if (err != NULL)
		err->retry_after_ms = 1000;
	return IM_EAGAIN;
}

static enum im_rc
local_submit(struct backend *b, const struct generate_request *req, uint32_t budget_ms,
	     const char *traceparent, const struct job_ops *ops, void *user, struct job **ret_job,
	     struct im_err *err)
{
	struct job *job = NULL;
	enum im_rc rc = check_room(b, req, err);

	(void)traceparent; /* it goes to no other process */
	if (rc == IM_OK)
		rc = job_new(&b->model, req, &job, err);
	if (rc != IM_OK)
		return rc;
	job->owner = b;
	job->ops = ops;
	job->user = user;
	job->deadline_us =
	    budget_ms == 0 ? UINT64_MAX : clock_mono_us() + budget_ms * UINT64_C(1000);
	b->in_flight++;
	*ret_job = job;
	engine_submit(&b->engine, job);
	return IM_OK;
}

/* What it holds in the engine is freed when that has let go of it. */
static void
job_forget(struct job *job)
{
	struct backend *b = job->owner;

	job->ops = NULL;
	b->in_flight--;
	atomic_store(&job->cancelled, true);
	engine_wake(&b->engine, true);
}

static void
local_cancel(struct job *job)
{
	job->owner->stats.cancelled++;
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

	job->owner->stats.failed++;
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
	char *texts = malloc(pieces->len), *to = texts;
	const uint8_t *at = pieces->data, *end = pieces->data + pieces->len;
	struct im_err err;
	struct piece p;

	if (job->ops == NULL) {
		free(texts);
		return;
	}
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
	struct backend *b = job->owner;
	struct im_err err = job->err;
	struct usage usage = job->usage;
	bool failed = job->failed;
	void *user = job->user;

	job_free(job);
	if (ops == NULL)
		return;
	b->in_flight--;
	if (failed)
		b->stats.failed++;
	else
		b->stats.ended++;
	ops->end(user, failed ? &err : NULL, &usage);
}

static void
local_metrics(const struct backend *b, struct metrics_page *page)
{
	const struct engine_stats *s = &b->engine.stats;

	metrics_counter(page, "infermesh_local_ended_total", "Answers that came whole",
			b->stats.ended);
	metrics_counter(page, "infermesh_local_failed_total", "Answers that ended with an error",
			b->stats.failed);
	metrics_counter(page, "infermesh_local_cancelled_total",
			"Answers that nobody wanted any more", b->stats.cancelled);
	metrics_counter(page, "infermesh_local_refused_total",
			"Requests refused because the queue was full", b->stats.refused);
	metrics_counter(page, "infermesh_local_steps_total", "Decode steps",
			atomic_load(&s->steps));
	metrics_counter(page, "infermesh_local_prompt_tokens_total", "Tokens read",
			atomic_load(&s->prompt_tokens));
	metrics_counter(page, "infermesh_local_cached_tokens_total",
			"Tokens of prompts that a sequence held already",
			atomic_load(&s->cached_tokens));
	metrics_counter(page, "infermesh_local_generated_tokens_total", "Tokens generated",
			atomic_load(&s->generated_tokens));
	metrics_gauge(page, "infermesh_local_sequences", "Choices that are being generated",
		      atomic_load(&s->seated));
	metrics_gauge(page, "infermesh_local_queue", "Requests that wait",
		      atomic_load(&s->waiting));
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
};
