/*
 * net/oom_test.c - memory runs out at every allocation in turn: two ends connect, call, stream and close in process while
 * the n-th allocation fails. Nothing may crash, hang or stay open, and each call that was started ends once.
 *
 * The program is linked with --wrap for malloc, calloc and realloc, so only allocations of our own code fail.
 */
#include <stdlib.h>
#include <string.h>

#include "net/rig.h"

void *__real_malloc(size_t size); /* NOLINT(bugprone-reserved-identifier): the linker's names */
void *__real_calloc(size_t count, size_t size); /* NOLINT(bugprone-reserved-identifier) */
void *__real_realloc(void *old, size_t size);   /* NOLINT(bugprone-reserved-identifier) */
void *__wrap_malloc(size_t size);               /* NOLINT(bugprone-reserved-identifier) */
void *__wrap_calloc(size_t count, size_t size); /* NOLINT(bugprone-reserved-identifier) */
void *__wrap_realloc(void *old, size_t size);   /* NOLINT(bugprone-reserved-identifier) */

static int countdown = -1; /* allocations until the one that fails; below 0 none does */

static bool
fails_now(void)
{
	return countdown >= 0 && countdown-- == 0;
}

void *
__wrap_malloc(size_t size) /* NOLINT(bugprone-reserved-identifier) */
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size) /* NOLINT(bugprone-reserved-identifier) */
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size) /* NOLINT(bugprone-reserved-identifier) */
{
	return fails_now() ? NULL : __real_realloc(old, size);
}

static void
on_closed(void *arg)
{
	*(bool *)arg = true;
}

static unsigned data_bytes, ends;

static void
on_data(void *user, struct call *call, const uint8_t *body, size_t len)
{
	(void)user;
	(void)body;
	data_bytes += (unsigned)len;
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

static unsigned
start_calls(struct rig_end *client)
{
	static const struct call_ops ops = { .data = on_data, .end = on_end };
	const char *methods[] = { "Test/Echo", "Test/Stream", "Test/Hold", "Test/Fail" };
	uint32_t stream[2] = { 30, 1000 };
	unsigned started = 0;

	for (size_t i = 0; i < 4 && client->link != NULL; i++) {
		struct call_request req = { .method = methods[i],
					    .budget_ms = 60000,
					    .body = (const uint8_t *)stream,
					    .body_len = sizeof(stream) };
		struct call *call;

		started += call_start(client->link, &req, &ops, NULL, &call, NULL) == IM_OK;
	}
	return started;
}

/* One life of two ends on a loop without a thread; timers do not fire, so a link that fails stays down.
 * False if fewer than 'fail_at' allocations were made. */
static bool
live_once(struct loop *loop, int fail_at)
{
	struct rig_loop on = { .loop = loop };
	struct rig_end server, client;
	bool closed[2] = { false, false }, failed;
	unsigned started = 0;
	struct net_counters n;

	rig_end_init(&server, &on, "router", NULL);
	rig_end_init(&client, &on, "gateway", NULL);
	data_bytes = ends = 0;
	loop_enter(loop);
	countdown = fail_at;
	(void)!net_listen(server.net, "inproc://oom", &rig_ops, &server, &server.ep, NULL);
	(void)!net_dial(client.net, "inproc://oom", &rig_ops, &client, &client.ep, NULL);
	loop_leave(loop);
	loop_enter(loop);
	started = start_calls(&client);
	loop_leave(loop);
	loop_enter(loop);
	net_close(client.net, on_closed, &closed[0]);
	net_close(server.net, on_closed, &closed[1]);
	loop_leave(loop);
	failed = countdown < 0;
	countdown = -1;
	if (fail_at < 0 || !failed) {
		assert_int_equal(started, 4);
		assert_int_equal(data_bytes, 30000);
	}
	assert_true(closed[0] && closed[1]);
	assert_int_equal(ends, started);
	net_counters(server.net, &n);
	assert_int_equal(n.served + n.links + n.calls, 0);
	net_counters(client.net, &n);
	assert_int_equal(n.served + n.links + n.calls, 0);
	net_free(server.net);
	net_free(client.net);
	return failed;
}

static void
test_net_survives_the_failure_of_each_allocation(void **state)
{
	struct loop *loop;
	int n = 0;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL), IM_OK);
	(void)live_once(loop, -1);
	while (live_once(loop, n))
		n++;
	assert_in_range(n, 30, 10000); /* so the sweep did sweep */
	loop_free(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_net_survives_the_failure_of_each_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
