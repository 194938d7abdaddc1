/*
 * sim/sim_job.c - what a worker does with a request: it takes it or refuses, begins, speaks, ends, and hears that it was
 * cancelled. See sim.h.
 *
 * A job's owner is the list of its worker; its call is the router's and may go before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static const uint32_t retry_after_ms[] = { 0, 200, 2000 };

/* Frames do not depend on the request: they are made once. */
static const struct buf *
frame_bytes(bool last)
{
	static struct buf made[2];
	struct delta d = { .role = "assistant",
			   .content = "all that there is to say",
			   .finish_reason = last ? "stop" : "" };
	struct generate_frame f = { .deltas = &d, .delta_count = 1 };

	if (made[last].len == 0) {
		generate_frame_encode(&f, &made[last]);
	}
	return &made[last];
}

static void run(struct job *j);

static bool
is_inside(const struct job *j)
{
	return j->state == JOB_QUEUED || j->state == JOB_BEGUN || j->state == JOB_SPOKE;
}

/* It leaves the worker: the router that was turned away first hears of it, and the next of those that wait inside begins. */
static void
leave(struct job *j)
{
	struct sim_worker *w = j->at->worker;
	struct list *next;

	if (!is_inside(j)) {
		return;
	}
	w->in_flight--;
	j->at->own--;
	w->serving -= j->state != JOB_QUEUED;
	list_remove(&j->queue_node);
	j->state = JOB_END_SENT;
	worker_place_free(w);
	if (w->world->p.servers > 0 && w->serving < w->world->p.servers) {
		next = list_pop_front(&w->queue);
		if (next != NULL) {
			run(CONTAINER_OF(next, struct job, queue_node));
		}
	}
}

static void
job_free(struct job *j)
{
	leave(j);
	loop_timer_cancel(sim_loop(), &j->timer);
	loop_timer_cancel(sim_loop(), &j->cancel);
	list_remove(&j->node);
	free(j);
}

static void
deliver_end(struct job *j)
{
	struct generate_end end = { .has_usage = true,
				    .usage = { .prompt_tokens = SIM_PROMPT_TOKENS,
					       .completion_tokens = j->answer_tokens },
				    .has_load = true,
				    .load = j->load };
	struct call *call = j->call;
	struct buf body = BUF_INIT(0);
	enum im_rc rc = j->end_rc;
	struct sim_router *r = j->at->router;
	struct im_err err;

	(void)err_reason(&err, rc, j->crossed ? LOAD_CHANGED : "", "told to fail");
	err.retry_after_ms = rc == IM_ELIMIT ? retry_after_ms[j->service_us % 3] : 0;
	job_free(j);
	if (call == NULL) {
		return;
	}
	if (rc == IM_OK) {
		r->used_tokens += end.usage.prompt_tokens + end.usage.completion_tokens;
	}
	end.has_usage = rc == IM_OK;
	generate_end_encode(&end, &body);
	far_end(call, rc == IM_OK ? NULL : &err, body.data, body.len);
	buf_done(&body);
}

/* Its end, good or bad, goes on its way: the worker is done with it. */
static void
send_end(struct job *j, enum im_rc rc)
{
	leave(j);
	j->end_rc = rc;
	j->state = JOB_END_SENT;
	j->load = worker_tell_load(j->at);
	sim_at(&j->timer, sim_now_us() + j->at->delay_us);
}

/* Half of the answers come in two pieces, but for the report, which wants one event less. */
static bool
in_pieces(const struct job *j)
{
	return j->at->worker->world->p.servers == 0 && j->service_us % 2 == 0;
}

static void
run(struct job *j)
{
	struct sim_worker *w = j->at->worker;
	struct ask *a = w->world->asks[j->ask];
	double us = (double)j->service_us * w->slowness;

	w->serving++;
	w->served++;
	j->state = JOB_BEGUN;
	if (a->gen == j->ask_gen && a->started_us == 0) {
		a->started_us = sim_now_us();
		if (w->world->started != NULL) {
			w->world->started(w->world->started_user, a, sim_now_us());
		}
	}
	sim_at(&j->timer, sim_now_us() + (uint64_t)(in_pieces(j) ? us / 2 : us));
}

static void
begin(struct job *j)
{
	struct sim_worker *w = j->at->worker;
	const struct ask *a = w->world->asks[j->ask];

	if (w->in_flight >= w->capacity) {
		w->world->tally.full++;
		if (!list_linked(&j->at->refused_node)) {
			list_push_back(&w->refused, &j->at->refused_node);
		}
		send_end(j, IM_EAGAIN);
		return;
	}
	if (worker_news_crossed(j->at)) {
		w->world->tally.crossed++;
		j->crossed = true;
		send_end(j, IM_EAGAIN);
		return;
	}
	if (w->mood == MOOD_FAILS || w->mood == MOOD_LIMITED) {
		send_end(j, w->mood == MOOD_FAILS ? IM_EUPSTREAM : IM_ELIMIT);
		return;
	}
	if (a->gen == j->ask_gen && a->bad) {
		send_end(j, IM_EINVAL);
		return;
	}
	w->in_flight++;
	j->at->own++;
	worker_load_changed(w);
	if (w->world->p.servers == 0 || w->serving < w->world->p.servers) {
		run(j);
	} else {
		j->state = JOB_QUEUED;
		list_push_back(&w->queue, &j->queue_node);
	}
}

static void
speak(struct job *j, bool last)
{
	const struct buf *bytes = frame_bytes(last);

	j->probe = false;
	if (j->call != NULL) {
		far_data(j->call, bytes->data, bytes->len);
	}
}

static void
job_fire(void *arg)
{
	struct job *j = arg;
	struct sim_worker *w = j->at->worker;

	if (j->state == JOB_END_SENT) {
		deliver_end(j);
		return;
	}
	if (j->state == JOB_SENT) {
		j->state = JOB_ARRIVED;
	}
	if (w->mood == MOOD_STOPPED) {
		return; /* worker_heal() goes on with it */
	}
	if (j->state == JOB_ARRIVED) {
		begin(j);
	} else if (w->mood == MOOD_BREAKS) {
		send_end(j, IM_EUPSTREAM);
	} else if (j->state == JOB_BEGUN && in_pieces(j)) {
		j->state = JOB_SPOKE;
		sim_at(&j->timer,
		       sim_now_us() + (uint64_t)((double)j->service_us / 2 * w->slowness));
		speak(j, false);
	} else {
		speak(j, true);
		send_end(j, IM_OK);
	}
}

/* The router's CANCEL is there. A stopped worker reads it later. */
static void
cancel_fire(void *arg)
{
	struct job *j = arg;

	if (j->at->worker->mood != MOOD_STOPPED) {
		job_free(j);
	}
}

void *
job_opened(void *far, struct call *call, const struct call_request *req)
{
	struct wlink *l = far;
	struct world *w = l->worker->world;
	uint32_t gen;
	struct ask *a = callers_find(w, req->traceparent, &gen);
	struct job *j = calloc(1, sizeof(*j));

	if (j == NULL) {
		sim_fail("no memory for the simulation itself");
	}
	if (a == NULL) {
		sim_fail("a request was dispatched of which the caller's trace is unknown: %s",
			 req->traceparent);
	}
	j->at = l;
	j->call = call;
	j->ask = a->index;
	j->ask_gen = gen;
	j->service_us = a->service_us;
	j->answer_tokens = a->answer_tokens;
	j->timer = (struct loop_timer){ .fn = job_fire, .arg = j };
	j->cancel = (struct loop_timer){ .fn = cancel_fire, .arg = j };
	list_push_back(&l->worker->jobs, &j->node);
	sim_at(&j->timer, sim_now_us() + l->delay_us);
	w->tally.dispatched++;
	sim_trace(w, "%s sends %u to %s", l->router->name, a->index, l->worker->name);
	check_dispatch(j, a->gen == gen ? a : NULL);
	return j;
}

void
job_gone(void *user)
{
	struct job *j = user;

	j->call = NULL;
	if (j->at->link != NULL) {
		sim_at(&j->cancel, sim_now_us() + j->at->delay_us);
	}
}

void
jobs_drop(struct sim_worker *w, const struct wlink *l)
{
	LIST_FOREACH_SAFE (&w->jobs, j, struct job, node) {
		if (l == NULL || j->at == l) {
			job_free(j);
		}
	}
}

void
jobs_resume(struct sim_worker *w)
{
	LIST_FOREACH_SAFE (&w->jobs, j, struct job, node) {
		if (loop_timer_armed(&j->timer)) {
			continue;
		}
		if (j->call == NULL) {
			job_free(j); /* the CANCEL had waited to be read */
		} else {
			sim_at(&j->timer, sim_now_us());
		}
	}
}
