/*
 * http/conn.c - one connection: reads requests, hands them to the owner one after the other, writes what exchange.c
 * gathered, keeps the deadlines; see conn.h. Never parses a byte itself (request.h does) and never looks at what is served.
 *
 *  HANDSHAKE ──done──▶ READING ──whole request──▶ BUSY ──response over──▶ READING …
 *   (TLS only)            │                        │ └──… and the last──▶ CLOSING
 *                         ├──refused, 408─▶ CLOSING│
 *                         │                   │    └──client left──▶ GONE ──owner ends it──▶ DEAD
 *                         │                   └──all written──▶ LINGER (client reads the reply) ──EOF, 5 s──▶ DEAD
 *                         └──EOF, idle too long──▶ DEAD
 *
 * A client that shuts its sending side down while its response is pending counts as gone: that is how one that leaves is
 * noticed at once, and the clients that half-close and then wait are few. Once the response is complete it is delivered
 * also to these.
 */
#include "http/conn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define REQUESTS_A_TURN 32 /* of one connection, so that pipelining starves nobody */

static void conn_event(void *arg, uint32_t events);
static void conn_turn(void *arg);
static void conn_expired(void *arg);

void
http_conn_post(struct conn *c)
{
	loop_post_last(c->server->loop, &c->turn);
}

static void
phase(struct conn *c, enum conn_state state)
{
	c->state = state;
	c->phase_us = clock_mono_us();
}

/* Closing. */

static void
close_fd(struct conn *c)
{
	struct loop *loop = c->server->loop;

	if (c->w.fd < 0)
		return;
	loop_fd_del(loop, &c->w);
	loop_timer_cancel(loop, &c->timer);
	loop_cancel(loop, &c->turn);
	http_tls_free(c->tls);
	c->tls = NULL;
	(void)close(c->w.fd);
	c->w.fd = -1;
	c->server->open--;
	http_reader_done(&c->reader);
	buf_done(&c->early);
	buf_done(&c->out);
	c->out_at = 0;
}

/* Runs at the end of the turn in which 'c' died: the functions that were at work on it have returned. */
static void
conn_reap(void *arg)
{
	struct conn *c = arg;
	struct http_server *server = c->server;

	free(c);
	server->alive--;
	http_server_unref(server);
}

void
http_conn_destroy(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	close_fd(c);
	c->state = CONN_DEAD;
	list_remove(&c->node);
	http_exchange_free(c->x);
	c->x = NULL;
	c->turn.fn = conn_reap;
	loop_post_last(c->server->loop, &c->turn);
}

/* The client is not there any more. An open exchange keeps 'c' until the owner has ended it. */
static void
lost(struct conn *c)
{
	struct http_exchange *x = c->x;

	if (x == NULL) {
		http_conn_destroy(c);
		return;
	}
	close_fd(c);
	c->state = CONN_GONE;
	x->gone = true;
	if (c->server->ops.gone != NULL)
		c->server->ops.gone(c->server->user, x);
}

/* All is written: close, or let the client read it first. */
static void
finish(struct conn *c)
{
	if (c->tls != NULL && !c->broken)
		http_tls_goodbye(c->tls);
	if (!c->linger) {
		http_conn_destroy(c);
		return;
	}
	/* Closing with unread input would reset the connection, and the client might never see the reply. */
	(void)shutdown(c->w.fd, SHUT_WR);
	phase(c, CONN_LINGER);
}

/* Output. */

static void
flush(struct conn *c)
{
	if (c->out.failed) {
		lost(c);
		return;
	}
	c->blocked = c->tls_in = false;
	while (http_conn_unsent(c) > 0) {
		ssize_t n =
		    http_io_write(c->w.fd, c->tls, c->out.data + c->out_at, http_conn_unsent(c));

		if (n == IO_AGAIN || n == IO_AGAIN_IN) {
			c->blocked = true;
			c->tls_in = n == IO_AGAIN_IN;
			return;
		}
		if (n < 0) {
			lost(c);
			return;
		}
		c->out_at += (size_t)n;
		c->progress_us = clock_mono_us();
	}
	buf_done(&c->out);
	c->out_at = 0;
	if (c->state == CONN_CLOSING)
		finish(c);
}

void
http_conn_response_over(struct conn *c, bool close)
{
	bool client_asked = c->x->req->head->close;

	http_exchange_free(c->x);
	c->x = NULL;
	c->want_writable = false;
	if (c->state == CONN_GONE) {
		http_conn_destroy(c);
		return;
	}
	assert(c->state == CONN_BUSY);
	close = close || c->server->draining;
	if (close && !client_asked)
		c->linger = true;
	phase(c, close ? CONN_CLOSING : CONN_READING);
	http_conn_post(c);
}

/* Input. */

static void
refuse(struct conn *c, int status, const char *text)
{
	const struct http_refusal refusal = { .status = status, .text = text };
	struct request *req = http_reader_take(&c->reader);
	struct http_exchange *x = req != NULL ? http_exchange_new(c, req) : NULL;

	http_exchange_refuse(c, x, &refusal);
	http_exchange_free(x);
	http_reader_done(&c->reader);
	buf_done(&c->early);
	c->early_at = 0;
	c->linger = true;
	phase(c, CONN_CLOSING);
	http_conn_post(c);
}

static void
dispatch(struct conn *c)
{
	c->x = http_exchange_new(c, http_reader_take(&c->reader));
	if (c->x == NULL) {
		refuse(c, 503, "the server is out of memory");
		return;
	}
	c->state = CONN_BUSY;
	c->server->ops.request(c->server->user, c->x);
}

/* Take the bytes as far as it may be; the number of those that were. */
static size_t
input(struct conn *c, const uint8_t *data, size_t len)
{
	unsigned requests = 0;
	size_t at = 0;

	while (at < len && http_conn_may_read(c) && requests < REQUESTS_A_TURN) {
		bool first = c->reader.state == READER_IDLE;
		size_t used;
		enum reader_event ev = http_reader_feed(&c->reader, data + at, len - at, &used);

		at += used;
		if (first) {
			c->phase_us = clock_mono_us();
			c->started_us = c->phase_us;
		}
		switch (ev) {
		case READER_MORE:
			break;
		case READER_HEAD:
			c->phase_us = clock_mono_us();
			if (c->reader.request->head->expect_continue && at == len) {
				(void)buf_append_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
				http_conn_post(c);
			}
			break;
		case READER_REQUEST:
			requests++;
			dispatch(c);
			break;
		case READER_REFUSED:
			refuse(c, c->reader.refusal.status, c->reader.refusal.text);
			break;
		}
	}
	c->resume = at < len && http_conn_may_read(c);
	return at;
}

/* New bytes, with none kept from before. */
static void
input_new(struct conn *c, const uint8_t *data, size_t len)
{
	size_t used = input(c, data, len);

	if (used == len || (c->state != CONN_READING && c->state != CONN_BUSY))
		return;
	if (!buf_append(&c->early, data + used, len - used))
		lost(c);
}

static void
readable(struct conn *c)
{
	struct http_server *server = c->server;
	ssize_t n;

	if (c->state == CONN_BUSY) {
		c->muted = true;
		return;
	}
	if ((c->state != CONN_READING && c->state != CONN_LINGER) || c->early.len > 0)
		return;
	n = http_io_read(c->w.fd, c->tls, server->scratch, CONN_READ_BYTES);
	c->tls_out = n == IO_AGAIN_OUT;
	if (n == IO_AGAIN || n == IO_AGAIN_OUT)
		return;
	if (n == 0 && c->state == CONN_READING && http_conn_unsent(c) > 0) {
		phase(c, CONN_CLOSING); /* it half-closed; its reply is on the way */
	} else if (n <= 0) {
		lost(c);
	} else if (c->state == CONN_READING) {
		input_new(c, server->scratch, (size_t)n);
	} else {
		c->lingered += (size_t)n;
		if (c->lingered > 2 * server->params.body_bytes + CONN_LINGER_MORE)
			http_conn_destroy(c);
	}
}

/* Go on with what is there without waiting for the client. */
static void
go_on(struct conn *c)
{
	c->resume = false;
	if (c->server->draining && http_conn_idle(c))
		http_conn_destroy(c);
	if (!http_conn_may_read(c))
		return;
	if (c->early.len > 0) {
		c->early_at += input(c, c->early.data + c->early_at, c->early.len - c->early_at);
		if (c->early_at < c->early.len)
			return;
		buf_done(&c->early);
		c->early_at = 0;
	}
	if (http_conn_may_read(c) && http_tls_pending(c->tls))
		readable(c);
}

/* Tell the loop what 'c' waits for now. A timer that is set for an earlier time is left alone: it finds the new deadline
 * when it fires, and a request costs no timer operation. */
static void
settle(struct conn *c)
{
	struct loop *loop = c->server->loop;
	uint64_t until = 0, now;
	uint32_t want;

	if (c->w.fd < 0)
		return;
	if (c->state != CONN_BUSY)
		c->muted = false;
	want = http_conn_wanted_events(c);
	if (want != c->watched) {
		loop_fd_events(loop, &c->w, want);
		c->watched = want;
	}
	until = http_conn_deadline_us(c);
	if (until == 0 || (loop_timer_armed(&c->timer) && c->timer.at_us <= until))
		return;
	now = clock_mono_us();
	if (loop_timer_set(loop, &c->timer, until > now ? until - now : 0) != IM_OK)
		lost(c);
}

static void
conn_expired(void *arg)
{
	struct conn *c = arg;
	uint64_t until = http_conn_deadline_us(c);

	if (until != 0 && until <= clock_mono_us()) {
		if (c->state == CONN_READING && !c->blocked && c->reader.state != READER_IDLE)
			refuse(c, 408, "the request did not arrive in time");
		else
			lost(c);
	}
	settle(c);
}

static void
handshake(struct conn *c)
{
	int rc = http_tls_handshake(c->tls);

	c->tls_out = rc == IO_AGAIN_OUT;
	if (rc == IO_ERROR)
		lost(c);
	if (rc == 1) {
		phase(c, CONN_READING);
		go_on(c); /* bytes that came with the handshake, or a server that drains */
	}
}

static void
serve(struct conn *c, uint32_t events)
{
	if (c->state == CONN_HANDSHAKE) {
		handshake(c);
		return;
	}
	if ((events & (EPOLLERR | EPOLLHUP)) != 0 ||
	    ((events & EPOLLRDHUP) != 0 && c->state == CONN_BUSY)) {
		lost(c);
		return;
	}
	if (c->blocked || c->tls_in)
		flush(c);
	if (c->w.fd < 0)
		return;
	if (c->want_writable && http_conn_unsent(c) <= c->server->params.write_high_bytes / 2 &&
	    (events & EPOLLOUT) != 0) {
		c->want_writable = false;
		if (c->server->ops.writable != NULL)
			c->server->ops.writable(c->server->user, c->x);
	}
	if (c->w.fd >= 0 && ((events & EPOLLIN) != 0 || c->tls_out))
		readable(c);
	if (c->w.fd >= 0)
		go_on(c);
}

static void
conn_event(void *arg, uint32_t events)
{
	struct conn *c = arg;

	serve(c, events);
	settle(c);
}

static void
conn_turn(void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_BUSY || c->state == CONN_READING || c->state == CONN_CLOSING)
		flush(c);
	if (c->w.fd >= 0)
		go_on(c);
	settle(c);
}

static void
keep_peer(struct conn *c, const struct sockaddr *peer, size_t peer_len)
{
	if (peer_len > sizeof(c->peer))
		peer_len = 0; /* a unix socket's */
	if (peer_len > 0)
		memcpy(&c->peer, peer, peer_len);
}

void
http_conn_open(struct http_server *server, int fd, const struct sockaddr *peer, size_t peer_len,
	       bool crowded)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		(void)close(fd);
		return;
	}
	c->server = server;
	list_push_back(&server->conns, &c->node);
	server->open++;
	server->alive++;
	keep_peer(c, peer, peer_len);
	http_reader_init(&c->reader, server->params.header_bytes, server->params.body_bytes);
	c->turn = (struct loop_task){ .fn = conn_turn, .arg = c };
	c->timer = (struct loop_timer){ .fn = conn_expired, .arg = c };
	c->w = (struct loop_fd){ .fn = conn_event, .arg = c, .fd = fd, .patient = true };
	phase(c, CONN_READING);
	if (server->tls != NULL) {
		c->tls = http_tls_new(server->tls, fd);
		c->state = CONN_HANDSHAKE;
	}
	if ((server->tls != NULL && (c->tls == NULL || crowded)) ||
	    loop_fd_add(server->loop, &c->w, EPOLLIN | EPOLLRDHUP) != IM_OK) {
		http_conn_destroy(c);
	} else {
		c->watched = EPOLLIN | EPOLLRDHUP;
		if (crowded)
			refuse(c, 503, "the server has too many connections");
		settle(c);
	}
}
