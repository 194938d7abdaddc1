/*
 * net/link_fuzz.c - arbitrary bytes into the receive path of a link, over an in-process stream and one loop, so each input
 * always does the same. Whatever comes, each call must end once and nothing may be left.
 *
 * The first byte of an input says: 1 = a valid HELLO goes first, 2 = the link has opened two calls, 4 = small pieces.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/room.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			(void)fprintf(stderr, "link_fuzz: %s does not hold\n", #cond);             \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define CALLS 2

struct peer {
	struct conn *conn;
	bool over;    /* the stream ended */
	bool pending; /* a send is */
	size_t taken; /* by the send that was pending */
	bool dialer_closed, conn_closed, net_closed;
	uint8_t sink[4096];
};

static struct link *up_link;
static unsigned ends;

/* The service: "h..." is held until cancelled, anything else is echoed in two messages. */

static void
on_cancelled(void *user, struct served *s)
{
	(void)user;
	served_end(s, NULL, NULL, 0);
}

static void
on_request(void *user, struct link *link, struct served *s, const struct served_request *req)
{
	static const struct served_ops ops = { .cancelled = on_cancelled };

	(void)user;
	(void)link;
	served_accept(s, &ops, NULL);
	if (req->method[0] == 'h')
		return;
	(void)!served_send(s, req->body, req->body_len);
	(void)!served_send(s, req->body, req->body_len);
	served_end(s, NULL, req->body, req->body_len);
}

static void
on_up(void *user, struct link *link)
{
	(void)user;
	up_link = link;
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	(void)user;
	(void)why;
	CHECK(link == up_link);
	up_link = NULL;
}

static const struct endpoint_ops link_ops = { .up = on_up, .down = on_down, .request = on_request };

static void
on_data(void *user, struct call *call, const uint8_t *body, size_t len)
{
	(void)user;
	(void)body;
	call_grant(call, len);
}

static void
on_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	(void)user;
	(void)call;
	(void)err;
	(void)body;
	(void)len;
	ends++;
}

/* The other end of the stream. */

static void
peer_received(void *user, size_t len, const struct im_err *err)
{
	struct peer *p = user;

	(void)err;
	if (len == 0)
		p->over = true;
	else
		conn_recv(p->conn, p->sink, sizeof(p->sink));
}

static void
peer_sent(void *user, size_t len, const struct im_err *err)
{
	struct peer *p = user;

	p->pending = false;
	p->taken = len;
	p->over = p->over || err != NULL;
}

static void
peer_closed(void *user)
{
	((struct peer *)user)->conn_closed = true;
}

static const struct conn_events peer_events = {
	.received = peer_received,
	.sent = peer_sent,
	.closed = peer_closed,
};

static void
on_dialled(void *user, struct conn *conn, const struct im_err *err)
{
	struct peer *p = user;

	CHECK(conn != NULL && err == NULL);
	conn->events = &peer_events;
	conn->user = p;
	p->conn = conn;
	conn_recv(conn, p->sink, sizeof(p->sink));
}

static void
on_dialer_closed(void *user)
{
	((struct peer *)user)->dialer_closed = true;
}

static void
on_net_closed(void *arg)
{
	((struct peer *)arg)->net_closed = true;
}

static void
peer_send(struct loop *loop, struct peer *p, const uint8_t *data, size_t len, size_t piece)
{
	while (len > 0 && !p->over) {
		size_t n = len < piece ? len : piece;
		enum conn_sent result;

		loop_enter(loop);
		result = conn_send(p->conn, data, n, &p->taken);
		p->pending = result == CONN_PENDING;
		p->over = p->over || result == CONN_BROKEN;
		loop_leave(loop);
		CHECK(!p->pending); /* the link reads or the stream ends */
		if (p->over)
			return;
		data += p->taken;
		len -= p->taken;
	}
}

static void
say_hello(struct loop *loop, struct peer *p)
{
	static const uint8_t instance[16] = "fuzz";
	struct hello hello = { .version = WIRE_VERSION,
			       .min_version = WIRE_VERSION,
			       .role = "client",
			       .name = "fuzz",
			       .instance = { instance, sizeof(instance) },
			       .window_bytes = 100,
			       .max_frame_bytes = 4096 };
	struct frame_header h = { .kind = FRAME_HELLO };
	struct buf body = BUF_INIT(0);
	uint8_t header[FRAME_HEADER_BYTES];

	hello_encode(&hello, &body);
	h.body_len = (uint32_t)body.len;
	frame_header_put(header, &h);
	peer_send(loop, p, header, sizeof(header), sizeof(header));
	peer_send(loop, p, body.data, body.len, body.len);
	buf_done(&body);
}

static unsigned
open_calls(struct loop *loop)
{
	static const struct call_ops ops[CALLS] = { { .data = on_data, .end = on_end },
						    { .end = on_end } };
	struct call_request req = { .method = "Any/Thing" };
	struct call *call;
	unsigned opened = 0;

	loop_enter(loop);
	for (int i = 0; i < CALLS && up_link != NULL; i++)
		opened += call_start(up_link, &req, &ops[i], NULL, &call, NULL) == IM_OK;
	loop_leave(loop);
	return opened;
}

static void
close_all(struct loop *loop, struct peer *p, struct dialer *dialer, struct net *net)
{
	struct net_counters n;

	loop_enter(loop);
	conn_close(p->conn);
	dialer_close(dialer);
	net_close(net, on_net_closed, p);
	loop_leave(loop);
	CHECK(p->conn_closed && p->dialer_closed && p->net_closed);
	net_counters(net, &n);
	CHECK(n.calls == 0 && n.served == 0 && n.links == 0);
	net_free(net);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dialer_events dialer_events = { .dialled = on_dialled,
							    .closed = on_dialer_closed };
	struct net_params params = {
		.role = "router", .max_frame_bytes = 8192, .window_bytes = 64, .max_calls = 4
	};
	static struct loop *loop;
	static struct peer peer;
	struct endpoint *ep;
	struct dialer *dialer;
	struct net *net;
	uint8_t mode = size > 0 ? data[0] : 0;
	unsigned opened = 0;

	if (loop == NULL)
		CHECK(loop_new(&loop, NULL) == IM_OK);
	memset(&peer, 0, sizeof(peer));
	ends = 0;
	loop_enter(loop);
	CHECK(net_new(loop, &params, &net, NULL) == IM_OK);
	CHECK(net_listen(net, "inproc://fuzz", &link_ops, NULL, &ep, NULL) == IM_OK);
	CHECK(dialer_open(loop, "inproc://fuzz", &dialer_events, &peer, &dialer, NULL) == IM_OK);
	dialer_dial(dialer);
	loop_leave(loop);
	if (mode & 1)
		say_hello(loop, &peer);
	if (mode & 2)
		opened = open_calls(loop);
	if (size > 1)
		peer_send(loop, &peer, data + 1, size - 1, mode & 4 ? 7 : size);
	close_all(loop, &peer, dialer, net);
	CHECK(ends == opened && up_link == NULL);
	return 0;
}
