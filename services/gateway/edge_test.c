/*
 * gateway/edge_test.c - the small pure parts at the edge: errors, routes, headers, keys, origins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/auth.h"
#include "gateway/cors.h"
#include "gateway/errors.h"
#include "gateway/headers.h"
#include "gateway/rates.h"
#include "gateway/route.h"

struct error_case {
	enum im_rc rc;
	int status;
	const char *reason;
	const char *type, *code; /* as a caller is told */
	bool never_retry;
	bool mesh; /* it came from the mesh */
};

static const struct error_case error_cases[] = {
	{ IM_EINVAL, 400, "", "invalid_request_error", NULL, true, false },
	{ IM_EINVAL, 400, "invalid_type", "invalid_request_error", "invalid_type", true, true },
	{ IM_EAUTH, 401, "", "invalid_request_error", "invalid_api_key", true, false },
	{ IM_EAUTH, 502, "", "server_error", "upstream_error", false, true },
	{ IM_EPERM, 403, "", "permission_error", "insufficient_permissions", true, false },
	{ IM_ENOTFOUND, 404, "model_not_found", "invalid_request_error", "model_not_found", true,
	  true },
	{ IM_ETOOBIG, 413, "", "invalid_request_error", "request_too_large", true, false },
	{ IM_ETOOBIG, 502, "", "server_error", "upstream_error", false, true },
	{ IM_ETOOBIG, 400, "context_length_exceeded", "invalid_request_error",
	  "context_length_exceeded", true, true },
	{ IM_ELIMIT, 429, "", "requests", "rate_limit_exceeded", false, true },
	{ IM_ELIMIT, 429, "tokens", "tokens", "rate_limit_exceeded", false, true },
	{ IM_ELIMIT, 429, "insufficient_quota", "insufficient_quota", "insufficient_quota", true,
	  true },
	{ IM_EINTERNAL, 500, "", "server_error", NULL, false, true },
	{ IM_EUPSTREAM, 502, "", "server_error", "upstream_error", false, true },
	{ IM_EUNAVAILABLE, 503, "", "server_error", "router_unavailable", false, true },
	{ IM_EUNAVAILABLE, 503, "circuit_open", "server_error", "circuit_open", false, true },
	{ IM_EDEADLINE, 504, "", "server_error", "upstream_timeout", false, true },
	{ IM_ECANCELED, 503, "", "server_error", "router_unavailable", false, true },
	{ IM_EMETHOD, 502, "", "server_error", "upstream_error", false, true },
	{ IM_EPROTO, 502, "", "server_error", "upstream_error", false, true },
	{ IM_EAGAIN, 503, "", "server_error", "overloaded", false, true },
	{ IM_EUNAVAILABLE, 503, "link_lost", "server_error", "router_unavailable", false, true },
	{ IM_EDEADLINE, 504, "deadline", "server_error", "upstream_timeout", false, true },
	{ IM_EAGAIN, 503, "backlog", "server_error", "overloaded", false, true },
	{ IM_OK, 500, "", "server_error", NULL, false, false },
};

static void
test_errors_follow_the_table_of_the_contract(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(error_cases) / sizeof(error_cases[0]); i++) {
		const struct error_case *c = &error_cases[i];
		struct api_error e;
		struct im_err err;

		(void)err_reason(&err, c->rc, c->reason, "because");
		if (c->mesh)
			api_error_from_mesh(&err);
		api_error_of(&err, &e);
		if (e.status != c->status || strcmp(e.type, c->type) != 0 ||
		    (e.code == NULL) != (c->code == NULL) ||
		    (c->code != NULL && strcmp(e.code, c->code) != 0) ||
		    e.never_retry != c->never_retry)
			fail_msg("case %zu: %d %s %s", i, e.status, e.type,
				 e.code == NULL ? "null" : e.code);
		assert_true((e.retry_after_ms != 0) ==
			    ((e.status == 429 && !e.never_retry) || e.status == 503));
	}
}

static const char *
header(const struct api_error_headers *h, const char *name)
{
	for (size_t i = 0; i < h->count; i++)
		if (strcmp(h->list[i].name, name) == 0)
			return h->list[i].value;
	return NULL;
}

static void
test_errors_retry_after_is_in_whole_seconds_below_sixty(void **state)
{
	static const struct {
		uint32_t ms;
		const char *seconds, *milliseconds;
	} cases[] = {
		{ 0, "1", "1000" },
		{ 1, "1", "1" },
		{ 1001, "2", "1001" },
		{ 59000, "59", "59000" },
		{ UINT32_MAX, "59", "59000" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct im_err err = { .rc = IM_EUNAVAILABLE, .retry_after_ms = cases[i].ms };
		struct api_error_headers h;
		struct api_error e;

		api_error_of(&err, &e);
		api_error_headers(&e, &h);
		assert_string_equal(header(&h, "retry-after"), cases[i].seconds);
		assert_string_equal(header(&h, "retry-after-ms"), cases[i].milliseconds);
		assert_null(header(&h, "x-should-retry"));
	}
}

static void
test_errors_context_length_says_what_clients_look_for(void **state)
{
	struct im_err err = { .rc = IM_EINVAL,
			      .reason = "context_length_exceeded",
			      .text = "too long" };
	struct api_error e;

	(void)state;
	api_error_of(&err, &e);
	assert_non_null(strstr(e.message, "maximum context length"));
	(void)strcpy(err.text, "This model's maximum context length is 8 tokens");
	api_error_of(&err, &e);
	assert_ptr_equal(e.message, err.text);
}

static void
test_errors_body_is_one_object_with_four_members(void **state)
{
	struct im_err err = {
		.rc = IM_EINVAL, .reason = "invalid_value", .param = "n", .text = "a \"bad\" n"
	};
	struct buf out = { 0 };
	struct api_error e;

	(void)state;
	api_error_of(&err, &e);
	api_error_put(&e, &out);
	assert_string_equal(
	    buf_cstr(&out),
	    "{\"error\":{\"message\":\"a \\\"bad\\\" n\",\"type\":\"invalid_request_error\","
	    "\"param\":\"n\",\"code\":\"invalid_value\"}}");
	buf_done(&out);
}

static void
test_route_paths_match_with_and_without_version(void **state)
{
	static const struct {
		const char *method, *path;
		int status;
		enum gateway_route route;
		const char *arg;
	} cases[] = {
		{ "POST", "/v1/chat/completions", 200, ROUTE_CHAT, "" },
		{ "POST", "/chat/completions", 200, ROUTE_CHAT, "" },
		{ "POST", "/v1/completions", 200, ROUTE_COMPLETIONS, "" },
		{ "POST", "/completions", 200, ROUTE_COMPLETIONS, "" },
		{ "POST", "/v1/embeddings", 200, ROUTE_EMBEDDINGS, "" },
		{ "POST", "/embeddings", 200, ROUTE_EMBEDDINGS, "" },
		{ "GET", "/v1/embeddings", 405, ROUTE_OTHER, NULL },
		{ "GET", "/v1/chat/completions", 405, ROUTE_OTHER, NULL },
		{ "POST", "/v1/v1/chat/completions", 404, ROUTE_OTHER, NULL },
		{ "POST", "/v1/chat/completions/", 404, ROUTE_OTHER, NULL },
		{ "POST", "/v1/responses", 404, ROUTE_OTHER, NULL },
		{ "GET", "/models", 200, ROUTE_MODELS, "" },
		{ "HEAD", "/v1/models", 200, ROUTE_MODELS, "" },
		{ "DELETE", "/v1/models/x", 405, ROUTE_OTHER, NULL },
		{ "GET", "/v1/models/", 404, ROUTE_OTHER, NULL },
		{ "GET", "/v1/models/a/b c", 200, ROUTE_MODEL, "a/b c" },
		{ "GET", "/metrics", 200, ROUTE_METRICS, "" },
		{ "GET", "/v1/metrics", 404, ROUTE_OTHER, NULL },
		{ "POST", "/livez", 405, ROUTE_OTHER, NULL },
		{ "GET", "/healthz", 200, ROUTE_HEALTHZ, "" },
		{ "OPTIONS", "/anything", 200, ROUTE_PREFLIGHT, NULL },
		{ "GET", "/", 404, ROUTE_OTHER, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route_match m;

		gateway_route_find(cases[i].method, cases[i].path, &m);
		if (m.status != cases[i].status || m.route != cases[i].route)
			fail_msg("%s %s: %d, route %d", cases[i].method, cases[i].path, m.status,
				 m.route);
		if (cases[i].arg != NULL)
			assert_string_equal(m.arg, cases[i].arg);
		assert_true((m.status == 405) <= (m.allow != NULL));
	}
}

static void
test_headers_traceparent_is_taken_only_if_valid(void **state)
{
	static const char good[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	char bad[sizeof(good)];

	(void)state;
	assert_true(gateway_traceparent_valid(good));
	assert_false(gateway_traceparent_valid(NULL));
	assert_false(
	    gateway_traceparent_valid("00-00000000000000000000000000000000-b7ad6b7169203331-01"));
	assert_false(
	    gateway_traceparent_valid("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"));
	assert_false(
	    gateway_traceparent_valid("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
	for (size_t i = 0; i < strlen(good); i++) { /* each character counts */
		memcpy(bad, good, sizeof(good));
		bad[i] = 'X';
		assert_false(gateway_traceparent_valid(bad));
		bad[i] = '\0';
		assert_false(gateway_traceparent_valid(bad));
	}
}

static void
test_headers_cache_control_is_understood(void **state)
{
	static const struct {
		const char *text;
		bool no_store, no_cache;
		uint32_t max_age_ms;
	} cases[] = {
		{ NULL, false, false, 0 },
		{ "", false, false, 0 },
		{ "no-store", true, false, 0 },
		{ "No-Cache", false, true, 0 },
		{ "max-age=60, no-store", true, false, 60000 },
		{ "max-age=\"5\"", false, false, 5000 },
		{ "max-age=0", false, true, 0 },
		{ "max-age=999999999999", false, false, 0 },
		{ "max-age=-1,max-age=,max-age=\",x=\"no-store\"", false, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct generate_request req = { 0 };

		gateway_cache_control(cases[i].text, &req);
		assert_int_equal(req.cache_no_store, cases[i].no_store);
		assert_int_equal(req.cache_no_cache, cases[i].no_cache);
		assert_int_equal(req.cache_max_age_ms, cases[i].max_age_ms);
	}
}

static void
test_auth_mask_shows_little(void **state)
{
	char out[AUTH_MASK_MAX];

	(void)state;
	gateway_auth_mask("im-0123456789abcdefghij", out);
	assert_string_equal(out, "im-********ghij");
	gateway_auth_mask("im-0123456789abcdef", out);
	assert_string_equal(out, "********");
	gateway_auth_mask("", out);
	assert_string_equal(out, "********");
	gateway_auth_mask("\r\n\x7f"
			  "0123456789abcdefghij",
			  out);
	assert_string_equal(out, "***********ghij");
}

static void
test_auth_local_addresses_are_told_apart(void **state)
{
	static const char *const local[] = { "127.0.0.1:80", "127.9.9.9:0", "[::1]:80",
					     "localhost:1", "unix:/x" };
	static const char *const open[] = {
		"0.0.0.0:80",           "[::]:80",  ":80",         "192.168.0.1:80",
		"127.0.0.1.example:80", "nonsense", "10.0.0.1:80", ""
	};

	(void)state;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		assert_true(gateway_listen_is_local(local[i]));
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		assert_false(gateway_listen_is_local(open[i]));
}

static void
test_auth_broken_or_lost_file_keeps_the_keys(void **state)
{
	char dir[] = "/tmp/gateway-auth-XXXXXX", path[64], key[KEYS_KEY_LEN + 1];
	struct gateway_credentials c = { .x_api_key = key };
	struct gateway_caller who;
	struct gateway_auth auth;
	struct im_err err;
	bool changed;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/keys", dir);
	assert_int_equal(gateway_auth_init(&auth, path, &err), IM_OK);
	assert_int_equal(gateway_auth_check(&auth, &c, &who, &err), IM_OK); /* no file: everybody */
	assert_string_equal(who.caller, "anonymous");
	assert_int_equal(keys_create(path, "ann", "acme", key, &err), IM_OK);
	assert_int_equal(gateway_auth_reload(&auth, &changed, &err), IM_OK);
	assert_true(changed);
	assert_int_equal(gateway_auth_reload(&auth, &changed, &err), IM_OK);
	assert_false(changed);
	f = fopen(path, "ae");
	assert_non_null(f);
	assert_true(fputs("nonsense\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(gateway_auth_reload(&auth, &changed, &err), IM_EINVAL);
	assert_int_equal(gateway_auth_reload(&auth, &changed, &err), IM_OK); /* told once */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(gateway_auth_reload(&auth, &changed, &err), IM_ENOTFOUND);
	assert_false(changed);
	assert_int_equal(gateway_auth_check(&auth, &c, &who, &err), IM_OK);
	assert_string_equal(who.caller, "ann");
	c.authorization = "Bearer no";
	assert_int_equal(gateway_auth_check(&auth, &c, &who, &err), IM_EAUTH);
	gateway_auth_done(&auth);
	(void)rmdir(dir);
}

static void
test_cors_listed_origins_only_are_let_in(void **state)
{
	const char *origins[] = { "https://a.example" };
	const struct gateway_cors some = { false, origins, 1 }, any = { true, origins, 1 };
	struct cors_preflight p;
	struct buf out = { 0 };

	(void)state;
	gateway_cors_put(&any, NULL, &out);
	assert_non_null(strstr(buf_cstr(&out), "Access-Control-Allow-Origin: *\r\n"));
	buf_clear(&out);
	gateway_cors_put(&some, "https://a.example", &out);
	assert_non_null(
	    strstr(buf_cstr(&out), "Access-Control-Allow-Origin: https://a.example\r\n"));
	assert_non_null(strstr(buf_cstr(&out), "Vary: Origin\r\n"));
	buf_clear(&out);
	gateway_cors_put(&some, "https://b.example", &out);
	assert_string_equal(buf_cstr(&out), "Vary: Origin\r\n");
	buf_done(&out);
	gateway_cors_preflight("x-a, x-b", &p);
	assert_string_equal(p.list[1].value, "x-a, x-b");
	gateway_cors_preflight("x-a\r\nSet-Cookie: x", &p);
	assert_string_equal(p.list[1].value, "authorization, content-type");
}

static void
test_duration_is_written_as_go_does(void **state)
{
	static const struct {
		uint32_t ms;
		const char *text;
	} cases[] = {
		{ 0, "0s" },
		{ 1, "1ms" },
		{ 999, "999ms" },
		{ 1000, "1s" },
		{ 1500, "1.5s" },
		{ 10010, "10.01s" },
		{ 59999, "59.999s" },
		{ 60000, "1m0s" },
		{ 360000, "6m0s" },
		{ 100000, "1m40s" },
		{ 3600000, "1h0m0s" },
		{ 3661250, "1h1m1.25s" },
		{ UINT32_MAX, "1193h2m47.295s" },
	};
	char text[RATES_DURATION_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		gateway_duration(cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_duration_is_written_as_go_does),
		cmocka_unit_test(test_errors_follow_the_table_of_the_contract),
		cmocka_unit_test(test_errors_retry_after_is_in_whole_seconds_below_sixty),
		cmocka_unit_test(test_errors_context_length_says_what_clients_look_for),
		cmocka_unit_test(test_errors_body_is_one_object_with_four_members),
		cmocka_unit_test(test_route_paths_match_with_and_without_version),
		cmocka_unit_test(test_headers_traceparent_is_taken_only_if_valid),
		cmocka_unit_test(test_headers_cache_control_is_understood),
		cmocka_unit_test(test_auth_mask_shows_little),
		cmocka_unit_test(test_auth_local_addresses_are_told_apart),
		cmocka_unit_test(test_auth_broken_or_lost_file_keeps_the_keys),
		cmocka_unit_test(test_cors_listed_origins_only_are_let_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
