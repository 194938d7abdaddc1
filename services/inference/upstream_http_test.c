/*
 * inference/upstream_http_test.c - the upstream backend with what HTTP allows a server besides: preliminary answers, answers that end the connection, and
 * those to a long request that come before it is read, or slowly, or never.
 */
#include <stdlib.h>
#include <string.h>

#include "inference/upstream_rig.h"

#define LONG_BYTES ((size_t)6 * 1024 * 1024) /* more than the sockets between hold */

/* Letters, no two stretches of which are alike; the caller frees them. */
static char *
long_content(void)
{
	char *text = malloc(LONG_BYTES + 1);
	uint32_t x = 1;

	assert_non_null(text);
	for (size_t i = 0; i < LONG_BYTES; i++) {
		x = x * 1664525 + 1013904223;
		text[i] = (char)('a' + (x >> 24) % 26);
	}
	text[LONG_BYTES] = '\0';
	return text;
}

static void
test_upstream_that_speaks_before_its_answer_is_heard_out(void **state)
{
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	for (int i = 0; i < 3; i++) {
		rig_run("hints", 0, &r);
		assert_false(r.failed);
		assert_string_equal(buf_cstr(&r.text), "RHelloF");
		buf_done(&r.text);
	}
	assert_true(fake_server_wait_open(rig.server, 1)); /* of all three */
	rig_backend_stop();
}

static void
test_upstream_connection_that_ends_with_its_answer_is_not_kept(void **state)
{
	static const char *const models[] = { "closes", "old", "until-close", "until-close-json" };
	unsigned before;
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		before = fake_server_requests(rig.server);
		rig_run(models[i], 0, &r);
		assert_false(r.failed);
		assert_string_equal(buf_cstr(&r.text), "RHelloF");
		buf_done(&r.text);
		/* It would wait for the next request otherwise. */
		assert_true(fake_server_wait_open(rig.server, 0));
		assert_int_equal(fake_server_requests(rig.server), before + 1);
	}
	rig_run("cut-close", 0, &r);
	assert_int_equal(r.err.rc, IM_EUPSTREAM);
	assert_non_null(strstr(r.err.text, "cannot be used"));
	rig_backend_stop();
}

static void
test_upstream_that_reads_slowly_gets_a_long_request_whole(void **state)
{
	static const char *const models[] = { "json", "slow" };
	char *content = long_content(), *request = malloc(LONG_BYTES + 8192);
	const char *at;
	struct im_err err;
	struct result r;

	(void)state;
	assert_non_null(request);
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	rig.content = content;
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		rig_run(models[i], 0, &r);
		assert_false(r.failed);
		assert_string_equal(buf_cstr(&r.text), "RHelloF");
		buf_done(&r.text);
		fake_server_last(rig.server, request, LONG_BYTES + 8192);
		at = strstr(request, "\"content\":\"");
		assert_non_null(at);
		at += strlen("\"content\":\"");
		assert_memory_equal(at, content, LONG_BYTES);
		assert_int_equal(at[LONG_BYTES], '"');
		assert_int_equal(request[strlen(request) - 1], '}');
	}
	rig_backend_stop();
	free(content);
	free(request);
}

/* What it says counts, although there is more to send; that connection is of no use afterwards. */
static void
test_upstream_that_answers_before_it_has_read_all_is_understood(void **state)
{
	char *content = long_content();
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	rig.content = content;
	rig_run("early-413", 0, &r);
	assert_int_equal(r.err.rc, IM_ETOOBIG);
	assert_non_null(strstr(r.err.text, "too large"));
	assert_true(fake_server_wait_open(rig.server, 0));
	rig_run("early", 0, &r);
	assert_false(r.failed);
	assert_string_equal(buf_cstr(&r.text), "RHelloF");
	buf_done(&r.text);
	/* One that is gone at once: libcurl may meet that before it meets the answer. */
	rig_run("gone-413", 0, &r);
	assert_true(r.failed);
	if (!rig.by_curl)
		assert_int_equal(r.err.rc, IM_ETOOBIG);
	rig.content = NULL;
	rig_run("json", 0, &r);
	assert_string_equal(buf_cstr(&r.text), "RHelloF");
	buf_done(&r.text);
	rig_backend_stop();
	free(content);
}

static void
on_too_late(void *arg)
{
	*(bool *)arg = true;
}

/* What went out in the meantime is no life but for as long as it took. Where the machine pauses it may look otherwise, but not each time. */
static void
test_upstream_that_is_silent_is_given_up_after_its_time_once(void **state)
{
	struct loop_timer timer = { .fn = on_too_late };
	bool too_late = true;
	struct im_err err;

	(void)state;
	timer.arg = &too_late;
	assert_int_equal(rig_backend_start(ALL_MODELS "    read_ms: 200ms\n", &err), IM_OK);
	for (int i = 0; i < 20 && too_late; i++) {
		struct result r = { 0 };

		too_late = false;
		loop_enter(rig.loop);
		assert_int_equal(loop_timer_set(rig.loop, &timer, 320000), IM_OK);
		loop_leave(rig.loop);
		assert_int_equal(rig_submit("hang", 0, &r), IM_OK);
		rig_run_until(&r.ended);
		assert_int_equal(r.err.rc, IM_EDEADLINE);
		loop_enter(rig.loop);
		loop_timer_cancel(rig.loop, &timer);
		loop_leave(rig.loop);
	}
	assert_false(too_late);
	rig_backend_stop();
}

/* Its request takes longer than it may be silent. */
static void
test_upstream_that_reads_slowly_is_not_silent(void **state)
{
	char *content = long_content();
	bool answered = false;
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS "    read_ms: 350ms\n", &err), IM_OK);
	rig.content = content;
	for (int i = 0; i < 20 && !answered; i++) {
		rig_run("slow", 0, &r);
		answered = !r.failed;
		buf_done(&r.text);
	}
	assert_true(answered);
	rig_backend_stop();
	free(content);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upstream_that_speaks_before_its_answer_is_heard_out),
		cmocka_unit_test(test_upstream_connection_that_ends_with_its_answer_is_not_kept),
		cmocka_unit_test(test_upstream_that_reads_slowly_gets_a_long_request_whole),
		cmocka_unit_test(test_upstream_that_answers_before_it_has_read_all_is_understood),
		cmocka_unit_test(test_upstream_that_is_silent_is_given_up_after_its_time_once),
		cmocka_unit_test(test_upstream_that_reads_slowly_is_not_silent),
	};

	return cmocka_run_group_tests_name("plain", tests, rig_setup, rig_teardown) +
	       cmocka_run_group_tests_name("libcurl", tests, rig_setup_by_curl, rig_teardown);
}
