/*
 * router/workers_pick.c - how busy workers are, and which of them gets a request; see workers.h. The policy itself is in
 * least_connections.c.
 */
#include <string.h>

#include "router/least_connections.h"
#include "router/workers.h"

static uint32_t
clamp_load(uint32_t v)
{
	return v < WORKERS_LOAD_MAX ? v : WORKERS_LOAD_MAX;
}

void
workers_report(struct worker *w, const struct load *load)
{
	uint32_t there = clamp_load(load->in_flight) + clamp_load(load->queued);

	w->load = *load;
	w->load.capacity = clamp_load(load->capacity);
	/* Its count holds ours too. Requests that are on their way to it are ours and not counted there yet, so this may
	 * come out too low for a moment, never too high. */
	w->others = there > w->slots ? there - w->slots : 0;
}

const char *
workers_digest(const struct worker *w, const struct model *m)
{
	for (size_t i = 0; i < w->model_count; i++) {
		if (w->models[i].model == m) {
			return w->models[i].digest;
		}
	}
	return "";
}

void
workers_mark_full(struct worker *w)
{
	uint32_t rest = w->slots > 0 ? w->slots - 1 : 0; /* ours without the refused one */

	if (rest + w->others < w->load.capacity) {
		w->others = w->load.capacity - rest;
	}
}

uint32_t
workers_in_flight(const struct worker *w)
{
	return w->slots + w->others;
}

bool
workers_usable(const struct worker *w)
{
	return w->link != NULL && !w->retired && !w->draining;
}

static struct lc_candidate
candidate(const struct worker *w)
{
	return (struct lc_candidate){ .in_flight = workers_in_flight(w),
				      .capacity = w->load.capacity,
				      .weight = 1,
				      .last_pick = w->last_pick };
}

bool
workers_has_room(const struct worker *w)
{
	struct lc_candidate c = candidate(w);

	return workers_usable(w) && least_connections_fits(&c);
}

const char *
workers_state(const struct worker *w)
{
	if (w->link == NULL || w->retired) {
		return "gone";
	}
	return w->draining ? "draining" : "ready";
}

void
workers_take_slot(struct worker *w)
{
	w->slots++;
	w->dispatched++;
}

void
workers_free_slot(struct worker *w)
{
	w->slots--;
}

static bool
was_tried(const struct worker *w, const uint64_t *tried, size_t tried_count)
{
	for (size_t i = 0; i < tried_count; i++) {
		if (tried[i] == w->id) {
			return true;
		}
	}
	return false;
}

static void
pick_see(struct pick *pick, struct worker *w)
{
	if (pick->seen_count < AUDIT_SEEN_MAX) {
		workers_name_ref(w->name);
		pick->seen[pick->seen_count].name = w->name;
		pick->seen[pick->seen_count].in_flight = workers_in_flight(w);
		pick->seen_count++;
	}
}

void
workers_pick(struct workers *ws, const struct model *m, const uint64_t *tried, size_t tried_count,
	     struct pick *ret)
{
	struct worker *best = NULL;
	struct lc_candidate best_c = { 0 };

	memset(ret, 0, sizeof(*ret));
	LIST_FOREACH (&m->serving, wm, struct worker_model, model_node) {
		struct lc_candidate c = candidate(wm->worker);

		if (!workers_has_room(wm->worker) || was_tried(wm->worker, tried, tried_count)) {
			continue;
		}
		if (best == NULL || least_connections_better(&c, &best_c)) {
			best = wm->worker;
			best_c = c;
		}
	}
	if (best == NULL) {
		return;
	}
	pick_see(ret, best);
	LIST_FOREACH (&m->serving, wm, struct worker_model, model_node) {
		if (wm->worker != best) {
			pick_see(ret, wm->worker);
		}
	}
	best->last_pick = ++ws->picks;
	ret->worker = best;
}

void
workers_pick_done(struct pick *pick)
{
	for (size_t i = 0; i < pick->seen_count; i++) {
		workers_name_unref(pick->seen[i].name);
	}
	pick->seen_count = 0;
	pick->worker = NULL;
}

bool
workers_any_usable(const struct model *m, const uint64_t *tried, size_t tried_count)
{
	LIST_FOREACH (&m->serving, wm, struct worker_model, model_node) {
		if (workers_usable(wm->worker) && !was_tried(wm->worker, tried, tried_count)) {
			return true;
		}
	}
	return false;
}

bool
workers_is_here(const struct workers *ws, uint64_t id)
{
	LIST_FOREACH (&ws->all, w, struct worker, node) {
		if (w->id == id) {
			return w->link != NULL && !w->retired;
		}
	}
	return false;
}
