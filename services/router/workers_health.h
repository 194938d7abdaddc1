/*
 * router/workers_health.h - who of the table of workers may get requests: attempts and their verdicts, breakers, pauses,
 * ejection within the panic threshold, silence, draining. Part of workers.h; pure, like it. It chooses nobody and logs
 * nothing: what changes is told through struct workers_ops.
 *
 * A worker may get requests for a model when the worker is usable (health.h: linked, not draining, not silent), the model
 * is not paused there, and the breaker lets them through or is not obeyed.
 *
 * Panic threshold: at most eject_max_percent of the workers that serve a model, rounded down, but always one, are ejected
 * at once. A breaker that opens beyond that records what it sees, has its probes and its pauses, and is not obeyed until
 * there is room: when everything fails, failing requests at workers is better than none, and one worker alone does not
 * get the load of all. Source: max_ejection_percent of Envoy's outlier detection.
 */
#ifndef ROUTER_WORKERS_HEALTH_H
#define ROUTER_WORKERS_HEALTH_H

#include "router/verdict.h"
#include "router/workers.h"

/* An attempt of a request at a worker, from the slot taken to the slot given back. */
struct attempt {
	struct worker *worker;
	struct model *model;
	size_t at; /* where the model stood among the worker's */
	breaker_ticket ticket;
};

/** A request that holds a slot goes to the worker of 'wm' for its model. Worker and model must outlive the attempt; 'wm' need
 *  not. */
void workers_attempt_begin(struct worker_model *wm, struct attempt *ret);

/** True if this attempt is to find out whether the worker is well again. */
bool workers_attempt_is_probe(const struct attempt *a);

/** The first part of an answer is there. */
void workers_attempt_token(struct attempt *a, uint64_t now_ms);

/** It has ended: exactly once for each that began, before its slot is given back. 'why' is for the log; NULL = nothing to
 *  tell. */
void workers_attempt_end(struct attempt *a, const struct judgement *what, const char *why,
			 uint64_t now_ms);

/** Something came from it. Costs nothing; workers_health_tick() takes note. */
static inline void
workers_heard(struct worker *w)
{
	w->heard = true;
}

/** Pauses and silences that are over or begin; a part of workers_tick(). */
void workers_health_tick(struct workers *ws, uint64_t now_ms);

/**
 * An operator drains 'w', or ends that: no new requests; those that it has go on. It holds for the name, whatever the
 * worker says of itself, over lost links and restarts of the worker, until it is undone; a worker that is gone is remembered
 * for as long. True if it was not so before.
 */
bool workers_set_draining(struct worker *w, bool draining, uint64_t now_ms);

/** A worker with room whose breaker waits for a probe of 'm', and that is not 'tried'; NULL = none. It gets the next
 *  request, whatever the policy. */
struct worker_model *workers_awaiting_probe(const struct model *m, const uint64_t *tried,
					    size_t tried_count);

/**
 * Workers serve 'm' but each is paused or ejected: '*ret' is what to tell the caller, with the time until the first of
 * them may be tried. False: that is not so.
 */
bool workers_outage(struct model *m, uint64_t now_ms, struct im_err *ret);

/* For workers.c: workers and entries that come, go on and go. */

/** A new worker, whose models are set: joining, or ready where nobody needs a slow start. */
void workers_health_join(struct worker *w, uint64_t now_ms);

/** 'w' has taken the name of 'old', which gets no more requests. */
void workers_health_replace(struct worker *w, struct worker *old, uint64_t now_ms);

/** It has announced itself. */
void workers_health_announced(struct worker *w, bool draining, uint64_t now_ms);

/** 'wm' begins to serve its model, with the history of 'old' (NULL = none), whose place it takes in the same worker, or which was
 *  that of another incarnation of the same process ('moved'). */
void workers_health_serve(struct worker_model *wm, struct worker_model *old, bool moved,
			  uint64_t now_ms);

/** 'wm' ceases to serve its model; it keeps its history. Does nothing the second time. */
void workers_health_unserve(struct worker_model *wm);

/** One event of 'w' as a whole; told if its state changes. */
void workers_health_event(struct worker *w, enum health_event ev, uint64_t now_ms);

#endif
