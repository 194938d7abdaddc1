/*
 * client/client_test.c - libinfermesh against a router that is none: streams in both styles, whole answers, errors, a router
 * that is not there, that dies and that comes back.
 */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake_router.h"
#include "infermesh.h"

#define MIB ((size_t)1048576)

struct fixture {
	struct fake_router router;
	struct infermesh *mesh;
	struct infermesh_error err;
};

static int
start(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	fake_router_init(&f.router);
	fake_router_start(&f.router);
	if (infermesh_connect(f.router.url, "test", 10000, &f.mesh, &f.err) != INFERMESH_OK)
		fail_msg("%s", f.err.text);
	*state = &f;
	return 0;
}

static int
stop(void **state)
{
	struct fixture *f = *state;

	infermesh_close(f->mesh);
	fake_router_stop(&f->router);
	fake_router_done(&f->router);
	return 0;
}

static struct infermesh_call *
ask(struct fixture *f, const char *model, const char *text)
{
	struct infermesh_request *req = infermesh_request_new(model);
	struct infermesh_call *call = NULL;

	assert_non_null(req);
	infermesh_request_message(req, "user", text);
	if (infermesh_generate(f->mesh, req, &call, &f->err) != INFERMESH_OK)
		fail_msg("%s", f->err.text);
	infermesh_request_free(req);
	return call;
}

/* The next event, which must be of 'type'. */
static struct infermesh_event
expect(struct fixture *f, struct infermesh_call *call, enum infermesh_event_type type)
{
	struct infermesh_event ev;

	if (infermesh_next(call, 10000, &ev, &f->err) != INFERMESH_OK)
		fail_msg("%s", f->err.text);
	assert_int_equal(ev.type, type);
	return ev;
}

static void
test_client_pulled_stream_has_start_deltas_and_end(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "echo", "one two three");
	static const char *const words[] = { "one", " two", " three", "" };
	struct infermesh_event ev = expect(f, call, INFERMESH_START);

	assert_string_equal(ev.model, "echo");
	assert_string_equal(ev.cache, "miss");
	assert_string_equal(ev.worker, "w1");
	for (int i = 0; i < 4; i++) {
		ev = expect(f, call, INFERMESH_DELTA);
		assert_string_equal(ev.content, words[i]);
		assert_string_equal(ev.role, i == 0 ? "assistant" : "");
		assert_string_equal(ev.finish_reason, i == 3 ? "stop" : "");
		assert_string_equal(ev.model, "");
	}
	ev = expect(f, call, INFERMESH_END);
	assert_int_equal(ev.usage.prompt_tokens, 1);
	assert_int_equal(ev.usage.completion_tokens, 3);
	assert_int_equal(infermesh_next(call, 0, &ev, &f->err), INFERMESH_EINVAL);
	infermesh_call_free(call);
	assert_true(f->router.streamed);
}

static void
test_client_tool_calls_arrive(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "tools", "x");
	struct infermesh_event ev;

	(void)expect(f, call, INFERMESH_START);
	ev = expect(f, call, INFERMESH_DELTA);
	assert_int_equal(ev.tool_call_count, 2);
	assert_string_equal(ev.tool_calls[0].name, "add");
	assert_string_equal(ev.tool_calls[1].id, "c1");
	assert_string_equal(ev.finish_reason, "tool_calls");
	(void)expect(f, call, INFERMESH_END);
	infermesh_call_free(call);
}

static void
test_client_request_settings_reach_the_router(void **state)
{
	struct fixture *f = *state;
	struct infermesh_request *req = infermesh_request_new("echo");
	const struct infermesh_answer *answer;

	infermesh_request_message(req, "system", "be brief");
	infermesh_request_message(req, "user", "hello");
	infermesh_request_temperature(req, 0.5);
	infermesh_request_top_p(req, 0.5);
	infermesh_request_seed(req, -1);
	infermesh_request_max_tokens(req, 5);
	infermesh_request_stop(req, "\n");
	infermesh_request_json(req, "tools", "[]");
	infermesh_request_caller(req, "alice", "acme");
	infermesh_request_traceparent(req,
				      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	infermesh_request_timeout(req, 5000);
	infermesh_request_priority(req, 3);
	infermesh_request_no_cache(req);
	if (infermesh_once(f->mesh, req, &answer, &f->err) != INFERMESH_OK)
		fail_msg("%s", f->err.text);
	assert_string_equal(answer->request_id, "00112233445566778899aabbccddeeff");
	assert_int_equal(answer->choice_count, 1);
	assert_string_equal(answer->choices[0].content, "hello");
	assert_string_equal(answer->choices[0].refusal, "");
	assert_string_equal(answer->choices[0].tool_calls[0].name, "add");
	assert_int_equal(answer->usage.prompt_tokens, 3);
	infermesh_answer_free(answer);
	infermesh_request_free(req);
	assert_string_equal(f->router.caller, "alice");
	assert_string_equal(f->router.tenant, "acme");
	assert_string_equal(f->router.traceparent,
			    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	assert_in_range(f->router.budget_ms, 1, 5000);
	assert_int_equal(f->router.priority, 3);
	assert_true(f->router.no_cache);
	assert_false(f->router.streamed);
}

static void
test_client_limits_are_known_from_the_start_of_an_answer(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "echo", "one two");
	const struct infermesh_limits *limits = infermesh_call_limits(call);
	struct infermesh_request *req = infermesh_request_new("echo");
	const struct infermesh_answer *answer;
	struct infermesh_event ev;

	assert_int_equal(limits->requests.limit, 0);
	(void)expect(f, call, INFERMESH_START);
	assert_int_equal(limits->requests.limit, 60);
	assert_int_equal(limits->requests.remaining, 59);
	assert_int_equal(limits->requests.reset_ms, 1000);
	assert_true(limits->tokens.limit == 1000000000000);
	assert_int_equal(limits->tokens.remaining, 999);
	do
		assert_int_equal(infermesh_next(call, 10000, &ev, &f->err), INFERMESH_OK);
	while (ev.type != INFERMESH_END);
	assert_int_equal(limits->requests.remaining, 59); /* as when it was admitted */
	infermesh_call_free(call);
	/* Refused: nothing is left, and when it will be. */
	call = ask(f, "busy", "x");
	assert_int_equal(infermesh_next(call, 10000, &ev, &f->err), INFERMESH_ELIMIT);
	assert_int_equal(infermesh_call_limits(call)->requests.limit, 60);
	assert_int_equal(infermesh_call_limits(call)->requests.remaining, 0);
	assert_int_equal(infermesh_call_limits(call)->requests.reset_ms, 60000);
	infermesh_call_free(call);
	/* With a whole answer. */
	infermesh_request_message(req, "user", "hello");
	assert_int_equal(infermesh_once(f->mesh, req, &answer, &f->err), INFERMESH_OK);
	assert_int_equal(answer->limits.requests.remaining, 59);
	assert_int_equal(answer->limits.tokens.reset_ms, 2000);
	infermesh_answer_free(answer);
	infermesh_request_free(req);
}

static void
test_client_models_are_listed(void **state)
{
	struct fixture *f = *state;
	const struct infermesh_models *models;

	assert_int_equal(infermesh_models(f->mesh, 10000, &models, &f->err), INFERMESH_OK);
	assert_int_equal(models->count, 2);
	assert_string_equal(models->models[0].id, "echo");
	assert_int_equal(models->models[0].context_tokens, 2048);
	assert_string_equal(models->models[1].digest, "");
	infermesh_models_free(models);
}

static void
test_client_wrong_request_is_refused_before_it_is_sent(void **state)
{
	static const char *const wrong[] = { "[", "{\"a\":1,}", "\xff", "" };
	struct fixture *f = *state;
	struct infermesh_request *req = infermesh_request_new("echo");
	struct infermesh_call *call = NULL;

	assert_int_equal(infermesh_generate(f->mesh, req, &call, &f->err), INFERMESH_EINVAL);
	infermesh_request_free(req);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		req = infermesh_request_new("echo");
		infermesh_request_message(req, "user", "x");
		infermesh_request_json(req, "tools", wrong[i]);
		assert_int_equal(infermesh_generate(f->mesh, req, &call, &f->err),
				 INFERMESH_EINVAL);
		assert_non_null(strstr(f->err.text, "tools"));
		infermesh_request_free(req);
	}
	req = infermesh_request_new("echo");
	infermesh_request_message(req, "user", "x");
	infermesh_request_json(req, "tolls", "[]");
	assert_int_equal(infermesh_generate(f->mesh, req, &call, NULL), INFERMESH_EINVAL);
	infermesh_request_free(req);
	req = infermesh_request_new(NULL);
	infermesh_request_message(req, "user", "x");
	assert_int_equal(infermesh_generate(f->mesh, req, &call, &f->err), INFERMESH_EINVAL);
	infermesh_request_free(req);
	assert_null(call);
	assert_int_equal(atomic_load(&f->router.requests), 0);
}

static void
test_client_errors_of_the_mesh_keep_their_details(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "busy", "x");
	struct infermesh_request *req = infermesh_request_new("busy");
	const struct infermesh_answer *answer;
	struct infermesh_event ev;

	for (int i = 0; i < 2; i++) { /* it says so again */
		assert_int_equal(infermesh_next(call, 10000, &ev, &f->err), INFERMESH_ELIMIT);
		assert_int_equal(f->err.code, INFERMESH_ELIMIT);
		assert_string_equal(f->err.reason, "rate_limit_exceeded");
		assert_int_equal(f->err.retry_after_ms, 1500);
		assert_string_equal(f->err.text, "too many requests");
	}
	infermesh_call_free(call);
	call = ask(f, "other", "x");
	assert_int_equal(infermesh_next(call, 10000, &ev, &f->err), INFERMESH_ENOTFOUND);
	assert_string_equal(f->err.param, "model");
	infermesh_call_free(call);
	call = ask(f, "again", "x"); /* must not be taken for "no event yet" */
	assert_int_equal(infermesh_next(call, 10000, &ev, &f->err), INFERMESH_EUNAVAILABLE);
	infermesh_call_free(call);
	infermesh_request_message(req, "user", "x");
	assert_int_equal(infermesh_once(f->mesh, req, &answer, &f->err), INFERMESH_ELIMIT);
	infermesh_request_free(req);
}

static void
test_client_garbage_is_a_failure_and_no_short_answer(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "garbage", "x");
	struct infermesh_event ev;

	(void)expect(f, call, INFERMESH_START);
	assert_int_equal(infermesh_next(call, 10000, &ev, &f->err), INFERMESH_EPROTO);
	assert_int_equal(infermesh_next(call, 10000, &ev, &f->err), INFERMESH_EPROTO);
	infermesh_call_free(call);
}

static void
test_client_next_without_an_event_says_again(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "hold", "x");
	struct infermesh_event ev;

	(void)expect(f, call, INFERMESH_START);
	assert_int_equal(infermesh_next(call, 0, &ev, &f->err), INFERMESH_EAGAIN);
	assert_int_equal(infermesh_next(call, 20, &ev, &f->err), INFERMESH_EAGAIN);
	infermesh_call_free(call); /* cancels */
	fake_router_await(&f->router.cancelled, 1);
}

static void
test_client_deadline_ends_the_call(void **state)
{
	struct fixture *f = *state;
	struct infermesh_request *req = infermesh_request_new("hold");
	struct infermesh_call *call;
	struct infermesh_event ev;

	infermesh_request_message(req, "user", "x");
	infermesh_request_timeout(req, 100);
	assert_int_equal(infermesh_generate(f->mesh, req, &call, &f->err), INFERMESH_OK);
	infermesh_request_free(req);
	(void)expect(f, call, INFERMESH_START);
	assert_int_equal(infermesh_next(call, 10000, &ev, &f->err), INFERMESH_EDEADLINE);
	infermesh_call_free(call);
}

static void *
cancel_later(void *call)
{
	infermesh_cancel(call);
	return NULL;
}

static void
test_client_cancel_from_another_thread_wakes_the_reader(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "hold", "x");
	struct infermesh_event ev;
	pthread_t thread;

	(void)expect(f, call, INFERMESH_START);
	assert_int_equal(pthread_create(&thread, NULL, cancel_later, call), 0);
	assert_int_equal(infermesh_next(call, -1, &ev, &f->err), INFERMESH_ECANCELED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	infermesh_cancel(call);
	infermesh_call_free(call);
	fake_router_await(&f->router.cancelled, 1);
}

static void
test_client_that_does_not_read_stops_the_stream(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "endless", "x");
	struct infermesh_call *other;
	size_t before = 0, got = 0;

	(void)expect(f, call, INFERMESH_START);
	/* Another call on the same connection is not held up, and by its end all credit of the first is long spent. */
	for (int i = 0; i < 20; i++) {
		other = ask(f, "echo", "a b");
		while (expect(f, other, INFERMESH_START).type != INFERMESH_START)
			continue;
		infermesh_call_free(other);
	}
	assert_true(atomic_load(&f->router.sent) < MIB);
	while (got < 4 * MIB)
		got += strlen(expect(f, call, INFERMESH_DELTA).content);
	before = atomic_load(&f->router.sent);
	assert_true(before >= got && before < got + MIB);
	infermesh_call_free(call);
	fake_router_await(&f->router.cancelled, 1);
}

static void
test_client_without_a_router_fails_in_time_and_says_so(void **state)
{
	struct infermesh *mesh = NULL;
	struct infermesh_error err;

	(void)state;
	assert_int_equal(
	    infermesh_connect("ipc:///tmp/infermesh-no-such-socket", "test", 100, &mesh, &err),
	    INFERMESH_EUNAVAILABLE);
	assert_non_null(
	    strstr(err.text, "no router answered at ipc:///tmp/infermesh-no-such-socket"));
	assert_int_equal(infermesh_connect("http://localhost", "test", 100, &mesh, &err),
			 INFERMESH_EINVAL);
	assert_true(err.text[0] != '\0');
	assert_int_equal(
	    infermesh_connect("ipc:///tmp/x",
			      "a-name-that-is-longer-than-the-sixty-three-bytes-that-a-"
			      "name-may-have",
			      100, &mesh, NULL),
	    INFERMESH_EINVAL);
	assert_null(mesh);
	infermesh_close(NULL);
	infermesh_call_free(NULL);
	infermesh_request_free(NULL);
	infermesh_answer_free(NULL);
	infermesh_models_free(NULL);
}

static void
test_client_router_that_dies_fails_the_call_and_comes_back(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "die", "x");
	const struct timespec nap = { .tv_nsec = 1000000 };
	const struct infermesh_models *models;
	struct infermesh_event ev;

	(void)expect(f, call, INFERMESH_START);
	assert_int_equal(infermesh_connected(f->mesh), 1);
	fake_router_stop(&f->router);
	/* What came before the end is still there; the end is a failure. */
	assert_string_equal(expect(f, call, INFERMESH_DELTA).content, "half");
	assert_int_equal(infermesh_next(call, 10000, &ev, &f->err), INFERMESH_EUNAVAILABLE);
	infermesh_call_free(call);
	assert_int_equal(infermesh_models(f->mesh, 10000, &models, &f->err),
			 INFERMESH_EUNAVAILABLE);
	assert_non_null(strstr(f->err.text, f->router.url));
	fake_router_start(&f->router);
	for (int i = 0; i < 10000 && infermesh_connected(f->mesh) == 0; i++)
		(void)nanosleep(&nap, NULL);
	assert_int_equal(infermesh_models(f->mesh, 10000, &models, &f->err), INFERMESH_OK);
	infermesh_models_free(models);
}

static void
test_client_close_fails_calls_that_are_freed_later(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "hold", "x");
	struct infermesh_event ev;

	(void)expect(f, call, INFERMESH_START);
	infermesh_close(f->mesh);
	f->mesh = NULL;
	assert_int_equal(infermesh_next(call, 10000, &ev, &f->err), INFERMESH_EUNAVAILABLE);
	infermesh_cancel(call);
	infermesh_call_free(call);
}

static void
test_client_version_and_codes_have_texts(void **state)
{
	(void)state;
	assert_true(infermesh_version()[0] >= '0' && infermesh_version()[0] <= '9');
	assert_string_equal(infermesh_code_text(INFERMESH_OK), "success");
	assert_non_null(infermesh_code_text((enum infermesh_code)4711));
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_client_pulled_stream_has_start_deltas_and_end),
		T(test_client_tool_calls_arrive),
		T(test_client_request_settings_reach_the_router),
		T(test_client_limits_are_known_from_the_start_of_an_answer),
		T(test_client_models_are_listed),
		T(test_client_wrong_request_is_refused_before_it_is_sent),
		T(test_client_errors_of_the_mesh_keep_their_details),
		T(test_client_garbage_is_a_failure_and_no_short_answer),
		T(test_client_next_without_an_event_says_again),
		T(test_client_deadline_ends_the_call),
		T(test_client_cancel_from_another_thread_wakes_the_reader),
		T(test_client_that_does_not_read_stops_the_stream),
		cmocka_unit_test(test_client_without_a_router_fails_in_time_and_says_so),
		T(test_client_router_that_dies_fails_the_call_and_comes_back),
		T(test_client_close_fails_calls_that_are_freed_later),
		cmocka_unit_test(test_client_version_and_codes_have_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
