/*
 * router/request_worker.c - finding a worker, the call to it, the queue; see request.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "router/request.h"

/* Give those who wait for 'm' a try, when it is its turn. */
static void
pump_model(struct router *router, struct model *m)
{
	if (m->waiting.count > 0 && !list_linked(&m->pump_node)) {
		list_push_back(&router->pump, &m->pump_node);
		loop_post(router->loop, &router->pump_task);
	}
}

void
router_pump(struct router *router, struct worker *w)
{
	for (size_t i = 0; router->queue.count > 0 && i < w->model_count; i++) {
		pump_model(router, w->models[i].model);
	}
}

/* Give it the slot that the policy chose. */
static void
assign(struct request *r, const struct pick *pick)
{
	workers_pick_done(&r->pick);
	r->pick = *pick;
	r->worker = pick->worker;
	memcpy(r->model_digest, pick->wm->digest, sizeof(r->model_digest));
	workers_take_slot(r->worker);
	workers_attempt_begin(pick->wm, &r->attempt);
	r->judgement = (struct judgement){ .verdict = VERDICT_NOTHING };
	router_request_count_again(r);
	queue_line_began(&r->model->waiting);
	r->slot_ms = clock_mono_ms();
	router_request_event(r, REQUEST_EV_PICKED);
}

static void
pick_worker(struct request *r, struct pick *ret)
{
	struct pick_ask ask = { .policy = r->policy,
				.prefix = r->prefix,
				.tried = r->tried,
				.tried_count = r->tried_count };

	workers_pick(&r->router->workers, r->model, &ask, ret);
}

/* For queue_next(): is there a worker for it? The policy's choice is left at 'arg'. */
static bool
can_go(struct queue_entry *e, void *arg)
{
	struct request *r = CONTAINER_OF(e, struct request, waiting);
	struct pick *pick = arg;

	pick_worker(r, pick);
	return pick->worker != NULL;
}

/* Models take turns, a request at a time, so that a long line does not keep the others from the workers that they share. */
void
router_pump_fire(void *arg)
{
	struct router *router = arg;
	struct list *node;

	while ((node = list_pop_front(&router->pump)) != NULL) {
		struct model *m = CONTAINER_OF(node, struct model, pump_node);
		struct pick pick;
		struct queue_entry *e = queue_next(&m->waiting, can_go, &pick);

		if (e != NULL) {
			struct request *r = CONTAINER_OF(e, struct request, waiting);

			r->waited_us += clock_mono_us() - r->part_us;
			queue_take(&router->queue, e, clock_mono_ms());
			pump_model(router, m);
			assign(r, &pick);
		}
	}
}

/* The last worker that it had is there, failed it, and there is no other: it ends with that worker's own error. */
static bool
is_left_alone(const struct request *r)
{
	return r->tried_count > 0 &&
	       !workers_any_usable(&r->router->workers, r->model, r->tried, r->tried_count) &&
	       workers_is_here(&r->router->workers, r->tried[r->tried_count - 1]);
}

void
router_request_model_gone(struct request *r)
{
	(void)err_reason(&r->err, IM_ENOTFOUND, "model_not_found",
			 "The model `%s` does not exist or you do not have access to it.",
			 r->model->id);
}

/* Who served its model said that they do not any more: nobody waits for that. */
static bool
is_withdrawn(struct request *r)
{
	if (!r->model->withdrawn) {
		return false;
	}
	if (r->tried_count == 0 || strcmp(r->err.reason, "no_healthy_worker") == 0) {
		router_request_model_gone(r);
	}
	return true;
}

/* All workers are paused or ejected: nobody waits for that. */
static bool
is_outage(struct request *r)
{
	struct im_err outage;

	if (!workers_outage(r->model, clock_mono_ms(), &outage)) {
		return false;
	}
	/* What its own worker said tells more; the time to come again is that of the model. */
	if (r->tried_count == 0 || strcmp(r->err.reason, "no_healthy_worker") == 0) {
		r->err = outage;
	}
	r->err.retry_after_ms = outage.retry_after_ms;
	return true;
}

/* Nobody for this model: then perhaps for another one. */
static void
find_no_worker(struct request *r)
{
	if (!router_request_falls_back(r)) {
		router_request_event(r, REQUEST_EV_NO_WORKER);
	}
}

/* Nobody is there who could do it, now: who can goes elsewhere and does not wait for somebody to come. True: it has gone. */
static bool
goes_elsewhere(struct request *r)
{
	if (workers_any_usable(&r->router->workers, r->model, r->tried, r->tried_count)) {
		return false;
	}
	if (r->caller.kind == CALLER_FOLLOWERS) {
		router_request_let_go(r);
		return false;
	}
	return r->plan != NULL && router_request_falls_back(r);
}

void
router_request_find_worker(struct request *r)
{
	struct router *router = r->router;
	struct pick pick = { 0 };
	struct im_err err;

	if (r->falling && !router_request_switch(r)) {
		return;
	}
	/* Before it joins or begins a generation, which would wait for a worker to come. */
	if (goes_elsewhere(r)) {
		return;
	}
	if (r->shareable) {
		router_request_follow(r);
		return;
	}
	/* Nobody overtakes those who wait; where only some wait whom workers failed already, these could not go. */
	if (!queue_line_blocks(&r->model->waiting)) {
		pick_worker(r, &pick);
	}
	if (pick.worker != NULL) {
		queue_pass(&router->queue, &r->waiting);
		assign(r, &pick);
		return;
	}
	/* A lost link ends its calls before it is reported lost: then the sweep decides. */
	if (is_withdrawn(r) || is_outage(r) || (r->err.rc != IM_EUNAVAILABLE && is_left_alone(r))) {
		find_no_worker(r);
		return;
	}
	r->waiting.picky = r->tried_count > 0;
	if (queue_join(&router->queue, &r->model->waiting, &r->waiting, clock_mono_ms(), &err) !=
	    IM_OK) {
		/* A refusal, as at its admission: its model is there, so nothing else stands in. */
		r->err = err;
		router_request_event(r, REQUEST_EV_NO_WORKER);
		return;
	}
	r->part_us = clock_mono_us();
}

void
router_request_free_slot(struct request *r)
{
	struct worker *w = r->worker;
	uint64_t now_ms = clock_mono_ms();
	struct im_err outage;

	r->worker = NULL;
	workers_attempt_end(&r->attempt, &r->judgement, r->err.text, now_ms);
	if (r->judgement.verdict == VERDICT_PAUSE &&
	    workers_outage(r->attempt.model, now_ms, &outage)) {
		r->err.retry_after_ms = outage.retry_after_ms;
	}
	workers_free_slot(w);
	if (r->again_after == IM_EAGAIN) { /* refused as full */
		queue_line_refused(&r->model->waiting);
	} else {
		queue_line_ended(&r->model->waiting, now_ms - r->slot_ms);
	}
	router_pump(r->router, w);
}

/* The time it is now. */
static uint64_t
worker_part_done(struct request *r)
{
	uint64_t now_us = clock_mono_us(), spent_us = now_us - r->part_us;

	r->worker_us += spent_us;
	histogram_add(&r->model->duration, (double)spent_us / 1e6);
	return now_us;
}

void
router_request_cancel_worker(struct request *r)
{
	if (r->call != NULL) {
		if (r->st.ending == REQUEST_END_DEADLINE || r->timed_out) {
			router_request_judge_deadline(r);
		}
		call_cancel(r->call);
		r->call = NULL;
		(void)worker_part_done(r);
	}
}

static void
worker_data(void *user, struct call *call, const uint8_t *body, size_t len)
{
	(void)call;
	router_request_take_frame(user, body, len);
}

static void
worker_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct request *r = user;
	struct router *router = r->router;
	struct worker *w = r->worker;
	struct generate_end end = { 0 };
	uint64_t now_us;
	struct im_err bad;
	bool refused;

	(void)call;
	r->call = NULL;
	workers_heard(w);
	now_us = worker_part_done(r);
	if (generate_end_decode(body, len, &end, &bad) != IM_OK) {
		end.has_load = false;
		err = err == NULL ? &bad : err;
	}
	/* Before it is marked as full, whatever it says. */
	refused = err != NULL && err->rc == IM_EAGAIN;
	if (end.has_load && refused && w->link != NULL) {
		workers_report(w, &end.load);
	}
	if (err != NULL) {
		router_request_attempt_failed(r, err, true);
	} else {
		r->judgement.verdict = VERDICT_OK;
		w->succeeded++;
		recent_add(w->recent, now_us / 1000, false, now_us - r->part_us);
		r->usage = end.usage;
		r->has_usage = end.has_usage;
		router_request_event(r, REQUEST_EV_WORKER_OK);
	}
	/* After the slot was given back: the worker's count does not hold this request any more. */
	if (end.has_load && !refused && w->link != NULL) {
		workers_report(w, &end.load);
		router_pump(router, w);
	}
}

void
router_request_dispatch(struct request *r)
{
	static const struct call_ops ops = { .data = worker_data, .end = worker_end };
	uint64_t now_us = clock_mono_us(), now_ms = now_us / 1000;
	struct call_request req = { .method = METHOD_WORKER_GENERATE,
				    .traceparent =
					r->traceparent[0] != '\0' ? r->traceparent : NULL,
				    .priority = r->priority,
				    .body = r->body,
				    .body_len = r->body_len };
	struct im_err err;

	r->part_us = r->heard_us = now_us;
	req.budget_ms = r->st.deadline_ms > now_ms ? (uint32_t)(r->st.deadline_ms - now_ms) : 1;
	if (r->worker->link == NULL) {
		(void)err_set(&err, IM_EUNAVAILABLE, "its link is lost");
		router_request_attempt_failed(r, &err, false);
		return;
	}
	if (call_start(r->worker->link, &req, &ops, r, &r->call, &err) != IM_OK) {
		r->call = NULL;
		router_request_attempt_failed(r, &err, false);
	}
}

void
router_request_overdue(struct request *r)
{
	const struct request *doer = router_request_doer(r);
	const struct queue_line *line = doer->waiting.line;

	if (line == NULL || doer->tried_count > 0) {
		return;
	}
	(void)err_reason(
	    &r->err, IM_EUNAVAILABLE, "deadline_unmeetable",
	    "no worker came free before the request's deadline; try again later or give it more time");
	r->err.retry_after_ms = queue_retry_after(line);
	router_request_leave_shared(r);
	router_request_event(r, REQUEST_EV_NO_WORKER);
}

/* Nobody may come for it: either it has no worker but one that failed it, or none has come back in time. */
static bool
waits_in_vain(struct request *r, uint64_t now_ms)
{
	if (workers_any_usable(&r->router->workers, r->model, r->tried, r->tried_count)) {
		return false;
	}
	if (is_withdrawn(r) || is_outage(r) || is_left_alone(r)) {
		return true;
	}
	if (now_ms < r->waiting.since_ms + ROUTER_NO_WORKER_MS) {
		return false;
	}
	(void)err_reason(&r->err, IM_EUNAVAILABLE, "no_healthy_worker",
			 "no worker serves the model %s at present; see 'infermesh status'",
			 r->model->id);
	r->err.retry_after_ms = 1000;
	return true;
}

void
router_sweep_waiting(struct router *router)
{
	uint64_t now_ms = clock_mono_ms();

	if (router->queue.count == 0 && !router->hold_off) {
		return;
	}
	router->hold_off = false;
	LIST_FOREACH (&router->queue.lines, line, struct queue_line, node) {
		pump_model(router, CONTAINER_OF(line, struct model, waiting));
	}
	LIST_FOREACH_SAFE (&router->requests, r, struct request, node) {
		if (r->waiting.line != NULL && goes_elsewhere(r)) {
			continue;
		}
		if (r->waiting.line != NULL && waits_in_vain(r, now_ms)) {
			find_no_worker(r);
		} else if (r->st.hold_off) {
			router_request_event(r, REQUEST_EV_TICK);
		}
	}
}
