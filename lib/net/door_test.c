/*
 * net/door_test.c - the REQ/REP door, asked with nng's own REQ sockets as any program would.
 */
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/door.h"
#include "net/raw_peer.h"

#define MESSAGE_MAX ((size_t)4096)

struct fixture {
	struct rig_loop loop;
	struct door *door;
	struct door_request *kept; /* the request "keep", not answered yet */
	unsigned asked;
	bool closed;
	char dir[64], path[80], url[96];
};

/* "keep" is kept; everything else comes back. */
static void
on_request(void *user, struct door_request *request, const uint8_t *body, size_t len)
{
	struct fixture *f = user;

	f->asked++;
	if (len == 4 && memcmp(body, "keep", 4) == 0)
		f->kept = request;
	else
		door_reply(request, body, len);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct door_params p = { .max_message_bytes = MESSAGE_MAX, .concurrent = 4 };
	struct im_err err;

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/im-door-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/door", f->dir);
	(void)snprintf(f->url, sizeof(f->url), "ipc://%s", f->path);
	p.url = f->url;
	rig_loop_start(&f->loop);
	loop_enter(f->loop.loop);
	assert_int_equal(door_open(f->loop.loop, &p, on_request, f, &f->door, &err), IM_OK);
	loop_leave(f->loop.loop);
	*state = f;
	return 0;
}

static void
on_closed(void *arg)
{
	((struct fixture *)arg)->closed = true;
}

static bool
is_closed(void *arg)
{
	return ((struct fixture *)arg)->closed;
}

static bool
is_kept(void *arg)
{
	return ((struct fixture *)arg)->kept != NULL;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	loop_enter(f->loop.loop);
	door_close(f->door, on_closed, f);
	if (f->kept != NULL)
		door_reply(f->kept, NULL, 0);
	loop_leave(f->loop.loop);
	rig_until(&f->loop, is_closed, f);
	door_free(f->door);
	rig_loop_stop(&f->loop);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static nng_socket
requester(const char *url)
{
	nng_socket s;

	assert_int_equal(nng_req0_open(&s), 0);
	assert_int_equal(nng_socket_set_ms(s, NNG_OPT_RECVTIMEO, RIG_DEADLINE_S * 1000), 0);
	assert_int_equal(nng_dial(s, url, NULL, 0), 0);
	return s;
}

static void
ask(nng_socket s, const char *body, size_t len)
{
	char copy[2 * MESSAGE_MAX]; /* nng wants it writable */

	assert_in_range(len, 0, sizeof(copy));
	memcpy(copy, body, len);
	assert_int_equal(nng_send(s, copy, len, 0), 0);
}

static void
expect_reply(nng_socket s, const char *body, size_t len)
{
	char reply[MESSAGE_MAX];
	size_t got = sizeof(reply);

	assert_int_equal(nng_recv(s, reply, &got, 0), 0);
	assert_int_equal(got, len);
	assert_memory_equal(reply, body, len);
}

static void
test_door_replies_to_each_requester(void **state)
{
	struct fixture *f = *state;
	nng_socket s[10];
	char body[16];

	for (int i = 0; i < 10; i++)
		s[i] = requester(f->url);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 10; i++) {
			(void)snprintf(body, sizeof(body), "%d-%d", i, round);
			ask(s[i], body, strlen(body));
		}
		for (int i = 0; i < 10; i++) {
			(void)snprintf(body, sizeof(body), "%d-%d", i, round);
			expect_reply(s[i], body, strlen(body));
		}
	}
	for (int i = 0; i < 10; i++)
		(void)nng_close(s[i]);
}

static void
test_door_slow_answer_holds_up_nobody(void **state)
{
	struct fixture *f = *state;
	nng_socket slow = requester(f->url), quick = requester(f->url);
	struct door_request *kept;

	ask(slow, "keep", 4);
	rig_until(&f->loop, is_kept, f);
	for (int i = 0; i < 10; i++) {
		ask(quick, "hello", 5);
		expect_reply(quick, "hello", 5);
	}
	loop_enter(f->loop.loop);
	kept = f->kept;
	f->kept = NULL;
	door_reply(kept, (const uint8_t *)"at last", 7);
	loop_leave(f->loop.loop);
	expect_reply(slow, "at last", 7);
	(void)nng_close(slow);
	(void)nng_close(quick);
}

static void
test_door_message_over_the_limit_is_not_taken(void **state)
{
	struct fixture *f = *state;
	nng_socket large = requester(f->url), small = requester(f->url);
	char *body = calloc(1, MESSAGE_MAX * 2);
	char reply[16];
	size_t len = sizeof(reply);

	assert_non_null(body);
	assert_int_equal(nng_socket_set_ms(large, NNG_OPT_RECVTIMEO, 100), 0);
	ask(large, body, MESSAGE_MAX * 2);
	assert_int_equal(nng_recv(large, reply, &len, 0), NNG_ETIMEDOUT);
	ask(small, "hello", 5);
	expect_reply(small, "hello", 5);
	assert_int_equal(f->asked, 1);
	(void)nng_close(large);
	(void)nng_close(small);
	free(body);
}

static void
test_door_requester_that_leaves_is_forgotten(void **state)
{
	struct fixture *f = *state;
	nng_socket gone = requester(f->url), next;
	struct door_request *kept;

	ask(gone, "keep", 4);
	rig_until(&f->loop, is_kept, f);
	(void)nng_close(gone);
	loop_enter(f->loop.loop);
	kept = f->kept;
	f->kept = NULL;
	door_reply(kept, (const uint8_t *)"nobody", 6);
	loop_leave(f->loop.loop);
	next = requester(f->url);
	for (int i = 0; i < 10; i++) { /* all four places work, also the one that answered nobody */
		ask(next, "hello", 5);
		expect_reply(next, "hello", 5);
	}
	(void)nng_close(next);
}

/* As docs/wire.md says, for languages without an nng binding. */
static void
test_door_understands_plain_bytes(void **state)
{
	static const uint8_t hello[8] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 };
	static const uint8_t request[] = { 1,    0, 0, 0, 0,   0,   0,   0,   9,
					   0x80, 1, 2, 3, 'h', 'e', 'l', 'l', 'o' };
	struct fixture *f = *state;
	uint8_t reply[8 + sizeof(request)];
	struct raw_peer p;

	raw_connect(&p, f->url);
	assert_true(raw_write(&p, hello, sizeof(hello)));
	assert_true(raw_write(&p, request, sizeof(request)));
	assert_true(raw_read_bytes(&p, reply, sizeof(reply)));
	assert_int_equal(reply[5], 0x31);
	assert_memory_equal(reply + 8, request, sizeof(request));
	raw_close(&p);
}

static void
test_door_close_waits_for_the_kept_request(void **state)
{
	struct fixture *f = *state;
	nng_socket s = requester(f->url);

	ask(s, "keep", 4);
	rig_until(&f->loop, is_kept, f);
	(void)nng_close(s);
	/* teardown closes the door first and answers then */
}

static void
test_door_is_not_opened_twice(void **state)
{
	struct fixture *f = *state;
	struct door_params p = { .url = f->url };
	struct im_err err;
	struct door *second;
	struct stat st;

	loop_enter(f->loop.loop);
	assert_int_equal(door_open(f->loop.loop, &p, on_request, f, &second, &err), IM_EEXIST);
	p.url = "nonsense";
	assert_int_equal(door_open(f->loop.loop, &p, on_request, f, &second, &err), IM_EINVAL);
	loop_leave(f->loop.loop);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_door_replies_to_each_requester),
		T(test_door_slow_answer_holds_up_nobody),
		T(test_door_message_over_the_limit_is_not_taken),
		T(test_door_requester_that_leaves_is_forgotten),
		T(test_door_understands_plain_bytes),
		T(test_door_close_waits_for_the_kept_request),
		T(test_door_is_not_opened_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
