/*
 * net/call.c - calls that we open: does what call_state.c decides. Never touches a call after its owner's callback ran.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "net/room.h"

static void
call_detach(struct call *c)
{
	struct net *net = c->link->net;

	call_unhold(c);
	loop_timer_cancel(net->loop, &c->timer);
	call_table_remove(&c->link->calls, &c->entry);
	list_remove(&c->node);
	net->counters.calls--;
}

/* Nobody knows of a call whose REQUEST is held back. */
static void
put_cancel(const struct call *c)
{
	if (c->held == NULL)
		link_put(c->link, FRAME_CANCEL, c->entry.id, NULL, 0);
}

void
call_report(struct call *c, const struct im_err *err, const uint8_t *body, size_t len)
{
	call_detach(c);
	c->ops->end(c->user, c, err, body, len);
	free(c);
}

static void
call_tick(void *arg)
{
	struct call *c = arg;
	unsigned todo = call_step(&c->state, CALL_EV_TICK, clock_mono_us());
	struct im_err err;

	if (todo & CALL_DO_SEND_CANCEL)
		put_cancel(c);
	if (todo & CALL_DO_REPORT_DEADLINE) {
		err_reason(
		    &err, IM_EDEADLINE, "deadline",
		    "no answer from %s '%s' before the deadline; it is slow or the deadline is too short",
		    c->link->peer.role, c->link->peer.name);
		call_report(c, &err, NULL, 0);
	}
}

/* An id that is not in use; there are more ids than a link can have calls. */
static uint32_t
take_id(struct link *l)
{
	uint32_t id;

	do {
		id = l->next_id;
		l->next_id += 2;
		if (l->next_id == 0)
			l->next_id = 2;
	} while (call_table_find(&l->calls, id) != NULL);
	return id;
}

static bool
is_text(const char *s)
{
	return s == NULL || utf8_valid(s, strlen(s));
}

static enum im_rc
check_start(const struct link *l, const struct call_request *req, struct im_err *err)
{
	if (l->state != LINK_UP || l->broken)
		return err_reason(err, IM_EUNAVAILABLE, "link_lost", "the link to %s '%s' is lost",
				  l->peer.role, l->peer.name);
	if (l->draining)
		return err_reason(err, IM_EUNAVAILABLE, "draining",
				  "%s '%s' takes no new calls: %s", l->peer.role, l->peer.name,
				  l->goaway_reason);
	if (req->body_len > l->peer_max_frame)
		return err_set(err, IM_ETOOBIG,
			       "the request has %zu bytes, %s '%s' accepts at most %u",
			       req->body_len, l->peer.role, l->peer.name, l->peer_max_frame);
	/* The peer would refuse the whole link for it. */
	if (!is_text(req->method) || !is_text(req->traceparent))
		return err_set(err, IM_EINVAL,
			       "the method or the traceparent of a call is not UTF-8");
	return IM_OK;
}

enum im_rc
call_put_request(struct call *c, const struct call_request *req, struct im_err *err)
{
	struct link *l = c->link;
	struct request_frame frame = {
		.method = req->method,
		.budget_ms = req->budget_ms,
		.traceparent = req->traceparent,
		.priority = req->priority,
		.body = { req->body, req->body_len },
	};
	size_t before = l->out.len, body_len;

	request_frame_encode(c->entry.id, &frame, &l->out);
	if (!buf_ok(&l->out)) {
		l->out.failed = false;
		l->out.len = before;
		return err_set(err, IM_ENOMEM, "no memory for a request of %zu bytes",
			       req->body_len);
	}
	body_len = l->out.len - before - FRAME_HEADER_BYTES;
	if (body_len > l->peer_max_frame) {
		l->out.len = before;
		return err_set(err, IM_ETOOBIG,
			       "the request has %zu bytes, %s '%s' accepts at most %u", body_len,
			       l->peer.role, l->peer.name, l->peer_max_frame);
	}
	link_out_grew(l);
	return IM_OK;
}

enum im_rc
call_start(struct link *l, const struct call_request *req, const struct call_ops *ops, void *user,
	   struct call **ret_call, struct im_err *err)
{
	enum im_rc rc = check_start(l, req, err);
	struct call *c;

	if (rc != IM_OK)
		return rc;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a call");
	c->link = l;
	c->ops = ops;
	c->user = user;
	c->timer.fn = call_tick;
	c->timer.arg = c;
	call_state_init(&c->state, false, l->net->params.window_bytes,
			req->budget_ms > 0 ? clock_mono_us() : 0, req->budget_ms);
	if ((req->budget_ms > 0 &&
	     loop_timer_set(l->net->loop, &c->timer, req->budget_ms * 1000ull) != IM_OK) ||
	    !call_table_add(&l->calls, &c->entry, take_id(l))) {
		rc = err_set(err, IM_ENOMEM, "no memory for a call");
		goto fail;
	}
	rc = call_must_hold(l) ? call_hold(c, req, err) : call_put_request(c, req, err);
	if (rc != IM_OK)
		goto fail;
	list_push_back(&l->call_list, &c->node);
	l->net->counters.calls++;
	*ret_call = c;
	return IM_OK;
fail:
	loop_timer_cancel(l->net->loop, &c->timer);
	call_table_remove(&l->calls, &c->entry);
	free(c);
	return rc;
}

void
call_grant(struct call *c, size_t bytes)
{
	struct buf body = BUF_INIT(64);

	if (!(call_step(&c->state, CALL_EV_GRANT, bytes) & CALL_DO_SEND_CREDIT))
		return;
	credit_encode(call_take_grant(&c->state), &body);
	link_put(c->link, FRAME_CREDIT, c->entry.id, body.data, body.len);
	buf_done(&body);
}

void
call_cancel(struct call *c)
{
	/* Inside its own 'end' it is closed already, and freed by whoever called that. */
	if (!(call_step(&c->state, CALL_EV_CANCEL, 0) & CALL_DO_SEND_CANCEL))
		return;
	put_cancel(c);
	call_detach(c);
	free(c);
}

static struct call *
find_call(const struct link *l, uint32_t id)
{
	struct call_entry *e = call_table_find(&l->calls, id);

	return e != NULL ? CONTAINER_OF(e, struct call, entry) : NULL;
}

void
call_on_data(struct link *l, uint32_t id, const uint8_t *body, size_t len)
{
	struct call *c = find_call(l, id);
	struct im_err err;
	unsigned todo;

	if (c == NULL) /* cancelled a moment ago */
		return;
	if (len == 0) {
		/* It costs no credit: whoever keeps messages could be made to keep any number. */
		link_protocol_error(l, "DATA without a body for call %u", id);
		return;
	}
	todo = call_step(&c->state, CALL_EV_DATA, len);
	if (todo & CALL_DO_PROTOCOL_ERROR) {
		link_protocol_error(l, "DATA of %zu bytes beyond the credit of call %u", len, id);
		return;
	}
	if (!(todo & CALL_DO_DELIVER))
		return;
	if (c->ops->data != NULL) {
		c->ops->data(c->user, c, body, len);
		return;
	}
	(void)call_step(&c->state, CALL_EV_CANCEL, 0);
	link_put(l, FRAME_CANCEL, id, NULL, 0);
	err_set(&err, IM_EPROTO, "%s '%s' streams where one reply was expected", l->peer.role,
		l->peer.name);
	call_report(c, &err, NULL, 0);
}

void
call_on_end(struct link *l, uint32_t id, const uint8_t *body, size_t len)
{
	struct call *c = find_call(l, id);
	struct end_frame end;
	struct im_err err;

	if (c == NULL)
		return;
	if (end_frame_decode(body, len, &end, &err) != IM_OK) {
		link_protocol_error(l, "%.200s", err.text);
		return;
	}
	if (call_step(&c->state, CALL_EV_END, 0) & CALL_DO_REPORT_END)
		call_report(c, end.failed ? &end.err : NULL, end.body.data, end.body.len);
}

void
call_lose_all(struct link *l, const struct im_err *why)
{
	struct list *node;

	while ((node = list_pop_front(&l->call_list)) != NULL) {
		struct call *c = CONTAINER_OF(node, struct call, node);

		(void)call_step(&c->state, CALL_EV_LOST, 0);
		call_report(c, why, NULL, 0);
	}
}
