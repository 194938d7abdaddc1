/*
 * cli/child.c - see child.h.
 */
#include "cli/child.h"

void
child_started(struct child *c, uint64_t now_ms)
{
	c->state = CHILD_STARTING;
	c->started_ms = now_ms;
}

void
child_ready(struct child *c)
{
	if (c->state != CHILD_STARTING)
		return;
	c->state = CHILD_READY;
	c->was_ready = true;
}

void
child_exited(struct child *c, uint64_t now_ms)
{
	if (c->state == CHILD_STOPPING) {
		c->state = CHILD_GONE;
		return;
	}
	if (!c->was_ready) {
		c->state = CHILD_FAILED;
		return;
	}
	if (c->backoff_ms == 0 || now_ms - c->started_ms >= CHILD_STEADY_MS)
		c->backoff_ms = CHILD_BACKOFF_MIN_MS;
	else if (c->backoff_ms < CHILD_BACKOFF_MAX_MS / 2)
		c->backoff_ms *= 2;
	else
		c->backoff_ms = CHILD_BACKOFF_MAX_MS;
	c->state = CHILD_WAITING;
	c->restart_at_ms = now_ms + c->backoff_ms;
}

bool
child_stop(struct child *c)
{
	if (child_alive(c)) {
		c->state = CHILD_STOPPING;
		return true;
	}
	if (c->state != CHILD_FAILED)
		c->state = CHILD_GONE;
	return false;
}

bool
child_alive(const struct child *c)
{
	return c->state == CHILD_STARTING || c->state == CHILD_READY || c->state == CHILD_STOPPING;
}
