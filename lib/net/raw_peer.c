/*
 * net/raw_peer.c - a peer without manners; see raw_peer.h.
 */
#include "net/raw_peer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void
raw_connect(struct raw_peer *p, const char *url)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	assert_in_range(strlen(url), 7, sizeof(sa.sun_path) + 5);
	memcpy(sa.sun_path, url + 6, strlen(url) - 5);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p->fd >= 0);
	/* A full backlog of the listener empties soon. */
	while (connect(p->fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		assert_int_equal(errno, EAGAIN);
}

void
raw_close(struct raw_peer *p)
{
	(void)close(p->fd);
}

bool
raw_write(struct raw_peer *p, const void *data, size_t len)
{
	const uint8_t *at = data;
	struct pollfd pfd = { .fd = p->fd, .events = POLLOUT };

	while (len > 0) {
		ssize_t n = send(p->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0) {
			assert_int_equal(poll(&pfd, 1, RIG_DEADLINE_S * 1000), 1);
			continue;
		}
		at += n;
		len -= (size_t)n;
	}
	return true;
}

bool
raw_frame(struct raw_peer *p, uint32_t id, uint8_t kind, const void *body, size_t len)
{
	struct frame_header h = { .body_len = (uint32_t)len, .call_id = id, .kind = kind };
	uint8_t header[FRAME_HEADER_BYTES];

	frame_header_put(header, &h);
	return raw_write(p, header, sizeof(header)) && raw_write(p, body, len);
}

void
raw_hello_bytes(struct buf *out, uint32_t version)
{
	uint8_t instance[16] = "raw peer of test", header[FRAME_HEADER_BYTES];
	struct hello hello = {
		.version = version != 0 ? version : WIRE_VERSION,
		.min_version = version != 0 ? version : WIRE_VERSION,
		.role = "client",
		.name = "raw",
		.instance = { instance, sizeof(instance) },
		.window_bytes = 1024,
		.max_frame_bytes = 65536,
	};
	struct buf body = BUF_INIT(0);
	struct frame_header h = { .kind = FRAME_HELLO };

	hello_encode(&hello, &body);
	h.body_len = (uint32_t)body.len;
	frame_header_put(header, &h);
	assert_true(buf_append(out, header, sizeof(header)));
	assert_true(buf_append(out, body.data, body.len));
	buf_done(&body);
}

bool
raw_hello(struct raw_peer *p)
{
	struct buf out = BUF_INIT(0);
	bool ok;

	raw_hello_bytes(&out, 0);
	ok = raw_write(p, out.data, out.len);
	buf_done(&out);
	return ok;
}

void
raw_request_bytes(struct buf *out, uint32_t id, const char *method)
{
	struct request_frame req = {
		.method = method,
		.body = { (const uint8_t *)"payload", 7 },
	};

	request_frame_encode(id, &req, out);
	assert_true(buf_ok(out));
}

void
raw_ping_bytes(struct buf *out)
{
	struct frame_header h = { .kind = FRAME_PING };
	uint8_t header[FRAME_HEADER_BYTES];

	frame_header_put(header, &h);
	assert_true(buf_append(out, header, sizeof(header)));
}

bool
raw_read_bytes(struct raw_peer *p, uint8_t *out, size_t len)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };

	while (len > 0) {
		ssize_t n;

		assert_int_equal(poll(&pfd, 1, RIG_DEADLINE_S * 1000), 1);
		n = recv(p->fd, out, len, 0);
		if (n <= 0)
			return false;
		out += n;
		len -= (size_t)n;
	}
	return true;
}

bool
raw_read(struct raw_peer *p, struct frame_header *ret, struct buf *body)
{
	uint8_t header[FRAME_HEADER_BYTES];

	buf_clear(body);
	if (!raw_read_bytes(p, header, sizeof(header)))
		return false;
	frame_header_get(header, ret);
	assert_non_null(buf_reserve(body, ret->body_len));
	if (!raw_read_bytes(p, body->data, ret->body_len))
		return false;
	body->len = ret->body_len;
	return true;
}

bool
raw_expect(struct raw_peer *p, enum frame_kind kind, struct frame_header *ret, struct buf *body)
{
	while (raw_read(p, ret, body))
		if (ret->kind == kind)
			return true;
	return false;
}

void
raw_expect_end(struct raw_peer *p)
{
	struct frame_header h;
	struct buf body = BUF_INIT(0);

	while (raw_read(p, &h, &body))
		;
	buf_done(&body);
}
