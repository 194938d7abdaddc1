/*
 * inference/upstream_test.c - the upstream backend against a real HTTP server: answers, failures, cancelling, flow, leaks.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/backend.h"
#include "inference/fake_server.h"

#define OK_SSE   "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8"
#define OK_JSON  "HTTP/1.1 200 OK\r\nContent-Type: application/json"
#define DELTA(d) "data: {\"choices\":[{\"index\":0,\"delta\":" d "}]}\n\n"
#define FINISH                                                                                     \
	"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":"    \
	"{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n"
#define DONE       "data: [DONE]\n\n"
#define HELLO      DELTA("{\"role\":\"assistant\",\"content\":\"Hel\"}") DELTA("{\"content\":\"lo\"}")
#define BIG_PIECES 3000

static char big_piece[1200];

static struct fake_reply replies[] = {
	{ "stream", OK_SSE, ": hi\n\n" HELLO FINISH DONE, FAKE_CHUNKED, 0 },
	{ "mislabelled", "HTTP/1.1 200 OK\r\nContent-Type: text/plain", HELLO FINISH DONE,
	  FAKE_CHUNKED, 0 },
	{ "lingers", OK_SSE, HELLO FINISH DONE, FAKE_CHUNKED_HANG, 0 },
	{ "json", OK_JSON,
	  "\n\n\n{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
	  "\"content\":\"Hello\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,"
	  "\"completion_tokens\":2}}",
	  FAKE_CHUNKED, 0 },
	{ "cut", OK_SSE, HELLO, FAKE_CHUNKED_CUT, 0 },
	{ "no-done", OK_SSE, HELLO FINISH, FAKE_CHUNKED, 0 },
	{ "error", OK_SSE, HELLO "data: {\"error\":{\"message\":\"CUDA\"}}\n\n", FAKE_CHUNKED, 0 },
	{ "bad-json", OK_SSE, "data: {nope\n\n", FAKE_CHUNKED, 0 },
	{ "page", "HTTP/1.1 200 OK\r\nContent-Type: text/html", "<html>", FAKE_LENGTH, 0 },
	{ "empty", OK_JSON, "", FAKE_LENGTH, 0 },
	{ "cut-json", OK_JSON, "{\"choices\":[", FAKE_LENGTH, 0 },
	{ "limit", "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7",
	  "{\"error\":{\"message\":\"slow\"}}", FAKE_LENGTH, 0 },
	{ "broken", "HTTP/1.1 500 Oops", "<html>", FAKE_LENGTH, 0 },
	{ "huge-error", "HTTP/1.1 400 Bad", "xxxxxxxxxxxxxxxx", FAKE_LENGTH, 65536 },
	{ "redirect", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/", "", FAKE_LENGTH, 0 },
	{ "key", "HTTP/1.1 401 No", "{\"error\":{\"message\":\"key sk-test is bad\"}}", FAKE_LENGTH,
	  0 },
	{ "hang", "", "", FAKE_HANG, 0 },
	{ "drip", OK_SSE, HELLO, FAKE_CHUNKED_HANG, 0 },
	{ "big", OK_SSE, big_piece, FAKE_CHUNKED_CUT, BIG_PIECES },
	{ "/models", OK_JSON,
	  "{\"object\":\"list\",\"data\":[{\"id\":\"stream\",\"owned_by\":\"x\"},{\"id\":\"b\"},{\"noise\":1}]}",
	  FAKE_LENGTH, 0 },
	{ NULL, NULL, NULL, FAKE_HANG, 0 },
};

static struct rig {
	struct fake_server *server;
	struct loop *loop;
	struct config *config;
	struct backend *b;
	struct loop_timer alarm;
	bool stopped;
} rig;

/* What one request came to. */
struct result {
	struct buf text; /* contents, with R at a role and F at a finish_reason */
	struct usage usage;
	struct im_err err;
	struct job *job;
	unsigned frames;
	bool ended, failed, has_usage;
	bool cancel_at_frame, pause_at_frame, stop_at_frame;
	struct loop_task resume;
};

static void
on_resume(void *arg)
{
	struct result *r = arg;

	if (!r->ended)
		backend_upstream.pause(r->job, false);
}

static void
on_frame(void *user, const struct generate_frame *frame)
{
	struct result *r = user;

	assert_false(r->ended);
	r->frames++;
	for (size_t i = 0; i < frame->delta_count; i++) {
		const struct delta *d = &frame->deltas[i];

		if (d->role[0] != '\0')
			(void)buf_append_byte(&r->text, 'R');
		(void)buf_append_str(&r->text, d->content);
		if (d->finish_reason[0] != '\0')
			(void)buf_append_byte(&r->text, 'F');
	}
	if (r->cancel_at_frame) {
		r->ended = true;
		backend_upstream.cancel(r->job);
		loop_stop(rig.loop);
	} else if (r->pause_at_frame) {
		backend_upstream.pause(r->job, true);
		loop_post(rig.loop, &r->resume);
	}
	if (r->stop_at_frame)
		loop_stop(rig.loop);
}

static void
on_end(void *user, const struct im_err *err, const struct usage *usage)
{
	struct result *r = user;

	assert_false(r->ended);
	r->ended = true;
	r->failed = err != NULL;
	r->has_usage = usage != NULL;
	if (err != NULL)
		r->err = *err;
	if (usage != NULL)
		r->usage = *usage;
	loop_stop(rig.loop);
}

static const struct job_ops job_ops = { .frame = on_frame, .end = on_end };

static void
on_alarm(void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "nothing happened within 20 s\n");
	abort(); /* cmocka's jump out of a callback would leave the loop held */
}

static void
run_until(const bool *done)
{
	loop_enter(rig.loop);
	assert_int_equal(loop_timer_set(rig.loop, &rig.alarm, 20000000), IM_OK);
	loop_leave(rig.loop);
	while (!*done)
		loop_run(rig.loop);
	loop_enter(rig.loop);
	loop_timer_cancel(rig.loop, &rig.alarm);
	loop_leave(rig.loop);
}

static void
on_stopped(void *arg)
{
	(void)arg;
	rig.stopped = true;
	loop_stop(rig.loop);
}

static enum im_rc
backend_start(const char *members, struct im_err *err)
{
	char yaml[2048];
	enum im_rc rc;

	(void)snprintf(
	    yaml, sizeof(yaml),
	    "workers:\n  - name: w\n    backend: upstream\n    url: http://127.0.0.1:%u/v1/\n%s",
	    fake_server_port(rig.server), members);
	config_free(rig.config);
	rig.config = NULL;
	rc = config_parse("test.yaml", yaml, strlen(yaml), &rig.config, err);
	if (rc != IM_OK)
		return rc;
	loop_enter(rig.loop);
	rc = backend_upstream.start(rig.loop, config_item(rig.config, "workers", 0), &rig.b, err);
	loop_leave(rig.loop);
	return rc;
}

static void
backend_stop(void)
{
	rig.stopped = false;
	loop_enter(rig.loop);
	backend_upstream.stop(rig.b, on_stopped, NULL);
	loop_leave(rig.loop);
	run_until(&rig.stopped);
	assert_true(fake_server_wait_open(rig.server, 0));
}

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(big_piece, sizeof(big_piece),
		       "data: {\"choices\":[{\"delta\":{\"content\":\"%01024d\"}}]}\n\n", 0);
	/* A proxy of the environment must not come between. */
	(void)setenv("no_proxy", "127.0.0.1", 1);
	rig.alarm.fn = on_alarm;
	rig.server = fake_server_start(replies);
	return rig.server != NULL && loop_new(&rig.loop, NULL) == IM_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	fake_server_stop(rig.server);
	config_free(rig.config);
	loop_free(rig.loop);
	return 0;
}

#define ALL_MODELS                                                                                      \
	"    models: [stream, mislabelled, lingers, json, cut, no-done, error, bad-json, page, empty, " \
	"cut-json, limit, broken, huge-error, redirect, key, hang, drip, big, unknown]\n"

static enum im_rc
submit(const char *model, uint32_t budget_ms, struct result *r)
{
	struct message m = { .role = "user", .content = "hi" };
	struct generate_request req = { .model = model,
					.messages = &m,
					.message_count = 1,
					.request_id = "0123456789abcdef0123456789abcdef",
					.tenant = "t" };
	enum im_rc rc;

	r->resume.fn = on_resume;
	r->resume.arg = r;
	loop_enter(rig.loop);
	rc = backend_upstream.submit(rig.b, &req, budget_ms,
				     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
				     &job_ops, r, &r->job, &r->err);
	loop_leave(rig.loop);
	return rc;
}

static void
run(const char *model, uint32_t budget_ms, struct result *r)
{
	memset(r, 0, sizeof(*r));
	assert_int_equal(submit(model, budget_ms, r), IM_OK);
	run_until(&r->ended);
}

static void
test_upstream_answers_in_each_form_give_the_same_frames(void **state)
{
	static const char *const models[] = { "stream", "mislabelled", "json", "lingers",
					      "stream" };
	struct im_err err;

	(void)state;
	assert_int_equal(backend_start(ALL_MODELS, &err), IM_OK);
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		struct result r;

		run(models[i], 0, &r);
		assert_false(r.failed);
		assert_string_equal(buf_cstr(&r.text), "RHelloF");
		assert_true(r.has_usage);
		assert_int_equal(r.usage.prompt_tokens, 7);
		assert_int_equal(r.usage.completion_tokens, 2);
		buf_done(&r.text);
	}
	backend_stop();
}

static void
test_upstream_request_carries_key_and_trace_and_nothing_of_the_caller(void **state)
{
	char request[8192];
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(setenv("INFERMESH_TEST_KEY", "sk-test", 1), 0);
	assert_int_equal(backend_start(ALL_MODELS
				       "    api_key_env: INFERMESH_TEST_KEY\n"
				       "    extra: {thinking: '{\"type\":\"disabled\"}'}\n",
				       &err),
			 IM_OK);
	run("stream", 1000, &r);
	fake_server_last(rig.server, request, sizeof(request));
	assert_non_null(strstr(request, "POST /v1/chat/completions HTTP/1.1\r\n"));
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
	run("key", 0, &r);
	assert_int_equal(r.err.rc, IM_EUPSTREAM);
	assert_null(strstr(r.err.text, "sk-"));
	backend_stop();
}

static void
test_upstream_failures_are_told_apart_and_never_a_success(void **state)
{
	static const struct {
		const char *model;
		enum im_rc rc;
		const char *reason, *text, *got;
		uint32_t retry_ms;
	} rows[] = {
		{ "cut", IM_EUPSTREAM, "upstream_error", "broke", "RHello", 0 },
		{ "no-done", IM_EUPSTREAM, "upstream_error", "before [DONE]", "RHelloF", 0 },
		{ "error", IM_EUPSTREAM, "upstream_error", "CUDA", "RHello", 0 },
		{ "bad-json", IM_EUPSTREAM, "upstream_error", "cannot be used", "", 0 },
		{ "page", IM_EUPSTREAM, "upstream_error", "neither JSON", "", 0 },
		{ "empty", IM_EUPSTREAM, "upstream_error", "empty", "", 0 },
		{ "cut-json", IM_EUPSTREAM, "upstream_error", "cannot be used", "", 0 },
		{ "limit", IM_ELIMIT, "rate_limit_exceeded", "slow", "", 7000 },
		{ "broken", IM_EUPSTREAM, "upstream_error", "500", "", 0 },
		{ "huge-error", IM_EINVAL, "", "refused", "", 0 },
		{ "redirect", IM_EUPSTREAM, "upstream_error", "redirect", "", 0 },
		{ "unknown", IM_EUPSTREAM, "upstream_error", "broke", "", 0 },
	};
	struct im_err err;

	(void)state;
	assert_int_equal(backend_start(ALL_MODELS, &err), IM_OK);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result r;

		run(rows[i].model, 0, &r);
		assert_true(r.failed);
		assert_int_equal(r.err.rc, rows[i].rc);
		assert_string_equal(r.err.reason, rows[i].reason);
		assert_non_null(strstr(r.err.text, rows[i].text));
		assert_int_equal(r.err.retry_after_ms, rows[i].retry_ms);
		assert_string_equal(buf_cstr(&r.text), rows[i].got);
		buf_done(&r.text);
	}
	backend_stop();
}

static void
test_upstream_that_is_silent_or_too_slow_times_out_and_is_closed(void **state)
{
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(backend_start(ALL_MODELS "    read_ms: 50ms\n", &err), IM_OK);
	run("hang", 0, &r);
	assert_int_equal(r.err.rc, IM_EDEADLINE);
	assert_string_equal(r.err.reason, "upstream_timeout");
	assert_non_null(strstr(r.err.text, "silent for 50 ms"));
	assert_true(fake_server_wait_open(rig.server, 0));
	backend_stop();
	assert_int_equal(backend_start(ALL_MODELS, &err), IM_OK);
	run("drip", 50, &r);
	assert_int_equal(r.err.rc, IM_EDEADLINE);
	assert_non_null(strstr(r.err.text, "deadline"));
	assert_true(fake_server_wait_open(rig.server, 0));
	buf_done(&r.text);
	backend_stop();
}

static void
test_upstream_that_is_not_there_is_named_as_that(void **state)
{
	static const char yaml[] =
	    "workers:\n  - {name: w, backend: upstream, models: [m], url: 'http://127.0.0.1:1/v1'}\n";
	struct im_err err;
	struct result r;

	(void)state;
	config_free(rig.config);
	assert_int_equal(config_parse("t", yaml, sizeof(yaml) - 1, &rig.config, &err), IM_OK);
	loop_enter(rig.loop);
	assert_int_equal(
	    backend_upstream.start(rig.loop, config_item(rig.config, "workers", 0), &rig.b, &err),
	    IM_OK);
	loop_leave(rig.loop);
	run("m", 0, &r);
	assert_int_equal(r.err.rc, IM_EUPSTREAM);
	assert_non_null(strstr(r.err.text, "cannot be reached"));
	backend_stop();
}

static void
test_upstream_cancel_closes_the_connection(void **state)
{
	struct im_err err;
	struct result r = { .stop_at_frame = true };

	(void)state;
	assert_int_equal(backend_start(ALL_MODELS, &err), IM_OK);
	/* before an answer */
	assert_int_equal(submit("hang", 0, &r), IM_OK);
	loop_enter(rig.loop);
	backend_upstream.cancel(r.job);
	loop_leave(rig.loop);
	/* between two pieces */
	assert_int_equal(submit("drip", 0, &r), IM_OK);
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
	assert_int_equal(submit("drip", 0, &r), IM_OK);
	run_until(&r.ended);
	assert_true(fake_server_wait_open(rig.server, 0));
	assert_int_equal(r.frames, 1);
	buf_done(&r.text);
	backend_stop();
}

static void
test_upstream_paused_job_stops_reading_and_loses_nothing(void **state)
{
	struct result slow = { .pause_at_frame = true }, held = { 0 }, quick;
	struct im_err err;

	(void)state;
	assert_int_equal(backend_start(ALL_MODELS, &err), IM_OK);
	assert_int_equal(submit("big", 0, &held), IM_OK);
	loop_enter(rig.loop);
	backend_upstream.pause(held.job, true);
	loop_leave(rig.loop);
	/* A whole other answer passes meanwhile; then one that is paused at each piece. */
	run("stream", 0, &quick);
	assert_false(quick.failed);
	assert_int_equal(submit("big", 0, &slow), IM_OK);
	run_until(&slow.ended);
	assert_int_equal(held.frames, 0);
	loop_enter(rig.loop);
	backend_upstream.pause(held.job, false);
	loop_leave(rig.loop);
	run_until(&held.ended);
	/* Both are cut after the last piece: no finish, but each byte is there. */
	assert_int_equal(slow.text.len, 1 + 1024 * BIG_PIECES);
	assert_int_equal(held.text.len, 1 + 1024 * BIG_PIECES);
	assert_int_equal(slow.frames, BIG_PIECES);
	buf_done(&slow.text);
	buf_done(&held.text);
	buf_done(&quick.text);
	backend_stop();
}

static void
test_upstream_over_capacity_or_unknown_model_is_refused_at_once(void **state)
{
	struct result a = { 0 }, b = { 0 };
	struct im_err err;

	(void)state;
	assert_int_equal(backend_start("    models: [stream, hang]\n    capacity: 1\n", &err),
			 IM_OK);
	assert_int_equal(backend_upstream.capacity(rig.b), 1);
	assert_int_equal(submit("nope", 0, &a), IM_ENOTFOUND);
	assert_string_equal(a.err.reason, "model_not_found");
	assert_int_equal(submit("hang", 0, &a), IM_OK);
	assert_int_equal(submit("stream", 0, &b), IM_EAGAIN);
	loop_enter(rig.loop);
	backend_upstream.cancel(a.job);
	loop_leave(rig.loop);
	run("stream", 0, &b);
	assert_false(b.failed);
	buf_done(&b.text);
	backend_stop();
}

static struct loop_timer looking;

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
	assert_int_equal(backend_start("", &err), IM_OK);
	looking.fn = look_for_models;
	loop_enter(rig.loop);
	look_for_models(&known);
	loop_leave(rig.loop);
	run_until(&known);
	models = backend_upstream.models(rig.b, &count);
	assert_int_equal(count, 2);
	assert_string_equal(models[0].id, "stream");
	assert_string_equal(models[0].owned_by, "x");
	assert_string_equal(models[1].id, "b");
	run("stream", 0, &r);
	assert_false(r.failed);
	buf_done(&r.text);
	backend_stop();
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
		assert_int_not_equal(backend_start(rows[i][0], &err), IM_OK);
		assert_non_null(strstr(err.text, rows[i][1]));
	}
}

static unsigned
open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) !=
	       NULL) /* NOLINT(concurrency-mt-unsafe): nobody else reads this folder's stream */
		n++;
	(void)closedir(d);
	return n;
}

static void
test_upstream_thousand_requests_of_all_kinds_leave_no_descriptor(void **state)
{
	static const char *const models[] = { "stream", "json",   "cut",    "limit",
					      "drip",   "stream", "broken", "bad-json" };
	struct im_err err;
	unsigned before;

	(void)state;
	assert_int_equal(backend_start(ALL_MODELS, &err), IM_OK);
	backend_stop(); /* libcurl has what it keeps for good */
	before = open_descriptors();
	assert_int_equal(backend_start(ALL_MODELS, &err), IM_OK);
	for (unsigned i = 0; i < 1000; i++) {
		struct result r = { .cancel_at_frame = i % 8 == 4 };

		assert_int_equal(submit(models[i % 8], 0, &r), IM_OK);
		run_until(&r.ended);
		buf_done(&r.text);
	}
	backend_stop();
	assert_int_equal(open_descriptors(), before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upstream_answers_in_each_form_give_the_same_frames),
		cmocka_unit_test(
		    test_upstream_request_carries_key_and_trace_and_nothing_of_the_caller),
		cmocka_unit_test(test_upstream_failures_are_told_apart_and_never_a_success),
		cmocka_unit_test(test_upstream_that_is_silent_or_too_slow_times_out_and_is_closed),
		cmocka_unit_test(test_upstream_that_is_not_there_is_named_as_that),
		cmocka_unit_test(test_upstream_cancel_closes_the_connection),
		cmocka_unit_test(test_upstream_paused_job_stops_reading_and_loses_nothing),
		cmocka_unit_test(test_upstream_over_capacity_or_unknown_model_is_refused_at_once),
		cmocka_unit_test(test_upstream_models_are_asked_for_when_none_is_configured),
		cmocka_unit_test(test_upstream_configuration_that_cannot_work_says_why),
		cmocka_unit_test(test_upstream_thousand_requests_of_all_kinds_leave_no_descriptor),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
