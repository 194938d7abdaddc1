/*
 * net/link.c - the life of one link: HELLO, heartbeat, draining, the end. Frames are link_in.c's and link_out.c's business.
 *
 *   HELLO ---- the peer's HELLO ----> UP ----+
 *     |                               |      | GOAWAY either way: no new calls, the open ones go on
 *     | failed, closed, too late      |      |
 *     v                               v      v
 *   CLOSING (close_task is posted) ---------------> DOWN (all ends reported) ----> freed when the stream is gone
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/pace.h"
#include "net/room.h"

static void
link_free(struct link *l)
{
	struct endpoint *ep = l->ep;

	assert(l->calls.count == 0 && list_empty(&l->served_list));
	list_remove(&l->node);
	call_table_done(&l->calls);
	call_table_done(&l->served);
	buf_done(&l->out);
	buf_done(&l->flying);
	arena_done(&l->arena);
	free(l->in);
	free(l);
	endpoint_unref(ep);
}

static void
on_conn_closed(void *user)
{
	link_free(user);
}

static const struct conn_events link_conn_events = {
	.received = link_received,
	.sent = link_sent,
	.closed = on_conn_closed,
};

void
link_fail(struct link *l, const struct im_err *why)
{
	if (!link_is_open(l))
		return;
	l->state = LINK_CLOSING;
	l->why = *why;
	if (l->goaway_reason[0] != '\0')
		err_prefix(&l->why, "the peer said '%s'", l->goaway_reason);
	loop_post(l->net->loop, &l->close_task);
}

void
link_protocol_error(struct link *l, const char *fmt, ...)
{
	struct im_err why;
	char text[256];
	va_list ap;

	if (!link_is_open(l))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l->net->counters.protocol_errors++;
	link_goaway(l, text);
	err_set(
	    &why, IM_EPROTO,
	    "the peer broke the rules of a link: %s; is it an infermesh daemon of this version?",
	    text);
	link_fail(l, &why);
}

void
link_close(struct link *l, const struct im_err *why)
{
	link_fail(l, why);
}

/* What goes out before the end, if the stream takes it at once. */
static void
last_words(struct link *l)
{
	if (!l->sending && !l->broken)
		link_flush(l);
	loop_cancel(l->net->loop, &l->flush_task);
	loop_cancel(l->net->loop, &l->read_task);
}

/* The end of a link, as a task of its own. */
static void
close_link(void *arg)
{
	struct link *l = arg;
	struct endpoint *ep = l->ep;
	struct im_err why;

	loop_timer_cancel(l->net->loop, &l->timer);
	last_words(l);
	l->state = LINK_DOWN;
	conn_close(l->conn);
	/* Callers hear that the peer is unavailable, with the reason, whatever broke the link. */
	why = l->why;
	why.rc = IM_EUNAVAILABLE;
	call_lose_all(l, &why);
	served_lose_all(l);
	if (l->was_up) {
		l->net->counters.links--;
		if (ep->ops.down != NULL)
			ep->ops.down(ep->user, l, &l->why);
	} else if (l->dialled || l->in_len > 0 || l->heard_us != 0 || l->why.rc == IM_EDEADLINE) {
		/* Somebody who only looks whether a port is open is no trouble. */
		err_prefix(&l->why, "%s: no link", l->conn->address);
		endpoint_trouble(ep, &l->why);
	}
	endpoint_lost(ep, l);
}

static void
hello_too_late(void *arg)
{
	struct link *l = arg;
	struct im_err why;

	err_set(&why, IM_EDEADLINE,
		"no HELLO within %u ms; is an infermesh daemon at the other end?",
		l->net->params.hello_timeout_ms);
	link_fail(l, &why);
}

static void
beat(void *arg)
{
	struct link *l = arg;
	uint64_t now_us = clock_mono_us(), next_us = now_us;
	/* While this process did not run nobody could be heard. */
	const uint64_t paused_us = now_us - l->timer.at_us;
	struct im_err why;

	l->heard_us = clock_later(l->heard_us, paused_us, now_us);
	l->stuck_us = l->stuck_us != 0 ? clock_later(l->stuck_us, paused_us, now_us) : 0;
	switch (beat_step(now_us, l->heard_us, l->stuck_us, l->net->params.heartbeat_ms * 1000ull,
			  &next_us)) {
	case BEAT_DEAD:
		err_set(
		    &why, IM_EUNAVAILABLE,
		    "%s has been silent, or has not read, for %u ms; it hangs or the network is cut",
		    l->conn->address, BEAT_LIMIT * l->net->params.heartbeat_ms);
		link_fail(l, &why);
		return;
	case BEAT_PING:
		link_put(l, FRAME_PING, 0, NULL, 0);
		break;
	case BEAT_WAIT:
		break;
	}
	if (loop_timer_set(l->net->loop, &l->timer, next_us - now_us) != IM_OK) {
		err_set(&why, IM_ENOMEM, "no memory for the heartbeat of a link");
		link_fail(l, &why);
	}
}

static void
send_hello(struct link *l)
{
	struct net *net = l->net;
	struct hello hello = {
		.version = WIRE_VERSION,
		.min_version = WIRE_VERSION,
		.role = net->role,
		.name = net->name,
		.instance = { net->instance, sizeof(net->instance) },
		.window_bytes = net->params.window_bytes,
		.max_frame_bytes = (uint32_t)net->params.max_frame_bytes,
	};
	struct buf body = BUF_INIT(HELLO_FRAME_MAX);
	struct im_err why;

	hello_encode(&hello, &body);
	if (buf_ok(&body)) {
		link_put(l, FRAME_HELLO, 0, body.data, body.len);
	} else {
		err_set(&why, IM_ENOMEM, "no memory for HELLO");
		link_fail(l, &why);
	}
	buf_done(&body);
}

enum im_rc
link_open(struct endpoint *ep, struct conn *conn, struct link **ret_link)
{
	struct net *net = ep->net;
	struct link *l = calloc(1, sizeof(*l));
	uint8_t *in = malloc(FRAME_HEADER_BYTES + HELLO_FRAME_MAX);

	if (l == NULL || in == NULL) {
		free(l);
		free(in);
		return IM_ENOMEM;
	}
	l->net = net;
	l->ep = ep;
	l->conn = conn;
	l->state = LINK_HELLO;
	l->dialled = ep->dialer != NULL;
	l->next_id = l->dialled ? 2 : 1;
	l->in = in;
	l->in_cap = FRAME_HEADER_BYTES + HELLO_FRAME_MAX;
	l->peer_max_frame = HELLO_FRAME_MAX;
	l->close_task.fn = close_link;
	l->flush_task.fn = link_flush;
	l->read_task.fn = link_read;
	l->timer.fn = hello_too_late;
	l->close_task.arg = l->flush_task.arg = l->read_task.arg = l->timer.arg = l;
	arena_init(&l->arena, REQUEST_NAMES_MAX);
	call_table_init(&l->calls, net_random(net));
	call_table_init(&l->served, net_random(net));
	list_init(&l->call_list);
	list_init(&l->served_list);
	list_init(&l->stalled);
	list_init(&l->held);
	conn->events = &link_conn_events;
	conn->user = l;
	ep->refs++;
	ep->links++;
	list_push_back(&net->links, &l->node);
	*ret_link = l;
	send_hello(l);
	if (loop_timer_set(net->loop, &l->timer, net->params.hello_timeout_ms * 1000ull) != IM_OK) {
		struct im_err why;

		err_set(&why, IM_ENOMEM, "no memory for the timer of a link");
		link_fail(l, &why);
	}
	link_read(l);
	return IM_OK;
}

/* Called by link_in.c with a HELLO that was decoded. */
void
link_hello(struct link *l, const struct hello *hello)
{
	size_t role_len = strlen(hello->role), name_len = strlen(hello->name);

	if (hello->version < WIRE_VERSION || hello->min_version > WIRE_VERSION) {
		link_protocol_error(l, "it speaks wire versions %u to %u, this daemon speaks %d",
				    hello->min_version, hello->version, WIRE_VERSION);
		return;
	}
	if (role_len == 0 || role_len >= NET_ROLE_MAX || name_len >= NET_NAME_MAX ||
	    hello->instance.len != sizeof(l->peer.instance) ||
	    hello->max_frame_bytes < FRAME_MIN_MAX) {
		link_protocol_error(
		    l, "HELLO has a role, name, instance or max_frame_bytes out of bounds");
		return;
	}
	memcpy(l->peer.role, hello->role, role_len);
	memcpy(l->peer.name, hello->name, name_len);
	memcpy(l->peer.instance, hello->instance.data, sizeof(l->peer.instance));
	(void)snprintf(l->peer.address, sizeof(l->peer.address), "%s", l->conn->address);
	l->peer.version = WIRE_VERSION;
	l->peer.has_uid = l->conn->has_uid;
	l->peer.uid = l->conn->uid;
	l->peer_window = hello->window_bytes;
	l->peer_max_frame = hello->max_frame_bytes;
	l->state = LINK_UP;
	l->was_up = true;
	l->up_us = clock_mono_us();
	l->net->counters.links++;
	l->timer.fn = beat;
	if (loop_timer_set(l->net->loop, &l->timer, l->net->params.heartbeat_ms * 1000ull) != IM_OK)
		loop_timer_cancel(l->net->loop, &l->timer); /* it was armed, so this cannot fail */
	if (l->ep->ops.up != NULL)
		l->ep->ops.up(l->ep->user, l);
}

void
link_goaway(struct link *l, const char *reason)
{
	struct buf body = BUF_INIT(FRAME_MIN_MAX);

	if (l->goaway_sent || !link_is_open(l))
		return;
	l->goaway_sent = true;
	goaway_encode(reason, &body);
	link_put(l, FRAME_GOAWAY, 0, body.data, body.len);
	buf_done(&body);
}

bool
link_draining(const struct link *l)
{
	return l->draining;
}

const struct link_peer *
link_peer(const struct link *l)
{
	return &l->peer;
}

void
link_set_user(struct link *l, void *user)
{
	l->user = user;
}

void *
link_user(const struct link *l)
{
	return l->user;
}
