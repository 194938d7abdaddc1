/*
 * net/net_test.c - links and calls between two ends, over each transport, on one loop and on two.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/rig.h"

struct fixture {
	struct rig_loop loops[2];
	struct rig_end server, client;
	char dir[64];
	char url[128];
};

enum where {
	INPROC_ONE_LOOP,
	INPROC,
	IPC,
	TCP
};

static void
fixture_open(struct fixture *f, enum where where, void (*tweak)(struct net_params *p))
{
	memset(f, 0, sizeof(*f));
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/im-net-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	if (where == IPC)
		(void)snprintf(f->url, sizeof(f->url), "ipc://%s/s", f->dir);
	else if (where == TCP)
		(void)snprintf(f->url, sizeof(f->url), "tcp://127.0.0.1:0");
	else
		(void)snprintf(f->url, sizeof(f->url), "inproc://fixture");
	rig_loop_start(&f->loops[0]);
	rig_loop_start(&f->loops[1]);
	rig_end_init(&f->server, &f->loops[0], "router", tweak);
	rig_end_init(&f->client, &f->loops[where == INPROC_ONE_LOOP ? 0 : 1], "gateway", tweak);
	rig_listen(&f->server, f->url);
	(void)snprintf(f->url, sizeof(f->url), "%s", endpoint_url(f->server.ep));
	rig_dial(&f->client, f->url);
	rig_wait(&f->client, f->client.ups, 1);
	rig_wait(&f->server, f->server.ups, 1);
}

static void
fixture_close(struct fixture *f)
{
	rig_end_done(&f->client);
	rig_end_done(&f->server);
	rig_loop_stop(&f->loops[0]);
	rig_loop_stop(&f->loops[1]);
	assert_int_equal(rmdir(f->dir), 0); /* so no socket file was left */
}

#define EACH_TRANSPORT(name)                                                                       \
	static void name##_one_loop(void **state)                                                  \
	{                                                                                          \
		(void)state;                                                                       \
		name(INPROC_ONE_LOOP);                                                             \
	}                                                                                          \
	static void name##_inproc(void **state)                                                    \
	{                                                                                          \
		(void)state;                                                                       \
		name(INPROC);                                                                      \
	}                                                                                          \
	static void name##_ipc(void **state)                                                       \
	{                                                                                          \
		(void)state;                                                                       \
		name(IPC);                                                                         \
	}                                                                                          \
	static void name##_tcp(void **state)                                                       \
	{                                                                                          \
		(void)state;                                                                       \
		name(TCP);                                                                         \
	}

#define EACH(name)                                                                                 \
	cmocka_unit_test(name##_one_loop), cmocka_unit_test(name##_inproc),                        \
	    cmocka_unit_test(name##_ipc), cmocka_unit_test(name##_tcp)

static void
test_call_echo_replies(enum where where)
{
	struct fixture f;
	struct rig_call c;
	uint8_t body[3000];

	memset(body, 7, sizeof(body));
	fixture_open(&f, where, NULL);
	assert_string_equal(link_peer(f.client.link)->role, "router");
	assert_string_equal(link_peer(f.server.link)->role, "gateway");
	assert_int_equal(rig_ask(&f.client, &c, "Test/Echo", body, sizeof(body), 5000), IM_OK);
	rig_wait(&f.client, c.ends, 1);
	assert_false(c.failed);
	assert_int_equal(c.body.len, sizeof(body));
	assert_memory_equal(c.body.data, body, sizeof(body));
	assert_int_equal(f.server.last_budget_ms, 5000);
	assert_int_equal(f.server.last_priority, -7);
	assert_string_equal(f.server.last_traceparent,
			    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
	rig_call_done(&c);
	fixture_close(&f);
}
EACH_TRANSPORT(test_call_echo_replies)

static void
test_call_from_the_listening_side_replies(enum where where)
{
	struct fixture f;
	struct rig_call c;

	fixture_open(&f, where, NULL);
	assert_int_equal(rig_ask(&f.server, &c, "Test/Echo", "hi", 2, 0), IM_OK);
	rig_wait(&f.server, c.ends, 1);
	assert_false(c.failed);
	assert_memory_equal(c.body.data, "hi", 2);
	rig_call_done(&c);
	fixture_close(&f);
}
EACH_TRANSPORT(test_call_from_the_listening_side_replies)

static void
test_call_failure_carries_the_error(enum where where)
{
	struct fixture f;
	struct rig_call c;

	fixture_open(&f, where, NULL);
	assert_int_equal(rig_ask(&f.client, &c, "Test/Fail", NULL, 0, 0), IM_OK);
	rig_wait(&f.client, c.ends, 1);
	assert_true(c.failed);
	assert_int_equal(c.err.rc, IM_ELIMIT);
	assert_string_equal(c.err.reason, "busy");
	assert_int_equal(c.err.retry_after_ms, 1500);
	rig_call_done(&c);
	fixture_close(&f);
}
EACH_TRANSPORT(test_call_failure_carries_the_error)

static void
test_call_large_bodies_arrive_whole(enum where where)
{
	struct fixture f;
	struct rig_call c[3];
	size_t len = 5u << 20;
	uint8_t *body = malloc(len);

	assert_non_null(body);
	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t)(i * 31 + i / 251);
	fixture_open(&f, where, NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rig_ask(&f.client, &c[i], "Test/Echo", body, len, 0), IM_OK);
		rig_wait(&f.client, c[i].ends, 1);
		assert_false(c[i].failed);
		assert_int_equal(c[i].body.len, len);
		assert_memory_equal(c[i].body.data, body, len);
		rig_call_done(&c[i]);
	}
	free(body);
	fixture_close(&f);
}
EACH_TRANSPORT(test_call_large_bodies_arrive_whole)

static void
test_calls_many_at_once_end_once_each(enum where where)
{
	enum {
		CALLS = 500
	};
	struct fixture f;
	struct rig_call *c = calloc(CALLS, sizeof(*c));
	uint32_t stream[2] = { 40, 300 };
	struct net_counters n;

	assert_non_null(c);
	fixture_open(&f, where, NULL);
	for (int i = 0; i < CALLS; i++) {
		const char *method = i % 2 == 0 ? "Test/Echo" : "Test/Stream";

		assert_int_equal(rig_ask(&f.client, &c[i], method, stream, sizeof(stream), 60000),
				 IM_OK);
	}
	for (int i = 0; i < CALLS; i++) {
		rig_wait(&f.client, c[i].ends, 1);
		assert_int_equal(c[i].ends, 1);
		assert_false(c[i].failed);
		assert_true(c[i].in_order);
		assert_int_equal(c[i].messages, i % 2 == 0 ? 0 : 40);
		rig_call_done(&c[i]);
	}
	n = rig_counters(&f.server);
	assert_int_equal(n.served, 0);
	assert_int_equal(n.protocol_errors, 0);
	n = rig_counters(&f.client);
	assert_int_equal(n.calls, 0);
	assert_int_equal(n.links, 1);
	free(c);
	fixture_close(&f);
}
EACH_TRANSPORT(test_calls_many_at_once_end_once_each)

static void
test_stream_slow_reader_stalls_nobody(enum where where)
{
	struct fixture f;
	struct rig_call slow, quick;
	uint32_t stream[2] = { 200, 1000 };

	fixture_open(&f, where, NULL);
	f.client.withhold = true;
	assert_int_equal(rig_ask(&f.client, &slow, "Test/Stream", stream, sizeof(stream), 0),
			 IM_OK);
	f.client.withhold = false;
	rig_wait(&f.server, f.server.streams_waiting, 1);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(rig_ask(&f.client, &quick, "Test/Echo", "x", 1, 0), IM_OK);
		rig_wait(&f.client, quick.ends, 1);
		rig_call_done(&quick);
	}
	loop_enter(f.client.on->loop);
	assert_in_range(slow.bytes, 4096, 4096 + 1000);
	slow.grant = true;
	call_grant(slow.call, slow.bytes);
	loop_leave(f.client.on->loop);
	rig_wait(&f.client, slow.ends, 1);
	assert_int_equal(slow.messages, 200);
	assert_true(slow.in_order);
	rig_call_done(&slow);
	fixture_close(&f);
}
EACH_TRANSPORT(test_stream_slow_reader_stalls_nobody)

static void
test_call_cancel_reaches_the_service_and_ends_silently(enum where where)
{
	struct fixture f;
	struct rig_call held, after;

	fixture_open(&f, where, NULL);
	assert_int_equal(rig_ask(&f.client, &held, "Test/Hold", NULL, 0, 0), IM_OK);
	rig_wait(&f.server, f.server.requests, 1);
	loop_enter(f.client.on->loop);
	call_cancel(held.call);
	loop_leave(f.client.on->loop);
	rig_wait(&f.server, f.server.cancels, 1);
	assert_int_equal(rig_ask(&f.client, &after, "Test/Echo", "x", 1, 0), IM_OK);
	rig_wait(&f.client, after.ends, 1);
	assert_int_equal(held.ends, 0);
	assert_int_equal(f.server.cancels, 1);
	assert_int_equal(rig_counters(&f.server).served, 0);
	assert_int_equal(rig_counters(&f.client).calls, 0);
	rig_call_done(&after);
	fixture_close(&f);
}
EACH_TRANSPORT(test_call_cancel_reaches_the_service_and_ends_silently)

static void
test_call_deadline_ends_it_at_both_sides(enum where where)
{
	struct fixture f;
	struct rig_call c;

	fixture_open(&f, where, NULL);
	assert_int_equal(rig_ask(&f.client, &c, "Test/Hold", NULL, 0, 30), IM_OK);
	rig_wait(&f.client, c.ends, 1);
	assert_true(c.failed);
	assert_int_equal(c.err.rc, IM_EDEADLINE);
	rig_wait(&f.server, f.server.cancels, 1);
	assert_int_equal(rig_counters(&f.server).served, 0);
	fixture_close(&f);
	assert_int_equal(f.server.cancels, 1);
	assert_int_equal(c.ends, 1);
	rig_call_done(&c);
}
EACH_TRANSPORT(test_call_deadline_ends_it_at_both_sides)

static void
test_link_close_ends_the_calls_of_both_sides_and_dials_again(enum where where)
{
	struct fixture f;
	struct rig_call asked[8], mute;
	struct im_err why;

	fixture_open(&f, where, NULL);
	for (int i = 0; i < 8; i++)
		assert_int_equal(
		    rig_ask(i % 2 == 0 ? &f.client : &f.server, &asked[i], "Test/Hold", NULL, 0, 0),
		    IM_OK);
	assert_int_equal(rig_ask(&f.client, &mute, "Test/Mute", NULL, 0, 0), IM_OK);
	rig_wait(&f.server, f.server.requests, 5);
	rig_wait(&f.client, f.client.requests, 4);
	err_set(&why, IM_EINTERNAL, "the test closes it");
	loop_enter(f.server.on->loop);
	link_close(f.server.link, &why);
	assert_int_equal(f.server.downs, 0); /* never from inside */
	loop_leave(f.server.on->loop);
	rig_wait(&f.client, f.client.ups, 2);
	rig_wait(&f.server, f.server.ups, 2);
	for (int i = 0; i < 8; i++) {
		rig_wait(i % 2 == 0 ? &f.client : &f.server, asked[i].ends, 1);
		assert_int_equal(asked[i].err.rc, IM_EUNAVAILABLE);
		rig_call_done(&asked[i]);
	}
	assert_int_equal(mute.ends, 1);
	rig_call_done(&mute);
	assert_int_equal(f.server.cancels, 5);
	assert_int_equal(f.client.cancels, 4);
	assert_int_equal(f.server.downs, 1);
	assert_string_equal(f.server.why.text, "the test closes it");
	assert_int_equal(rig_counters(&f.server).served, 1); /* the mute one */
	fixture_close(&f);
}
EACH_TRANSPORT(test_link_close_ends_the_calls_of_both_sides_and_dials_again)

static void
test_listener_restart_is_found_again(enum where where)
{
	struct fixture f;
	struct rig_call c;

	fixture_open(&f, where, NULL);
	for (unsigned round = 1; round <= 3; round++) {
		loop_enter(f.server.on->loop);
		endpoint_close(f.server.ep);
		loop_leave(f.server.on->loop);
		rig_wait(&f.client, f.client.downs, round);
		rig_wait(&f.client, f.client.troubles, 1);
		rig_listen(&f.server, f.url);
		rig_wait(&f.client, f.client.ups, round + 1);
		assert_int_equal(rig_ask(&f.client, &c, "Test/Echo", "x", 1, 0), IM_OK);
		rig_wait(&f.client, c.ends, 1);
		assert_false(c.failed);
		rig_call_done(&c);
	}
	fixture_close(&f);
}
EACH_TRANSPORT(test_listener_restart_is_found_again)

static void
test_goaway_refuses_new_calls_and_keeps_the_open_ones(enum where where)
{
	struct fixture f;
	struct rig_call open_call, refused;

	fixture_open(&f, where, NULL);
	assert_int_equal(rig_ask(&f.client, &open_call, "Test/Hold", NULL, 0, 0), IM_OK);
	rig_wait(&f.server, f.server.requests, 1);
	loop_enter(f.server.on->loop);
	link_goaway(f.server.link, "closing for the night");
	link_goaway(f.server.link, "said once only");
	loop_leave(f.server.on->loop);
	rig_wait(&f.client, f.client.goaways, 1);
	assert_int_equal(rig_ask(&f.client, &refused, "Test/Echo", NULL, 0, 0), IM_EUNAVAILABLE);
	assert_non_null(strstr(refused.err.text, "closing for the night"));
	loop_enter(f.server.on->loop);
	rig_release(&f.server);
	loop_leave(f.server.on->loop);
	rig_wait(&f.client, open_call.ends, 1);
	assert_false(open_call.failed);
	assert_int_equal(f.client.goaways, 1);
	rig_call_done(&open_call);
	fixture_close(&f);
}
EACH_TRANSPORT(test_goaway_refuses_new_calls_and_keeps_the_open_ones)

static void
test_reply_before_close_still_arrives(enum where where)
{
	struct fixture f;
	struct rig_call c;
	struct im_err why;

	fixture_open(&f, where, NULL);
	assert_int_equal(rig_ask(&f.client, &c, "Test/Hold", NULL, 0, 0), IM_OK);
	rig_wait(&f.server, f.server.requests, 1);
	err_set(&why, IM_EUNAVAILABLE, "bye");
	loop_enter(f.server.on->loop);
	rig_release(&f.server);
	link_close(f.server.link, &why);
	loop_leave(f.server.on->loop);
	rig_wait(&f.client, c.ends, 1);
	assert_false(c.failed);
	assert_int_equal(c.body.len, 8);
	rig_call_done(&c);
	fixture_close(&f);
}
EACH_TRANSPORT(test_reply_before_close_still_arrives)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_call_echo_replies),
		EACH(test_call_from_the_listening_side_replies),
		EACH(test_call_failure_carries_the_error),
		EACH(test_call_large_bodies_arrive_whole),
		EACH(test_calls_many_at_once_end_once_each),
		EACH(test_stream_slow_reader_stalls_nobody),
		EACH(test_call_cancel_reaches_the_service_and_ends_silently),
		EACH(test_call_deadline_ends_it_at_both_sides),
		EACH(test_link_close_ends_the_calls_of_both_sides_and_dials_again),
		EACH(test_listener_restart_is_found_again),
		EACH(test_goaway_refuses_new_calls_and_keeps_the_open_ones),
		EACH(test_reply_before_close_still_arrives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
