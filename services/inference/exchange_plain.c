/*
 * inference/exchange_plain.c - exchanges over plain HTTP/1.1 connections of our own: one send and one recv where libcurl takes 60,000
 * instructions. libcurl still opens the connection (names, several addresses, time limit); its socket is ours from then on.
 *
 *   dialing ──connected──▶ sending, reading ──body is whole──▶ idle ──next exchange──▶ sending, reading
 *      │                        │                               └──upstream closes or speaks, or too old when wanted──▶ closed
 *      └──fails──▶ done         └──lost before the answer's first byte, and it was idle before──▶ dialing (once)
 *
 * An idle connection may be closed by the upstream just when it is used again. So a request that was lost on one within a second and without a byte of
 * an answer is sent once more on a new one: a generation changes nothing at the upstream, so it may be asked for again (RFC 9110 section 9.2.2). libcurl
 * does the same, however late.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/response_reader.h"
#include "inference/plain_head.h"

#define READ_MAX ((size_t)16 * 1024) /* a reader that pauses gets no more than this beyond it */
/* What sits between may forget an idle connection without a word; libcurl's limit is the same. */
#define IDLE_MAX_US ((uint64_t)118 * 1000 * 1000)
#define RESEND_US                                                                                  \
	1000000 /* later the upstream has the request: to ask again is the router's business */
#define SEND_AT_ONCE ((size_t)256 * 1024) /* then it is others' turn */

/* b->carried */
struct plain {
	struct list idle; /* of struct conn, the latest first */
	uint32_t idle_count;
	struct buf head[OPERATION_COUNT]; /* of a request: what all of them have */
	struct buf decoded;               /* of the bytes at hand, the chunked coding taken off */
	uint8_t read[READ_MAX];
};

struct conn {
	struct list node; /* idle */
	struct backend *b;
	struct exchange *x;   /* NULL = idle */
	struct transfer dial; /* while it is opened */
	struct loop_fd w;     /* w.fd < 0 = not open yet */
	uint32_t watched;
	uint64_t idle_us;  /* since when it is */
	uint64_t taken_us; /* when it was last taken for an exchange */
	bool reused;       /* it was idle before this exchange */
	bool send_failed;

	struct buf head; /* of the request, with our key */
	uint64_t sent;   /* bytes of head and body */

	bool begun; /* the first byte of the answer is there */
	struct response_reader answer;
};

static void
head_done(struct conn *c)
{
	if (c->head.len > 0)
		explicit_bzero(c->head.data, c->head.len); /* the key */
	buf_done(&c->head);
}

static void
dial_done(struct conn *c)
{
	if (c->dial.easy == NULL)
		return;
	transfer_stop(c->b->curl, &c->dial);
	curl_easy_cleanup(c->dial.easy);
	c->dial.easy = NULL;
}

/* Close it. */
static void
conn_free(struct conn *c)
{
	struct plain *p = c->b->carried;

	dial_done(c);
	if (c->w.fd >= 0) {
		loop_fd_del(c->b->loop, &c->w);
		(void)close(c->w.fd);
	}
	if (list_linked(&c->node)) {
		list_remove(&c->node);
		p->idle_count--;
	}
	head_done(c);
	http_response_reset(&c->answer);
	free(c);
}

static void
fail(struct conn *c, CURLcode code)
{
	struct exchange *x = c->x;

	conn_free(c);
	x->via.conn = NULL;
	x->done(x, code);
}

static uint64_t
to_send(const struct conn *c)
{
	return c->send_failed ? 0 : c->head.len + c->x->request.len - c->sent;
}

/* Watch for what is waited for. While the reader pauses an edge alone is reported: once, if the connection breaks. */
static bool
watch(struct conn *c)
{
	bool paused = c->x != NULL && c->x->paused;
	uint32_t events = paused ? 0 : EPOLLIN;

	if (c->x != NULL && to_send(c) > 0)
		events |= EPOLLOUT;
	if (events == 0)
		events = EPOLLET;
	if (events == c->watched)
		return true;
	if (c->watched != 0)
		loop_fd_events(c->b->loop, &c->w, events);
	else if (loop_fd_add(c->b->loop, &c->w, events) != IM_OK)
		return false;
	c->watched = events;
	return true;
}

/* Send what the socket takes, or a part if that is much. That the upstream reads no more is found out by reading: it may have said why. */
static void
flush(struct conn *c)
{
	const uint64_t end = c->sent + SEND_AT_ONCE;

	while (to_send(c) > 0 && c->sent < end) {
		const struct buf *body = &c->x->request;
		size_t in_head = c->sent < c->head.len ? c->head.len - c->sent : 0;
		size_t at = c->sent > c->head.len ? c->sent - c->head.len : 0;
		struct iovec parts[2] = { { c->head.data + c->head.len - in_head, in_head },
					  { body->data + at, body->len - at } };
		struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2 };
		ssize_t n = sendmsg(c->w.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			c->sent += (uint64_t)n;
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			c->send_failed = true;
	}
}

static void on_dialed(struct transfer *t, CURLcode code);
static void on_event(void *arg, uint32_t events);

static struct conn *
conn_new(struct exchange *x)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->b = x->b;
	c->x = x;
	c->w.fd = -1;
	c->w.fn = on_event;
	c->w.arg = c;
	return c;
}

/* Have libcurl connect. False without memory. */
static bool
dial(struct conn *c)
{
	struct im_err err;
	CURL *easy = curl_easy_init();

	if (easy == NULL)
		return false;
	upstream_setup(c->b, easy);
	(void)curl_easy_setopt(easy, CURLOPT_CURLU, c->b->urls[c->x->operation]);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	c->dial = (struct transfer){ .easy = easy, .done = on_dialed, .connect_only = true };
	return transfer_start(c->b->curl, &c->dial, &err) == IM_OK;
}

static void
on_dialed(struct transfer *t, CURLcode code)
{
	struct conn *c = CONTAINER_OF(t, struct conn, dial);

	c->w.fd = c->dial.fd;
	dial_done(c);
	if (code == CURLE_OK && c->w.fd < 0)
		code = CURLE_COULDNT_CONNECT;
	if (code != CURLE_OK) {
		fail(c, code);
		return;
	}
	flush(c);
	if (!watch(c))
		fail(c, CURLE_OUT_OF_MEMORY);
}

/* It broke before the answer was whole. */
static void
lost(struct conn *c, CURLcode code)
{
	struct exchange *x = c->x;
	struct conn *fresh;

	if (!c->reused || c->begun || clock_mono_us() - c->taken_us > RESEND_US) {
		fail(c, code);
		return;
	}
	fresh = conn_new(x);
	if (fresh == NULL) {
		fail(c, CURLE_OUT_OF_MEMORY);
		return;
	}
	fresh->head = c->head;
	c->head = (struct buf){ 0 };
	conn_free(c);
	x->via.conn = fresh;
	if (!dial(fresh))
		fail(fresh, CURLE_OUT_OF_MEMORY);
}

/* Its exchange is over: keep it for the next one. */
static void
make_idle(struct conn *c)
{
	struct plain *p = c->b->carried;

	head_done(c);
	c->x = NULL;
	c->sent = 0;
	c->begun = false;
	http_response_reset(&c->answer);
	c->idle_us = clock_mono_us();
	list_push_front(&p->idle, &c->node);
	p->idle_count++;
	if (!watch(c))
		conn_free(c);
	if (p->idle_count > c->b->capacity)
		conn_free(CONTAINER_OF(p->idle.prev, struct conn, node));
}

static void
finish(struct conn *c, bool keep)
{
	struct exchange *x = c->x;

	if (keep && c->answer.head.keep && !c->send_failed && to_send(c) == 0)
		make_idle(c);
	else
		conn_free(c);
	x->via.conn = NULL;
	x->done(x, CURLE_OK);
}

static void
on_head(void *user, const struct http_response *head, const uint8_t *bytes, size_t len)
{
	struct conn *c = user;
	struct reply_head *r = &c->x->reply;

	r->status = head->status;
	(void)http_response_field(bytes, len, "content-type", r->type, sizeof(r->type));
	if (r->status / 100 != 2) {
		(void)http_response_field(bytes, len, "retry-after", r->retry_after,
					  sizeof(r->retry_after));
		(void)http_response_field(bytes, len, "retry-after-ms", r->retry_after_ms,
					  sizeof(r->retry_after_ms));
	}
	if (to_send(c) == 0 && !c->send_failed) {
		head_done(c);
		buf_done(&c->x->request);
		c->sent = 0;
	}
}

static bool
on_body(void *user, const uint8_t *bytes, size_t len)
{
	struct conn *c = user;
	bool ok;

	c->x->inside = true;
	ok = c->x->body(c->x, (const char *)bytes, len);
	c->x->inside = false;
	return ok;
}

static const struct response_ops response_ops = { .head = on_head, .body = on_body };

static void
take(struct conn *c, const uint8_t *bytes, size_t len)
{
	struct plain *p = c->b->carried;
	size_t used = 0;

	switch (http_response_feed(&c->answer, bytes, len, &p->decoded, &response_ops, c, &used)) {
	case RESPONSE_MORE:
		break;
	case RESPONSE_END:
		finish(c, used == len);
		break;
	case RESPONSE_BAD:
		fail(c, CURLE_WEIRD_SERVER_REPLY);
		break;
	case RESPONSE_STOPPED:
		fail(c, CURLE_WRITE_ERROR);
		break;
	case RESPONSE_NOMEM:
		fail(c, CURLE_OUT_OF_MEMORY);
		break;
	}
}

static void
read_some(struct conn *c)
{
	struct plain *p = c->b->carried;
	ssize_t n = recv(c->w.fd, p->read, sizeof(p->read), MSG_DONTWAIT);

	if (n > 0) {
		c->begun = true;
		take(c, p->read, (size_t)n);
	} else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	} else if (n == 0 && http_response_eof(&c->answer)) {
		finish(c, false);
	} else if (n < 0) {
		lost(c, c->send_failed ? CURLE_SEND_ERROR : CURLE_RECV_ERROR);
	} else {
		lost(c, c->begun ? CURLE_PARTIAL_FILE : CURLE_GOT_NOTHING);
	}
}

static void
on_event(void *arg, uint32_t events)
{
	struct conn *c = arg;

	if (c->x == NULL) { /* the upstream closed it, or speaks without being asked */
		conn_free(c);
		return;
	}
	if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
		flush(c);
		(void)watch(c); /* it is watched, which cannot fail then */
	}
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && !c->x->paused)
		read_some(c); /* 'c' may be gone after this */
}

static void
close_idle(struct plain *p)
{
	LIST_FOREACH_SAFE (&p->idle, c, struct conn, node) {
		conn_free(c);
	}
}

/* The latest idle connection, which is the least likely to be closed just now. NULL: there is none. */
static struct conn *
take_idle(struct plain *p)
{
	const uint64_t now_us = clock_mono_us();

	LIST_FOREACH_SAFE (&p->idle, c, struct conn, node) {
		if (now_us - c->idle_us > IDLE_MAX_US) { /* so are all others */
			close_idle(p);
			return NULL;
		}
		if (!connection_is_quiet(c->w.fd)) {
			conn_free(c);
			continue;
		}
		list_remove(&c->node);
		p->idle_count--;
		c->reused = true;
		c->taken_us = now_us;
		return c;
	}
	return NULL;
}

static enum im_rc
plain_start(struct exchange *x, struct im_err *err)
{
	struct conn *c = take_idle(x->b->carried);
	enum im_rc rc;

	if (c == NULL)
		c = conn_new(x);
	if (c == NULL)
		return upstream_curl_error(x->b, CURLE_OUT_OF_MEMORY, err);
	c->x = x;
	rc = plain_head(x, &((struct plain *)x->b->carried)->head[x->operation], &c->head, err);
	if (rc == IM_OK && c->w.fd < 0 && !dial(c))
		rc = IM_ENOMEM;
	if (rc == IM_OK && c->w.fd >= 0) {
		flush(c);
		(void)watch(c); /* an idle one is watched, which cannot fail then */
	}
	if (rc != IM_OK) {
		conn_free(c);
		return rc == IM_ENOMEM ? upstream_curl_error(x->b, CURLE_OUT_OF_MEMORY, err) : rc;
	}
	x->via.conn = c;
	return IM_OK;
}

static void
plain_stop(struct exchange *x)
{
	if (x->via.conn == NULL)
		return;
	conn_free(x->via.conn);
	x->via.conn = NULL;
}

static bool
plain_busy(const struct exchange *x)
{
	return x->inside;
}

static void
plain_pause(struct exchange *x, bool paused)
{
	x->paused = paused;
	if (x->via.conn != NULL && x->via.conn->watched != 0)
		(void)watch(x->via.conn);
}

static uint64_t
plain_sent(const struct exchange *x)
{
	return x->via.conn != NULL ? x->via.conn->sent : 0;
}

static void
plain_close(struct backend *b)
{
	struct plain *p = b->carried;

	if (p == NULL)
		return;
	close_idle(p);
	for (int i = 0; i < OPERATION_COUNT; i++)
		buf_done(&p->head[i]);
	buf_done(&p->decoded);
	free(p);
	b->carried = NULL;
}

static enum im_rc
plain_open(struct backend *b, struct im_err *err)
{
	struct plain *p = calloc(1, sizeof(*p));
	bool ok = p != NULL;

	b->carried = p;
	if (!ok)
		return upstream_curl_error(b, CURLE_OUT_OF_MEMORY, err);
	list_init(&p->idle);
	for (int i = 0; i < OPERATION_COUNT && ok; i++)
		ok = plain_head_common(b->urls[i], &p->head[i]);
	return ok ? IM_OK : upstream_curl_error(b, CURLE_OUT_OF_MEMORY, err);
}

const struct carrier carrier_plain = {
	.open = plain_open,
	.close = plain_close,
	.start = plain_start,
	.stop = plain_stop,
	.busy = plain_busy,
	.pause = plain_pause,
	.sent = plain_sent,
};
