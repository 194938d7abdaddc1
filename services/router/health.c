/*
 * router/health.c - a worker's state; see health.h.
 */
#include "router/health.h"

#include <string.h>

void
health_init(struct health *h, uint64_t now_ms)
{
	memset(h, 0, sizeof(*h));
	h->joining = true;
	h->state = HEALTH_JOINING;
	h->since_ms = h->joined_ms = now_ms;
}

static enum health_state
state_of(const struct health *h)
{
	if (h->lost) {
		return HEALTH_GONE;
	}
	if (h->draining || h->operator_draining) {
		return HEALTH_DRAINING;
	}
	if (h->ejected) {
		return HEALTH_EJECTED;
	}
	if (h->silent || h->failing) {
		return HEALTH_SUSPECT;
	}
	return h->joining ? HEALTH_JOINING : HEALTH_READY;
}

static void
take(struct health *h, enum health_event ev, uint64_t now_ms)
{
	switch (ev) {
	case HEALTH_EV_RAMPED:
		h->joining = false;
		break;
	case HEALTH_EV_SILENT:
	case HEALTH_EV_HEARD:
		h->silent = ev == HEALTH_EV_SILENT;
		break;
	case HEALTH_EV_FAILING:
	case HEALTH_EV_WELL:
		h->failing = ev == HEALTH_EV_FAILING;
		break;
	case HEALTH_EV_EJECT:
		h->ejected = true;
		break;
	case HEALTH_EV_READMIT:
		h->joined_ms = h->ejected ? now_ms : h->joined_ms;
		h->joining = h->joining || h->ejected;
		h->ejected = false;
		break;
	case HEALTH_EV_DRAIN:
	case HEALTH_EV_UNDRAIN:
		h->draining = ev == HEALTH_EV_DRAIN;
		break;
	case HEALTH_EV_OPERATOR_DRAIN:
	case HEALTH_EV_OPERATOR_UNDRAIN:
		h->operator_draining = ev == HEALTH_EV_OPERATOR_DRAIN;
		break;
	case HEALTH_EV_LOST:
		h->lost = true;
		break;
	case HEALTH_EVENTS:
		break;
	}
}

bool
health_step(struct health *h, enum health_event ev, uint64_t now_ms)
{
	enum health_state before = h->state;

	take(h, ev, now_ms);
	h->state = state_of(h);
	if (h->state == before) {
		return false;
	}
	h->since_ms = now_ms;
	return true;
}

bool
health_usable(const struct health *h)
{
	return !h->lost && !h->draining && !h->operator_draining && !h->silent;
}

const char *
health_reason(const struct health *h)
{
	switch (h->state) {
	case HEALTH_GONE:
		return "its link is lost or another process has its name";
	case HEALTH_DRAINING:
		return h->operator_draining ? "an operator drains it" : "it said that it drains";
	case HEALTH_EJECTED:
		return "the breakers of all its models are open";
	case HEALTH_SUSPECT:
		return h->silent ? "it has been silent for router.suspect_ms" : "it fails";
	case HEALTH_JOINING:
		return "it is new, or has recovered: slow start";
	case HEALTH_READY:
	case HEALTH_STATES:
		break;
	}
	return "it is well";
}

const char *
health_state_text(enum health_state state)
{
	static const char *const texts[HEALTH_STATES] = { "joining", "ready",    "suspect",
							  "ejected", "draining", "gone" };

	return state < HEALTH_STATES ? texts[state] : "";
}
