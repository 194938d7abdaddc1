/*
 * net/link_in.c - bytes coming in: cut into frames, each handed to what it belongs to. A frame is handled where it lies in
 * the receive buffer; no length is believed before it is checked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/room.h"

/* Make the receive buffer 'cap' bytes large. */
static bool
resize(struct link *l, size_t cap)
{
	uint8_t *in = realloc(l->in, cap);
	struct im_err why;

	if (in == NULL) {
		err_set(&why, IM_ENOMEM, "no memory for a frame from %s", l->conn->address);
		link_fail(l, &why);
		return false;
	}
	l->in = in;
	l->in_cap = cap;
	return true;
}

void
link_read(void *arg)
{
	struct link *l = arg;
	size_t cap = l->in_cap;

	/* Grow only as bytes come, so that a large length alone costs nothing; a whole frame is bounded by its check. */
	if (l->in_len == cap)
		cap *= 2;
	else if (l->state == LINK_UP &&
		 (cap < LINK_READ_BYTES || (cap > LINK_KEEP_BYTES && l->in_len < LINK_READ_BYTES)))
		cap = LINK_READ_BYTES;
	if (cap != l->in_cap && !resize(l, cap))
		return;
	conn_recv(l->conn, l->in + l->in_len, l->in_cap - l->in_len);
}

static void
on_hello(struct link *l, const uint8_t *body, size_t len)
{
	struct arena arena;
	struct hello hello;
	struct im_err err;

	if (l->state == LINK_UP) {
		link_protocol_error(l, "a second HELLO");
		return;
	}
	arena_init(&arena, (size_t)4 * HELLO_FRAME_MAX);
	if (hello_decode(body, len, &arena, &hello, &err) == IM_OK)
		link_hello(l, &hello);
	else if (err.rc == IM_EPROTO)
		link_protocol_error(l, "%.200s", err.text);
	else
		link_fail(l, &err);
	arena_done(&arena);
}

static void
on_ping(struct link *l, const uint8_t *body, size_t len)
{
	if (len > PING_BODY_MAX)
		link_protocol_error(l, "a PING of %zu bytes, at most %u are allowed", len,
				    PING_BODY_MAX);
	else
		link_put(l, FRAME_PONG, 0, body, len);
}

static void
on_goaway(struct link *l, const uint8_t *body, size_t len)
{
	struct im_err err;

	if (goaway_decode(body, len, l->goaway_reason, sizeof(l->goaway_reason), &err) != IM_OK) {
		link_protocol_error(l, "%.200s", err.text);
		return;
	}
	if (l->draining)
		return;
	l->draining = true;
	if (l->ep->ops.goaway != NULL)
		l->ep->ops.goaway(l->ep->user, l);
}

static void
dispatch(struct link *l, const struct frame_header *h, const uint8_t *body)
{
	if (l->state == LINK_HELLO && h->kind != FRAME_HELLO) {
		link_protocol_error(l, "the first frame is of kind %u and not HELLO", h->kind);
		return;
	}
	switch (h->kind) {
	case FRAME_HELLO:
		on_hello(l, body, h->body_len);
		break;
	case FRAME_REQUEST:
		served_on_request(l, h->call_id, body, h->body_len);
		break;
	case FRAME_DATA:
		call_on_data(l, h->call_id, body, h->body_len);
		break;
	case FRAME_END:
		call_on_end(l, h->call_id, body, h->body_len);
		break;
	case FRAME_CANCEL:
		served_on_cancel(l, h->call_id);
		break;
	case FRAME_CREDIT:
		served_on_credit(l, h->call_id, body, h->body_len);
		break;
	case FRAME_PING:
		on_ping(l, body, h->body_len);
		break;
	case FRAME_GOAWAY:
		on_goaway(l, body, h->body_len);
		break;
	case FRAME_PONG: /* that it came is what counts */
	default:         /* kinds of later versions */
		break;
	}
}

/* Handle the frame at 'at'. Returns its length, or 0 if it is not whole yet. */
static size_t
take_frame(struct link *l, size_t at)
{
	size_t have = l->in_len - at;
	size_t limit = l->state == LINK_UP ? l->net->params.max_frame_bytes : HELLO_FRAME_MAX;
	struct frame_header h;

	if (have < FRAME_HEADER_BYTES)
		return 0;
	frame_header_get(l->in + at, &h);
	if (h.body_len > limit) {
		link_protocol_error(l, "a frame of %u bytes, at most %zu are allowed", h.body_len,
				    limit);
		return 0;
	}
	if (have - FRAME_HEADER_BYTES < h.body_len)
		return 0;
	l->net->counters.frames_in++;
	dispatch(l, &h, l->in + at + FRAME_HEADER_BYTES);
	return FRAME_HEADER_BYTES + h.body_len;
}

void
link_received(void *arg, size_t len, const struct im_err *err)
{
	struct link *l = arg;
	size_t at = 0, used;

	if (len == 0) {
		link_fail(l, err);
		return;
	}
	l->heard_us = clock_mono_us();
	l->net->counters.bytes_in += len;
	l->in_len += len;
	while (link_is_open(l) && (used = take_frame(l, at)) > 0)
		at += used;
	if (!link_is_open(l))
		return;
	l->in_len -= at;
	if (at > 0 && l->in_len > 0)
		memmove(l->in, l->in + at, l->in_len);
	/* After the frames that this turn put on any link have left: they are what others wait for. */
	loop_post_last(l->net->loop, &l->read_task);
}
