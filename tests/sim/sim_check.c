/*
 * sim/sim_check.c - what must hold. After every event: the slots of each router are the calls that it has open at workers,
 * and the queue is within its bound. Every CHECK_EVERY events: the lists agree with the counters. When all is quiet:
 * nothing is left. That each caller gets exactly one end, in time, is watched in sim_caller.c; see sim.h.
 */
#include "sim.h"

#include "router/request.h"

#define CHECK_EVERY 256

/* While a breaker is obeyed and not closed, one request at a time finds out whether the worker is well. */
static void
check_probe(const struct job *j, const struct worker_model *wm)
{
	const struct sim_worker *w = j->at->worker;
	uint32_t probes = 0;

	if (wm->breaker.state != BREAKER_HALF_OPEN || !wm->breaker.probing) {
		sim_fail("%s sends a request to %s, whose breaker for %s is %s",
			 j->at->router->name, w->name, wm->model->id,
			 breaker_state_text(wm->breaker.state));
	}
	LIST_FOREACH (&w->jobs, other, struct job, node) {
		probes += other->at == j->at && other->probe && other->call != NULL &&
			  ((const struct request *)far_call_user(other->call))->model == wm->model;
	}
	if (probes != 1) {
		sim_fail("%s has %u probes of %s for %s at once", j->at->router->name, probes,
			 w->name, wm->model->id);
	}
}

/* The router believes that this link leads to a worker that may get a request. */
void
check_dispatch(struct job *j, const struct ask *a)
{
	const struct wlink *l = j->at;
	const struct peer *peer = l->link == NULL ? NULL : link_user(l->link);
	const struct worker *w = peer == NULL ? NULL : peer->worker;
	const struct request *q = far_call_user(j->call);
	const struct worker_model *wm = w == NULL ? NULL : workers_serving(w, q->model);

	if (w == NULL || w->link != l->link || w->retired || wm == NULL) {
		sim_fail("%s dispatches to %s, which is gone for it", l->router->name,
			 l->worker->name);
	}
	if (!health_usable(&w->health)) {
		sim_fail("%s dispatches to %s, which is %s", l->router->name, l->worker->name,
			 health_state_text(w->health.state));
	}
	if (wm->paused_until_ms > sim_now_us() / 1000) {
		sim_fail("%s dispatches to %s, which asked to be left alone", l->router->name,
			 l->worker->name);
	}
	if (w->slots > w->load.capacity) {
		sim_fail("%s has %u calls at %s, which announced %u", l->router->name, w->slots,
			 l->worker->name, w->load.capacity);
	}
	if (a != NULL && a->frames > 1) {
		sim_fail("caller %u has read %u frames, and another worker is asked", a->index,
			 a->frames);
	}
	if (wm->ejected) {
		j->probe = true;
		check_probe(j, wm);
	}
}

/* The breaker forgets that its probe is under way. */
static void
forget_probes(struct worker *w)
{
	for (size_t i = 0; i < w->model_count; i++) {
		if (w->models[i].ejected && w->models[i].breaker.probing) {
			w->models[i].breaker.probing = false;
			workers_reindex(w);
		}
	}
}

static void
forget_limits(struct limits *l)
{
	for (size_t i = 0; i < l->limiter.rule_count; i++) {
		const struct limit_rate *rate = l->rules[i].rate;

		for (size_t k = 0; k < LIMIT_KINDS; k++) {
			l->rules[i].own->bucket[k].level = (int64_t)rate[k].burst * LIMIT_GRAINS;
		}
	}
}

/* From the middle of the run on, again and again: not every state of the router lets a fault be seen. */
static void
break_something(struct router *r, enum sim_break what)
{
	LIST_FOREACH (&r->workers.all, w, struct worker, node) {
		if (what == BREAK_SLOT_TWICE && w->slots > 0) {
			workers_free_slot(w);
			return;
		}
		if (what == BREAK_SLOT_LEAK) {
			workers_take_slot(w);
			return;
		}
		if (what == BREAK_PROBE) {
			forget_probes(w);
		}
	}
	if (what == BREAK_QUEUE) {
		r->queue.count++;
	} else if (what == BREAK_LIMIT) {
		forget_limits(&r->limits);
	}
}

static void
check_slots(const struct sim_router *r)
{
	uint32_t slots = workers_slots(&r->router->workers);

	if (slots != far_calls_open(r->net)) {
		sim_fail("%s counts %u slots and has %u calls open at workers", r->name, slots,
			 far_calls_open(r->net));
	}
}

static void
check_lists(const struct sim_router *r)
{
	uint32_t running = 0, waiting = 0, first = 0, held = 0, holding = 0;

	LIST_FOREACH (&r->router->requests, q, struct request, node) {
		/* A generation that several callers share has none of its own. */
		running += q->caller.kind != CALLER_FOLLOWERS;
		waiting += q->waiting.line != NULL;
		/* Who has had a place and lost it is not turned away. */
		first += q->waiting.line != NULL && q->pick.seen_count == 0;
		held += q->worker != NULL;
		holding += q->claim.hold.count > 0;
		if (q->st.slot != (q->worker != NULL)) {
			sim_fail("%s: a request holds a slot and does not know it", r->name);
		}
	}
	if (running != r->router->running) {
		sim_fail("%s counts %u requests and has %u", r->name, r->router->running, running);
	}
	if (first > r->router->queue.set.all_max) {
		sim_fail("%s lets %u wait for the first time, allowed are %u", r->name, first,
			 r->router->queue.set.all_max);
	}
	if (waiting != r->router->queue.count) {
		sim_fail("%s counts %u that wait and has %u", r->name, r->router->queue.count,
			 waiting);
	}
	if (holding != r->router->limits.limiter.reservations) {
		sim_fail("%s counts %llu reservations, %u requests have one", r->name,
			 (unsigned long long)r->router->limits.limiter.reservations, holding);
	}
	if (held != far_calls_open(r->net)) {
		sim_fail("%s: %u requests hold slots for %u calls", r->name, held,
			 far_calls_open(r->net));
	}
}

/* At most so many of a model's workers are ejected, but always one. When a worker goes the share may be too large until the
 * router's next tick. */
static void
check_ejected(struct sim_router *r)
{
	const struct workers *ws = &r->router->workers;
	bool over = false;

	for (size_t i = 0; i < WORKERS_BUCKETS; i++) {
		LIST_FOREACH (&ws->buckets[i], m, struct model, node) {
			uint32_t most = m->serving_count * ws->set.eject_max_percent / 100;

			if (m->ejected_count <= (most > 0 ? most : 1)) {
				continue;
			}
			over = true;
			if (r->over_us != 0 &&
			    sim_now_us() > r->over_us + 2000ULL * ROUTER_TICK_MS) {
				sim_fail("%s has ejected %u of %u workers of %s", r->name,
					 m->ejected_count, m->serving_count, m->id);
			}
		}
	}
	r->over_us = !over ? 0 : r->over_us != 0 ? r->over_us : sim_now_us();
}

/* What was let in, and what was used, is within burst + rate * time: the worker never uses more than was reserved. */
static void
check_limits(const struct sim_router *r)
{
	const struct world_params *p = &r->world->p;
	uint64_t ms = sim_now_us() / 1000 - r->started_us / 1000; /* as it counts */
	double minutes = (double)ms / 60000;

	if (p->requests_burst == 0) {
		return;
	}
	if ((double)r->router->admitted >
	    p->requests_burst + p->requests_per_minute * minutes + 1e-6) {
		sim_fail("%s let %llu requests in within %.3f min", r->name,
			 (unsigned long long)r->router->admitted, minutes);
	}
	if ((double)r->used_tokens > p->tokens_burst + p->tokens_per_minute * minutes + 1e-6) {
		sim_fail("%s let %llu tokens be used within %.3f min", r->name,
			 (unsigned long long)r->used_tokens, minutes);
	}
}

void
check_all(struct world *w)
{
	for (uint32_t i = 0; i < w->p.routers; i++) {
		if (w->routers[i].router != NULL) {
			check_slots(&w->routers[i]);
			check_lists(&w->routers[i]);
			check_ejected(&w->routers[i]);
		}
	}
}

void
check_event(struct world *w)
{
	if (w->p.broken != BREAK_NOTHING && sim_events() >= w->p.events / 2 &&
	    w->routers[0].router != NULL) {
		break_something(w->routers[0].router, w->p.broken);
	}
	for (uint32_t i = 0; i < w->p.routers; i++) {
		if (w->routers[i].router != NULL) {
			check_slots(&w->routers[i]);
			check_limits(&w->routers[i]);
		}
	}
	if (sim_events() % CHECK_EVERY == 0) {
		check_all(w);
	}
}

void
check_quiet(struct world *w)
{
	check_all(w);
	for (uint32_t i = 0; i < w->p.routers; i++) {
		const struct router *r = w->routers[i].router;

		if (r == NULL) {
			continue;
		}
		if (r->running != 0 || r->queue.count != 0 || workers_slots(&r->workers) != 0) {
			sim_fail("all is quiet, but %s has %u requests, %u waiting, %u slots",
				 w->routers[i].name, r->running, r->queue.count,
				 workers_slots(&r->workers));
		}
		if (r->limits.limiter.reserved_tokens != 0) {
			sim_fail("all is quiet, but %llu tokens are reserved at %s",
				 (unsigned long long)r->limits.limiter.reserved_tokens,
				 w->routers[i].name);
		}
		if (r->audit.terminals_done != r->admitted) {
			sim_fail("%s admitted %llu requests and recorded the end of %llu",
				 w->routers[i].name, (unsigned long long)r->admitted,
				 (unsigned long long)r->audit.terminals_done);
		}
	}
}
