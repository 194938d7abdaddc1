/*
 * net/hostile_test.c - peers that break the rules, are slow, silent or gone: the link ends with a clear reason, everything
 * else runs on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/raw_peer.h"

static void
short_beat(struct net_params *p)
{
	p->heartbeat_ms = 20;
}

static void
short_hello(struct net_params *p)
{
	p->hello_timeout_ms = 60;
}

/* A well-behaved peer is still served. */
static void
assert_still_serves(struct rig_place *f)
{
	struct rig_end client;
	struct rig_call c;

	rig_end_init(&client, &f->loop, "gateway", NULL);
	rig_dial(&client, f->url);
	rig_wait(&client, client.ups, 1);
	assert_int_equal(rig_ask(&client, &c, "Test/Echo", "x", 1, 0), IM_OK);
	rig_wait(&client, c.ends, 1);
	assert_false(c.failed);
	rig_call_done(&c);
	rig_end_done(&client);
}

/* Send 'bytes' after HELLO (if 'greet'), expect to be told why and thrown out. */
static void
expect_thrown_out(bool greet, const struct buf *bytes, const char *why)
{
	struct rig_place f;
	struct raw_peer p;
	struct frame_header h;
	struct buf body = BUF_INIT(0);
	char reason[256] = "";

	rig_place_open(&f, NULL);
	raw_connect(&p, f.url);
	if (greet)
		assert_true(raw_hello(&p));
	(void)raw_write(&p, bytes->data, bytes->len);
	if (raw_expect(&p, FRAME_GOAWAY, &h, &body))
		assert_int_equal(goaway_decode(body.data, body.len, reason, sizeof(reason), NULL),
				 IM_OK);
	raw_expect_end(&p);
	raw_close(&p);
	if (greet)
		rig_wait(&f.server, f.server.downs, 1);
	else
		rig_wait(&f.server, f.server.troubles, 1);
	assert_int_equal(f.server.downs, greet ? 1 : 0);
	if (strstr(greet ? f.server.why.text : f.server.trouble.text, why) == NULL ||
	    strstr(reason, why) == NULL)
		fail_msg("'%s' lacks '%s' (the peer was told '%s')",
			 greet ? f.server.why.text : f.server.trouble.text, why, reason);
	assert_int_equal(rig_counters(&f.server).protocol_errors, 1);
	assert_still_serves(&f);
	buf_done(&body);
	rig_place_close(&f);
}

static void
put_frame(struct buf *out, uint32_t len, uint32_t id, uint8_t kind, size_t zeros)
{
	struct frame_header h = { .body_len = len, .call_id = id, .kind = kind };
	uint8_t header[FRAME_HEADER_BYTES];

	frame_header_put(header, &h);
	assert_true(buf_append(out, header, sizeof(header)));
	for (size_t i = 0; i < zeros; i++)
		assert_true(buf_append_byte(out, 0));
}

static void
test_hello_of_another_protocol_is_thrown_out(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	buf_append_str(&b, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
	expect_thrown_out(false, &b, "bytes, at most");
	buf_done(&b);
}

static void
test_hello_malformed_is_thrown_out(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	put_frame(&b, 9, 0, FRAME_HELLO, 9);
	expect_thrown_out(false, &b, "");
	buf_clear(&b);
	put_frame(&b, 0, 0, FRAME_HELLO, 0);
	expect_thrown_out(false, &b, "version");
	buf_done(&b);
}

static void
test_hello_of_another_version_is_thrown_out(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	raw_hello_bytes(&b, 9);
	expect_thrown_out(false, &b, "wire versions 9 to 9");
	buf_done(&b);
}

static void
test_hello_missing_or_twice_is_thrown_out(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	put_frame(&b, 0, 0, FRAME_PING, 0);
	expect_thrown_out(false, &b, "not HELLO");
	buf_clear(&b);
	raw_hello_bytes(&b, 0);
	expect_thrown_out(true, &b, "second HELLO");
	buf_done(&b);
}

static void
test_frame_of_a_gigabyte_is_thrown_out_unread(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	put_frame(&b, 1u << 30, 2, FRAME_REQUEST, 0);
	expect_thrown_out(true, &b, "1073741824 bytes");
	buf_clear(&b);
	put_frame(&b, UINT32_MAX, 0, 200, 0); /* of an unknown kind too */
	expect_thrown_out(true, &b, "4294967295 bytes");
	buf_done(&b);
}

static void
test_request_with_an_id_that_is_not_its_own_is_thrown_out(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	raw_request_bytes(&b, 3, "Test/Echo");
	expect_thrown_out(true, &b, "id 3");
	buf_clear(&b);
	raw_request_bytes(&b, 0, "Test/Echo");
	expect_thrown_out(true, &b, "id 0");
	buf_clear(&b);
	raw_request_bytes(&b, 4, "Test/Hold");
	raw_request_bytes(&b, 4, "Test/Hold");
	expect_thrown_out(true, &b, "in use");
	buf_done(&b);
}

static void
test_bodies_that_are_no_messages_are_thrown_out(void **state)
{
	const uint8_t kinds[] = { FRAME_REQUEST, FRAME_CREDIT, FRAME_GOAWAY };
	struct buf b = BUF_INIT(0);

	(void)state;
	for (size_t i = 0; i < sizeof(kinds); i++) {
		buf_clear(&b);
		put_frame(&b, 2, kinds[i] == FRAME_GOAWAY ? 0 : 2, kinds[i], 0);
		buf_append(&b, "\x0a\x7f", 2); /* a string of 127 bytes that are not there */
		expect_thrown_out(true, &b, "");
	}
	buf_clear(&b);
	put_frame(&b, 65, 0, FRAME_PING, 65);
	expect_thrown_out(true, &b, "PING");
	buf_done(&b);
}

static void
test_frames_for_nobody_and_of_the_future_are_ignored(void **state)
{
	struct rig_place f;
	struct raw_peer p;
	struct frame_header h;
	struct buf b = BUF_INIT(0), body = BUF_INIT(0);

	(void)state;
	rig_place_open(&f, NULL);
	raw_connect(&p, f.url);
	raw_hello_bytes(&b, 0);
	put_frame(&b, 5, 77, 200, 5);
	put_frame(&b, 0, 0, 0, 0);
	put_frame(&b, 0, 40, FRAME_CANCEL, 0);
	put_frame(&b, 0, 40, FRAME_CREDIT, 0);
	put_frame(&b, 9, 41, FRAME_DATA, 9);
	put_frame(&b, 0, 41, FRAME_END, 0);
	put_frame(&b, 0, 0, FRAME_PONG, 0);
	raw_request_bytes(&b, 2, "Test/Echo");
	assert_true(raw_write(&p, b.data, b.len));
	assert_true(raw_expect(&p, FRAME_END, &h, &body));
	assert_int_equal(h.call_id, 2);
	assert_true(raw_frame(&p, 0, FRAME_PING, "12345678", 8));
	assert_true(raw_expect(&p, FRAME_PONG, &h, &body));
	assert_int_equal(body.len, 8);
	assert_memory_equal(body.data, "12345678", 8);
	raw_close(&p);
	buf_done(&b);
	buf_done(&body);
	rig_place_close(&f);
}

static void
test_bytes_one_by_one_are_understood(void **state)
{
	struct rig_place f;
	struct raw_peer p;
	struct frame_header h;
	struct buf b = BUF_INIT(0), body = BUF_INIT(0);

	(void)state;
	rig_place_open(&f, NULL);
	raw_connect(&p, f.url);
	raw_hello_bytes(&b, 0);
	raw_request_bytes(&b, 2, "Test/Echo");
	for (size_t i = 0; i < b.len; i++)
		assert_true(raw_write(&p, b.data + i, 1));
	assert_true(raw_expect(&p, FRAME_END, &h, &body));
	assert_non_null(memmem(body.data, body.len, "payload", 7));
	raw_close(&p);
	buf_done(&b);
	buf_done(&body);
	rig_place_close(&f);
}

static void
test_stream_cut_at_every_byte_leaves_nothing(void **state)
{
	struct rig_place f;
	struct buf b = BUF_INIT(0);
	struct raw_peer p;

	(void)state;
	rig_place_open(&f, NULL);
	raw_hello_bytes(&b, 0);
	raw_request_bytes(&b, 2, "Test/Hold");
	for (size_t cut = 0; cut <= b.len; cut++) {
		raw_connect(&p, f.url);
		assert_true(raw_write(&p, b.data, cut));
		raw_close(&p);
	}
	buf_done(&b);
	assert_still_serves(&f);
	rig_place_close(&f);
	assert_int_equal(f.server.ups, f.server.downs);
	assert_int_equal(f.server.requests,
			 f.server.cancels + 1); /* the one of assert_still_serves() */
}

static void
test_data_beyond_the_credit_is_thrown_out(void **state)
{
	static uint8_t data[4096];
	struct rig_place f;
	struct raw_peer p;
	struct rig_call c;
	struct frame_header h;
	struct buf body = BUF_INIT(0);

	(void)state;
	rig_place_open(&f, NULL);
	f.server.withhold = true;
	raw_connect(&p, f.url);
	assert_true(raw_hello(&p));
	rig_wait(&f.server, f.server.ups, 1);
	assert_int_equal(rig_ask(&f.server, &c, "Any/Thing", NULL, 0, 0), IM_OK);
	assert_true(raw_expect(&p, FRAME_REQUEST, &h, &body));
	assert_int_equal(h.call_id & 1, 1);
	assert_true(raw_frame(&p, h.call_id, FRAME_DATA, data, 4095));
	assert_true(raw_frame(&p, h.call_id, FRAME_DATA, data, 4096)); /* one byte was left */
	rig_wait(&f.server, c.messages, 2);
	assert_true(raw_frame(&p, h.call_id, FRAME_DATA, data, 1));
	raw_expect_end(&p);
	rig_wait(&f.server, c.ends, 1);
	assert_int_equal(c.messages, 2);
	assert_int_equal(c.err.rc, IM_EUNAVAILABLE);
	assert_non_null(strstr(c.err.text, "beyond the credit"));
	raw_close(&p);
	rig_call_done(&c);
	buf_done(&body);
	rig_place_close(&f);
}

static void
test_peer_that_says_nothing_is_dropped(void **state)
{
	struct rig_place f;
	struct raw_peer p;

	(void)state;
	rig_place_open(&f, short_hello);
	raw_connect(&p, f.url);
	raw_expect_end(&p);
	rig_wait(&f.server, f.server.troubles, 1);
	assert_non_null(strstr(f.server.trouble.text, "no HELLO within 60 ms"));
	raw_close(&p);
	rig_place_close(&f);
}

/* One that has said HELLO and says no more. */
static void
silent_peer(struct rig_place *f, struct raw_peer *p)
{
	rig_place_open(f, short_beat);
	raw_connect(p, f->url);
	assert_true(raw_hello(p));
	rig_wait(&f->server, f->server.ups, 1);
}

static void
test_peer_that_falls_silent_is_pinged_and_dropped(void **state)
{
	struct rig_place f;
	struct raw_peer p;
	struct rig_call c;
	struct frame_header h;
	struct buf body = BUF_INIT(0);

	(void)state;
	silent_peer(&f, &p);
	assert_int_equal(rig_ask(&f.server, &c, "Any/Thing", NULL, 0, 0), IM_OK);
	assert_true(raw_expect(&p, FRAME_PING, &h, &body));
	rig_wait(&f.server, f.server.downs, 1);
	assert_int_equal(c.ends, 1);
	assert_int_equal(c.err.rc, IM_EUNAVAILABLE);
	assert_non_null(strstr(f.server.why.text, "silent"));
	raw_expect_end(&p);
	raw_close(&p);
	rig_call_done(&c);
	buf_done(&body);
	rig_place_close(&f);
}

/* What it says meanwhile is not heard: it is asked before it is called silent. */
static void
test_peer_is_not_dropped_for_a_pause_of_our_own(void **state)
{
	const struct timespec pause = { .tv_nsec = 200000000 };
	struct rig_place f;
	struct raw_peer p;
	struct frame_header h;
	struct buf body = BUF_INIT(0);

	(void)state;
	silent_peer(&f, &p);
	loop_enter(f.loop.loop);
	assert_int_equal(nanosleep(&pause, NULL), 0);
	loop_leave(f.loop.loop);
	assert_true(raw_expect(&p, FRAME_PING, &h, &body));
	raw_expect_end(&p); /* asked, and silent still */
	raw_close(&p);
	buf_done(&body);
	rig_place_close(&f);
}

static void
test_peer_that_talks_and_never_reads_is_dropped(void **state)
{
	struct rig_place f;
	struct raw_peer p;
	struct buf b = BUF_INIT(0);

	(void)state;
	rig_place_open(&f, short_beat);
	raw_connect(&p, f.url);
	assert_true(raw_hello(&p));
	for (int i = 0; i < 64; i++)
		put_frame(&b, 64, 0, FRAME_PING, 64);
	while (raw_write(&p, b.data, b.len))
		;
	rig_wait(&f.server, f.server.downs, 1);
	raw_close(&p);
	buf_done(&b);
	rig_place_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello_of_another_protocol_is_thrown_out),
		cmocka_unit_test(test_hello_malformed_is_thrown_out),
		cmocka_unit_test(test_hello_of_another_version_is_thrown_out),
		cmocka_unit_test(test_hello_missing_or_twice_is_thrown_out),
		cmocka_unit_test(test_frame_of_a_gigabyte_is_thrown_out_unread),
		cmocka_unit_test(test_request_with_an_id_that_is_not_its_own_is_thrown_out),
		cmocka_unit_test(test_bodies_that_are_no_messages_are_thrown_out),
		cmocka_unit_test(test_frames_for_nobody_and_of_the_future_are_ignored),
		cmocka_unit_test(test_bytes_one_by_one_are_understood),
		cmocka_unit_test(test_stream_cut_at_every_byte_leaves_nothing),
		cmocka_unit_test(test_data_beyond_the_credit_is_thrown_out),
		cmocka_unit_test(test_peer_that_says_nothing_is_dropped),
		cmocka_unit_test(test_peer_that_falls_silent_is_pinged_and_dropped),
		cmocka_unit_test(test_peer_is_not_dropped_for_a_pause_of_our_own),
		cmocka_unit_test(test_peer_that_talks_and_never_reads_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
