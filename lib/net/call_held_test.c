/*
 * net/call_held_test.c - more requests at once than a link has room for: they wait, and what becomes of them meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/raw_peer.h"

#define LARGE      ((size_t)5 << 20)
#define CALLS      8
#define RAW_BODY   60000      /* a raw peer takes 65536 */
#define MOST_CALLS (80 << 20) /* bytes of them are more than any link keeps */

struct fixture {
	struct rig_place at;
	struct rig_end client;
	uint8_t *body;
	/* What became of the calls, in that order. */
	unsigned ends, failed;
	int number[CALLS];
	bool whole[CALLS];
	struct call *call[CALLS];
};

static struct fixture *on_end_of;

static void
on_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct fixture *f = on_end_of;
	int number = (int)((struct call **)user - f->call);

	assert_ptr_equal(f->call[number], call);
	f->number[f->ends] = number;
	f->whole[f->ends] = len > 0 && body[0] == number && body[len - 1] == 7;
	f->failed += err != NULL;
	f->ends++;
}

/* On the loop. */
static void
ask(struct fixture *f, int number, const char *method, size_t len, uint32_t budget_ms)
{
	static const struct call_ops ops = { .end = on_end };
	const struct call_request req = {
		.method = method, .budget_ms = budget_ms, .body = f->body, .body_len = len
	};

	f->body[0] = (uint8_t)number;
	assert_int_equal(
	    call_start(f->client.link, &req, &ops, &f->call[number], &f->call[number], NULL),
	    IM_OK);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	on_end_of = f;
	f->body = malloc(LARGE);
	assert_non_null(f->body);
	memset(f->body, 7, LARGE);
	rig_place_open(&f->at, NULL);
	rig_end_init(&f->client, &f->at.loop, "gateway", NULL);
	rig_dial(&f->client, f->at.url);
	rig_wait(&f->client, f->client.ups, 1);
	rig_wait(&f->at.server, f->at.server.ups, 1);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	rig_end_done(&f->client);
	rig_place_close(&f->at);
	free(f->body);
	free(f);
	return 0;
}

static void
test_large_requests_at_once_all_succeed_in_their_order(void **state)
{
	struct fixture *f = *state;

	loop_enter(f->at.loop.loop);
	for (int i = 0; i < CALLS; i++)
		ask(f, i, "Test/Echo", i == CALLS - 1 ? 100 : LARGE, 0);
	loop_leave(f->at.loop.loop);
	rig_wait(&f->client, f->ends, CALLS);
	assert_int_equal(f->failed, 0);
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(f->number[i], i);
		assert_true(f->whole[i]);
	}
}

static void
test_request_that_waited_takes_less_time_along(void **state)
{
	struct fixture *f = *state;
	uint64_t began_us;

	loop_enter(f->at.loop.loop);
	for (int i = 0; i < 3; i++)
		ask(f, i, "Test/Echo", LARGE, 20000);
	began_us = clock_mono_us();
	while (clock_mono_us() < began_us + 3000)
		; /* nothing moves, because the loop is held */
	loop_leave(f->at.loop.loop);
	rig_wait(&f->client, f->ends, 3);
	assert_int_equal(f->failed, 0);
	assert_in_range(f->at.server.last_budget_ms, 1, 19997);
}

static void
test_request_cancelled_while_it_waits_is_never_sent(void **state)
{
	struct fixture *f = *state;

	loop_enter(f->at.loop.loop);
	for (int i = 0; i < 4; i++)
		ask(f, i, "Test/Echo", LARGE, 0);
	call_cancel(f->call[2]);
	loop_leave(f->at.loop.loop);
	rig_wait(&f->client, f->ends, 3);
	assert_int_equal(f->failed, 0);
	assert_int_equal(f->number[2], 3);
	assert_int_equal(f->at.server.requests, 3);
	assert_int_equal(f->at.server.cancels, 0);
	assert_int_equal(rig_counters(&f->client).calls, 0);
}

/* A peer that reads nothing: the server's link to it fills up. */
static void
test_requests_to_a_peer_that_does_not_read_end_in_time(void **state)
{
	struct fixture *f = *state;
	struct rig_call *calls = calloc(MOST_CALLS / RAW_BODY, sizeof(*calls)), late, *c = calls;
	struct raw_peer p;
	enum im_rc rc;

	assert_non_null(calls);
	raw_connect(&p, f->at.url);
	assert_true(raw_hello(&p));
	rig_wait(&f->at.server, f->at.server.ups, 2);
	for (size_t bytes = 0; bytes < 2 * LARGE; bytes += RAW_BODY, c++)
		assert_int_equal(rig_ask(&f->at.server, c, "Test/Any", f->body, RAW_BODY, 0),
				 IM_OK);
	assert_int_equal(rig_ask(&f->at.server, &late, "Test/Any", f->body, RAW_BODY, 20), IM_OK);
	rig_wait(&f->at.server, late.ends, 1);
	assert_int_equal(late.err.rc, IM_EDEADLINE);
	do
		rc = rig_ask(&f->at.server, c, "Test/Any", f->body, RAW_BODY, 0);
	while (rc == IM_OK && ++c < calls + MOST_CALLS / RAW_BODY);
	assert_int_equal(rc, IM_EAGAIN);
	assert_string_equal(c->err.reason, "backlog");
	raw_close(&p);
	while (c-- > calls) {
		rig_wait(&f->at.server, c->ends, 1);
		assert_int_equal(c->err.rc, IM_EUNAVAILABLE);
		rig_call_done(c);
	}
	rig_call_done(&late);
	free(calls);
	assert_int_equal(rig_counters(&f->at.server).calls, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_large_requests_at_once_all_succeed_in_their_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_request_that_waited_takes_less_time_along,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_request_cancelled_while_it_waits_is_never_sent,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_requests_to_a_peer_that_does_not_read_end_in_time, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
