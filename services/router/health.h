/*
 * router/health.h - in what state a worker is, for operators and for the rule who gets requests. One state machine; pure.
 * The breakers (breaker.h) are of a worker and a model; this is of the worker.
 *
 *                announced
 *                    │
 *                    ▼     slow start is over
 *      ┌───────── JOINING ───────────────────▶ READY ──────┐
 *      │             │ ▲                       │  ▲        │ silent for suspect_ms,
 *      │             │ │ a breaker closes      │  │ heard  │ or it begins to fail
 *      │             ▼ │ (slow start anew)     ▼  │ again  ▼
 *      │          EJECTED ◀──── the breakers of all ─── SUSPECT
 *      │             │          its models are open        │
 *      │             │                                     │
 *      ├─────────────┴──────────────┬──────────────────────┘
 *      │ an operator or the worker  │ ▲
 *      │ itself says drain          ▼ │ undrain: back to what the rest says
 *      │                         DRAINING
 *      │ the link is lost           │
 *      ▼                            │
 *     GONE ◀────────────────────────┘   for good: the next link is a new incarnation, which joins
 *
 * Several things can be true at once (it drains and is silent), so the machine keeps each as a fact, an event changes one
 * fact, and the state is the first of these that holds:
 *
 *      lost        GONE       gets nothing
 *      drain       DRAINING   finishes what it has, gets nothing new
 *      ejected     EJECTED    gets probes only
 *      silent      SUSPECT    gets nothing new
 *      failing     SUSPECT    gets requests: its breakers decide soon
 *      joining     JOINING    gets requests, slowly more
 *      otherwise   READY      gets requests
 *
 * An operator's drain and the worker's own are two facts: a worker that announces itself again does not undo what an
 * operator said.
 */
#ifndef ROUTER_HEALTH_H
#define ROUTER_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum health_state {
	HEALTH_JOINING,
	HEALTH_READY,
	HEALTH_SUSPECT,
	HEALTH_EJECTED,
	HEALTH_DRAINING,
	HEALTH_GONE,
	HEALTH_STATES,
};

enum health_event {
	HEALTH_EV_RAMPED,  /* slow start is over */
	HEALTH_EV_SILENT,  /* nothing was heard for too long */
	HEALTH_EV_HEARD,   /* it speaks */
	HEALTH_EV_FAILING, /* some of its breakers are open, or about to open */
	HEALTH_EV_WELL,    /* none is */
	HEALTH_EV_EJECT,   /* none of its models lets requests through */
	HEALTH_EV_READMIT, /* one does again: it joins anew */
	HEALTH_EV_DRAIN,   /* it said that it drains */
	HEALTH_EV_UNDRAIN, /* it takes requests again */
	HEALTH_EV_OPERATOR_DRAIN,
	HEALTH_EV_OPERATOR_UNDRAIN,
	HEALTH_EV_LOST, /* its link, or its name went to another process */
	HEALTH_EVENTS,
};

struct health {
	enum health_state state;
	uint64_t since_ms;  /* in this state */
	uint64_t joined_ms; /* since when it joins, or joins anew: slow start counts from here */
	bool joining, silent, failing, ejected, draining, operator_draining, lost;
};

/** Just announced: joining. */
void health_init(struct health *h, uint64_t now_ms);

/** Take one event. True if the state changed. */
bool health_step(struct health *h, enum health_event ev, uint64_t now_ms);

/** May it get new requests, as far as the worker as a whole is concerned? Its breakers and pauses come on top. */
bool health_usable(const struct health *h);

/** Why it is in its state, for the log: "its link is lost", "an operator drains it" … */
const char *health_reason(const struct health *h);

/** "joining", "ready", "suspect", "ejected", "draining", "gone" */
const char *health_state_text(enum health_state state);

#endif
