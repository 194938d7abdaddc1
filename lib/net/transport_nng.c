/*
 * net/transport_nng.c - streams of nng; see transport_nng.h for the rules. Knows nothing of how they came to be.
 *
 * A send tries an aio without a callback first. The kernel nearly always takes the bytes at once; then the send costs no
 * wakeup of nng's task threads. If it does not, the try is withdrawn and the send goes to the aio with a callback.
 */
#include <arpa/inet.h>
#include <nng/nng.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "net/transport_nng.h"

struct stream_conn {
	struct conn base;
	struct loop *loop;
	nng_stream *stream;
	nng_aio *recv_aio, *send_aio;
	nng_aio *try_aio; /* no callback; never under way outside stream_conn_send() */
	struct loop_task recv_task, send_task, gone_task;
	bool receiving, sending, closing;
};

static void
stream_err(struct im_err *err, int rv)
{
	if (rv == NNG_ECONNSHUT || rv == NNG_ECONNRESET || rv == NNG_ECLOSED)
		err_set(err, IM_EUNAVAILABLE, "the peer closed the link");
	else
		err_set(err, IM_EUNAVAILABLE, "the link broke: %s", nng_strerror(rv));
}

static void
conn_gone(void *arg)
{
	struct stream_conn *c = arg;
	const struct conn_events *events = c->base.events;
	void *user = c->base.user;

	nng_aio_reap(c->recv_aio);
	nng_aio_reap(c->send_aio);
	nng_aio_reap(c->try_aio);
	nng_stream_free(c->stream);
	free(c);
	events->closed(user);
}

static void
conn_check_gone(struct stream_conn *c)
{
	if (c->closing && !c->receiving && !c->sending)
		loop_post(c->loop, &c->gone_task);
}

static void
on_recv(void *arg) /* on a thread of nng */
{
	struct stream_conn *c = arg;

	loop_post(c->loop, &c->recv_task);
}

static void
on_send(void *arg) /* on a thread of nng */
{
	struct stream_conn *c = arg;

	loop_post(c->loop, &c->send_task);
}

/* Tell of an operation that is over; 'aio' is idle again. */
static void
report(struct stream_conn *c, nng_aio *aio,
       void (*event)(void *user, size_t len, const struct im_err *err))
{
	int rv = nng_aio_result(aio);
	struct im_err err;

	if (c->closing) {
		conn_check_gone(c);
		return;
	}
	if (rv == 0) {
		event(c->base.user, nng_aio_count(aio), NULL);
		return;
	}
	stream_err(&err, rv);
	event(c->base.user, 0, &err);
}

static void
recv_done(void *arg)
{
	struct stream_conn *c = arg;

	c->receiving = false;
	report(c, c->recv_aio, c->base.events->received);
}

static void
send_done(void *arg)
{
	struct stream_conn *c = arg;

	c->sending = false;
	report(c, c->send_aio, c->base.events->sent);
}

static void
stream_conn_recv(struct conn *base, uint8_t *buf, size_t cap)
{
	struct stream_conn *c = CONTAINER_OF(base, struct stream_conn, base);
	nng_iov iov = { .iov_len = cap };

	iov.iov_buf = buf;
	c->receiving = true;
	(void)nng_aio_set_iov(c->recv_aio, 1, &iov);
	nng_stream_recv(c->stream, c->recv_aio);
}

static enum conn_sent
stream_conn_send(struct conn *base, const uint8_t *buf, size_t len, size_t *ret_len)
{
	struct stream_conn *c = CONTAINER_OF(base, struct stream_conn, base);
	nng_iov iov = { .iov_buf = (void *)buf, .iov_len = len };
	int rv;

	(void)nng_aio_set_iov(c->try_aio, 1, &iov);
	nng_stream_send(c->stream, c->try_aio);
	/* Withdrawing does nothing to a send that is over. The wait is for nothing but the last instructions of nng's
	 * poller, should it be finishing this very send: an aio without a callback needs no task thread. */
	nng_aio_cancel(c->try_aio);
	nng_aio_wait(c->try_aio);
	rv = nng_aio_result(c->try_aio);
	if (rv == 0) {
		*ret_len = nng_aio_count(c->try_aio);
		return CONN_SENT;
	}
	if (rv != NNG_ECANCELED)
		return CONN_BROKEN;
	c->sending = true;
	(void)nng_aio_set_iov(c->send_aio, 1, &iov);
	nng_stream_send(c->stream, c->send_aio);
	return CONN_PENDING;
}

static void
stream_conn_close(struct conn *base)
{
	struct stream_conn *c = CONTAINER_OF(base, struct stream_conn, base);

	c->closing = true;
	nng_stream_close(c->stream);
	conn_check_gone(c);
}

static const struct conn_vtable stream_conn_vtable = {
	.recv = stream_conn_recv,
	.send = stream_conn_send,
	.close = stream_conn_close,
};

/* Who is at the other end of 'stream', for logs. */
static void
stream_address(nng_stream *stream, const char *url, char out[TRANSPORT_ADDRESS_MAX])
{
	char text[INET6_ADDRSTRLEN] = "?";
	nng_sockaddr sa;

	(void)snprintf(out, TRANSPORT_ADDRESS_MAX, "%.*s", TRANSPORT_ADDRESS_MAX - 1, url);
	if (nng_stream_get_addr(stream, NNG_OPT_REMADDR, &sa) != 0)
		return;
	if (sa.s_family == NNG_AF_INET) {
		(void)inet_ntop(AF_INET, &sa.s_in.sa_addr, text, sizeof(text));
		(void)snprintf(out, TRANSPORT_ADDRESS_MAX, "tcp://%s:%u", text,
			       ntohs(sa.s_in.sa_port));
	} else if (sa.s_family == NNG_AF_INET6) {
		(void)inet_ntop(AF_INET6, sa.s_in6.sa_addr, text, sizeof(text));
		(void)snprintf(out, TRANSPORT_ADDRESS_MAX, "tcp://[%s]:%u", text,
			       ntohs(sa.s_in6.sa_port));
	}
}

struct conn *
stream_conn_new(struct loop *loop, nng_stream *stream, const char *url)
{
	struct stream_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		goto fail;
	c->base.vt = &stream_conn_vtable;
	c->loop = loop;
	c->recv_task.fn = recv_done;
	c->send_task.fn = send_done;
	c->gone_task.fn = conn_gone;
	c->recv_task.arg = c->send_task.arg = c->gone_task.arg = c;
	if (nng_aio_alloc(&c->recv_aio, on_recv, c) != 0 ||
	    nng_aio_alloc(&c->send_aio, on_send, c) != 0 ||
	    nng_aio_alloc(&c->try_aio, NULL, NULL) != 0)
		goto fail;
	c->stream = stream;
	stream_address(stream, url, c->base.address);
	return &c->base;
fail:
	if (c != NULL) {
		nng_aio_reap(c->recv_aio);
		nng_aio_reap(c->send_aio);
		nng_aio_reap(c->try_aio);
		free(c);
	}
	nng_stream_close(stream);
	nng_stream_free(stream);
	return NULL;
}
