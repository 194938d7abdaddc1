/*
 * inference/upstream_job.c - one request to the upstream: how it is sent, paused, cancelled, timed out and ended. Sends it
 * once: to try again is the router's business.
 */
#include "inference/upstream_job.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "inference/errors.h"

static void
job_free(struct job *j)
{
	bool whole = j->complete && !j->failed && !j->x.running;

	transfer_stop(j->b->curl, &j->x);
	loop_timer_cancel(j->b->loop, &j->timer);
	loop_cancel(j->b->loop, &j->task);
	if (list_linked(&j->node)) {
		list_remove(&j->node);
		j->b->in_flight--;
	}
	if (j->x.easy != NULL && j->operation != OPERATION_CHAT) /* it is set up for chats */
		(void)curl_easy_setopt(j->x.easy, CURLOPT_CURLU, j->b->urls[OPERATION_CHAT]);
	upstream_handle_put(j->b, j->x.easy, whole);
	if (j->authorization != NULL)
		j->authorization->next = NULL; /* what follows is not its */
	curl_slist_free_all(j->authorization);
	buf_done(&j->request);
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

/* An answer begins: the request is needed no more, unless the upstream speaks before it has read all of it. */
static void
answered(struct job *j)
{
	curl_off_t sent = 0;

	j->good = true;
	(void)curl_easy_getinfo(j->x.easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	if (sent == (curl_off_t)j->request.len)
		buf_done(&j->request);
}

/* libcurl has bytes of the body. */
static size_t
on_body(char *bytes, size_t one, size_t count, void *user)
{
	struct job *j = user;
	size_t len = one * count, room;
	struct im_err err;
	enum im_rc rc;

	j->last_us = turn_us(j->b);
	if (j->dead || j->failed)
		return CURL_WRITEFUNC_ERROR;
	if (j->complete)
		return len;
	if (!j->good && job_status(j) / 100 == 2)
		answered(j);
	if (!j->good) {
		room = ERRORS_BODY_MAX - j->body.len;
		(void)buf_append(&j->body, bytes, len < room ? len : room);
		return len;
	}
	if (j->paused) {
		j->curl_paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	rc = job_take_answer(j, bytes, len, &err);
	if (rc != IM_OK) {
		j->failed = true;
		j->err = err_copy(&err);
		return CURL_WRITEFUNC_ERROR;
	}
	if (j->complete) {
		j->grace_end_us = j->last_us + UPSTREAM_GRACE_US;
		/* Cannot fail: the timer was armed before. */
		if (loop_timer_set(j->b->loop, &j->timer, UPSTREAM_GRACE_US) != IM_OK)
			return CURL_WRITEFUNC_ERROR;
	}
	return len;
}

static void
on_done(struct transfer *x, CURLcode code)
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

/* The timer is always armed: it comes back when something could have passed by then. */
static void
check_time(void *arg)
{
	struct job *j = arg;
	uint64_t now_us = clock_mono_us(), next_us;
	curl_off_t uploaded = 0;

	if (j->complete && now_us >= j->grace_end_us) {
		job_end(j, NULL);
		return;
	}
	if (now_us >= j->budget_end_us) {
		timed_out(j, true);
		return;
	}
	/* A long request on its way out is no silence, and while our reader is slow the upstream is not to blame. */
	(void)curl_easy_getinfo(j->x.easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	if (uploaded != j->uploaded || j->paused || j->curl_paused) {
		j->uploaded = uploaded;
		j->last_us = now_us;
	}
	next_us = j->last_us + j->b->read_us;
	if (now_us >= next_us) {
		timed_out(j, false);
		return;
	}
	if (j->budget_end_us < next_us)
		next_us = j->budget_end_us;
	if (j->complete && j->grace_end_us < next_us)
		next_us = j->grace_end_us;
	if (loop_timer_set(j->b->loop, &j->timer, next_us - now_us) != IM_OK)
		timed_out(j, true);
}

/* What could not be done inside libcurl. */
static void
on_task(void *arg)
{
	struct job *j = arg;

	if (j->dead) {
		job_free(j);
		return;
	}
	if (!j->curl_paused || j->paused)
		return;
	j->curl_paused = false;
	j->last_us = clock_mono_us();
	transfer_resume(j->b->curl, &j->x); /* may pause it again, or end in its 'done' later */
}

void
upstream_pause(struct job *j, bool paused)
{
	j->paused = paused;
	j->last_us = clock_mono_us();
	if (!paused && j->curl_paused)
		loop_post(j->b->loop, &j->task);
}

void
upstream_cancel(struct job *j)
{
	j->b->stats.cancelled++;
	j->dead = true;
	if (j->over) /* in a frame of a whole answer: on_done() frees it */
		return;
	if (curl_loop_busy(j->b->curl))
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

/* The backend's, with those of this request in front. */
static enum im_rc
make_headers(struct job *j, const char *traceparent, struct im_err *err)
{
	enum im_rc rc = upstream_authorize(j->b, &j->authorization, err);

	j->headers = j->b->headers;
	if (is_traceparent(traceparent)) {
		(void)stpcpy(stpcpy(j->trace_line, TRACE_PREFIX), traceparent);
		j->trace = (struct curl_slist){ .data = j->trace_line, .next = j->headers };
		j->headers = &j->trace;
	}
	if (j->authorization != NULL) {
		j->authorization->next = j->headers;
		j->headers = j->authorization;
	}
	return rc;
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
	j->x.done = on_done;
	j->timer.fn = check_time;
	j->timer.arg = j;
	j->task.fn = on_task;
	j->task.arg = j;
	buf_init(&j->request, UPSTREAM_REQUEST_MAX);
	sse_init(&j->sse, UPSTREAM_EVENT_MAX);
	answer_init(&j->answer, req->request_id);
	j->model = strdup(req->model);
	j->operation = req->operation;
	j->want = (struct vectors_want){ req->input_count, req->dimensions.v };
	j->x.easy = upstream_handle_get(b);
	if (j->model == NULL || j->x.easy == NULL) {
		job_free(j);
		return NULL;
	}
	return j;
}

static enum im_rc
job_start(struct job *j, uint32_t budget_ms, struct im_err *err)
{
	struct backend *b = j->b;
	CURL *easy = j->x.easy;
	uint64_t delay_us;
	enum im_rc rc;

	if (j->operation != OPERATION_CHAT)
		(void)curl_easy_setopt(easy, CURLOPT_CURLU, b->urls[j->operation]);
	(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, j->request.data);
	(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)j->request.len);
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, j->headers);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, j);
	j->started_us = j->last_us = clock_mono_us();
	j->budget_end_us = budget_ms == 0 ? UINT64_MAX : j->started_us + budget_ms * UINT64_C(1000);
	delay_us = b->read_us;
	if (budget_ms != 0 && budget_ms * UINT64_C(1000) < delay_us)
		delay_us = budget_ms * UINT64_C(1000);
	if (loop_timer_set(b->loop, &j->timer, delay_us) != IM_OK)
		return err_set(err, IM_ENOMEM, "no memory for a request to the upstream");
	rc = transfer_start(b->curl, &j->x, err);
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
		return err_set(err, IM_ENOMEM, "no memory for a request to the upstream");
	rc = request_json_write(req, req->model, b->extra, b->extra_count, &j->request, err);
	if (rc == IM_OK)
		rc = make_headers(j, traceparent, err);
	if (rc == IM_OK)
		rc = job_start(j, budget_ms, err);
	if (rc != IM_OK) {
		job_free(j);
		return rc;
	}
	*ret_job = j;
	return IM_OK;
}
