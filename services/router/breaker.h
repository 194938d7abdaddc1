/*
 * router/breaker.h - the circuit breaker of one worker for one model: lets requests through, stops them after failures, and
 * finds out with one request at a time whether the worker is well again. Pure: 'now_ms' is an argument. It does not know what
 * a failure is (verdict.h) nor whether it may be obeyed (workers_health.c: the panic threshold).
 *
 *                 failures in a row, or the error rate
 *      CLOSED ─────────────────────────────────────────▶ OPEN ◀──────────────────┐
 *         ▲                                               │                      │
 *         │                                               │ the pause is over    │ the probe fails:
 *         │                                               ▼                      │ twice the pause
 *         └───────────── the probe succeeds ────────── HALF_OPEN ────────────────┘
 *                                                       │     ▲
 *                                                       └─────┘ the probe says nothing (the caller left, the link
 *                                                               is lost): the next request is the probe
 *
 * Every attempt takes a ticket when it begins and gives it back, once, when it ends. A ticket counts only in the period
 * of the breaker's life in which it was taken: what began before the breaker opened cannot close it again, and a probe that
 * ends late decides nothing. So there are never two probes, whatever ends when.
 *
 * A breaker that opens again before it has been closed for as long as it was open last pauses twice as long, too: a
 * worker that answers the probe and nothing else is not let in every time.
 *
 * Source: M. Nygard, "Release It!", chapter Circuit Breaker; the doubled pause as in Envoy's outlier detection.
 */
#ifndef ROUTER_BREAKER_H
#define ROUTER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_SLOTS 8 /* parts of the sliding window */

struct breaker_settings {
	uint32_t failures; /* in a row that open it; 0 = however many */
	uint32_t
	    rate_percent; /* of failures among the attempts of the window that opens it; 0 = any */
	uint32_t
	    rate_min; /* so many attempts in the window at least, for the rate to mean anything */
	uint32_t window_ms;   /* with a rate at least BREAKER_SLOTS */
	uint32_t open_ms;     /* the first pause, at least 1 */
	uint32_t open_max_ms; /* the longest, at least open_ms */
};

enum breaker_state {
	BREAKER_CLOSED,
	BREAKER_OPEN,
	BREAKER_HALF_OPEN,
};

/* What an attempt says of its worker. */
enum verdict {
	VERDICT_NOTHING, /* nothing: the caller's fault, cancelled, no attempt at all */
	VERDICT_OK,
	VERDICT_FAILED,
	VERDICT_PAUSE, /* nothing bad, but it wants to be left alone for a while */
};

enum breaker_change {
	BREAKER_SAME,
	BREAKER_OPENS,
	BREAKER_PROBES,     /* half open: the next request is the probe */
	BREAKER_PROBE_FREE, /* the probe said nothing: the next request is one */
	BREAKER_REOPENS,    /* the probe failed */
	BREAKER_CLOSES,     /* the probe succeeded */
};

/* Zero is no ticket. */
typedef uint64_t breaker_ticket;

struct breaker {
	enum breaker_state state;
	bool probing;    /* half open, and the probe is under way */
	uint64_t period; /* changes with every change of the state and every probe */
	uint64_t open_until_ms, closed_ms;
	uint32_t pause_ms; /* of the last opening; 0 = it never opened */
	uint32_t row;      /* failures in a row */
	uint64_t opened;   /* how often it opened, failed probes included */
	uint64_t probes;
	uint64_t slot_no; /* of the newest part of the window: now / its length */
	struct {
		uint32_t attempts, failed;
	} slot[BREAKER_SLOTS];
};

/** Closed. 'serial', from 1, tells its tickets from those of other breakers at the same place. */
void breaker_init(struct breaker *b, uint32_t serial);

/** True if a request may go through now: closed, or half open without a probe. */
bool breaker_admits(const struct breaker *b);

/** A request goes to the worker: its ticket. The first one after half open is the probe; where the breaker is not obeyed
 *  requests go through in every state, and the others count for nothing. */
breaker_ticket breaker_begin(struct breaker *b);

/** True if 'ticket' is that of the probe. */
bool breaker_is_probe(breaker_ticket ticket);

/** It has ended. VERDICT_PAUSE counts as VERDICT_NOTHING here. */
enum breaker_change breaker_end(struct breaker *b, const struct breaker_settings *s,
				breaker_ticket ticket, enum verdict verdict, uint64_t now_ms);

/** The first part of its answer is there. That is enough for a probe, so that a long answer does not keep others waiting; the
 *  attempt goes on under '*ticket', which is changed, as one like all others. */
enum breaker_change breaker_first_token(struct breaker *b, breaker_ticket *ticket, uint64_t now_ms);

/** Time has passed: BREAKER_PROBES or BREAKER_SAME. */
enum breaker_change breaker_tick(struct breaker *b, uint64_t now_ms);

/** The worker was reached anew over another link: what was under way is lost. A probe that was counts as failed. */
void breaker_inherit(struct breaker *b, const struct breaker *old, const struct breaker_settings *s,
		     uint64_t now_ms);

/** Time until the pause is over, rounded up to 1; 0 = it is not open. */
uint32_t breaker_wait_ms(const struct breaker *b, uint64_t now_ms);

/** "closed", "open", "half_open" */
const char *breaker_state_text(enum breaker_state state);

#endif
