/*
 * gateway/gateway_test.c - the whole gateway between a client on a socket and a router: what goes well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/gateway_rig.h"

static struct rig rig;
static const struct usage usage = { 10, 4, 3, 2 };

#define USAGE                                                                                      \
	"{\"prompt_tokens\":10,\"completion_tokens\":4,\"total_tokens\":14,"                       \
	"\"prompt_tokens_details\":{\"cached_tokens\":3},"                                         \
	"\"completion_tokens_details\":{\"reasoning_tokens\":2},"                                  \
	"\"prompt_cache_hit_tokens\":3,\"prompt_cache_miss_tokens\":7}"

static int
setup(void **state)
{
	(void)state;
	rig_start(&rig, "", false);
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

/* Replace what differs from run to run, the created time and the id, so that bytes can be compared. */
static void
blank(char *body)
{
	char *at;

	for (char *p = body; (at = strstr(p, "\"chatcmpl-")) != NULL; p = at + 1)
		memset(at + 10, 'i', 32);
	for (char *p = body; (at = strstr(p, "\"created\":")) != NULL; p = at + 1)
		memset(at + 10, '1', 10);
}

#define CHUNK                                                                                               \
	"data: {\"id\":\"chatcmpl-iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii\",\"object\":\"chat.completion.chunk\"," \
	"\"created\":1111111111,\"model\":\"routed\",\"choices\":["

static void
test_gateway_stream_has_the_exact_bytes_of_the_contract(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;
	char id[64];

	(void)state;
	rig_chat(
	    fd,
	    "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true}," RIG_MESSAGES
	    "}");
	rig_await_calls(&rig, 1);
	rig_head(&rig, "routed", "miss");
	rig_delta(&rig, "assistant", "", "");
	rig_delta(&rig, "", "Hal\xc3\xb6", "");
	rig_delta(&rig, "", "", "stop");
	rig_end(&rig, &usage);
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	assert_true(r.complete);
	assert_string_equal(response_header(&r, "content-type"),
			    "text/event-stream; charset=utf-8");
	assert_string_equal(response_header(&r, "cache-control"), "no-cache");
	assert_string_equal(response_header(&r, "x-accel-buffering"), "no");
	assert_string_equal(response_header(&r, "x-infermesh-cache"), "miss");
	assert_string_equal(response_header(&r, "access-control-allow-origin"), "*");
	assert_non_null(response_header(&r, "openai-processing-ms"));
	(void)snprintf(id, sizeof(id), "\"chatcmpl-%s\"", response_header(&r, "x-request-id"));
	assert_non_null(strstr(r.body, id));
	blank(r.body);
	assert_string_equal(
	    r.body, CHUNK
	    "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n" CHUNK
	    "{\"index\":0,\"delta\":{\"content\":\"Hal\xc3\xb6\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n" CHUNK
	    "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}\n\n" CHUNK
	    "],\"usage\":" USAGE "}\n\n"
	    "data: [DONE]\n\n");
	response_done(&r);
	(void)close(fd);
}

static void
test_gateway_stream_opens_when_the_request_is_admitted(void **state)
{
	int fd = client_connect(rig.address, 0);

	(void)state;
	rig_chat(fd, "{\"model\":\"m\",\"stream\":true," RIG_MESSAGES "}");
	rig_await_calls(&rig, 1);
	rig_head(&rig, "routed", "miss");
	rig_read_until(fd, "text/event-stream");
	rig_delta(&rig, "", "first", "");
	rig_read_until(fd, "first");
	rig_delta(&rig, "", "second", "stop");
	rig_end(&rig, NULL);
	rig_read_until(fd, "[DONE]\n\n");
	(void)close(fd);
}

static void
test_gateway_whole_answer_is_one_object(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	for (unsigned i = 1; i <= 2; i++) { /* twice on one connection */
		rig_post(fd, "/chat/completions", "", "{\"model\":\"m\"," RIG_MESSAGES "}");
		rig_await_calls(&rig, i);
		rig_head(&rig, "routed", "hit-l1");
		rig_delta(&rig, "assistant", "Hal", "");
		rig_delta(&rig, "", "lo", "stop");
		rig_end(&rig, &usage);
		client_read(fd, &r, false);
		assert_int_equal(r.status, 200);
		assert_string_equal(response_header(&r, "content-type"), "application/json");
		assert_string_equal(response_header(&r, "x-infermesh-cache"), "hit-l1");
		blank(r.body);
		assert_string_equal(
		    r.body,
		    "{\"id\":\"chatcmpl-iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii\",\"object\":\"chat.completion\","
		    "\"created\":1111111111,\"model\":\"routed\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
		    "\"content\":\"Hallo\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":" USAGE
		    "}");
		response_done(&r);
	}
	(void)close(fd);
}

static void
test_gateway_fallback_is_in_a_header_in_both_forms(void **state)
{
	static const char *const stream[] = { "", ",\"stream\":true" };
	int fd = client_connect(rig.address, 0);

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		char body[200];
		struct response r;

		(void)snprintf(body, sizeof(body), "{\"model\":\"m\"%s," RIG_MESSAGES "}",
			       stream[i]);
		rig_post(fd, "/v1/chat/completions", "x-infermesh-session: s 1\r\n", body);
		rig_await_calls(&rig, i + 1);
		assert_string_equal(rig.req.session, "s 1");
		rig_head_fallback(&rig, "small", "model:small");
		rig_delta(&rig, "assistant", "hi", "stop");
		rig_end(&rig, &usage);
		client_read(fd, &r, false);
		assert_int_equal(r.status, 200);
		assert_string_equal(response_header(&r, "x-infermesh-fallback"), "model:small");
		response_done(&r);
	}
	(void)close(fd);
}

static void
test_gateway_session_too_long_or_not_printable_is_refused(void **state)
{
	char header[GENERATE_SESSION_MAX + 64], session[GENERATE_SESSION_MAX + 2];
	const char *const bad[] = { header, "x-infermesh-session: caf\xc3\xa9\r\n" };

	(void)state;
	memset(session, 'x', sizeof(session) - 1);
	session[sizeof(session) - 1] = '\0';
	(void)snprintf(header, sizeof(header), "x-infermesh-session: %s\r\n", session);
	for (unsigned i = 0; i < 2; i++) {
		int fd = client_connect(rig.address, 0);
		struct response r;

		rig_post(fd, "/v1/chat/completions", bad[i], "{\"model\":\"m\"," RIG_MESSAGES "}");
		client_read(fd, &r, false);
		assert_int_equal(r.status, 400);
		assert_non_null(strstr(r.body, "x-infermesh-session"));
		response_done(&r);
		(void)close(fd);
	}
}

static void
test_gateway_priority_goes_with_the_call(void **state)
{
	static const struct {
		const char *header;
		int32_t priority;
	} cases[] = { { "", 0 },
		      { "x-infermesh-priority: low\r\n", -1 },
		      { "x-infermesh-priority: normal\r\n", 0 },
		      { "X-Infermesh-Priority: High\r\n", 1 } };
	int fd = client_connect(rig.address, 0);

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct response r;

		rig_post(fd, "/v1/chat/completions", cases[i].header,
			 "{\"model\":\"m\"," RIG_MESSAGES "}");
		rig_await_calls(&rig, i + 1);
		assert_int_equal(rig.priority, cases[i].priority);
		rig_delta(&rig, "assistant", "hi", "stop");
		rig_end(&rig, &usage);
		client_read(fd, &r, false);
		assert_int_equal(r.status, 200);
		response_done(&r);
	}
	(void)close(fd);
}

static void
test_gateway_unknown_priority_is_refused(void **state)
{
	static const char *const bad[] = { "x-infermesh-priority: urgent\r\n",
					   "x-infermesh-priority: 1\r\n",
					   "x-infermesh-priority:\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = client_connect(rig.address, 0);
		struct response r;

		rig_post(fd, "/v1/chat/completions", bad[i], "{\"model\":\"m\"," RIG_MESSAGES "}");
		client_read(fd, &r, false);
		assert_int_equal(r.status, 400);
		assert_non_null(strstr(r.body, "low, normal and high"));
		response_done(&r);
		(void)close(fd);
	}
}

static void
test_gateway_request_reaches_the_router_whole(void **state)
{
	static const uint8_t sha256_of_body[32] = {
		0xe6, 0x74, 0x1b, 0xa1, 0xff, 0x07, 0xee, 0x14, 0xca, 0x6c, 0x66,
		0x32, 0x63, 0x40, 0x34, 0x67, 0x8b, 0x8e, 0x73, 0xd6, 0xb1, 0x9f,
		0x4c, 0x4c, 0xf3, 0xdd, 0x59, 0x2b, 0xc4, 0xb2, 0xa9, 0x8e,
	};
	static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	rig_post(
	    fd, "/v1/chat/completions",
	    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
	    "Cache-Control: no-store, max-age=60\r\nIdempotency-Key: k\r\nX-Request-Id: mine\r\n",
	    "{\"model\":\"m\",\"thinking\":{\"n\":12345678901234567890}," RIG_MESSAGES "}");
	rig_await_calls(&rig, 1);
	loop_enter(rig.loop);
	assert_string_equal(rig.req.model, "m");
	assert_string_equal(rig.req.extra_json, "{\"thinking\":{\"n\":12345678901234567890}}");
	assert_string_equal(rig.req.caller, "anonymous");
	assert_string_equal(rig.req.tenant, "default");
	assert_string_equal(rig.traceparent, trace);
	assert_true(rig.req.cache_no_store && !rig.req.cache_no_cache);
	assert_int_equal(rig.req.cache_max_age_ms, 60000);
	assert_int_equal(rig.budget_ms, 300000);
	assert_true(rig.req.has_input_sha256);
	assert_memory_equal(rig.req.input_sha256, sha256_of_body, 32);
	assert_true(rig.req.received_us > 1000000);
	loop_leave(rig.loop);
	rig_delta(&rig, "", "x", "stop"); /* a router that says no head is understood as well */
	rig_end(&rig, NULL);
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	assert_string_not_equal(response_header(&r, "x-request-id"), "mine");
	assert_string_equal(response_header(&r, "x-request-id"), rig.req.request_id);
	response_done(&r);
	(void)close(fd);
}

static void
test_gateway_models_are_listed_and_found(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	rig_get(fd, "/v1/models");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	assert_string_equal(
	    r.body,
	    "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\",\"created\":7,\"owned_by\":\"me\"},"
	    "{\"id\":\"org/m\",\"object\":\"model\",\"created\":8,\"owned_by\":\"infermesh\"}]}");
	response_done(&r);
	rig_get(fd, "/models/org/m");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	assert_string_equal(
	    r.body,
	    "{\"id\":\"org/m\",\"object\":\"model\",\"created\":8,\"owned_by\":\"infermesh\"}");
	response_done(&r);
	rig_get(fd, "/v1/models/org%2Fm");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	response_done(&r);
	rig_get(fd, "/v1/models/no");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 404);
	assert_string_equal(
	    r.body,
	    "{\"error\":{\"message\":\"The model `no` does not exist or you do not have access to it.\","
	    "\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"model_not_found\"}}");
	response_done(&r);
	(void)close(fd);
}

static void
test_gateway_preflight_needs_no_key_and_reflects_headers(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	client_ask(
	    fd,
	    "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n"
	    "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, x-stainless-os\r\n\r\n",
	    204, &r);
	assert_string_equal(response_header(&r, "access-control-allow-origin"), "*");
	assert_string_equal(response_header(&r, "access-control-allow-headers"),
			    "authorization, x-stainless-os");
	assert_non_null(strstr(response_header(&r, "access-control-allow-methods"), "POST"));
	assert_non_null(response_header(&r, "access-control-expose-headers"));
	assert_non_null(response_header(&r, "x-request-id"));
	response_done(&r);
	(void)close(fd);
}

static void
test_gateway_pages_tell_that_it_lives_and_is_ready(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	rig_get(fd, "/livez");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	response_done(&r);
	rig_get(fd, "/readyz");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	response_done(&r);
	rig_router_goaway(&rig);
	rig_await_ready(&rig, false);
	rig_get(fd, "/readyz");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 503);
	assert_non_null(strstr(r.body, "draining"));
	response_done(&r);
	rig_get(fd, "/metrics");
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	assert_string_equal(response_header(&r, "content-type"),
			    "text/plain; version=0.0.4; charset=utf-8");
	response_done(&r);
	(void)close(fd);
}

static void
test_gateway_metrics_count_what_happened(void **state)
{
	static const char *const lines[] = {
		"http_request_duration_seconds_count{route=\"/v1/chat/completions\",status=\"2xx\"} 1\n",
		"http_errors_total{route=\"/v1/chat/completions\",error_type=\"model_not_found\"} 1\n",
		"gen_ai_server_request_duration_seconds_count{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"m\"} 1\n",
		"gen_ai_server_time_to_first_token_seconds_count{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"m\"} 1\n",
		"gen_ai_server_time_per_output_token_seconds_count{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"m\"} 1\n",
		"gen_ai_client_token_usage_sum{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"m\",gen_ai_token_type=\"input\"} 10\n",
		"infermesh_tokens_total{type=\"completion\"} 4\n",
		"infermesh_requests_running 0\n",
	};
	int fd = client_connect(rig.address, 0);
	struct response r;
	char *page;

	(void)state;
	rig_chat(fd, "{\"model\":\"m\"," RIG_MESSAGES "}");
	rig_await_calls(&rig, 1);
	rig_head(&rig, "", "miss");
	rig_delta(&rig, "", "x", "stop");
	rig_end(&rig, &usage);
	client_read(fd, &r, false);
	response_done(&r);
	rig_chat(fd, "{\"model\":\"made-up\"," RIG_MESSAGES "}");
	rig_await_calls(&rig, 2);
	rig_fail(&rig, IM_ENOTFOUND, "model_not_found", 0, "?");
	client_read(fd, &r, false);
	response_done(&r);
	page = rig_metrics(&rig);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (strstr(page, lines[i]) == NULL)
			fail_msg("no %s in:\n%s", lines[i], page);
	assert_null(strstr(page, "made-up"));
	free(page);
	(void)close(fd);
}

static void
test_gateway_slow_reader_stops_the_worker_and_gets_all(void **state)
{
	const size_t frames = 4096; /* 16 MiB */
	int fd = client_connect(rig.address, 4096);
	struct response r;
	size_t sent;

	(void)state;
	rig_chat(fd, "{\"model\":\"m\",\"stream\":true," RIG_MESSAGES "}");
	rig_await_calls(&rig, 1);
	rig_flood(&rig, frames);
	/* Nobody reads: what is under way must come to rest far below the whole. */
	for (int calm = 0; calm < 50;) {
		struct timespec ms = { .tv_nsec = 1000000 };

		sent = atomic_load(&rig.flood_sent);
		(void)nanosleep(&ms, NULL);
		assert_true(sent < 8UL * 1024 * 1024);
		calm = atomic_load(&rig.flood_blocked) && sent == atomic_load(&rig.flood_sent)
			   ? calm + 1
			   : 0;
	}
	client_read(fd, &r, false);
	assert_true(r.complete);
	assert_true(r.len > frames * 4096);
	assert_string_equal(r.body + r.len - 14, "data: [DONE]\n\n");
	response_done(&r);
	(void)close(fd);
}

static void
test_gateway_drain_finishes_what_runs(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;
	bool drained;

	(void)state;
	rig_chat(fd, "{\"model\":\"m\",\"stream\":true," RIG_MESSAGES "}");
	rig_await_calls(&rig, 1);
	rig_head(&rig, "m", "miss");
	loop_enter(rig.loop);
	gateway_service.drain(rig.gateway);
	drained = gateway_service.drained(rig.gateway);
	loop_leave(rig.loop);
	assert_false(drained);
	rig_await_ready(&rig, false);
	rig_delta(&rig, "", "x", "stop");
	rig_end(&rig, NULL);
	client_read(fd, &r, false);
	assert_true(r.complete);
	assert_true(client_at_end(fd));
	response_done(&r);
	(void)close(fd);
	rig_check_idle(&rig);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_gateway_stream_has_the_exact_bytes_of_the_contract),
		CASE(test_gateway_stream_opens_when_the_request_is_admitted),
		CASE(test_gateway_whole_answer_is_one_object),
		CASE(test_gateway_fallback_is_in_a_header_in_both_forms),
		CASE(test_gateway_priority_goes_with_the_call),
		CASE(test_gateway_unknown_priority_is_refused),
		CASE(test_gateway_session_too_long_or_not_printable_is_refused),
		CASE(test_gateway_request_reaches_the_router_whole),
		CASE(test_gateway_models_are_listed_and_found),
		CASE(test_gateway_preflight_needs_no_key_and_reflects_headers),
		CASE(test_gateway_pages_tell_that_it_lives_and_is_ready),
		CASE(test_gateway_metrics_count_what_happened),
		CASE(test_gateway_slow_reader_stops_the_worker_and_gets_all),
		CASE(test_gateway_drain_finishes_what_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
