/*
 * http/harness.c - the server and the client of the tests; see harness.h.
 */
#include "http/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define PATIENCE_S   10
#define STREAM_PIECE 16384

/* The server. */

static void
stream_on(struct harness *h, struct http_exchange *x)
{
	static const char piece[STREAM_PIECE];
	size_t *left = http_user(x);

	while (*left > 0) {
		size_t n = *left < sizeof(piece) ? *left : sizeof(piece);
		bool more = http_stream_write(x, piece, n);

		*left -= n;
		atomic_fetch_add(&h->produced, n);
		if (!more && *left > 0)
			return;
	}
	atomic_store(&h->produced_all, true);
	http_stream_end(x);
}

static void
serve_echo(struct http_exchange *x)
{
	const struct http_header headers[] = {
		{ "X-Path", http_path(x) },
		{ "X-Query", http_query(x) },
		{ "X-Method", http_method(x) },
	};
	size_t len;
	const uint8_t *body = http_body(x, &len);

	http_reply(x, 200, headers, 3, body, len);
}

static void
serve_injection(struct http_exchange *x)
{
	const struct http_header headers[] = {
		{ "X-Good", "1" },
		{ "X-Bad", "1\r\nX-Evil: 1" },
		{ "X-Bad\r\nX-Evil", "1" },
		{ "Content-Length", "1000" },
		{ "Transfer-Encoding", "chunked" },
	};

	http_reply(x, 200, headers, 5, "fine", 4);
}

static void
on_request(void *user, struct http_exchange *x)
{
	struct harness *h = user;
	const char *path = http_path(x);

	atomic_fetch_add(&h->requests, 1);
	if (strcmp(path, "/hello") == 0) {
		http_reply(x, 200, &(struct http_header){ "Content-Type", "text/plain" }, 1,
			   "hello", 5);
	} else if (strcmp(path, "/echo") == 0) {
		serve_echo(x);
	} else if (strcmp(path, "/hold") == 0) {
		unsigned n = atomic_load(&h->held_count);

		assert_true(n < HARNESS_HELD);
		h->held[n] = x;
		atomic_store(&h->held_count, n + 1);
	} else if (strcmp(path, "/stream") == 0) {
		http_stream_begin(x, 200, NULL, 0);
		h->left[h->streams] = strtoul(http_query(x), NULL, 10);
		http_set_user(x, &h->left[h->streams]);
		h->streams = (h->streams + 1) % HARNESS_HELD;
		stream_on(h, x);
	} else if (strcmp(path, "/abort") == 0) {
		http_stream_begin(x, 200, NULL, 0);
		(void)http_stream_write(x, "part", 4);
		http_abort(x);
	} else if (strcmp(path, "/drop") == 0) {
		http_abort(x);
	} else if (strcmp(path, "/inject") == 0) {
		serve_injection(x);
	} else {
		http_reply(x, 404, NULL, 0, "no", 2);
	}
}

static void
on_gone(void *user, struct http_exchange *x)
{
	struct harness *h = user;
	unsigned n = atomic_load(&h->held_count);

	for (unsigned i = 0; i < n; i++) {
		if (h->held[i] != x)
			continue;
		h->held[i] = h->held[n - 1];
		atomic_store(&h->held_count, n - 1);
		break;
	}
	assert_true(http_stream_write(x, "nobody hears", 12));
	http_abort(x);
	atomic_fetch_add(&h->gone, 1);
}

static void
on_writable(void *user, struct http_exchange *x)
{
	stream_on(user, x);
}

static const char *
on_refused(void *user, int status, const char *text, struct buf *body)
{
	(void)user;
	(void)buf_printf(body, "refused %d: %s", status, text);
	return "text/x-refused";
}

static void
on_common_headers(void *user, struct http_exchange *x, struct buf *headers)
{
	(void)user;
	(void)http_put_header(headers, "X-Common", x != NULL ? "exchange" : "none");
	(void)http_put_header(headers, "X Bad", "1");
	(void)http_put_header(headers, "Connection", "upgrade");
	(void)http_put_header(headers, "X-Next", "1\r\nX-Split: 1");
	(void)http_put_header(headers, "X-Last", "1");
}

static const struct http_ops ops = {
	.request = on_request,
	.gone = on_gone,
	.writable = on_writable,
	.refused = on_refused,
	.common_headers = on_common_headers,
};

static void *
run(void *arg)
{
	loop_run(arg);
	return NULL;
}

void
harness_start(struct harness *h, struct http_params params)
{
	struct im_err err = { .text = "" };

	memset(h, 0, sizeof(*h));
	if (params.listen == NULL)
		params.listen = "127.0.0.1:0";
	assert_int_equal(loop_new(&h->loop, &err), IM_OK);
	loop_enter(h->loop);
	if (http_server_open(h->loop, &params, &ops, h, &h->server, &err) != IM_OK)
		fail_msg("%s", err.text);
	(void)snprintf(h->address, sizeof(h->address), "%s", http_server_address(h->server));
	loop_leave(h->loop);
	assert_int_equal(pthread_create(&h->thread, NULL, run, h->loop), 0);
}

static void
act(void *arg)
{
	struct harness *h = arg;

	h->act_fn(h);
	atomic_store(&h->acted, true);
}

static void
nap(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

void
harness_on_loop(struct harness *h, void (*fn)(struct harness *h))
{
	h->act_fn = fn;
	h->act = (struct loop_task){ .fn = act, .arg = h };
	atomic_store(&h->acted, false);
	loop_post(h->loop, &h->act);
	while (!atomic_load(&h->acted))
		nap();
}

static void
close_server(struct harness *h)
{
	http_server_close(h->server);
	h->server = NULL;
}

void
harness_stop(struct harness *h)
{
	harness_on_loop(h, close_server);
	loop_stop(h->loop);
	assert_int_equal(pthread_join(h->thread, NULL), 0);
	loop_free(h->loop); /* asserts that no timer and no task is left */
}

static void
release_held(struct harness *h)
{
	unsigned n = atomic_load(&h->held_count);

	for (unsigned i = 0; i < n; i++)
		http_reply(h->held[i], 200, NULL, 0, "held", 4);
	atomic_store(&h->held_count, 0);
}

void
harness_release(struct harness *h)
{
	harness_on_loop(h, release_held);
}

unsigned
harness_connections(struct harness *h)
{
	unsigned n;

	loop_enter(h->loop);
	n = http_server_connections(h->server);
	loop_leave(h->loop);
	return n;
}

void
harness_await(atomic_uint *counter, unsigned value)
{
	uint64_t until_us = clock_mono_us() + PATIENCE_S * 1000000ull;

	while (atomic_load(counter) != value) {
		if (clock_mono_us() > until_us)
			fail_msg("waited for %u, but it is %u", value, atomic_load(counter));
		nap();
	}
}

void
harness_await_connections(struct harness *h, unsigned value)
{
	uint64_t until_us = clock_mono_us() + PATIENCE_S * 1000000ull;

	while (harness_connections(h) != value) {
		if (clock_mono_us() > until_us)
			fail_msg("waited for %u connections, but there are %u", value,
				 harness_connections(h));
		nap();
	}
}

/* The client. */

int
client_connect(const char *address, int rcvbuf)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	bool is_unix = strncmp(address, "unix:", 5) == 0;
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc;

	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (rcvbuf > 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	if (is_unix) {
		(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", address + 5);
		rc = connect(fd, (struct sockaddr *)&sun, sizeof(sun));
	} else {
		sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		sin.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
		rc = connect(fd, (struct sockaddr *)&sin, sizeof(sin));
	}
	if (rc != 0)
		fail_msg("connect to %s: %d", address, errno);
	return fd;
}

bool
client_try_send(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

void
client_send_bytes(int fd, const void *bytes, size_t len)
{
	assert_true(client_try_send(fd, bytes, len));
}

void
client_send(int fd, const char *text)
{
	client_send_bytes(fd, text, strlen(text));
}

/* The next byte, or -1 at the end. One recv() a byte: the rest may belong to the next response. */
static int
next_byte(int fd)
{
	unsigned char c;
	ssize_t n = recv(fd, &c, 1, 0);

	if (n < 0 && errno == EAGAIN)
		fail_msg("the server said nothing for %d s", PATIENCE_S);
	return n == 1 ? c : -1;
}

bool
client_at_end(int fd)
{
	return next_byte(fd) < 0;
}

/* Append up to 'n' bytes of the connection to the body; false if it ended before. */
static bool
read_body(int fd, struct response *r, size_t n)
{
	r->body = realloc(r->body, r->len + n + 1);
	assert_non_null(r->body);
	while (n > 0) {
		ssize_t got = recv(fd, r->body + r->len, n, 0);

		if (got < 0 && errno == EAGAIN)
			fail_msg("the server said nothing for %d s", PATIENCE_S);
		if (got <= 0)
			break;
		r->len += (size_t)got;
		n -= (size_t)got;
	}
	r->body[r->len] = '\0';
	return n == 0;
}

static bool
read_line(int fd, char *line, size_t cap)
{
	size_t n = 0;
	int c;

	while (n + 1 < cap && (c = next_byte(fd)) >= 0) {
		line[n++] = (char)c;
		if (n >= 2 && line[n - 2] == '\r' && line[n - 1] == '\n') {
			line[n] = '\0';
			return true;
		}
	}
	line[n] = '\0';
	return false;
}

static bool
read_chunks(int fd, struct response *r)
{
	char line[32];

	while (read_line(fd, line, sizeof(line))) {
		size_t n = strtoul(line, NULL, 16);

		if (n == 0)
			return read_line(fd, line, sizeof(line)) && strcmp(line, "\r\n") == 0;
		if (!read_body(fd, r, n) || !read_line(fd, line, sizeof(line)) ||
		    strcmp(line, "\r\n") != 0)
			return false;
	}
	return false;
}

void
client_read(int fd, struct response *r, bool head_only)
{
	size_t n = 0;
	const char *value;

	memset(r, 0, sizeof(*r));
	while (read_line(fd, r->head + n, sizeof(r->head) - n) && strcmp(r->head + n, "\r\n") != 0)
		n += strlen(r->head + n);
	r->body = calloc(1, 1);
	assert_non_null(r->body);
	if (strncmp(r->head, "HTTP/1.1 ", 9) != 0)
		return;
	r->status = (int)strtol(r->head + 9, NULL, 10);
	value = response_header(r, "transfer-encoding");
	if (head_only || r->status == 204 || r->status == 304 || r->status / 100 == 1) {
		r->complete = true;
	} else if (value != NULL && strcmp(value, "chunked") == 0) {
		r->complete = read_chunks(fd, r);
	} else if ((value = response_header(r, "content-length")) != NULL) {
		r->complete = read_body(fd, r, strtoul(value, NULL, 10));
	} else {
		while (read_body(fd, r, 4096))
			;
		r->complete = true;
	}
}

void
response_done(struct response *r)
{
	free(r->body);
	r->body = NULL;
}

void
client_ask(int fd, const char *request, int status, struct response *ret)
{
	client_send(fd, request);
	client_read(fd, ret, strncmp(request, "HEAD ", 5) == 0);
	if (ret->status != status)
		fail_msg("status %d, not %d: %s%s", ret->status, status, ret->head, ret->body);
}

const char *
response_header(const struct response *r, const char *name)
{
	static char value[256];
	size_t len = strlen(name);

	for (const char *line = strchr(r->head, '\n'); line != NULL;
	     line = strchr(line + 1, '\n')) {
		const char *at = line + 1;

		if (strncasecmp(at, name, len) != 0 || at[len] != ':')
			continue;
		at += len + 1 + strspn(at + len + 1, " ");
		(void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
		return value;
	}
	return NULL;
}
