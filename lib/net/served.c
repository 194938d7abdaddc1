/*
 * net/served.c - calls that the peer opens: does what call_state.c decides. A served call outlives its link until its
 * service ends it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/room.h"

/* Answer a REQUEST that did not become a call. */
static void
refuse(struct link *l, uint32_t id, const struct im_err *err)
{
	struct buf frame = BUF_INIT(0);

	end_frame_encode(id, err, NULL, 0, &frame);
	if (!buf_ok(&frame))
		link_fail(l, err); /* without memory even for that */
	else
		link_put(l, FRAME_END, id, frame.data + FRAME_HEADER_BYTES,
			 frame.len - FRAME_HEADER_BYTES);
	buf_done(&frame);
}

/* Out of the link's reach, once and for all. */
static void
leave_table(struct served *s)
{
	if (s->net != NULL)
		loop_timer_cancel(s->net->loop, &s->timer);
	if (s->link != NULL)
		call_table_remove(&s->link->served, &s->entry);
	list_remove(&s->stall_node);
}

static void
tell_cancelled(struct served *s)
{
	leave_table(s);
	if (s->ops != NULL && s->ops->cancelled != NULL)
		s->ops->cancelled(s->user, s);
}

static void
served_tick(void *arg)
{
	struct served *s = arg;

	if (call_step(&s->state, CALL_EV_TICK, clock_mono_us()) & CALL_DO_TELL_CANCELLED)
		tell_cancelled(s);
}

static struct served *
served_new(struct link *l, uint32_t id, uint32_t budget_ms)
{
	struct served *s = calloc(1, sizeof(*s));
	uint64_t now_us = budget_ms > 0 ? clock_mono_us() : 0;

	if (s == NULL)
		return NULL;
	s->net = l->net;
	s->link = l;
	s->timer.fn = served_tick;
	s->timer.arg = s;
	call_state_init(&s->state, true, l->peer_window, now_us, budget_ms);
	if ((budget_ms > 0 &&
	     loop_timer_set(l->net->loop, &s->timer, s->state.deadline_us - now_us) != IM_OK) ||
	    !call_table_add(&l->served, &s->entry, id)) {
		loop_timer_cancel(l->net->loop, &s->timer);
		free(s);
		return NULL;
	}
	list_push_back(&l->served_list, &s->node);
	l->served_count++;
	l->net->counters.served++;
	return s;
}

/* Why a well-formed REQUEST is not taken. IM_OK = it is. */
static enum im_rc
check_request(const struct link *l, const struct request_frame *req, struct im_err *err)
{
	if (l->goaway_sent)
		return err_reason(err, IM_EUNAVAILABLE, "draining",
				  "%s '%s' takes no new calls: it is shutting down", l->net->role,
				  l->net->name);
	if (l->ep->ops.request == NULL || strlen(req->method) > NET_METHOD_MAX)
		return err_reason(err, IM_EMETHOD, "no_such_method",
				  "%s '%s' has no method '%.64s'", l->net->role, l->net->name,
				  req->method);
	if (l->served_count >= l->net->params.max_calls)
		return err_reason(err, IM_ELIMIT, "too_many_calls",
				  "there are %u open calls on this link already, no more are taken",
				  l->served_count);
	return IM_OK;
}

void
served_on_request(struct link *l, uint32_t id, const uint8_t *body, size_t len)
{
	struct request_frame frame;
	struct served_request req;
	struct served *s;
	struct im_err err;

	if (id == 0 || (id & 1) != (l->dialled ? 1u : 0u)) {
		link_protocol_error(l, "REQUEST with the id %u, which is not of its side", id);
		return;
	}
	if (call_table_find(&l->served, id) != NULL) {
		link_protocol_error(l, "REQUEST with the id %u, which is in use", id);
		return;
	}
	arena_done(&l->arena);
	if (request_frame_decode(body, len, &l->arena, &frame, &err) != IM_OK) {
		if (err.rc == IM_EPROTO)
			link_protocol_error(l, "%.200s", err.text);
		else
			refuse(l, id, &err);
		return;
	}
	if (check_request(l, &frame, &err) != IM_OK) {
		refuse(l, id, &err);
		return;
	}
	s = served_new(l, id, frame.budget_ms);
	if (s == NULL) {
		err_set(&err, IM_ENOMEM, "%s '%s' has no memory for a call", l->net->role,
			l->net->name);
		refuse(l, id, &err);
		return;
	}
	req = (struct served_request){
		.method = frame.method,
		.budget_ms = frame.budget_ms,
		.traceparent = frame.traceparent,
		.priority = frame.priority,
		.body = frame.body.data,
		.body_len = frame.body.len,
	};
	l->ep->ops.request(l->ep->user, l, s, &req);
	arena_done(&l->arena);
}

static struct served *
find_served(const struct link *l, uint32_t id)
{
	struct call_entry *e = call_table_find(&l->served, id);

	return e != NULL ? CONTAINER_OF(e, struct served, entry) : NULL;
}

void
served_on_cancel(struct link *l, uint32_t id)
{
	struct served *s = find_served(l, id);

	if (s != NULL && call_step(&s->state, CALL_EV_CANCEL, 0) & CALL_DO_TELL_CANCELLED)
		tell_cancelled(s);
}

static void
tell_writable(struct served *s)
{
	if (s->ops != NULL && s->ops->writable != NULL)
		s->ops->writable(s->user, s);
}

void
served_on_credit(struct link *l, uint32_t id, const uint8_t *body, size_t len)
{
	struct served *s = find_served(l, id);
	struct im_err err;
	uint32_t bytes;

	if (credit_decode(body, len, &bytes, &err) != IM_OK) {
		link_protocol_error(l, "%.200s", err.text);
		return;
	}
	if (s != NULL && call_step(&s->state, CALL_EV_CREDIT, bytes) & CALL_DO_WRITABLE)
		tell_writable(s);
}

void
served_wake(struct link *l)
{
	while (link_is_open(l) && link_waiting(l) <= LINK_OUT_SOFT / 2) {
		struct list *node = list_pop_front(&l->stalled);

		if (node == NULL)
			return;
		tell_writable(CONTAINER_OF(node, struct served, stall_node));
	}
}

void
served_lose_all(struct link *l)
{
	struct list lost;

	/* All are orphans before any of them is told, for the services may end each other's. */
	list_init(&lost);
	while (!list_empty(&l->served_list)) {
		struct served *s = CONTAINER_OF(l->served_list.next, struct served, node);

		list_remove(&s->node);
		leave_table(s);
		s->link = NULL;
		list_push_back(s->state.phase == CALL_OPEN ? &lost : &l->net->orphans, &s->node);
	}
	while (!list_empty(&lost)) {
		struct served *s = CONTAINER_OF(lost.next, struct served, node);

		list_remove(&s->node);
		list_push_back(&l->net->orphans, &s->node);
		if (call_step(&s->state, CALL_EV_LOST, 0) & CALL_DO_TELL_CANCELLED)
			tell_cancelled(s);
	}
}

void
served_accept(struct served *s, const struct served_ops *ops, void *user)
{
	s->ops = ops;
	s->user = user;
}

enum im_rc
served_send(struct served *s, const uint8_t *body, size_t len)
{
	struct link *l = s->link;
	unsigned todo;

	if (s->state.phase != CALL_OPEN || l == NULL || l->state != LINK_UP)
		return IM_EUNAVAILABLE;
	if (len > l->peer_max_frame)
		return IM_ETOOBIG;
	if (len == 0)
		return IM_OK; /* says nothing, costs no credit: not allowed on the wire */
	if (link_waiting(l) > LINK_OUT_SOFT) {
		if (!list_linked(&s->stall_node))
			list_push_back(&l->stalled, &s->stall_node);
		return IM_EAGAIN;
	}
	if (buf_reserve(&l->out, FRAME_HEADER_BYTES + len) == NULL) {
		l->out.failed = false;
		return IM_ENOMEM;
	}
	todo = call_step(&s->state, CALL_EV_SEND, len);
	if (!(todo & CALL_DO_SEND_DATA))
		return IM_EAGAIN;
	link_put(l, FRAME_DATA, s->entry.id, body, len);
	return IM_OK;
}

/* Append END; if it cannot be sent, an END that says so. */
static void
put_end(struct link *l, uint32_t id, const struct im_err *err, const uint8_t *body, size_t len)
{
	size_t before = l->out.len;
	struct im_err instead;

	if (len <= l->peer_max_frame && link_waiting(l) <= LINK_OUT_HARD) {
		end_frame_encode(id, err, body, len, &l->out);
		if (buf_ok(&l->out) &&
		    l->out.len - before - FRAME_HEADER_BYTES <= l->peer_max_frame) {
			link_out_grew(l);
			return;
		}
	}
	if (len > l->peer_max_frame || (buf_ok(&l->out) && l->out.len > before))
		err_set(&instead, IM_ETOOBIG,
			"the reply has %zu bytes, the caller accepts at most %u; raise its limit",
			len, l->peer_max_frame);
	else
		err_set(&instead, IM_ENOMEM, "%s '%s' has no memory to send the reply",
			l->net->role, l->net->name);
	l->out.failed = false;
	l->out.len = before;
	refuse(l, id, &instead);
}

void
served_end(struct served *s, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct link *l = s->link;
	unsigned todo = call_step(&s->state, CALL_EV_END, 0);

	if (todo & CALL_DO_SEND_END && l != NULL && l->state == LINK_UP && !l->broken)
		put_end(l, s->entry.id, err, body, len);
	leave_table(s);
	list_remove(&s->node);
	if (l != NULL)
		l->served_count--;
	if (s->net != NULL)
		s->net->counters.served--;
	free(s);
}
