/*
 * router/request_state.h - the life of one admitted request as a pure state machine: events in, actions out. It decides what
 * may be said to whom and when; request.c performs it. It never touches a socket, a clock or a queue.
 *
 *            admit          miss                picked            worker ok
 *      NEW ────────▶ CACHE ───────▶ WAITING ──────────▶ RUNNING ────────────▶ OVER
 *                      │              │ ▲                  │                   ▲
 *                      │ hit          │ └────── retry ─────┘                   │
 *                      │              │ follows            worker ok           │
 *                      │              └──────────▶ FOLLOWING ──────────────────┤
 *                      └──────────────────────────────────────────────────────-┤
 *      any ── cancel, deadline, failure, no worker, record failed ─────────────┘
 *
 * FOLLOWING: the answer comes from a generation that several requests may share. That generation is a request of its own,
 * which nobody recorded and nobody calls (caller_kind CALLER_FOLLOWERS, audit mode off): it has the worker, the slot and the
 * retries, and what becomes of it is told to those who follow as if it were a worker.
 *
 * Beside it run two gates of the audit log (fail-closed; in the other modes they stand open):
 *
 *      REQUEST record:  pending ──durable──▶ frames may leave       ──failed──▶ OVER, ended with audit_unavailable
 *      terminal record: none ──OVER and all frames left──▶ asked ──taken──▶ pending ──durable or failed──▶ END
 *                         └──answer whole, REQUEST record pending────▲          (and all frames left)
 *
 * What holds whatever comes in: a slot that was taken is given back exactly once; exactly one terminal record is taken; no
 * frame leaves before the REQUEST record is durable and no successful END before the terminal record is; END is said
 * once; 'free' is the last action.
 */
#ifndef ROUTER_REQUEST_STATE_H
#define ROUTER_REQUEST_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/mesh.h"

enum audit_mode {
	AUDIT_FAIL_CLOSED,
	AUDIT_FAIL_OPEN,
	AUDIT_OFF,
};

enum request_event {
	REQUEST_EV_ADMIT, /* its REQUEST record was handed to the audit client (or needs none) */
	REQUEST_EV_RECORD_DURABLE, /* the REQUEST record */
	REQUEST_EV_RECORD_FAILED,  /* ... was not durable in time */
	REQUEST_EV_CACHE_HIT,      /* frames of the answer are held */
	REQUEST_EV_CACHE_MISS,     /* or no answer in time */
	REQUEST_EV_PICKED,         /* a worker, and the slot is taken */
	REQUEST_EV_FOLLOWS,        /* the answer comes from a generation that may be shared */
	REQUEST_EV_FRAME,          /* a frame of the worker is held, or waits in the generation */
	REQUEST_EV_DELIVERED, /* the first frame of the answer reached the caller's link: no retry any more */
	REQUEST_EV_FLUSHED,      /* no frame is held any more */
	REQUEST_EV_WORKER_OK,    /* the worker's call ended well */
	REQUEST_EV_WORKER_RETRY, /* it failed by the worker's own fault: another may do it */
	REQUEST_EV_WORKER_PROBE, /* it failed as a probe, or has unloaded the model: another may do it, and that is no retry */
	REQUEST_EV_WORKER_FULL,   /* it was not taken: no attempt is counted */
	REQUEST_EV_WORKER_FAILED, /* it failed for good */
	REQUEST_EV_NO_WORKER, /* waited in vain, or there is no room to wait; the generation did */
	REQUEST_EV_FALL_BACK, /* not to be had where it was looked for, but elsewhere */
	REQUEST_EV_STATIC,    /* the answer that the route keeps for the worst is held */
	REQUEST_EV_FAILED,    /* our own failure: out of memory, the answer is too large */
	REQUEST_EV_CANCEL,    /* the caller left */
	REQUEST_EV_DEADLINE,  /* time is up */
	REQUEST_EV_TERMINAL_TAKEN, /* the audit client has the terminal record (or none is needed) */
	REQUEST_EV_TERMINAL_NOMEM, /* it could not take it: asked again at the next tick */
	REQUEST_EV_TERMINAL_DURABLE,
	REQUEST_EV_TERMINAL_FAILED, /* not durable in time; it stays pending with the audit client */
	REQUEST_EV_TICK,
	REQUEST_EV_COUNT,
};

/* Performed in this order. */
enum request_action {
	REQUEST_DO_STOP_CACHE = 1 << 0, /* forget the lookup */
	REQUEST_DO_LEAVE_QUEUE = 1 << 1,
	REQUEST_DO_LEAVE_SHARED = 1 << 2,  /* listen no more to the generation */
	REQUEST_DO_CANCEL_WORKER = 1 << 3, /* the call to the worker is still open */
	REQUEST_DO_FREE_SLOT = 1 << 4,
	REQUEST_DO_DROP_HELD =
	    1 << 5, /* frames of an attempt that nobody saw; the digest starts anew */
	REQUEST_DO_ASK_CACHE = 1 << 6, /* answer with CACHE_HIT or CACHE_MISS */
	REQUEST_DO_FIND_WORKER =
	    1 << 7, /* pick one or wait in the queue; answer with PICKED, FOLLOWS or NO_WORKER */
	REQUEST_DO_DISPATCH = 1 << 8, /* open the call to the picked worker */
	REQUEST_DO_OPEN = 1 << 9,     /* tell the caller that it is admitted */
	REQUEST_DO_FLUSH =
	    1 << 10, /* held frames may leave; answer with FLUSHED when none is left */
	REQUEST_DO_RECORD_END =
	    1 << 11, /* hand over the terminal record; answer with TERMINAL_TAKEN or _NOMEM */
	REQUEST_DO_END = 1 << 12, /* end the caller's call as 'ending' says */
	REQUEST_DO_FREE = 1 << 13,
};

enum request_work {
	REQUEST_NEW,
	REQUEST_CACHE,
	REQUEST_WAITING,
	REQUEST_RUNNING,
	REQUEST_FOLLOWING,
	REQUEST_OVER,
};

enum request_ending {
	REQUEST_END_OK,
	REQUEST_END_ERROR, /* the error that the shell keeps */
	REQUEST_END_AUDIT, /* audit_unavailable */
	REQUEST_END_DEADLINE,
	REQUEST_END_GONE, /* nobody is there to be told */
};

struct request_state {
	enum audit_mode mode;
	enum request_work work;
	enum request_ending ending;
	enum outcome outcome; /* of the terminal record; OUTCOME_NONE until it is over */
	enum {
		GATE_SHUT,
		GATE_OPEN,
		GATE_FAILED
	} record;
	enum {
		TERMINAL_NONE,
		TERMINAL_ASKED,
		TERMINAL_PENDING,
		TERMINAL_SETTLED
	} terminal;
	uint64_t deadline_ms; /* CLOCK_MONOTONIC */
	uint32_t
	    grace_ms; /* a cancel so shortly before the deadline is the deadline: clocks differ */
	uint32_t attempts; /* workers tried, "full" ones not counted */
	uint32_t retries_left;
	bool ask_cache; /* NEW goes to CACHE */
	bool coalesced; /* the generation that it follows was begun for another request */
	bool slot;      /* a slot of a worker is held */
	bool late; /* the caller is told that it is admitted only when it is known who answers */
	bool answering; /* that is known */
	bool opened;    /* the caller was told that it is admitted */
	bool delivered; /* a frame of the answer left */
	bool flushed;   /* nothing is held that has to leave */
	bool gone;      /* the caller left */
	bool hurry;     /* END does not wait for the terminal record */
	bool ended;     /* END was said */
	bool hold_off;  /* no memory for the terminal record: wait for a tick */
	bool freed;
};

/** A request before admission. 'deadline_ms' counts from 'now_ms'. */
void request_state_init(struct request_state *r, enum audit_mode mode, bool ask_cache,
			uint32_t retries, uint64_t now_ms, uint32_t budget_ms);

/** Take one event; returns the actions, a set of enum request_action. Events that make no sense in the present state change
 *  nothing; a PICKED that comes too late gives its slot back. */
unsigned request_step(struct request_state *r, enum request_event ev, uint64_t now_ms);

/** True if a frame of the worker may leave at once, provided that none is held before it. */
bool request_state_relays(const struct request_state *r);

/** True if the answer was or is being given whole. */
bool request_state_success(const struct request_state *r);

#endif
