/*
 * inference/upstream_test.c - the upstream backend against a real HTTP server: answers, failures, cancelling, flow, leaks.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "inference/upstream_rig.h"

static void
test_upstream_answers_in_each_form_give_the_same_frames(void **state)
{
	static const char *const models[] = { "stream", "mislabelled", "json", "lingers",
					      "stream" };
	struct im_err err;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		struct result r;

		rig_run(models[i], 0, &r);
		assert_false(r.failed);
		assert_string_equal(buf_cstr(&r.text), "RHelloF");
		assert_true(r.has_usage);
		assert_int_equal(r.usage.prompt_tokens, 7);
		assert_int_equal(r.usage.completion_tokens, 2);
		buf_done(&r.text);
	}
	rig_backend_stop();
}

static void
test_upstream_request_carries_key_and_trace_and_nothing_of_the_caller(void **state)
{
	char request[8192], host[40];
	struct im_err err;
	struct result r;

	(void)state;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread looks at the environment */
	assert_int_equal(setenv("INFERMESH_TEST_KEY", "sk-test", 1), 0);
	assert_int_equal(rig_backend_start(ALL_MODELS
					   "    api_key_env: INFERMESH_TEST_KEY\n"
					   "    extra: {thinking: '{\"type\":\"disabled\"}'}\n",
					   &err),
			 IM_OK);
	rig_run("stream", 1000, &r);
	fake_server_last(rig.server, request, sizeof(request));
	assert_non_null(strstr(request, "POST /v1/chat/completions HTTP/1.1\r\n"));
	(void)snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%u\r\n",
		       fake_server_port(rig.server));
	assert_non_null(strstr(request, host));
	assert_non_null(strstr(request, "\r\nAuthorization: Bearer sk-test\r\n"));
	assert_non_null(
	    strstr(request,
		   "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"));
	assert_non_null(strstr(request, "\r\nContent-Type: application/json\r\n"));
	assert_null(strcasestr(request, "\r\nExpect:"));
	assert_non_null(
	    strstr(request, "\"stream\":true,\"stream_options\":{\"include_usage\":true}"));
	assert_non_null(strstr(request, "\"thinking\":{\"type\":\"disabled\"}"));
	buf_done(&r.text);
	rig_run("key", 0, &r);
	assert_int_equal(r.err.rc, IM_EUPSTREAM);
	assert_null(strstr(r.err.text, "sk-"));
	rig_backend_stop();
}

/* The answer's form is the upstream's choice all the same. */
static void
test_upstream_request_without_stream_asks_for_one_object(void **state)
{
	static const char *const models[] = { "json", "stream", "json" };
	char request[8192];
	struct im_err err;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	rig.whole = true;
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		struct result r;

		rig_run(models[i], 0, &r);
		fake_server_last(rig.server, request, sizeof(request));
		assert_non_null(strstr(request, "\"stream\":false"));
		assert_null(strstr(request, "stream_options"));
		assert_false(r.failed);
		assert_string_equal(buf_cstr(&r.text), "RHelloF");
		assert_true(r.has_usage);
		assert_int_equal(r.usage.prompt_tokens, 7);
		assert_int_equal(r.usage.completion_tokens, 2);
		buf_done(&r.text);
	}
	rig_backend_stop();
}

/* The connection of a whole answer is used again, and libcurl's handle. */
static void
test_upstream_request_after_another_is_as_if_it_were_the_first(void **state)
{
	struct im_err err;
	struct result first, r;
	char request[8192];

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	rig_run("stream", 1000, &first);
	for (int i = 0; i < 3; i++) {
		rig_run("limit", 1000, &r);
		assert_int_equal(r.err.rc, IM_ELIMIT);
		buf_done(&r.text);
		rig_run("cut", 1000, &r);
		assert_int_equal(r.err.rc, IM_EUPSTREAM);
		buf_done(&r.text);
		rig_run("stream", 1000, &r);
		assert_false(r.failed);
		assert_string_equal(buf_cstr(&r.text), buf_cstr(&first.text));
		fake_server_last(rig.server, request, sizeof(request));
		assert_non_null(strstr(request, "\"model\":\"stream\""));
		buf_done(&r.text);
	}
	buf_done(&first.text);
	rig_backend_stop();
}

static void
test_upstream_failures_are_told_apart_and_never_a_success(void **state)
{
	static const struct {
		const char *model;
		enum im_rc rc;
		const char *reason, *text, *got;
		uint64_t retry_ms;
	} rows[] = {
		{ "cut", IM_EUPSTREAM, "upstream_error", "broke", "RHello", 0 },
		{ "no-done", IM_EUPSTREAM, "upstream_error", "before [DONE]", "RHelloF", 0 },
		{ "error", IM_EUPSTREAM, "upstream_error", "CUDA", "RHello", 0 },
		{ "bad-json", IM_EUPSTREAM, "upstream_error", "cannot be used", "", 0 },
		{ "page", IM_EUPSTREAM, "upstream_error", "neither JSON", "", 0 },
		{ "empty", IM_EUPSTREAM, "upstream_error", "empty", "", 0 },
		{ "cut-json", IM_EUPSTREAM, "upstream_error", "cannot be used", "", 0 },
		{ "torn-json", IM_EUPSTREAM, "upstream_error", "broke", "", 0 },
		{ "limit", IM_ELIMIT, "rate_limit_exceeded", "slow", "", 7000 },
		{ "broken", IM_EUPSTREAM, "upstream_error", "500", "", 0 },
		{ "huge-error", IM_EINVAL, "", "refused", "", 0 },
		{ "redirect", IM_EUPSTREAM, "upstream_error", "redirect", "", 0 },
		{ "unknown", IM_EUPSTREAM, "upstream_error", "broke", "", 0 },
	};
	struct im_err err;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result r;

		rig_run(rows[i].model, 0, &r);
		assert_true(r.failed);
		assert_int_equal(r.err.rc, rows[i].rc);
		assert_string_equal(r.err.reason, rows[i].reason);
		assert_non_null(strstr(r.err.text, rows[i].text));
		assert_int_equal(r.err.retry_after_ms, rows[i].retry_ms);
		assert_string_equal(buf_cstr(&r.text), rows[i].got);
		buf_done(&r.text);
	}
	rig_backend_stop();
}

static void
test_upstream_that_is_silent_or_too_slow_times_out_and_is_closed(void **state)
{
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS "    read_ms: 50ms\n", &err), IM_OK);
	rig_run("hang", 0, &r);
	assert_int_equal(r.err.rc, IM_EDEADLINE);
	assert_string_equal(r.err.reason, "upstream_timeout");
	assert_non_null(strstr(r.err.text, "silent for 50 ms"));
	assert_true(fake_server_wait_open(rig.server, 0));
	rig_backend_stop();
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	rig_run("drip", 50, &r);
	assert_int_equal(r.err.rc, IM_EDEADLINE);
	assert_non_null(strstr(r.err.text, "deadline"));
	assert_true(fake_server_wait_open(rig.server, 0));
	buf_done(&r.text);
	rig_backend_stop();
}

/* The backend of an upstream that is not the rig's server. */
static enum im_rc
start_at(const char *url, struct im_err *err)
{
	char yaml[128];
	int len =
	    snprintf(yaml, sizeof(yaml),
		     "workers:\n  - {name: w, backend: upstream, models: [m], url: '%s'}\n", url);
	enum im_rc rc;

	config_free(rig.config);
	assert_int_equal(config_parse("t", yaml, (size_t)len, &rig.config, err), IM_OK);
	loop_enter(rig.loop);
	rc = backend_upstream.start(rig.loop, config_item(rig.config, "workers", 0), &rig.b, err);
	loop_leave(rig.loop);
	return rc;
}

static void
test_upstream_that_is_not_there_is_named_as_that(void **state)
{
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(start_at("http://127.0.0.1:1/v1", &err), IM_OK);
	rig_run("m", 0, &r);
	assert_int_equal(r.err.rc, IM_EUPSTREAM);
	assert_non_null(strstr(r.err.text, "cannot be reached"));
	rig_backend_stop();
}

static struct loop_timer looking;
static unsigned requests_before;

/* Look again until the server has one request more. */
static void
look_for_request(void *arg)
{
	bool *seen = arg;

	*seen = fake_server_requests(rig.server) > requests_before;
	if (*seen)
		loop_stop(rig.loop);
	else
		assert_int_equal(loop_timer_set(rig.loop, &looking, 1000), IM_OK);
}

static void
wait_for_request(unsigned before)
{
	bool seen = false;

	requests_before = before;
	looking.fn = look_for_request;
	looking.arg = &seen;
	loop_enter(rig.loop);
	look_for_request(&seen);
	loop_leave(rig.loop);
	rig_run_until(&seen);
}

static void
test_upstream_cancel_closes_the_connection(void **state)
{
	struct im_err err;
	struct result r = { .stop_at_frame = true };

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	/* before an answer, streamed or whole */
	for (int i = 0; i < 2; i++) {
		unsigned before = fake_server_requests(rig.server);

		rig.whole = i == 1;
		assert_int_equal(rig_submit("hang", 0, &r), IM_OK);
		wait_for_request(before);
		loop_enter(rig.loop);
		backend_upstream.cancel(r.job);
		loop_leave(rig.loop);
		assert_true(fake_server_wait_open(rig.server, 0));
	}
	rig.whole = false;
	/* between two pieces */
	assert_int_equal(rig_submit("drip", 0, &r), IM_OK);
	while (r.frames == 0)
		loop_run(rig.loop);
	loop_enter(rig.loop);
	backend_upstream.cancel(r.job);
	loop_leave(rig.loop);
	assert_true(fake_server_wait_open(rig.server, 0));
	assert_false(r.ended);
	buf_done(&r.text);
	/* inside the callback that was given a piece */
	memset(&r, 0, sizeof(r));
	r.cancel_at_frame = true;
	assert_int_equal(rig_submit("drip", 0, &r), IM_OK);
	rig_run_until(&r.ended);
	assert_true(fake_server_wait_open(rig.server, 0));
	assert_int_equal(r.frames, 1);
	buf_done(&r.text);
	rig_backend_stop();
}

static void
test_upstream_paused_job_stops_reading_and_loses_nothing(void **state)
{
	struct result slow = { .pause_at_frame = true }, held = { 0 }, quick;
	struct im_err err;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	assert_int_equal(rig_submit("big", 0, &held), IM_OK);
	loop_enter(rig.loop);
	backend_upstream.pause(held.job, true);
	loop_leave(rig.loop);
	/* A whole other answer passes meanwhile; then one that is paused at each piece. */
	rig_run("stream", 0, &quick);
	assert_false(quick.failed);
	assert_int_equal(rig_submit("big", 0, &slow), IM_OK);
	rig_run_until(&slow.ended);
	assert_int_equal(held.frames, 0);
	loop_enter(rig.loop);
	backend_upstream.pause(held.job, false);
	loop_leave(rig.loop);
	rig_run_until(&held.ended);
	/* Both are cut after the last piece: no finish, but each byte is there. */
	assert_int_equal(slow.text.len, 1 + 1024 * BIG_PIECES);
	assert_int_equal(held.text.len, 1 + 1024 * BIG_PIECES);
	assert_int_equal(slow.frames, BIG_PIECES);
	buf_done(&slow.text);
	buf_done(&held.text);
	buf_done(&quick.text);
	rig_backend_stop();
}

static void
test_upstream_over_capacity_or_unknown_model_is_refused_at_once(void **state)
{
	struct result a = { 0 }, b = { 0 };
	struct im_err err;

	(void)state;
	assert_int_equal(rig_backend_start("    models: [stream, hang]\n    capacity: 1\n", &err),
			 IM_OK);
	assert_int_equal(backend_upstream.capacity(rig.b), 1);
	assert_int_equal(rig_submit("nope", 0, &a), IM_ENOTFOUND);
	assert_string_equal(a.err.reason, "model_not_found");
	assert_int_equal(rig_submit("hang", 0, &a), IM_OK);
	assert_int_equal(rig_submit("stream", 0, &b), IM_EAGAIN);
	loop_enter(rig.loop);
	backend_upstream.cancel(a.job);
	loop_leave(rig.loop);
	rig_run("stream", 0, &b);
	assert_false(b.failed);
	buf_done(&b.text);
	rig_backend_stop();
}

/* Look again until the backend knows its models. */
static void
look_for_models(void *arg)
{
	bool *known = arg;
	size_t count;

	(void)backend_upstream.models(rig.b, &count);
	*known = count > 0;
	looking.arg = known;
	if (*known)
		loop_stop(rig.loop);
	else
		assert_int_equal(loop_timer_set(rig.loop, &looking, 1000), IM_OK);
}

static void
test_upstream_models_are_asked_for_when_none_is_configured(void **state)
{
	const struct model_info *models;
	struct im_err err;
	struct result r;
	bool known = false;
	size_t count = 0;

	(void)state;
	assert_int_equal(rig_backend_start("", &err), IM_OK);
	looking.fn = look_for_models;
	loop_enter(rig.loop);
	look_for_models(&known);
	loop_leave(rig.loop);
	rig_run_until(&known);
	models = backend_upstream.models(rig.b, &count);
	assert_int_equal(count, 2);
	assert_string_equal(models[0].id, "stream");
	assert_string_equal(models[0].owned_by, "x");
	assert_string_equal(models[1].id, "b");
	rig_run("stream", 0, &r);
	assert_false(r.failed);
	buf_done(&r.text);
	rig_backend_stop();
}

static void
test_upstream_configuration_that_cannot_work_says_why(void **state)
{
	static const char *const rows[][2] = {
		{ "    models: [m]\n    extra: {a: nope}\n", "extra" },
		{ "    models: [m]\n    api_key_file: /nonexistent/key\n", "/nonexistent/key" },
		{ "    models: [m]\n    api_key_env: INFERMESH_TEST_NO_KEY\n",
		  "INFERMESH_TEST_NO_KEY" },
	};
	struct im_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_not_equal(rig_backend_start(rows[i][0], &err), IM_OK);
		assert_non_null(strstr(err.text, rows[i][1]));
	}
}

static void
test_upstream_address_that_is_none_is_found_at_the_start(void **state)
{
	struct im_err err;

	(void)state;
	assert_int_equal(start_at("http://[::1/v1", &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "workers[].url: found \"http://[::1/v1\""));
}

static unsigned
open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else reads this stream */
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

static void
test_upstream_thousand_requests_of_all_kinds_leave_no_descriptor(void **state)
{
	static const char *const models[] = { "stream", "json",   "cut",       "limit",
					      "drip",   "stream", "broken",    "bad-json",
					      "hints",  "closes", "early-413", "until-close" };
	struct im_err err;
	unsigned before;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	rig_backend_stop(); /* libcurl has what it keeps for good */
	before = open_descriptors();
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	for (unsigned i = 0; i < 1000; i++) {
		struct result r = { .cancel_at_frame = i % 12 == 4 };

		assert_int_equal(rig_submit(models[i % 12], 0, &r), IM_OK);
		rig_run_until(&r.ended);
		buf_done(&r.text);
	}
	rig_backend_stop();
	assert_int_equal(open_descriptors(), before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upstream_answers_in_each_form_give_the_same_frames),
		cmocka_unit_test(
		    test_upstream_request_carries_key_and_trace_and_nothing_of_the_caller),
		cmocka_unit_test(test_upstream_request_without_stream_asks_for_one_object),
		cmocka_unit_test(test_upstream_request_after_another_is_as_if_it_were_the_first),
		cmocka_unit_test(test_upstream_failures_are_told_apart_and_never_a_success),
		cmocka_unit_test(test_upstream_that_is_silent_or_too_slow_times_out_and_is_closed),
		cmocka_unit_test(test_upstream_that_is_not_there_is_named_as_that),
		cmocka_unit_test(test_upstream_cancel_closes_the_connection),
		cmocka_unit_test(test_upstream_paused_job_stops_reading_and_loses_nothing),
		cmocka_unit_test(test_upstream_over_capacity_or_unknown_model_is_refused_at_once),
		cmocka_unit_test(test_upstream_models_are_asked_for_when_none_is_configured),
		cmocka_unit_test(test_upstream_configuration_that_cannot_work_says_why),
		cmocka_unit_test(test_upstream_address_that_is_none_is_found_at_the_start),
		cmocka_unit_test(test_upstream_thousand_requests_of_all_kinds_leave_no_descriptor),
	};

	return cmocka_run_group_tests_name("plain", tests, rig_setup, rig_teardown) +
	       cmocka_run_group_tests_name("libcurl", tests, rig_setup_by_curl, rig_teardown);
}
