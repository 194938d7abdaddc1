/*
 * router/request_retry.c - what follows when an attempt at a worker has failed: what it says of the worker, whether another one may
 * try, and what the caller reads otherwise; see request.h and verdict.h. It neither picks nor calls a worker.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "router/request.h"

#define BUSIER_MAX                                                                                 \
	3 /* times that one request is turned away because a worker is busier than known */

/* The worker does not have the model any more, and its router has not heard of it. */
static bool
is_unloaded(const struct im_err *err)
{
	return err->rc == IM_ENOTFOUND && strcmp(err->reason, MODEL_UNLOADED) == 0;
}

/* What the caller is to read when a worker failed and nobody else can help. */
static void
keep_worker_error(struct request *r, const struct im_err *err, bool workers_own)
{
	r->err = *err;
	if (is_unloaded(err)) {
		router_request_model_gone(r);
		return;
	}
	if (err->rc == IM_EPROTO || err->rc == IM_EMETHOD || err->rc == IM_ECORRUPT) {
		r->err.rc = IM_EUPSTREAM;
	}
	/* "link_lost" and the like are said of the caller's own link to us too: here it is the worker's. */
	if (err->rc == IM_EUNAVAILABLE && strcmp(err->reason, "upstream_error") != 0) {
		(void)snprintf(r->err.reason, sizeof(r->err.reason), "no_healthy_worker");
	} else if (r->err.reason[0] == '\0' && err->rc == IM_ELIMIT) {
		(void)snprintf(r->err.reason, sizeof(r->err.reason), "rate_limit_exceeded");
	} else if (r->err.reason[0] == '\0' && err->rc == IM_EDEADLINE) {
		(void)snprintf(r->err.reason, sizeof(r->err.reason), "upstream_timeout");
	} else if (r->err.reason[0] == '\0' && workers_own) {
		(void)snprintf(r->err.reason, sizeof(r->err.reason), "upstream_error");
	}
	if (workers_own) {
		err_prefix(&r->err, "worker %s", r->worker->name->text);
	}
}

/* For the audit record. */
static void
keep_attempt(struct request *r, const struct im_err *err, enum again again)
{
	struct failed_try *f = &r->failed[r->failed_count];

	if (r->tried_count < WORKERS_TRIED_MAX) {
		r->tried[r->tried_count++] = r->worker->id;
	}
	if (r->failed_count == WORKERS_TRIED_MAX) {
		return;
	}
	r->failed_count++;
	workers_name_ref(r->worker->name);
	f->worker = r->worker->name;
	(void)snprintf(f->reason, sizeof(f->reason), "%s",
		       err->reason[0] != '\0' ? err->reason
		       : again == AGAIN_MOVE  ? "link_lost"
					      : im_rc_text(err->rc));
}

void
router_request_heard(struct request *r, bool token)
{
	uint64_t tick_us =
	    r->router->workers.ticked_ms * 1000; /* exact enough, and costs nothing */

	workers_heard(r->worker);
	r->heard_us = tick_us > r->heard_us ? tick_us : r->heard_us;
	if (token && workers_attempt_is_probe(&r->attempt)) {
		workers_attempt_token(&r->attempt, clock_mono_ms());
	}
}

void
router_request_judge_deadline(struct request *r)
{
	uint64_t silent_ms = (clock_mono_us() - r->heard_us) / 1000;

	/* Where frames wait for the caller, the worker was told to be silent. */
	r->judgement.verdict = list_empty(&r->held)
				   ? verdict_of_deadline(silent_ms, r->router->set.silence_ms)
				   : VERDICT_NOTHING;
}

/* May it be tried again, and as what? */
static enum request_event
after_failure(struct request *r, enum again again, const struct im_err *err)
{
	struct router *router = r->router;

	if (again == AGAIN_NO || r->tried_count == WORKERS_TRIED_MAX) {
		return REQUEST_EV_WORKER_FAILED;
	}
	/* Neither is a retry: who unloads does no work, and several may unload at once while another one serves the model. */
	if (workers_attempt_is_probe(&r->attempt) || is_unloaded(err)) {
		return REQUEST_EV_WORKER_PROBE;
	}
	if (again == AGAIN_RETRY && !r->st.delivered && r->st.retries_left > 0 &&
	    workers_any_usable(&router->workers, r->model, r->tried, r->tried_count) &&
	    !retry_budget_take(&router->retry_budget, clock_mono_ms())) {
		router->retries_denied++;
		log_debug("retry denied, the budget is used up",
			  LOG_STR("http.request.id", r->id_hex),
			  LOG_STR("error.message", r->err.text));
		return REQUEST_EV_WORKER_FAILED;
	}
	return REQUEST_EV_WORKER_RETRY;
}

/* Does 'next' end it? As worker_retry() of request_state.c decides. */
static bool
is_last(const struct request *r, enum request_event next)
{
	return next == REQUEST_EV_WORKER_FAILED ||
	       (next == REQUEST_EV_WORKER_RETRY && r->st.retries_left == 0);
}

/* It was no attempt. Who has room and is only busier than we knew has told us by now, so that he may be the cheapest again; but
 * nobody turns a request away like that for ever. */
static void
turned_away(struct request *r, const struct im_err *err)
{
	bool busier = strcmp(err->reason, LOAD_CHANGED) == 0;

	r->router->turned_away[busier ? TURNED_AWAY_BUSIER : TURNED_AWAY_FULL]++;
	if (!busier || ++r->busier_count > BUSIER_MAX) {
		workers_mark_full(r->worker);
	}
	router_request_event(r, REQUEST_EV_WORKER_FULL);
}

void
router_request_attempt_failed(struct request *r, const struct im_err *err, bool opened)
{
	struct judgement j = verdict_of_error(err, opened);
	enum request_event next;

	keep_worker_error(r, err, j.again == AGAIN_RETRY || j.again == AGAIN_MOVE);
	if (err->rc == IM_EDEADLINE && clock_mono_ms() + r->st.grace_ms >= r->st.deadline_ms) {
		router_request_judge_deadline(r);
		router_request_event(r, REQUEST_EV_DEADLINE);
		return;
	}
	r->judgement = j;
	r->again_after = err->rc;
	if (j.again == AGAIN_FULL) {
		turned_away(r, err);
		return;
	}
	if (j.again != AGAIN_NO) {
		r->worker->failed++;
		recent_add(r->worker->recent, clock_mono_ms(), true, 0);
		keep_attempt(r, err, j.again);
	}
	next = after_failure(r, j.again, err);
	if (j.again != AGAIN_NO && is_last(r, next) && router_request_falls_back(r)) {
		return;
	}
	router_request_event(r, next);
}

void
router_request_count_again(struct request *r)
{
	if (r->again_after != IM_OK && r->again_after != IM_EAGAIN) {
		r->router->retries[r->again_after]++;
		log_info("request retried", LOG_STR("http.request.id", r->id_hex),
			 LOG_STR("gen_ai.request.model", r->model->id),
			 LOG_STR("worker.name", r->worker->name->text),
			 LOG_STR("event.reason", r->err.reason),
			 LOG_STR("error.message", r->err.text));
	}
	r->again_after = IM_OK;
}
