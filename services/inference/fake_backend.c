/*
 * inference/fake_backend.c - see fake_backend.h.
 */
#include "inference/fake_backend.h"

#include <stdio.h>
#include <stdlib.h>

struct backend {
	struct loop_task task;
	loop_fn stopped;
	void *stopped_arg;
};

struct job {
	const struct job_ops *ops;
	void *user;
};

struct fake_state fake_state;

static enum im_rc
start(struct loop *loop, const struct config *item, struct backend **ret, struct im_err *err)
{
	(void)loop;
	(void)item;
	*ret = calloc(1, sizeof(**ret));
	return *ret != NULL ? IM_OK : err_set(err, IM_ENOMEM, "fake");
}

static void
stop(struct backend *b, loop_fn stopped, void *arg)
{
	free(b);
	stopped(arg);
}

static const struct model_info *
models(const struct backend *b, size_t *ret_count)
{
	static const struct model_info list[] = {
		{ .id = "m1", .owned_by = "x", .digest = "d1" },
		{ .id = "m2", .owned_by = "x", .digest = "" },
	};

	(void)b;
	*ret_count = 2;
	return list;
}

static uint32_t
capacity(const struct backend *b)
{
	(void)b;
	return 4;
}

static uint32_t
queued(const struct backend *b)
{
	(void)b;
	return fake_state.jobs > 4 ? fake_state.jobs - 4 : 0;
}

static enum im_rc
submit(struct backend *b, const struct generate_request *req, uint32_t budget_ms,
       const char *traceparent, const struct job_ops *ops, void *user, struct job **ret_job,
       struct im_err *err)
{
	struct job *j;

	(void)b;
	if (fake_state.refuse)
		return err_reason(err, IM_EAGAIN, "worker_busy", "busy");
	j = malloc(sizeof(*j));
	if (j == NULL)
		return err_set(err, IM_ENOMEM, "fake");
	*j = (struct job){ ops, user };
	fake_state.jobs++;
	fake_state.submits++;
	fake_state.last = j;
	fake_state.budget_ms = budget_ms;
	(void)snprintf(fake_state.model, sizeof(fake_state.model), "%s", req->model);
	(void)snprintf(fake_state.content, sizeof(fake_state.content), "%s",
		       req->messages[0].content);
	(void)snprintf(fake_state.traceparent, sizeof(fake_state.traceparent), "%s",
		       traceparent != NULL ? traceparent : "");
	*ret_job = j;
	return IM_OK;
}

static void
forget(struct job *j)
{
	fake_state.jobs--;
	if (fake_state.last == j)
		fake_state.last = NULL;
	free(j);
}

static void
cancel(struct job *j)
{
	fake_state.cancels++;
	forget(j);
}

static void
pause_job(struct job *j, bool paused)
{
	(void)j;
	fake_state.paused = paused;
	*(paused ? &fake_state.pauses : &fake_state.resumes) += 1;
}

static void
metrics(const struct backend *b, struct metrics_page *page)
{
	(void)b;
	metrics_gauge(page, "fake", "fake", 1);
}

void
fake_frame(struct job *j, const char *content)
{
	struct delta d = { .content = content };
	struct generate_frame frame = { .deltas = &d, .delta_count = 1 };

	if (j != NULL)
		j->ops->frame(j->user, &frame);
}

void
fake_end(struct job *j, enum im_rc rc)
{
	const struct usage usage = { .prompt_tokens = 3, .completion_tokens = 5 };
	const struct job_ops *ops = j->ops;
	void *user = j->user;
	struct im_err err;

	err_reason(&err, rc, "fake", "told to fail");
	forget(j);
	ops->end(user, rc == IM_OK ? NULL : &err, rc == IM_OK ? &usage : NULL);
}

const struct backend_ops fake_backend = {
	.name = "fake",
	.start = start,
	.stop = stop,
	.models = models,
	.capacity = capacity,
	.queued = queued,
	.submit = submit,
	.cancel = cancel,
	.pause = pause_job,
	.metrics = metrics,
};
