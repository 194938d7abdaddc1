/*
 * net/call_state.c - the life of a call as a pure state machine; see call_state.h.
 */
#include "net/call_state.h"

#include <string.h>

void
call_state_init(struct call_state *s, bool served, uint32_t window, uint64_t now_us,
		uint32_t budget_ms)
{
	memset(s, 0, sizeof(*s));
	s->phase = CALL_OPEN;
	s->served = served;
	s->window = window;
	s->credit = window;
	if (budget_ms > 0)
		s->deadline_us = now_us + (uint64_t)budget_ms * 1000 + (served ? CALL_GRACE_US : 0);
}

static bool
deadline_passed(const struct call_state *s, uint64_t now_us)
{
	return s->deadline_us != 0 && now_us >= s->deadline_us;
}

/* The caller has dealt with more. CREDIT goes out by the half window, so that it costs little; the callee cannot starve
 * meanwhile: what it was given and not granted again is at most half a window. */
static unsigned
grant(struct call_state *s, uint64_t bytes)
{
	if (bytes > (uint64_t)CALL_CREDIT_MAX - s->ungranted)
		s->ungranted = (uint64_t)CALL_CREDIT_MAX;
	else
		s->ungranted += bytes;
	return s->ungranted > 0 && s->ungranted >= s->window / 2 ? CALL_DO_SEND_CREDIT : 0;
}

uint32_t
call_take_grant(struct call_state *s)
{
	uint32_t bytes = s->ungranted > CALL_GRANT_MAX ? CALL_GRANT_MAX : (uint32_t)s->ungranted;

	s->ungranted -= bytes;
	s->credit += bytes;
	if (s->credit > CALL_CREDIT_MAX)
		s->credit = CALL_CREDIT_MAX;
	return bytes;
}

static unsigned
caller_step(struct call_state *s, enum call_event event, uint64_t amount)
{
	switch (event) {
	case CALL_EV_DATA:
		if (s->credit <= 0)
			return CALL_DO_PROTOCOL_ERROR;
		s->credit -= (int64_t)amount;
		return CALL_DO_DELIVER;
	case CALL_EV_GRANT:
		return grant(s, amount);
	case CALL_EV_CANCEL:
		s->phase = CALL_CLOSED;
		return CALL_DO_SEND_CANCEL;
	case CALL_EV_END:
		s->phase = CALL_CLOSED;
		return CALL_DO_REPORT_END;
	case CALL_EV_TICK:
		if (!deadline_passed(s, amount))
			return 0;
		s->phase = CALL_CLOSED;
		return CALL_DO_SEND_CANCEL | CALL_DO_REPORT_DEADLINE;
	case CALL_EV_LOST:
		s->phase = CALL_CLOSED;
		return CALL_DO_REPORT_LOST;
	case CALL_EV_SEND:
	case CALL_EV_CREDIT:
		break; /* of the other side */
	}
	return 0;
}

static unsigned
take_credit(struct call_state *s, uint64_t bytes)
{
	bool woken = s->waiting;

	s->credit += (int64_t)(bytes > CALL_GRANT_MAX ? CALL_GRANT_MAX : bytes);
	if (s->credit > CALL_CREDIT_MAX)
		s->credit = CALL_CREDIT_MAX;
	if (!woken || s->credit <= 0)
		return 0;
	s->waiting = false;
	return CALL_DO_WRITABLE;
}

static unsigned
served_step(struct call_state *s, enum call_event event, uint64_t amount)
{
	switch (event) {
	case CALL_EV_SEND:
		if (s->phase != CALL_OPEN)
			return 0;
		if (s->credit <= 0) {
			s->waiting = true;
			return CALL_DO_WAIT;
		}
		s->credit -= (int64_t)amount;
		return CALL_DO_SEND_DATA;
	case CALL_EV_CREDIT:
		return s->phase == CALL_OPEN ? take_credit(s, amount) : 0;
	case CALL_EV_TICK:
		if (s->phase != CALL_OPEN || !deadline_passed(s, amount))
			return 0;
		s->phase = CALL_CANCELLED;
		return CALL_DO_TELL_CANCELLED;
	case CALL_EV_CANCEL:
	case CALL_EV_LOST:
		if (s->phase != CALL_OPEN)
			return 0;
		s->phase = CALL_CANCELLED;
		return CALL_DO_TELL_CANCELLED;
	case CALL_EV_END: {
		bool open = s->phase == CALL_OPEN;

		s->phase = CALL_CLOSED;
		return open ? CALL_DO_SEND_END : 0;
	}
	case CALL_EV_DATA:
	case CALL_EV_GRANT:
		break; /* of the other side */
	}
	return 0;
}

unsigned
call_step(struct call_state *s, enum call_event event, uint64_t amount)
{
	if (s->phase == CALL_CLOSED)
		return 0;
	return s->served ? served_step(s, event, amount) : caller_step(s, event, amount);
}
