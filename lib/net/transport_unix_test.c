/*
 * net/transport_unix_test.c - streams over Unix sockets where links seldom take them: full buffers, hang-ups, bytes that
 * nobody asked for, no descriptors left. Loop and peer share the thread of the test.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/raw_peer.h"
#include "net/transport.h"

#define PIPE_BYTES (4u << 20) /* more than a socket takes */

static unsigned turns; /* of loops, or how often one looked at its descriptors */

/* NOLINTNEXTLINE(bugprone-reserved-identifier): the linker's names */
int __real_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms);
/* NOLINTNEXTLINE(bugprone-reserved-identifier) */
int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms);

int /* NOLINTNEXTLINE(bugprone-reserved-identifier) */
__wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
	turns++;
	return __real_epoll_wait(epfd, events, max, timeout_ms);
}

struct fixture {
	struct loop *loop;
	struct acceptor *acceptor;
	struct conn *conn;
	struct raw_peer peer;
	struct im_err err; /* of the last receive or send, or the trouble */
	char dir[64], url[96];
	size_t received, sent;
	unsigned troubles, closed;
};

static void
on_received(void *user, size_t len, const struct im_err *err)
{
	struct fixture *f = user;

	f->received = len;
	if (err != NULL)
		f->err = *err;
	loop_stop(f->loop);
}

static void
on_sent(void *user, size_t len, const struct im_err *err)
{
	struct fixture *f = user;

	f->sent = len;
	if (err != NULL)
		f->err = *err;
	loop_stop(f->loop);
}

static void
on_closed(void *user)
{
	struct fixture *f = user;

	f->closed++;
	loop_stop(f->loop);
}

static const struct conn_events conn_events = {
	.received = on_received,
	.sent = on_sent,
	.closed = on_closed,
};

static void
on_accepted(void *user, struct conn *conn)
{
	struct fixture *f = user;

	conn->events = &conn_events;
	conn->user = f;
	f->conn = conn;
	loop_stop(f->loop);
}

static void
on_trouble(void *user, const struct im_err *why)
{
	struct fixture *f = user;

	f->troubles++;
	f->err = *why;
	loop_stop(f->loop);
}

static const struct acceptor_events acceptor_events = {
	.accepted = on_accepted,
	.trouble = on_trouble,
	.closed = on_closed,
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char url[TRANSPORT_URL_MAX];

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/im-unix-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->url, sizeof(f->url), "ipc://%s/s", f->dir);
	assert_int_equal(loop_new(&f->loop, NULL), IM_OK);
	loop_enter(f->loop);
	assert_int_equal(
	    acceptor_open(f->loop, f->url, &acceptor_events, f, &f->acceptor, url, NULL), IM_OK);
	loop_leave(f->loop);
	raw_connect(&f->peer, f->url);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	loop_enter(f->loop);
	if (f->conn != NULL)
		conn_close(f->conn);
	acceptor_close(f->acceptor);
	loop_leave(f->loop);
	assert_int_equal(f->closed, f->conn != NULL ? 2 : 1);
	loop_free(f->loop);
	if (f->peer.fd >= 0)
		raw_close(&f->peer);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void
receive(struct fixture *f, void *buf, size_t cap)
{
	f->received = SIZE_MAX;
	loop_enter(f->loop);
	conn_recv(f->conn, buf, cap);
	assert_int_equal(f->received, SIZE_MAX); /* not from inside the function */
	loop_leave(f->loop);
	while (f->received == SIZE_MAX)
		loop_run(f->loop);
}

/* Send until the socket is full. Returns what it took; a send of 'buf' is pending then. */
static size_t
fill(struct fixture *f, const uint8_t *buf, size_t len)
{
	size_t total = 0, n;
	enum conn_sent rc;

	loop_enter(f->loop);
	while ((rc = conn_send(f->conn, buf + total, len - total, &n)) == CONN_SENT)
		total += n;
	loop_leave(f->loop);
	assert_int_equal(rc, CONN_PENDING);
	return total;
}

static void
test_unix_peer_is_named_by_its_process(void **state)
{
	struct fixture *f = *state;
	char pid[32];

	loop_run(f->loop);
	assert_non_null(f->conn);
	(void)snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	assert_non_null(strstr(f->conn->address, pid));
	assert_non_null(strstr(f->conn->address, f->url));
	assert_true(f->conn->has_uid);
	assert_int_equal(f->conn->uid, geteuid());
}

static void
test_unix_pending_send_goes_on_when_the_peer_reads(void **state)
{
	struct fixture *f = *state;
	uint8_t *out = malloc(PIPE_BYTES), *in = malloc(PIPE_BYTES);
	size_t total;

	assert_non_null(out);
	assert_non_null(in);
	for (size_t i = 0; i < PIPE_BYTES; i++)
		out[i] = (uint8_t)(i * 31 + i / 251);
	loop_run(f->loop);
	total = fill(f, out, PIPE_BYTES);
	assert_in_range(total, 1, PIPE_BYTES - 1);
	assert_true(raw_read_bytes(&f->peer, in, total));
	while (f->sent == 0)
		loop_run(f->loop);
	assert_true(raw_read_bytes(&f->peer, in + total, f->sent));
	assert_memory_equal(in, out, total + f->sent);
	free(out);
	free(in);
}

static void
test_unix_pending_send_and_receive_end_with_the_peer(void **state)
{
	struct fixture *f = *state;
	uint8_t *out = calloc(1, PIPE_BYTES), in[8];

	assert_non_null(out);
	loop_run(f->loop);
	(void)fill(f, out, PIPE_BYTES);
	f->sent = SIZE_MAX;
	raw_close(&f->peer);
	f->peer.fd = -1;
	receive(f, in, sizeof(in));
	assert_int_equal(f->sent, 0);
	assert_int_equal(f->received, 0);
	assert_string_equal(f->err.text, "the peer closed the link");
	free(out);
}

static void
test_unix_bytes_before_a_hang_up_all_arrive(void **state)
{
	struct fixture *f = *state;
	char in[4] = { 0 };
	size_t n;

	loop_run(f->loop);
	assert_true(raw_write(&f->peer, "0123456789", 10));
	receive(f, in, 4);
	assert_int_equal(f->received, 4);
	raw_close(&f->peer);
	f->peer.fd = -1;
	loop_enter(f->loop);
	assert_int_equal(conn_send(f->conn, (const uint8_t *)"x", 1, &n), CONN_BROKEN);
	loop_leave(f->loop);
	receive(f, in, 4);
	assert_int_equal(f->received, 4);
	receive(f, in, 4);
	assert_int_equal(f->received, 2);
	assert_memory_equal(in, "89", 2);
	receive(f, in, 4);
	assert_int_equal(f->received, 0);
	assert_string_equal(f->err.text, "the peer closed the link");
}

struct spin {
	struct fixture *f;
	struct loop_timer timer;
};

static void
stop_spin(void *arg)
{
	loop_stop(((struct spin *)arg)->f->loop);
}

static void
test_unix_unread_bytes_and_hang_up_do_not_spin(void **state)
{
	struct fixture *f = *state;
	struct spin s = { .f = f };
	char in[4];

	loop_run(f->loop);
	assert_true(raw_write(&f->peer, "abcd", 4));
	s.timer.fn = stop_spin;
	s.timer.arg = &s;
	for (int hung_up = 0; hung_up < 2; hung_up++) {
		turns = 0;
		loop_enter(f->loop);
		assert_int_equal(loop_timer_set(f->loop, &s.timer, 100000), IM_OK);
		loop_leave(f->loop);
		loop_run(f->loop);
		assert_in_range(turns, 1, 10);
		if (!hung_up)
			raw_close(&f->peer);
	}
	f->peer.fd = -1;
	receive(f, in, sizeof(in));
	assert_int_equal(f->received, 4);
	assert_memory_equal(in, "abcd", 4);
}

static void
test_unix_accept_without_descriptors_is_told_and_goes_on(void **state)
{
	struct fixture *f = *state;
	struct rlimit was, low;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = was;
	low.rlim_cur = 1; /* all that are open are above it */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	loop_run(f->loop);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(f->troubles, 1);
	assert_non_null(strstr(f->err.text, "cannot accept a link"));
	assert_null(f->conn);
	loop_run(f->loop); /* after the pause */
	assert_non_null(f->conn);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_unix_peer_is_named_by_its_process),
		T(test_unix_pending_send_goes_on_when_the_peer_reads),
		T(test_unix_pending_send_and_receive_end_with_the_peer),
		T(test_unix_bytes_before_a_hang_up_all_arrive),
		T(test_unix_unread_bytes_and_hang_up_do_not_spin),
		T(test_unix_accept_without_descriptors_is_told_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
