/*
 * router/request_state.c - the state machine; see request_state.h.
 */
#include "router/request_state.h"

#include <string.h>

#define GRACE_MAX_MS 10

void
request_state_init(struct request_state *r, enum audit_mode mode, bool ask_cache, uint32_t retries,
		   uint64_t now_ms, uint32_t budget_ms)
{
	memset(r, 0, sizeof(*r));
	r->mode = mode;
	r->record = mode == AUDIT_FAIL_CLOSED ? GATE_SHUT : GATE_OPEN;
	r->ask_cache = ask_cache;
	r->retries_left = retries;
	r->deadline_ms = now_ms + budget_ms;
	r->grace_ms = budget_ms / 4 < GRACE_MAX_MS ? budget_ms / 4 : GRACE_MAX_MS;
	r->flushed = true;
}

bool
request_state_relays(const struct request_state *r)
{
	return r->work == REQUEST_RUNNING && r->opened && !r->gone && !r->ended;
}

bool
request_state_success(const struct request_state *r)
{
	return r->outcome == OUTCOME_OK || r->outcome == OUTCOME_CACHE_HIT ||
	       r->outcome == OUTCOME_COALESCED;
}

/* Leave whatever it was doing. The outcome is final unless a success still waits for its frames to leave. */
static unsigned
finish(struct request_state *r, enum outcome outcome, enum request_ending ending)
{
	unsigned actions = 0;

	switch (r->work) {
	case REQUEST_CACHE:
		actions |= REQUEST_DO_STOP_CACHE;
		break;
	case REQUEST_WAITING:
		actions |= REQUEST_DO_LEAVE_QUEUE;
		break;
	case REQUEST_RUNNING:
		actions |= REQUEST_DO_CANCEL_WORKER;
		break;
	case REQUEST_FOLLOWING:
		actions |= REQUEST_DO_LEAVE_SHARED;
		break;
	case REQUEST_NEW:
	case REQUEST_OVER:
		break;
	}
	if (r->slot) {
		r->slot = false;
		actions |= REQUEST_DO_FREE_SLOT;
	}
	r->work = REQUEST_OVER;
	r->outcome = outcome;
	r->ending = ending;
	return actions;
}

/* It went wrong. Once the terminal record is on its way what it says stays true, and only the END changes. */
static unsigned
fail(struct request_state *r, enum outcome outcome, enum request_ending ending)
{
	if (r->work == REQUEST_OVER && r->terminal != TERMINAL_NONE) {
		return 0;
	}
	if (r->work == REQUEST_OVER && !request_state_success(r)) {
		return 0;
	}
	return finish(r, outcome, ending);
}

/* The worker's call or the generation has ended: there is nothing left to cancel or to leave. */
static unsigned
worker_done(struct request_state *r, enum outcome outcome, enum request_ending ending)
{
	const unsigned done = REQUEST_DO_CANCEL_WORKER | REQUEST_DO_LEAVE_SHARED;

	if (r->work != REQUEST_RUNNING && r->work != REQUEST_FOLLOWING) {
		return 0;
	}
	return finish(r, outcome, ending) & ~done;
}

static unsigned
worker_ok(struct request_state *r)
{
	bool shared = r->work == REQUEST_FOLLOWING && r->coalesced;

	return worker_done(r, shared ? OUTCOME_COALESCED : OUTCOME_OK, REQUEST_END_OK);
}

static unsigned
no_worker(struct request_state *r)
{
	enum outcome outcome = r->attempts > 0 ? OUTCOME_ERROR : OUTCOME_REJECTED;

	if (r->work == REQUEST_FOLLOWING) {
		return worker_done(r, outcome, REQUEST_END_ERROR);
	}
	return r->work == REQUEST_WAITING ? finish(r, outcome, REQUEST_END_ERROR) : 0;
}

/* Give the slot back and look for another worker. */
static unsigned
look_again(struct request_state *r)
{
	r->work = REQUEST_WAITING;
	r->slot = r->answering = false;
	return REQUEST_DO_FREE_SLOT | REQUEST_DO_DROP_HELD | REQUEST_DO_FIND_WORKER;
}

static unsigned
worker_retry(struct request_state *r, uint64_t now_ms)
{
	if (r->work != REQUEST_RUNNING) {
		return 0;
	}
	if (r->delivered || r->retries_left == 0 || now_ms >= r->deadline_ms) {
		return worker_done(r, OUTCOME_ERROR, REQUEST_END_ERROR);
	}
	r->retries_left--;
	return look_again(r);
}

static unsigned
worker_probe(struct request_state *r, uint64_t now_ms)
{
	if (r->work != REQUEST_RUNNING) {
		return 0;
	}
	if (r->delivered || now_ms >= r->deadline_ms) {
		return worker_done(r, OUTCOME_ERROR, REQUEST_END_ERROR);
	}
	return look_again(r);
}

static unsigned
worker_full(struct request_state *r)
{
	if (r->work != REQUEST_RUNNING) {
		return 0;
	}
	if (r->delivered) {
		return worker_done(r, OUTCOME_ERROR, REQUEST_END_ERROR);
	}
	r->attempts--;
	return look_again(r);
}

static unsigned
deadline(struct request_state *r)
{
	unsigned actions = fail(r, OUTCOME_ERROR, REQUEST_END_DEADLINE);

	if (r->work == REQUEST_OVER && !r->ended) {
		r->hurry = true; /* a slow audit log makes nobody wait beyond the deadline */
		r->ending = request_state_success(r) ? REQUEST_END_DEADLINE : r->ending;
	}
	return actions;
}

static unsigned
cancel(struct request_state *r, uint64_t now_ms)
{
	unsigned actions;

	if (now_ms + r->grace_ms >= r->deadline_ms) {
		actions = fail(r, OUTCOME_ERROR, REQUEST_END_DEADLINE);
	} else {
		actions = fail(r, OUTCOME_CANCELLED, REQUEST_END_GONE);
	}
	r->gone = true;
	return actions;
}

static unsigned
record_failed(struct request_state *r)
{
	unsigned actions;

	if (r->record != GATE_SHUT) {
		return 0;
	}
	r->record = GATE_FAILED;
	actions = fail(r, OUTCOME_ERROR, REQUEST_END_AUDIT);
	if (!r->ended) {
		r->hurry =
		    true; /* the terminal record waits behind this one: the caller need not */
		r->ending = REQUEST_END_AUDIT;
	}
	return actions;
}

static unsigned
admit(struct request_state *r)
{
	if (r->work != REQUEST_NEW) {
		return 0;
	}
	r->work = r->ask_cache ? REQUEST_CACHE : REQUEST_WAITING;
	return r->ask_cache ? REQUEST_DO_ASK_CACHE : REQUEST_DO_FIND_WORKER;
}

static unsigned
picked(struct request_state *r)
{
	if (r->work != REQUEST_WAITING) {
		return REQUEST_DO_FREE_SLOT;
	}
	r->work = REQUEST_RUNNING;
	r->slot = true;
	r->attempts++;
	return REQUEST_DO_DISPATCH;
}

/* As look_again(), from wherever it was looked for; what the worker or the generation had said is forgotten. */
static unsigned
fall_back(struct request_state *r)
{
	unsigned actions = REQUEST_DO_DROP_HELD | REQUEST_DO_FIND_WORKER;

	if (r->delivered || (r->work != REQUEST_WAITING && r->work != REQUEST_RUNNING &&
			     r->work != REQUEST_FOLLOWING)) {
		return 0;
	}
	if (r->work == REQUEST_WAITING) {
		actions |= REQUEST_DO_LEAVE_QUEUE;
	} else if (r->work == REQUEST_FOLLOWING) {
		actions |= REQUEST_DO_LEAVE_SHARED;
	}
	if (r->slot) {
		actions |= REQUEST_DO_FREE_SLOT;
	}
	r->slot = r->answering = r->coalesced = false;
	r->work = REQUEST_WAITING;
	return actions;
}

static unsigned
answer_is_static(struct request_state *r)
{
	if (r->work != REQUEST_WAITING) {
		return 0;
	}
	r->flushed = false;
	return finish(r, OUTCOME_OK, REQUEST_END_OK);
}

static unsigned
follows(struct request_state *r)
{
	if (r->work != REQUEST_WAITING) {
		return REQUEST_DO_LEAVE_SHARED;
	}
	r->work = REQUEST_FOLLOWING;
	return 0;
}

static unsigned
cache_answered(struct request_state *r, bool hit)
{
	if (r->work != REQUEST_CACHE) {
		return 0;
	}
	if (hit) {
		r->work = REQUEST_OVER;
		r->outcome = OUTCOME_CACHE_HIT;
		r->ending = REQUEST_END_OK;
		r->flushed = false;
		return 0;
	}
	r->work = REQUEST_WAITING;
	return REQUEST_DO_FIND_WORKER;
}

static void
terminal_event(struct request_state *r, enum request_event ev)
{
	switch (ev) {
	case REQUEST_EV_TERMINAL_TAKEN:
		if (r->terminal == TERMINAL_ASKED) {
			r->terminal =
			    r->mode == AUDIT_FAIL_CLOSED ? TERMINAL_PENDING : TERMINAL_SETTLED;
		}
		break;
	case REQUEST_EV_TERMINAL_NOMEM:
		if (r->terminal == TERMINAL_ASKED) {
			r->terminal = TERMINAL_NONE;
			r->hold_off = true;
		}
		break;
	case REQUEST_EV_TERMINAL_FAILED:
		if (r->terminal == TERMINAL_PENDING) {
			r->terminal = TERMINAL_SETTLED;
			r->ending = r->ended ? r->ending : REQUEST_END_AUDIT;
		}
		break;
	case REQUEST_EV_TERMINAL_DURABLE:
		if (r->terminal == TERMINAL_PENDING) {
			r->terminal = TERMINAL_SETTLED;
		}
		break;
	default:
		break;
	}
}

/* What may be done now, whichever event led here. */
static unsigned
advance(struct request_state *r)
{
	bool failed = r->work == REQUEST_OVER && !request_state_success(r);
	/* Hit or miss; and if it matters, who answers. */
	bool known = r->work != REQUEST_NEW && r->work != REQUEST_CACHE &&
		     (!r->late || r->answering || r->work == REQUEST_OVER);
	bool listening = !r->ended && !r->gone && !failed;
	bool said;
	unsigned actions = 0;

	if (listening && known && r->record == GATE_OPEN && !r->opened) {
		r->opened = true;
		r->flushed = false; /* the head has to leave too */
		actions |= REQUEST_DO_OPEN;
	}
	if (listening && r->opened && !r->flushed) {
		actions |= REQUEST_DO_FLUSH;
	}
	said = failed || (r->opened && r->flushed);
	/* An answer that is whole before the REQUEST record is durable: one sync may do for both records. */
	if (r->work == REQUEST_OVER && r->terminal == TERMINAL_NONE && !r->hold_off &&
	    (said || r->record == GATE_SHUT)) {
		r->terminal = TERMINAL_ASKED;
		actions |= REQUEST_DO_RECORD_END;
	}
	if (r->work == REQUEST_OVER && !r->ended &&
	    (r->gone || r->hurry ||
	     (r->terminal == TERMINAL_SETTLED && (said || r->ending != REQUEST_END_OK)))) {
		r->ended = true;
		actions |= REQUEST_DO_END;
	}
	if (r->ended && !r->freed &&
	    (r->terminal == TERMINAL_PENDING || r->terminal == TERMINAL_SETTLED)) {
		r->freed = true;
		actions |= REQUEST_DO_FREE;
	}
	return actions;
}

static unsigned
work_event(struct request_state *r, enum request_event ev, uint64_t now_ms)
{
	switch (ev) {
	case REQUEST_EV_ADMIT:
		return admit(r);
	case REQUEST_EV_CACHE_HIT:
	case REQUEST_EV_CACHE_MISS:
		return cache_answered(r, ev == REQUEST_EV_CACHE_HIT);
	case REQUEST_EV_PICKED:
		return picked(r);
	case REQUEST_EV_FOLLOWS:
		return follows(r);
	case REQUEST_EV_FRAME:
		if (r->work == REQUEST_RUNNING || r->work == REQUEST_FOLLOWING) {
			r->flushed = false;
			r->answering = true;
		}
		return 0;
	case REQUEST_EV_FALL_BACK:
		return fall_back(r);
	case REQUEST_EV_STATIC:
		return answer_is_static(r);
	case REQUEST_EV_WORKER_OK:
		return worker_ok(r);
	case REQUEST_EV_WORKER_RETRY:
		return worker_retry(r, now_ms);
	case REQUEST_EV_WORKER_PROBE:
		return worker_probe(r, now_ms);
	case REQUEST_EV_WORKER_FULL:
		return worker_full(r);
	case REQUEST_EV_WORKER_FAILED:
		return worker_done(r, OUTCOME_ERROR, REQUEST_END_ERROR);
	case REQUEST_EV_NO_WORKER:
		return no_worker(r);
	default:
		return 0;
	}
}

/* What came for somebody who does not want it is given back. */
static unsigned
too_late(enum request_event ev)
{
	if (ev == REQUEST_EV_FOLLOWS) {
		return REQUEST_DO_LEAVE_SHARED;
	}
	return ev == REQUEST_EV_PICKED ? REQUEST_DO_FREE_SLOT : 0;
}

unsigned
request_step(struct request_state *r, enum request_event ev, uint64_t now_ms)
{
	unsigned actions = 0;

	if (r->freed || (r->work == REQUEST_NEW && ev != REQUEST_EV_ADMIT)) {
		return too_late(ev);
	}
	switch (ev) {
	case REQUEST_EV_RECORD_DURABLE:
		r->record = r->record == GATE_SHUT ? GATE_OPEN : r->record;
		break;
	case REQUEST_EV_RECORD_FAILED:
		actions = record_failed(r);
		break;
	case REQUEST_EV_DELIVERED:
		r->delivered = true;
		break;
	case REQUEST_EV_FLUSHED:
		r->flushed = r->opened ? true : r->flushed;
		break;
	case REQUEST_EV_FAILED:
		actions = fail(r, OUTCOME_ERROR, REQUEST_END_ERROR);
		break;
	case REQUEST_EV_CANCEL:
		actions = cancel(r, now_ms);
		break;
	case REQUEST_EV_DEADLINE:
		actions = deadline(r);
		break;
	case REQUEST_EV_TICK:
		r->hold_off = false;
		break;
	case REQUEST_EV_TERMINAL_TAKEN:
	case REQUEST_EV_TERMINAL_NOMEM:
	case REQUEST_EV_TERMINAL_DURABLE:
	case REQUEST_EV_TERMINAL_FAILED:
		terminal_event(r, ev);
		break;
	default:
		actions = work_event(r, ev, now_ms);
		break;
	}
	return actions | advance(r);
}
