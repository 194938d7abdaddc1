/*
 * inference/upstream_job.c - one request to the upstream: how it is sent, paused, cancelled, timed out and ended. Asks
 * once: to try again is the router's business.
 */
#include "inference/upstream_job.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "inference/errors.h"

/* Within read_ms, while a request goes out: silence behind it is noticed by one of them too late. */
#define LOOKS 8

static void
job_free(struct job *j)
{
	j->b->carrier->stop(&j->x);
	loop_timer_cancel(j->b->loop, &j->timer);
	loop_cancel(j->b->loop, &j->task);
	if (list_linked(&j->node)) {
		list_remove(&j->node);
		j->b->in_flight--;
	}
	buf_done(&j->x.request);
	buf_done(&j->body);
	sse_done(&j->sse);
	free(j->err);
	free(j->model);
	free(j);
}

static void
job_end(struct job *j, const struct im_err *err)
{
	const struct job_ops *ops = j->ops;
	void *user = j->user;
	struct usage usage = j->answer.usage;
	bool has_usage = j->answer.has_usage;
	struct upstream_stats *stats = &j->b->stats;

	if (err == NULL)
		stats->ok++;
	else
		stats->failed[err->rc]++;
	histogram_add(&stats->seconds[j->operation],
		      (double)(clock_mono_us() - j->started_us) / 1e6);
	job_free(j);
	ops->end(user, err, has_usage ? &usage : NULL);
}

/* The time, read once a turn: a stream's pieces come many in one. */
static uint64_t
turn_us(struct backend *b)
{
	if (b->turn_us == 0) {
		b->turn_us = clock_mono_us();
		loop_post_last(b->loop, &b->turn_over);
	}
	return b->turn_us;
}

/* There are bytes of the body. */
static bool
on_body(struct exchange *x, const char *bytes, size_t len)
{
	struct job *j = CONTAINER_OF(x, struct job, x);
	struct im_err err;
	enum im_rc rc;

	j->last_us = turn_us(j->b);
	if (j->dead || j->failed)
		return false;
	if (j->complete)
		return true;
	if (x->reply.status / 100 != 2) {
		size_t room = ERRORS_BODY_MAX - j->body.len;

		(void)buf_append(&j->body, bytes, len < room ? len : room);
		return true;
	}
	rc = job_take_answer(j, bytes, len, &err);
	if (rc != IM_OK) {
		j->failed = true;
		j->err = err_copy(&err);
		return false;
	}
	if (j->complete) {
		j->b->carrier->pause(x, false); /* nothing more comes for the reader */
		j->grace_end_us = j->last_us + UPSTREAM_GRACE_US;
		/* Cannot fail: the timer was armed before. */
		if (loop_timer_set(j->b->loop, &j->timer, UPSTREAM_GRACE_US) != IM_OK)
			return false;
	}
	return true;
}

static void
on_done(struct exchange *x, CURLcode code)
{
	struct job *j = CONTAINER_OF(x, struct job, x);
	struct im_err err = { .rc = IM_OK };
	enum im_rc rc = IM_OK;

	j->over = true;
	if (!j->dead)
		rc = job_outcome(j, code, &err);
	if (j->dead) /* also when a frame of a JSON answer made the reader leave */
		job_free(j);
	else
		job_end(j, rc == IM_OK ? NULL : &err);
}

static void
timed_out(struct job *j, bool budget)
{
	struct im_err err;

	if (budget) {
		err_reason(&err, IM_EDEADLINE, "upstream_timeout",
			   "the deadline passed before the upstream's answer was whole");
	} else {
		err_reason(
		    &err, IM_EDEADLINE, "upstream_timeout",
		    "the upstream was silent for %lld ms: raise workers[].read_ms if it may be",
		    (long long)(j->b->read_us / 1000));
	}
	job_end(j, &err);
}

/* When to look next if nothing comes: when something could have passed by then, and before that, as long as the request is on its way or its answer
 * has not begun, to see when its last byte went out. */
static uint64_t
next_look_us(const struct job *j, uint64_t now_us)
{
	uint64_t next_us = j->last_us + j->b->read_us;

	if (j->x.request.len > 0 && now_us + j->b->read_us / LOOKS < next_us)
		next_us = now_us + j->b->read_us / LOOKS;
	if (j->budget_end_us < next_us)
		next_us = j->budget_end_us;
	if (j->complete && j->grace_end_us < next_us)
		next_us = j->grace_end_us;
	return next_us;
}

/* The timer is always armed. */
static void
check_time(void *arg)
{
	struct job *j = arg;
	uint64_t now_us = clock_mono_us(), uploaded;

	if (j->complete && now_us >= j->grace_end_us) {
		job_end(j, NULL);
		return;
	}
	if (now_us >= j->budget_end_us) {
		timed_out(j, true);
		return;
	}
	/* A long request on its way out is no silence, and while our reader is slow the upstream is not to blame. */
	uploaded = j->b->carrier->sent(&j->x);
	if (uploaded != j->uploaded || j->x.paused) {
		j->uploaded = uploaded;
		j->last_us = now_us;
	}
	if (now_us >= j->last_us + j->b->read_us) {
		timed_out(j, false);
		return;
	}
	if (loop_timer_set(j->b->loop, &j->timer, next_look_us(j, now_us) - now_us) != IM_OK)
		timed_out(j, true);
}

static void
on_task(void *arg)
{
	job_free(arg);
}

void
upstream_pause(struct job *j, bool paused)
{
	j->last_us = clock_mono_us();
	if (!j->complete)
		j->b->carrier->pause(&j->x, paused);
}

void
upstream_cancel(struct job *j)
{
	j->b->stats.cancelled++;
	j->dead = true;
	if (j->over) /* in a frame of a whole answer: on_done() frees it */
		return;
	if (j->b->carrier->busy(&j->x))
		loop_post(j->b->loop, &j->task);
	else
		job_free(j);
}

static bool
is_traceparent(const char *s)
{
	return s != NULL && strlen(s) == TRACEPARENT_LEN &&
	       strspn(s, "0123456789abcdef-") == TRACEPARENT_LEN;
}

static bool
serves(const struct backend *b, const char *model)
{
	for (size_t i = 0; i < b->model_count; i++)
		if (strcmp(b->models[i].id, model) == 0)
			return true;
	return false;
}

static struct job *
job_new(struct backend *b, const struct generate_request *req, const struct job_ops *ops,
	void *user)
{
	struct job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	j->b = b;
	j->ops = ops;
	j->user = user;
	j->x.b = b;
	j->x.operation = req->operation;
	j->x.body = on_body;
	j->x.done = on_done;
	j->timer.fn = check_time;
	j->timer.arg = j;
	j->task.fn = on_task;
	j->task.arg = j;
	buf_init(&j->x.request, UPSTREAM_REQUEST_MAX);
	sse_init(&j->sse, UPSTREAM_EVENT_MAX);
	answer_init(&j->answer, req->request_id);
	j->model = strdup(req->model);
	j->operation = req->operation;
	j->want = (struct vectors_want){ req->input_count, req->dimensions.v };
	if (j->model == NULL) {
		job_free(j);
		return NULL;
	}
	return j;
}

static enum im_rc
job_start(struct job *j, uint32_t budget_ms, struct im_err *err)
{
	struct backend *b = j->b;
	enum im_rc rc;

	j->started_us = j->last_us = clock_mono_us();
	j->budget_end_us = budget_ms == 0 ? UINT64_MAX : j->started_us + budget_ms * UINT64_C(1000);
	if (loop_timer_set(b->loop, &j->timer, next_look_us(j, j->started_us) - j->started_us) !=
	    IM_OK)
		return upstream_curl_error(b, CURLE_OUT_OF_MEMORY, err);
	rc = b->carrier->start(&j->x, err);
	if (rc == IM_OK) {
		list_push_back(&b->jobs, &j->node);
		b->in_flight++;
	}
	return rc;
}

enum im_rc
upstream_submit(struct backend *b, const struct generate_request *req, uint32_t budget_ms,
		const char *traceparent, const struct job_ops *ops, void *user,
		struct job **ret_job, struct im_err *err)
{
	struct job *j;
	enum im_rc rc;

	if (!serves(b, req->model))
		return err_reason(err, IM_ENOTFOUND, "model_not_found",
				  "The model `%s` does not exist or you do not have access to it.",
				  req->model);
	if (b->in_flight >= b->capacity) {
		return err_reason(
		    err, IM_EAGAIN, "worker_busy",
		    "the worker has %u requests at the upstream already: raise workers[].capacity if that takes more",
		    b->in_flight);
	}
	j = job_new(b, req, ops, user);
	if (j == NULL)
		return upstream_curl_error(b, CURLE_OUT_OF_MEMORY, err);
	rc = request_json_write(req, req->model, b->extra, b->extra_count, &j->x.request, err);
	if (rc == IM_OK && is_traceparent(traceparent))
		(void)stpcpy(j->x.traceparent, traceparent);
	if (rc == IM_OK)
		rc = job_start(j, budget_ms, err);
	if (rc != IM_OK) {
		job_free(j);
		return rc;
	}
	*ret_job = j;
	return IM_OK;
}
