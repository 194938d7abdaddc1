/*
 * net/link_out.c - frames going out. What one turn of the loop appends leaves with one send; while it is on its way the
 * next turns gather in the other buffer.
 */
#include <string.h>

#include "base/clock.h"
#include "net/room.h"

size_t
link_waiting(const struct link *l)
{
	return l->out.len + l->flying.len - l->flown;
}

void
link_out_grew(struct link *l)
{
	l->net->counters.frames_out++;
	if (!l->sending && !l->broken)
		loop_post_last(l->net->loop, &l->flush_task);
}

void
link_put(struct link *l, enum frame_kind kind, uint32_t id, const uint8_t *body, size_t len)
{
	struct frame_header h = { .body_len = (uint32_t)len, .call_id = id, .kind = (uint8_t)kind };
	struct im_err why;
	uint8_t *at;

	if (!link_is_open(l) || l->broken)
		return;
	if (link_waiting(l) > LINK_OUT_LAST) {
		err_set(&why, IM_EUNAVAILABLE,
			"%s asks and does not read the answers; %zu bytes wait", l->conn->address,
			link_waiting(l));
		link_fail(l, &why);
		return;
	}
	at = buf_reserve(&l->out, FRAME_HEADER_BYTES + len);
	if (at == NULL) {
		l->out.failed = false;
		err_set(&why, IM_ENOMEM, "no memory for a frame to %s", l->conn->address);
		link_fail(l, &why);
		return;
	}
	frame_header_put(at, &h);
	if (len > 0)
		memcpy(at + FRAME_HEADER_BYTES, body, len);
	l->out.len += FRAME_HEADER_BYTES + len;
	link_out_grew(l);
}

/* The flying buffer is gone; take the gathered one. False if there is nothing. */
static bool
take_off(struct link *l)
{
	struct buf empty = l->flying;

	if (empty.cap > LINK_KEEP_BYTES)
		buf_done(&empty);
	buf_clear(&empty);
	l->flying = l->out;
	l->out = empty;
	l->flown = 0;
	return l->flying.len > 0;
}

void
link_flush(void *arg)
{
	struct link *l = arg;
	size_t sent;

	while (!l->sending && !l->broken && (l->flown < l->flying.len || take_off(l))) {
		switch (conn_send(l->conn, l->flying.data + l->flown, l->flying.len - l->flown,
				  &sent)) {
		case CONN_SENT:
			l->flown += sent;
			l->net->counters.bytes_out += sent;
			break;
		case CONN_PENDING:
			l->sending = true;
			l->stuck_us = clock_mono_us();
			break;
		case CONN_BROKEN:
			l->broken = true;
			break;
		}
	}
	if (link_is_open(l) && !list_empty(&l->stalled))
		served_wake(l);
	if (!list_empty(&l->held))
		call_release(l);
}

void
link_sent(void *arg, size_t len, const struct im_err *err)
{
	struct link *l = arg;

	l->sending = false;
	l->stuck_us = 0;
	if (err != NULL) {
		l->broken = true;
		return;
	}
	l->flown += len;
	l->net->counters.bytes_out += len;
	link_flush(l);
}
