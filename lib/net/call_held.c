/*
 * net/call_held.c - calls whose REQUEST waits until the link has room for it, so that a few large ones at once are sent one
 * after the other. They keep their order; their ends (an answer cannot be one of them yet) are call.c's business.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/room.h"

/* A call_request of its own, with its texts and body behind it. */
struct call_held {
	struct list node; /* link->held */
	struct call *call;
	size_t bytes; /* that it takes */
	struct call_request req;
	uint8_t copy[];
};

bool
call_must_hold(const struct link *l)
{
	return link_waiting(l) > LINK_OUT_SOFT || !list_empty(&l->held);
}

static size_t
text_bytes(const char *s)
{
	return s != NULL ? strlen(s) + 1 : 0;
}

/* Copy 'len' bytes to '*at', which moves on. NULL stays NULL. */
static const void *
keep(uint8_t **at, const void *from, size_t len)
{
	const void *copy = *at;

	if (from == NULL || len == 0)
		return NULL;
	memcpy(*at, from, len);
	*at += len;
	return copy;
}

enum im_rc
call_hold(struct call *c, const struct call_request *req, struct im_err *err)
{
	struct link *l = c->link;
	size_t method = text_bytes(req->method), traceparent = text_bytes(req->traceparent);
	size_t bytes = sizeof(struct call_held) + method + traceparent + req->body_len;
	struct call_held *h;
	uint8_t *at;

	if (l->held_bytes + bytes > LINK_HELD_MAX)
		return err_reason(err, IM_EAGAIN, "backlog", "%zu bytes wait to be sent to %s '%s'",
				  link_waiting(l) + l->held_bytes, l->peer.role, l->peer.name);
	h = malloc(bytes);
	if (h == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a request of %zu bytes",
			       req->body_len);
	*h = (struct call_held){ .call = c, .bytes = bytes, .req = *req };
	at = h->copy;
	h->req.method = keep(&at, req->method, method);
	h->req.traceparent = keep(&at, req->traceparent, traceparent);
	h->req.body = keep(&at, req->body, req->body_len);
	list_push_back(&l->held, &h->node);
	l->held_bytes += bytes;
	c->held = h;
	return IM_OK;
}

void
call_unhold(struct call *c)
{
	struct call_held *h = c->held;

	if (h == NULL)
		return;
	list_remove(&h->node);
	c->link->held_bytes -= h->bytes;
	c->held = NULL;
	free(h);
}

/* What is left of the time that the call had when it was opened. */
static uint32_t
budget_left_ms(const struct call *c)
{
	uint64_t now_us = clock_mono_us();

	if (c->state.deadline_us == 0)
		return 0;
	return c->state.deadline_us > now_us + 1000
		   ? (uint32_t)((c->state.deadline_us - now_us) / 1000)
		   : 1;
}

void
call_release(struct link *l)
{
	while (link_is_open(l) && link_waiting(l) <= LINK_OUT_SOFT / 2 && !list_empty(&l->held)) {
		struct call_held *h = CONTAINER_OF(l->held.next, struct call_held, node);
		struct call *c = h->call;
		struct im_err err;

		h->req.budget_ms = budget_left_ms(c);
		if (call_put_request(c, &h->req, &err) == IM_OK) {
			call_unhold(c);
			continue;
		}
		(void)call_step(&c->state, CALL_EV_LOST, 0);
		call_report(c, &err, NULL, 0);
	}
}
