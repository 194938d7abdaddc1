/*
 * http/conn_wait.c - what a connection waits for in each of its states, and until when; see conn.h. Looks only: changes
 * nothing and calls nobody.
 */
#include <sys/epoll.h>

#include "http/conn.h"

size_t
http_conn_unsent(const struct conn *c)
{
	return c->out.len - c->out_at;
}

bool
http_conn_idle(const struct conn *c)
{
	return c->state == CONN_READING && c->reader.state == READER_IDLE &&
	       http_conn_unsent(c) == 0 && c->early.len == 0;
}

bool
http_conn_may_read(const struct conn *c)
{
	return c->state == CONN_READING &&
	       http_conn_unsent(c) <= c->server->params.write_high_bytes;
}

uint32_t
http_conn_wanted_events(const struct conn *c)
{
	uint32_t want = 0;

	switch (c->state) {
	case CONN_HANDSHAKE:
	case CONN_LINGER:
		want = EPOLLIN;
		break;
	case CONN_READING:
		/* The same as while busy, so that the usual request changes nothing in the kernel. */
		if (http_conn_may_read(c) && c->early.len == 0)
			want = EPOLLIN | EPOLLRDHUP;
		break;
	case CONN_BUSY:
		want = EPOLLRDHUP | (c->muted ? 0 : EPOLLIN);
		break;
	case CONN_CLOSING:
	case CONN_GONE:
	case CONN_DEAD:
		break;
	}
	if (c->blocked || c->want_writable || c->resume || c->tls_out)
		want |= EPOLLOUT;
	if (c->tls_in)
		want |= EPOLLIN;
	return want;
}

uint64_t
http_conn_deadline_us(const struct conn *c)
{
	const struct http_params *p = &c->server->params;

	if (c->state == CONN_LINGER)
		return c->phase_us + CONN_LINGER_US;
	/* An owner that waits for 'writable' has output even when the kernel has just swallowed the last of it. */
	if (c->blocked || c->want_writable || c->state == CONN_CLOSING) {
		uint64_t since = c->progress_us > c->phase_us ? c->progress_us : c->phase_us;

		return since + p->write_timeout_ms * 1000ull;
	}
	if (c->state == CONN_HANDSHAKE || c->reader.state == READER_IN_HEAD)
		return c->phase_us + p->header_timeout_ms * 1000ull;
	if (c->state != CONN_READING)
		return 0;
	if (c->reader.state == READER_IN_BODY)
		return c->phase_us + p->body_timeout_ms * 1000ull;
	return c->phase_us + p->idle_timeout_ms * 1000ull;
}
