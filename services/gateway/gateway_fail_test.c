/*
 * gateway/gateway_fail_test.c - the whole gateway between a client on a socket and a router: what goes wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/keys.h"
#include "gateway/gateway_rig.h"

static struct rig rig;

#define CHAT   "{\"model\":\"m\"," RIG_MESSAGES "}"
#define STREAM "{\"model\":\"m\",\"stream\":true," RIG_MESSAGES "}"

static int
setup(void **state)
{
	(void)state;
	rig_start(&rig, "  body_bytes: 4KiB\n", false);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_check_idle(&rig);
	rig_stop(&rig);
	return 0;
}

static void
expect_error(int fd, int status, const char *type, const char *code)
{
	struct response r;
	char want[128];

	client_read(fd, &r, false);
	if (r.status != status)
		fail_msg("status %d, not %d: %s", r.status, status, r.body);
	assert_true(r.complete);
	assert_string_equal(response_header(&r, "content-type"), "application/json");
	assert_non_null(response_header(&r, "x-request-id"));
	assert_non_null(response_header(&r, "openai-processing-ms"));
	assert_string_equal(response_header(&r, "access-control-allow-origin"), "*");
	assert_true(strncmp(r.body, "{\"error\":{\"message\":\"", 21) == 0);
	(void)snprintf(want, sizeof(want), "\"type\":\"%s\"", type);
	assert_non_null(strstr(r.body, want));
	(void)snprintf(want, sizeof(want), code == NULL ? "\"code\":null}}" : "\"code\":\"%s\"}}",
		       code);
	if (strstr(r.body, want) == NULL)
		fail_msg("no %s in %s", want, r.body);
	if (status == 503 || status == 429)
		assert_non_null(response_header(&r, "retry-after-ms"));
	if (status == 400 || status == 401 || status == 404 || status == 405 || status == 413)
		assert_string_equal(response_header(&r, "x-should-retry"), "false");
	response_done(&r);
}

static void
test_gateway_error_before_admission_is_a_plain_reply(void **state)
{
	static const struct {
		enum im_rc rc;
		int status;
		const char *reason;
		const char *type, *code;
	} cases[] = {
		{ IM_ENOTFOUND, 404, "model_not_found", "invalid_request_error",
		  "model_not_found" },
		{ IM_EUNAVAILABLE, 503, "no_healthy_worker", "server_error", "no_healthy_worker" },
		{ IM_EUNAVAILABLE, 503, "audit_unavailable", "server_error", "audit_unavailable" },
		{ IM_EAUTH, 502, "", "server_error", "upstream_error" },
		{ IM_ELIMIT, 429, "", "requests", "rate_limit_exceeded" },
		{ IM_EDEADLINE, 504, "", "server_error", "upstream_timeout" },
		{ IM_EINVAL, 400, "context_length_exceeded", "invalid_request_error",
		  "context_length_exceeded" },
	};
	int fd = client_connect(rig.address, 0);

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_chat(fd, i % 2 == 0 ? STREAM : CHAT);
		rig_await_calls(&rig, i + 1);
		rig_fail(&rig, cases[i].rc, cases[i].reason, 1500, "because");
		expect_error(fd, cases[i].status, cases[i].type, cases[i].code);
	}
	(void)close(fd);
}

static void
test_gateway_limits_are_in_headers_of_answers_and_errors(void **state)
{
	static const struct im_rates rates = { { 60, 59, 1000 }, { 6000, 0, 360000 } };
	static const struct im_rates requests = { { 60, 7, 53250 }, { 0 } };
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	for (unsigned i = 0; i < 2; i++) { /* as a stream, and whole */
		rig_chat(fd, i == 0 ? STREAM : CHAT);
		rig_await_calls(&rig, 2 * i + 1);
		rig_head_limits(&rig, &requests);
		rig_delta(&rig, "assistant", "hi", "stop");
		rig_end(&rig, NULL);
		client_read(fd, &r, false);
		assert_int_equal(r.status, 200);
		assert_string_equal(response_header(&r, "x-ratelimit-limit-requests"), "60");
		assert_string_equal(response_header(&r, "x-ratelimit-remaining-requests"), "7");
		assert_string_equal(response_header(&r, "x-ratelimit-reset-requests"), "53.25s");
		assert_null(response_header(&r, "x-ratelimit-limit-tokens"));
		response_done(&r);

		rig_chat(fd, i == 0 ? STREAM : CHAT);
		rig_await_calls(&rig, 2 * i + 2);
		rig_fail_limits(&rig, &rates, 1250);
		client_read(fd, &r, false);
		assert_int_equal(r.status, 429);
		assert_string_equal(response_header(&r, "retry-after"), "2");
		assert_string_equal(response_header(&r, "retry-after-ms"), "1250");
		assert_string_equal(response_header(&r, "x-ratelimit-limit-requests"), "60");
		assert_string_equal(response_header(&r, "x-ratelimit-remaining-requests"), "59");
		assert_string_equal(response_header(&r, "x-ratelimit-reset-requests"), "1s");
		assert_string_equal(response_header(&r, "x-ratelimit-limit-tokens"), "6000");
		assert_string_equal(response_header(&r, "x-ratelimit-remaining-tokens"), "0");
		assert_string_equal(response_header(&r, "x-ratelimit-reset-tokens"), "6m0s");
		assert_non_null(strstr(r.body, "\"type\":\"tokens\""));
		assert_non_null(strstr(r.body, "\"code\":\"rate_limit_exceeded\""));
		response_done(&r);
	}
	(void)close(fd);
}

static void
test_gateway_failed_stream_is_broken_off(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	rig_chat(fd, STREAM);
	rig_await_calls(&rig, 1);
	rig_head(&rig, "m", "miss");
	rig_delta(&rig, "", "half", "");
	rig_fail(&rig, IM_EUPSTREAM, "upstream_error", 0, "the upstream broke");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	assert_false(r.complete);
	assert_null(strstr(r.body, "[DONE]"));
	assert_non_null(strstr(r.body, "half"));
	assert_non_null(
	    strstr(r.body,
		   "data: {\"error\":{\"message\":\"the upstream broke\",\"type\":\"server_error\","
		   "\"param\":null,\"code\":\"upstream_error\"}}\n\n"));
	assert_true(client_at_end(fd));
	response_done(&r);
	(void)close(fd);
}

static void
test_gateway_unfinished_answer_is_no_success(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	rig_chat(fd, CHAT);
	rig_await_calls(&rig, 1);
	rig_head(&rig, "m", "miss");
	rig_delta(&rig, "", "half", "");
	rig_end(&rig, NULL);
	expect_error(fd, 502, "server_error", "upstream_error");
	rig_chat(fd, STREAM);
	rig_await_calls(&rig, 2);
	rig_head(&rig, "m", "miss");
	rig_delta(&rig, "", "half", "");
	rig_end(&rig, NULL);
	client_read(fd, &r, false);
	assert_false(r.complete);
	assert_null(strstr(r.body, "[DONE]"));
	response_done(&r);
	(void)close(fd);
}

static void
test_gateway_malformed_frame_cancels_and_fails(void **state)
{
	int fd = client_connect(rig.address, 0);

	(void)state;
	rig_chat(fd, CHAT);
	rig_await_calls(&rig, 1);
	rig_bytes(&rig, "\xff\xff\xff", 3);
	expect_error(fd, 502, "server_error", "upstream_error");
	rig_await_cancels(&rig, 1);
	(void)close(fd);
}

static void
test_gateway_client_that_leaves_cancels_the_call(void **state)
{
	static const char *const bodies[] = { CHAT, STREAM };

	(void)state;
	for (unsigned i = 0; i < 2; i++) { /* at once */
		int fd = client_connect(rig.address, 0);

		rig_chat(fd, bodies[i]);
		rig_await_calls(&rig, i + 1);
		(void)close(fd);
		rig_await_cancels(&rig, i + 1);
	}
	for (unsigned i = 0; i < 2; i++) { /* in the middle */
		int fd = client_connect(rig.address, 0);

		rig_chat(fd, bodies[i]);
		rig_await_calls(&rig, i + 3);
		rig_head(&rig, "m", "miss");
		rig_delta(&rig, "", "x", "");
		if (i == 1)
			rig_read_until(fd, "\"x\"");
		(void)close(fd);
		rig_await_cancels(&rig, i + 3);
	}
	rig_check_idle(&rig);
}

static void
test_gateway_lost_router_fails_streams_and_heals(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	rig_chat(fd, STREAM);
	rig_await_calls(&rig, 1);
	rig_head(&rig, "m", "miss");
	rig_read_until(fd, "text/event-stream");
	rig_router_stop(&rig);
	rig_read_until(fd, "\"code\":\"router_unavailable\"}}\n\n");
	assert_true(client_at_end(fd));
	(void)close(fd);
	rig_await_ready(&rig, false);

	fd = client_connect(rig.address, 0);
	rig_chat(fd, STREAM);
	expect_error(fd, 503, "server_error", "router_unavailable");
	rig_get(fd, "/v1/models");
	expect_error(fd, 503, "server_error", "router_unavailable");
	rig_get(fd, "/readyz");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 503);
	response_done(&r);

	rig_router_start(&rig);
	rig_await_ready(&rig, true);
	rig_get(fd, "/v1/models");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	response_done(&r);
	(void)close(fd);
}

static void
test_gateway_without_a_worker_is_not_ready(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	atomic_store(&rig.no_models, true);
	rig_await_ready(&rig, false);
	rig_get(fd, "/readyz");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 503);
	assert_non_null(strstr(r.body, "no healthy worker"));
	response_done(&r);
	rig_get(fd, "/livez"); /* never asks anybody */
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	response_done(&r);
	atomic_store(&rig.no_models, false);
	rig_await_ready(&rig, true);
	(void)close(fd);
}

static void
test_gateway_deadline_ends_a_request(void **state)
{
	int fd;

	(void)state;
	rig_check_idle(&rig);
	rig_stop(&rig);
	rig_start(&rig, "  request_ms: 20ms\n", false);
	fd = client_connect(rig.address, 0);
	rig_chat(fd, CHAT);
	expect_error(fd, 504, "server_error", "upstream_timeout");
	rig_await_cancels(&rig, 1);
	(void)close(fd);
}

static void
test_gateway_silent_stream_is_kept_alive(void **state)
{
	int fd;

	(void)state;
	rig_stop(&rig);
	rig_start(&rig, "  keepalive_ms: 10ms\n", false);
	fd = client_connect(rig.address, 0);
	rig_chat(fd, STREAM);
	rig_await_calls(&rig, 1);
	rig_head(&rig, "m", "miss");
	rig_read_until(fd, ": keep-alive\n\n");
	rig_read_until(fd, ": keep-alive\n\n");
	(void)close(fd);
	rig_await_cancels(&rig, 1);
}

static void
test_gateway_refusals_have_the_shape_of_errors(void **state)
{
	static char large[8192] = "{\"model\":\"";
	int fd = client_connect(rig.address, 0);

	(void)state;
	rig_chat(fd, "nonsense");
	expect_error(fd, 400, "invalid_request_error", NULL);
	rig_chat(fd, "{\"model\":\"m\"}");
	expect_error(fd, 400, "invalid_request_error", "missing_required_parameter");
	rig_get(fd, "/v1/responses");
	expect_error(fd, 404, "invalid_request_error", NULL);
	rig_get(fd, "/v2/chat/completions");
	expect_error(fd, 404, "invalid_request_error", NULL);
	rig_get(fd, "/v1/chat/completions");
	expect_error(fd, 405, "invalid_request_error", "method_not_allowed");
	memset(large + 10, 'x', sizeof(large) - 11);
	rig_chat(fd, large);
	expect_error(fd, 413, "invalid_request_error", "request_too_large");
	(void)close(fd);
	fd = client_connect(rig.address, 0);
	client_send(fd, "GET nonsense\r\n\r\n");
	expect_error(fd, 400, "invalid_request_error", NULL);
	(void)close(fd);
	assert_int_equal(atomic_load(&rig.calls), 0);
}

static void
test_gateway_stop_in_the_middle_leaves_nothing(void **state)
{
	int stream = client_connect(rig.address, 0), whole = client_connect(rig.address, 0);

	(void)state;
	rig_chat(stream, STREAM);
	rig_await_calls(&rig, 1);
	rig_head(&rig, "m", "miss");
	rig_read_until(stream, "text/event-stream");
	rig_chat(whole, CHAT);
	rig_await_calls(&rig, 2);
	rig_stop(&rig); /* checks itself */
	assert_true(client_at_end(stream));
	assert_true(client_at_end(whole));
	(void)close(stream);
	(void)close(whole);
	setup(NULL);
}

/* Keys. */

static void
test_gateway_keys_are_asked_for_and_reloaded(void **state)
{
	char dir[] = "/tmp/gateway-keys-XXXXXX", path[64], yaml[128], key[KEYS_KEY_LEN + 1],
	     later[KEYS_KEY_LEN + 1], lines[128];
	struct response r;
	bool known = false;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/keys", dir);
	assert_int_equal(keys_create(path, "ann", "acme", key, NULL), IM_OK);
	(void)snprintf(yaml, sizeof(yaml), "  keys_file: %s\n", path);
	rig_stop(&rig);
	rig_start(&rig, yaml, false);
	fd = client_connect(rig.address, 0);
	rig_chat(fd, CHAT);
	expect_error(fd, 401, "invalid_request_error", "invalid_api_key");
	rig_post(fd, "/v1/chat/completions",
		 "Authorization: Bearer im-wrong0123456789wrong-tail\r\n", CHAT);
	client_read(fd, &r, false);
	assert_int_equal(r.status, 401);
	assert_non_null(strstr(r.body, "im-********tail"));
	assert_null(strstr(r.body, "wrong"));
	response_done(&r);
	(void)snprintf(lines, sizeof(lines), "Authorization: Bearer %s\r\n", key);
	rig_post(fd, "/v1/chat/completions", lines, CHAT);
	rig_await_calls(&rig, 1);
	assert_string_equal(rig.req.caller, "ann");
	assert_string_equal(rig.req.tenant, "acme");
	rig_fail(&rig, IM_EUNAVAILABLE, "no_healthy_worker", 0, "none");
	expect_error(fd, 503, "server_error", "no_healthy_worker");
	(void)snprintf(lines, sizeof(lines), "x-api-key: %s\r\n", key);
	rig_post(fd, "/v1/chat/completions", lines, "{}");
	expect_error(fd, 400, "invalid_request_error", "missing_required_parameter");

	assert_int_equal(keys_create(path, "bob", "acme", later, NULL), IM_OK);
	(void)snprintf(lines, sizeof(lines), "api-key: %s\r\n", later);
	while (!known) { /* within a second; the read below has a deadline of its own */
		rig_post(fd, "/v1/chat/completions", lines, "{}");
		client_read(fd, &r, false);
		known = r.status == 400;
		response_done(&r);
		(void)usleep(1000);
	}
	(void)close(fd);
	(void)unlink(path);
	(void)rmdir(dir);
}

static void
test_gateway_without_keys_serves_this_host_only(void **state)
{
	struct im_err err;

	(void)state;
	assert_int_equal(rig_try("  listen: 0.0.0.0:0\n", &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "infermesh key create"));
	assert_non_null(strstr(err.text, "gateway.insecure"));
	assert_int_equal(rig_try("  listen: 0.0.0.0:0\n  insecure: true\n", &err), IM_OK);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_gateway_error_before_admission_is_a_plain_reply),
		CASE(test_gateway_limits_are_in_headers_of_answers_and_errors),
		CASE(test_gateway_failed_stream_is_broken_off),
		CASE(test_gateway_unfinished_answer_is_no_success),
		CASE(test_gateway_malformed_frame_cancels_and_fails),
		CASE(test_gateway_client_that_leaves_cancels_the_call),
		CASE(test_gateway_lost_router_fails_streams_and_heals),
		CASE(test_gateway_without_a_worker_is_not_ready),
		CASE(test_gateway_deadline_ends_a_request),
		CASE(test_gateway_silent_stream_is_kept_alive),
		CASE(test_gateway_refusals_have_the_shape_of_errors),
		CASE(test_gateway_stop_in_the_middle_leaves_nothing),
		CASE(test_gateway_keys_are_asked_for_and_reloaded),
		cmocka_unit_test(test_gateway_without_keys_serves_this_host_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
