/*
 * router/breaker.c - the circuit breaker; see breaker.h.
 */
#include "router/breaker.h"

#include <string.h>

void
breaker_init(struct breaker *b, uint32_t serial)
{
	memset(b, 0, sizeof(*b));
	b->period = (uint64_t)serial << 32;
}

bool
breaker_admits(const struct breaker *b)
{
	return b->state == BREAKER_CLOSED || (b->state == BREAKER_HALF_OPEN && !b->probing);
}

bool
breaker_is_probe(breaker_ticket ticket)
{
	return (ticket & 1) != 0;
}

breaker_ticket
breaker_begin(struct breaker *b)
{
	if (b->state != BREAKER_HALF_OPEN || b->probing) {
		return b->period << 1;
	}
	b->probing = true;
	b->period++;
	b->probes++;
	return b->period << 1 | 1;
}

/* Forget what was when the window's parts of then have passed. */
static void
move_window(struct breaker *b, const struct breaker_settings *s, uint64_t now_ms)
{
	uint64_t no = now_ms / (s->window_ms / BREAKER_SLOTS);

	if (no - b->slot_no >= BREAKER_SLOTS) {
		memset(b->slot, 0, sizeof(b->slot));
		b->slot_no = no;
	}
	while (b->slot_no < no) {
		b->slot_no++;
		memset(&b->slot[b->slot_no % BREAKER_SLOTS], 0, sizeof(b->slot[0]));
	}
}

static bool
rate_reached(const struct breaker *b, const struct breaker_settings *s)
{
	uint64_t attempts = 0, failed = 0;

	for (size_t i = 0; i < BREAKER_SLOTS; i++) {
		attempts += b->slot[i].attempts;
		failed += b->slot[i].failed;
	}
	return s->rate_percent > 0 && attempts >= s->rate_min &&
	       failed * 100 >= attempts * s->rate_percent;
}

static enum breaker_change
open_it(struct breaker *b, const struct breaker_settings *s, uint64_t now_ms)
{
	bool probe_failed = b->state == BREAKER_HALF_OPEN;
	bool again = probe_failed || (b->pause_ms != 0 && now_ms < b->closed_ms + b->pause_ms);
	uint64_t pause_ms = again ? (uint64_t)b->pause_ms * 2 : s->open_ms;

	b->pause_ms = pause_ms < s->open_max_ms ? (uint32_t)pause_ms : s->open_max_ms;
	b->open_until_ms = now_ms + b->pause_ms;
	b->state = BREAKER_OPEN;
	b->probing = false;
	b->period++;
	b->opened++;
	return probe_failed ? BREAKER_REOPENS : BREAKER_OPENS;
}

static enum breaker_change
close_it(struct breaker *b, uint64_t now_ms)
{
	b->state = BREAKER_CLOSED;
	b->probing = false;
	b->period++;
	b->row = 0;
	b->closed_ms = now_ms;
	memset(b->slot, 0, sizeof(b->slot));
	return BREAKER_CLOSES;
}

static enum breaker_change
probe_ended(struct breaker *b, const struct breaker_settings *s, enum verdict verdict,
	    uint64_t now_ms)
{
	switch (verdict) {
	case VERDICT_OK:
		return close_it(b, now_ms);
	case VERDICT_FAILED:
		return open_it(b, s, now_ms);
	case VERDICT_NOTHING:
	case VERDICT_PAUSE:
		break;
	}
	b->probing = false;
	return BREAKER_PROBE_FREE;
}

enum breaker_change
breaker_end(struct breaker *b, const struct breaker_settings *s, breaker_ticket ticket,
	    enum verdict verdict, uint64_t now_ms)
{
	bool failed = verdict == VERDICT_FAILED;

	if (ticket >> 1 != b->period) {
		return BREAKER_SAME; /* of another time */
	}
	if (breaker_is_probe(ticket)) {
		return b->probing ? probe_ended(b, s, verdict, now_ms) : BREAKER_SAME;
	}
	if (b->state != BREAKER_CLOSED || (verdict != VERDICT_OK && !failed)) {
		return BREAKER_SAME;
	}
	if (s->rate_percent > 0) {
		move_window(b, s, now_ms);
		b->slot[b->slot_no % BREAKER_SLOTS].attempts++;
		b->slot[b->slot_no % BREAKER_SLOTS].failed += failed;
	}
	b->row = failed ? b->row + 1 : 0;
	if (failed && ((s->failures > 0 && b->row >= s->failures) || rate_reached(b, s))) {
		return open_it(b, s, now_ms);
	}
	return BREAKER_SAME;
}

enum breaker_change
breaker_first_token(struct breaker *b, breaker_ticket *ticket, uint64_t now_ms)
{
	enum breaker_change change = BREAKER_SAME;

	if (breaker_is_probe(*ticket) && *ticket >> 1 == b->period && b->probing) {
		change = close_it(b, now_ms);
		*ticket = breaker_begin(b);
	}
	return change;
}

enum breaker_change
breaker_tick(struct breaker *b, uint64_t now_ms)
{
	if (b->state != BREAKER_OPEN || now_ms < b->open_until_ms) {
		return BREAKER_SAME;
	}
	b->state = BREAKER_HALF_OPEN;
	b->period++;
	return BREAKER_PROBES;
}

void
breaker_inherit(struct breaker *b, const struct breaker *old, const struct breaker_settings *s,
		uint64_t now_ms)
{
	uint64_t period = b->period;

	*b = *old;
	b->period = period;
	if (b->probing) {
		(void)open_it(b, s, now_ms);
	}
}

uint32_t
breaker_wait_ms(const struct breaker *b, uint64_t now_ms)
{
	if (b->state != BREAKER_OPEN) {
		return 0;
	}
	return b->open_until_ms > now_ms ? (uint32_t)(b->open_until_ms - now_ms) : 1;
}

const char *
breaker_state_text(enum breaker_state state)
{
	switch (state) {
	case BREAKER_OPEN:
		return "open";
	case BREAKER_HALF_OPEN:
		return "half_open";
	case BREAKER_CLOSED:
		break;
	}
	return "closed";
}
