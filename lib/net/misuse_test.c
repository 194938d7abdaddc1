/*
 * net/misuse_test.c - what one call's text, or one stranger, must not do to everybody else on a link or to the log.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/raw_peer.h"

struct fixture {
	struct rig_place at;
	struct rig_end client;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	rig_place_open(&f->at, NULL);
	rig_end_init(&f->client, &f->at.loop, "gateway", NULL);
	rig_dial(&f->client, f->at.url);
	rig_wait(&f->client, f->client.ups, 1);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	rig_end_done(&f->client);
	rig_place_close(&f->at);
	free(f);
	return 0;
}

/* The link is the first one still, and it works. */
static void
assert_link_unharmed(struct fixture *f)
{
	struct rig_call c;

	assert_int_equal(rig_ask(&f->client, &c, "Test/Echo", "x", 1, 0), IM_OK);
	rig_wait(&f->client, c.ends, 1);
	assert_false(c.failed);
	rig_call_done(&c);
	assert_int_equal(f->client.ups, 1);
	assert_int_equal(f->client.downs, 0);
}

static void
test_error_text_cut_inside_a_character_harms_its_call_only(void **state)
{
	struct fixture *f = *state;
	char method[NET_METHOD_MAX + 18] = "x";
	struct rig_call c;

	/* Too long for a method; the message about it shows 64 bytes, and the last of them is half an e with an accent. */
	while (strlen(method) + 2 < sizeof(method))
		memcpy(method + strlen(method), "\xc3\xa9", 3);
	assert_int_equal(rig_ask(&f->client, &c, method, "", 0, 0), IM_OK);
	rig_wait(&f->client, c.ends, 1);
	assert_true(c.failed);
	assert_int_equal(c.err.rc, IM_EMETHOD);
	rig_call_done(&c);
	assert_link_unharmed(f);
}

static void
test_call_with_text_that_is_not_utf8_is_refused_here(void **state)
{
	struct fixture *f = *state;
	static const struct call_request wrong[] = {
		{ .method = "Test/Echo", .traceparent = "00-\xff" },
		{ .method = "Test/\xc3" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct im_err err = { .text = "" };
		struct rig_call c = { .grant = true };
		struct call *call = NULL;
		enum im_rc rc;

		loop_enter(f->at.loop.loop);
		rc = call_start(f->client.link, &wrong[i], &rig_call_ops, &c, &call, &err);
		loop_leave(f->at.loop.loop);
		assert_int_equal(rc, IM_EINVAL);
		assert_null(call);
		assert_non_null(strstr(err.text, "UTF-8"));
	}
	assert_link_unharmed(f);
}

/* A message without bytes would cost its sender no credit, and whoever keeps messages could be made to keep any number. */
static void
test_data_without_bytes_is_against_the_rules(void **state)
{
	struct fixture *f = *state;
	struct raw_peer p;
	struct frame_header h;
	struct buf body = BUF_INIT(0);
	struct rig_call c;

	raw_connect(&p, f->at.url);
	assert_true(raw_hello(&p));
	rig_wait(&f->at.server, f->at.server.ups, 2);
	assert_int_equal(rig_ask(&f->at.server, &c, "Test/Any", "", 0, 0), IM_OK);
	assert_true(raw_expect(&p, FRAME_REQUEST, &h, &body));
	for (unsigned i = 0; i < 100; i++)
		(void)raw_frame(&p, h.call_id, FRAME_DATA, NULL, 0);
	rig_wait(&f->at.server, c.ends, 1);
	assert_int_equal(c.messages, 0);
	assert_int_equal(rig_counters(&f->at.server).protocol_errors, 1);
	raw_expect_end(&p);
	raw_close(&p);
	rig_call_done(&c);
	buf_done(&body);
}

static void
test_strangers_without_end_are_a_few_troubles(void **state)
{
	struct fixture *f = *state;
	unsigned before;

	for (unsigned i = 0; i < 200; i++) {
		struct raw_peer p;

		raw_connect(&p, f->at.url);
		(void)raw_write(&p, "GET / HTTP/1.1\r\n\r\n", 18);
		raw_expect_end(&p);
		raw_close(&p);
	}
	loop_enter(f->at.loop.loop);
	before = f->at.server.troubles;
	loop_leave(f->at.loop.loop);
	assert_in_range(before, 1, 20);
	assert_int_equal(rig_counters(&f->at.server).protocol_errors, 200);
	assert_link_unharmed(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_error_text_cut_inside_a_character_harms_its_call_only, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_call_with_text_that_is_not_utf8_is_refused_here, setup, teardown),
		cmocka_unit_test_setup_teardown(test_data_without_bytes_is_against_the_rules, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_strangers_without_end_are_a_few_troubles,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
