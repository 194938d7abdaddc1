/*
 * sim/sim_check.c - what must hold. After every event: the slots of each router are the calls that it has open at workers,
 * and the queue is within its bound. Every CHECK_EVERY events: the lists agree with the counters. When all is quiet:
 * nothing is left. That each caller gets exactly one end, in time, is watched in sim_caller.c; see sim.h.
 */
#include "sim.h"

#include "router/request.h"

#define CHECK_EVERY 256

/* The router believes that 'l' leads to a worker that may get a request. */
void
check_dispatch(struct wlink *l, const struct ask *a)
{
	const struct peer *peer = l->link == NULL ? NULL : link_user(l->link);
	const struct worker *w = peer == NULL ? NULL : peer->worker;

	if (w == NULL || w->link != l->link || w->retired) {
		sim_fail("%s dispatches to %s, which is gone for it", l->router->name,
			 l->worker->name);
	}
	if (!workers_usable(w)) {
		sim_fail("%s dispatches to %s, which is %s", l->router->name, l->worker->name,
			 workers_state(w));
	}
	if (w->slots > w->load.capacity) {
		sim_fail("%s has %u calls at %s, which announced %u", l->router->name, w->slots,
			 l->worker->name, w->load.capacity);
	}
	if (a != NULL && a->frames > 1) {
		sim_fail("caller %u has read %u frames, and another worker is asked", a->index,
			 a->frames);
	}
}

static void
break_something(struct sim_router *r, enum sim_break what)
{
	LIST_FOREACH (&r->router->workers.all, w, struct worker, node) {
		if (what == BREAK_SLOT_TWICE && w->slots > 0) {
			workers_free_slot(w);
			return;
		}
		if (what == BREAK_SLOT_LEAK) {
			workers_take_slot(w);
			return;
		}
	}
	if (what == BREAK_QUEUE) {
		r->router->queue.count++;
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
	uint32_t running = 0, waiting = 0, held = 0;

	LIST_FOREACH (&r->router->requests, q, struct request, node) {
		/* A generation that several callers share has none of its own. */
		running += q->caller.kind != CALLER_FOLLOWERS;
		waiting += q->waiting.line != NULL;
		held += q->worker != NULL;
		if (q->st.slot != (q->worker != NULL)) {
			sim_fail("%s: a request holds a slot and does not know it", r->name);
		}
	}
	if (running != r->router->running) {
		sim_fail("%s counts %u requests and has %u", r->name, r->router->running, running);
	}
	if (waiting != r->router->queue.count) {
		sim_fail("%s counts %u that wait and has %u", r->name, r->router->queue.count,
			 waiting);
	}
	if (held != far_calls_open(r->net)) {
		sim_fail("%s: %u requests hold slots for %u calls", r->name, held,
			 far_calls_open(r->net));
	}
}

void
check_all(struct world *w)
{
	for (uint32_t i = 0; i < w->p.routers; i++) {
		if (w->routers[i].router != NULL) {
			check_slots(&w->routers[i]);
			check_lists(&w->routers[i]);
		}
	}
}

void
check_event(struct world *w)
{
	if (w->p.broken != BREAK_NOTHING && sim_events() == w->p.events / 2 &&
	    w->routers[0].router != NULL) {
		break_something(&w->routers[0], w->p.broken);
	}
	for (uint32_t i = 0; i < w->p.routers; i++) {
		if (w->routers[i].router != NULL) {
			check_slots(&w->routers[i]);
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
		if (r->audit.terminals_done != r->admitted) {
			sim_fail("%s admitted %llu requests and recorded the end of %llu",
				 w->routers[i].name, (unsigned long long)r->admitted,
				 (unsigned long long)r->audit.terminals_done);
		}
	}
}
