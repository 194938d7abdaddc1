/*
 * router/workers_load.c - how busy workers are and what they weigh, and the policies' view of it; see workers.h.
 */
#include "router/workers.h"

static uint32_t
clamp_load(uint32_t v)
{
	return v < WORKERS_LOAD_MAX ? v : WORKERS_LOAD_MAX;
}

void
workers_report(struct worker *w, const struct load *load)
{
	uint32_t there = clamp_load(load->in_flight) + clamp_load(load->queued), own;

	w->load = *load;
	w->load.capacity = clamp_load(load->capacity);
	own = load->has_own ? load->own : w->slots;
	w->others = there > own ? there - own : 0;
	workers_reindex(w);
}

void
workers_mark_full(struct worker *w)
{
	uint32_t rest = w->slots > 0 ? w->slots - 1 : 0; /* ours without the refused one */

	if (rest + w->others < w->load.capacity) {
		w->others = w->load.capacity - rest;
	}
	workers_reindex(w);
}

void
workers_take_slot(struct worker *w)
{
	w->slots++;
	w->dispatched++;
	w->last_pick = ++w->table->picks;
	workers_reindex(w);
}

void
workers_free_slot(struct worker *w)
{
	w->slots--;
	workers_reindex(w);
}

void
workers_set_weight(struct worker *w, uint32_t weight)
{
	w->operator_weight = weight;
	workers_reindex(w);
}

uint32_t
workers_weight(const struct worker_model *wm)
{
	const struct worker *w = wm->worker;
	uint32_t whole =
	    (w->operator_weight != 0 ? w->operator_weight : w->weight) * POOL_WEIGHT_ONE;

	/* A whole weight has at least POOL_WEIGHT_ONE / WORKERS_RAMP_STEPS for each step. */
	return list_linked(&wm->ramp_node) ? whole / WORKERS_RAMP_STEPS * wm->ramp_step : whole;
}

void
workers_slow_start(struct worker_model *wm, uint64_t now_ms)
{
	struct workers *ws = wm->worker->table;

	/* While everybody begins, as after a start of the router, nobody is to be spared. */
	if (ws->slow_start_ms > 0 && now_ms >= wm->model->served_ms + ws->slow_start_ms) {
		wm->ramp_ms = now_ms;
		wm->ramp_step = 1;
		list_remove(&wm->ramp_node);
		list_push_back(&ws->ramping, &wm->ramp_node);
	}
	workers_reindex_model(wm);
}

void
workers_ramp(struct workers *ws, uint64_t now_ms)
{
	LIST_FOREACH_SAFE (&ws->ramping, wm, struct worker_model, ramp_node) {
		uint64_t step = 1 + (now_ms - wm->ramp_ms) * WORKERS_RAMP_STEPS / ws->slow_start_ms;

		if (step >= WORKERS_RAMP_STEPS) {
			list_remove(&wm->ramp_node);
		} else if (step == wm->ramp_step) {
			continue;
		}
		wm->ramp_step = (uint32_t)step;
		workers_reindex_model(wm);
	}
}

bool
workers_has_room(const struct worker *w)
{
	return workers_usable(w) && workers_in_flight(w) < w->load.capacity;
}

void
workers_reindex_model(struct worker_model *wm)
{
	const struct worker *w = wm->worker;

	if (wm->place != POOL_NONE) {
		pool_set(&wm->model->pool[wm->tier], wm->place,
			 &(struct pool_load){ .in_flight = workers_in_flight(w),
					      .capacity = w->load.capacity,
					      .weight = workers_weight(wm),
					      .last_pick = w->last_pick,
					      .usable = workers_model_usable(wm) });
	}
}

void
workers_reindex(struct worker *w)
{
	for (size_t i = 0; i < w->model_count; i++) {
		workers_reindex_model(&w->models[i]);
	}
}
