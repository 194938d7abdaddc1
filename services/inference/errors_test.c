/*
 * inference/errors_test.c - what upstreams say when they fail, as a table: the contract of http-api.md, "Errors to normalise".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/errors.h"

#define NOW_S 1700000000 /* Tue, 14 Nov 2023 22:13:20 GMT */

static const struct row {
	long status;
	const char *body, *retry_after, *retry_after_ms;
	enum im_rc rc;
	const char *reason, *text, *param;
	uint64_t retry_ms;
} rows[] = {
	/* our key, our balance, our address: nothing of the body goes out */
	{ 401, "{\"error\":{\"message\":\"bad key sk-secret\"}}", NULL, NULL, IM_EUPSTREAM,
	  "upstream_error", "api_key_file", "", 0 },
	{ 403, "", NULL, NULL, IM_EUPSTREAM, "upstream_error", "api_key_file", "", 0 },
	{ 402,
	  "{\"error\":{\"message\":\"Insufficient Balance\",\"type\":\"unknown_error\",\"param\":null,"
	  "\"code\":\"invalid_request_error\"}}",
	  NULL, NULL, IM_ELIMIT, "insufficient_quota", "balance", "", 0 },
	{ 404, "{\"detail\":\"Not Found\"}", NULL, NULL, IM_EUPSTREAM, "upstream_error",
	  "workers[].url", "", 0 },
	{ 404, "<html>", NULL, NULL, IM_EUPSTREAM, "upstream_error", "workers[].url", "", 0 },
	{ 301, "", NULL, NULL, IM_EUPSTREAM, "upstream_error", "redirect", "", 0 },
	/* the caller's */
	{ 404,
	  "{\"object\":\"error\",\"message\":\"The model `m` does not exist.\",\"type\":\"NotFoundError\","
	  "\"param\":null,\"code\":404}",
	  NULL, NULL, IM_ENOTFOUND, "model_not_found", "The model `m` does not exist or", "", 0 },
	{ 404, "{\"error\":{\"message\":\"model \\\"m\\\" not found\",\"type\":\"api_error\"}}",
	  NULL, NULL, IM_ENOTFOUND, "model_not_found", "`m`", "", 0 },
	{ 400,
	  "{\"error\":{\"message\":\"bad role\",\"type\":\"invalid_request_error\",\"param\":\"messages[2].role\","
	  "\"code\":\"invalid_value\"}}",
	  NULL, NULL, IM_EINVAL, "invalid_value", "bad role", "messages[2].role", 0 },
	{ 422,
	  "{\"error\":{\"message\":\"Failed to deserialize: temperature\",\"param\":null,\"code\":"
	  "\"invalid_request_error\"}}",
	  NULL, NULL, IM_EINVAL, "", "temperature", "", 0 },
	{ 422, "{\"detail\":[{\"loc\":[\"body\",\"n\"],\"msg\":\"too large\"}]}", NULL, NULL,
	  IM_EINVAL, "", "too large", "", 0 },
	{ 400, "{\"error\":\"invalid options\"}", NULL, NULL, IM_EINVAL, "", "invalid options", "",
	  0 },
	{ 400, "", NULL, NULL, IM_EINVAL, "", "refused the request", "", 0 },
	{ 413, "", NULL, NULL, IM_ETOOBIG, "request_too_large", "larger", "", 0 },
	/* the context, whatever the code */
	{ 400,
	  "{\"error\":{\"message\":\"This model's maximum context length is 65536 tokens. However, you requested "
	  "70000 tokens\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_request_error\"}}",
	  NULL, NULL, IM_EINVAL, "context_length_exceeded", "maximum context length is 65536", "",
	  0 },
	{ 500,
	  "{\"object\":\"error\",\"message\":\"This model's maximum context length is 8 tokens\",\"code\":500}",
	  NULL, NULL, IM_EINVAL, "context_length_exceeded", "maximum context length", "", 0 },
	{ 400,
	  "{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size. try increasing "
	  "the context size\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":9,\"n_ctx\":8}}",
	  NULL, NULL, IM_EINVAL, "context_length_exceeded", "maximum context length", "", 0 },
	/* limits, with each way to say when */
	{ 429, "{\"error\":{\"message\":\"Rate limit reached\"}}", "7", NULL, IM_ELIMIT,
	  "rate_limit_exceeded", "Rate limit reached", "", 7000 },
	{ 429, "", "7", "250", IM_ELIMIT, "rate_limit_exceeded", "limits us", "", 250 },
	{ 429, "", "0.5", NULL, IM_ELIMIT, "rate_limit_exceeded", "", "", 500 },
	{ 429, "", "Tue, 14 Nov 2023 22:13:50 GMT", NULL, IM_ELIMIT, "rate_limit_exceeded", "", "",
	  30000 },
	{ 429, "", "Tue, 14 Nov 2023 22:13:00 GMT", NULL, IM_ELIMIT, "rate_limit_exceeded", "", "",
	  0 },
	{ 429, "", "soon", NULL, IM_ELIMIT, "rate_limit_exceeded", "", "", 0 },
	{ 429, "", "-5", NULL, IM_ELIMIT, "rate_limit_exceeded", "", "", 0 },
	{ 429, "", "nan", NULL, IM_ELIMIT, "rate_limit_exceeded", "", "", 0 },
	{ 429, "", "99999999999999999999", NULL, IM_ELIMIT, "rate_limit_exceeded", "", "",
	  3600000 },
	{ 408, "", NULL, NULL, IM_ELIMIT, "rate_limit_exceeded", "", "", 0 },
	/* its own */
	{ 503,
	  "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
	  NULL, NULL, IM_EUNAVAILABLE, "upstream_error", "loading", "", 1000 },
	{ 503, "{\"error\":{\"message\":\"Loading model\"}}", "3", NULL, IM_EUNAVAILABLE,
	  "upstream_error", "", "", 3000 },
	{ 503, "{\"error\":{\"message\":\"server overloaded\"}}", "2", NULL, IM_EUNAVAILABLE,
	  "upstream_error", "503: server overloaded", "", 2000 },
	{ 500, "not JSON at all", NULL, NULL, IM_EUPSTREAM, "upstream_error", "500", "", 0 },
	{ 502, "<html><body>Bad Gateway</body></html>", NULL, NULL, IM_EUPSTREAM, "upstream_error",
	  "502", "", 0 },
	{ 504, NULL, NULL, NULL, IM_EUPSTREAM, "upstream_error", "504", "", 0 },
	{ 418, "{\"error\":{\"message\":\"teapot\"}}", NULL, NULL, IM_EUPSTREAM, "upstream_error",
	  "teapot", "", 0 },
	{ 500, "{\"error\":{\"message\":\"\\ud800\"}}", NULL, NULL, IM_EUPSTREAM, "upstream_error",
	  "500", "", 0 },
};

static void
test_errors_table_is_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct upstream_reply reply = { .status = r->status,
						.body = r->body,
						.body_len = r->body != NULL ? strlen(r->body) : 0,
						.retry_after = r->retry_after,
						.retry_after_ms = r->retry_after_ms,
						.model = "m",
						.now_s = NOW_S };
		struct im_err err = { 0 };

		assert_int_equal(errors_from_reply(&reply, &err), r->rc);
		assert_int_equal(err.rc, r->rc);
		assert_string_equal(err.reason, r->reason);
		assert_non_null(strstr(err.text, r->text));
		assert_string_equal(err.param, r->param);
		assert_int_equal(err.retry_after_ms, r->retry_ms);
		assert_null(strstr(err.text, "sk-secret"));
	}
}

static void
test_errors_body_truncated_at_any_offset_is_still_an_error(void **state)
{
	static const char body[] =
	    "{\"error\":{\"message\":\"maximum context length \\u4e2d\",\"code\":400}}";

	(void)state;
	for (size_t len = 0; len < sizeof(body); len++) {
		char *copy = malloc(len + (len == 0));
		struct upstream_reply reply = { .status = 400, .body = copy, .body_len = len };
		struct im_err err = { 0 };

		assert_non_null(copy);
		memcpy(copy, body, len);
		assert_int_equal(errors_from_reply(&reply, &err), IM_EINVAL);
		assert_string_equal(err.reason,
				    len == sizeof(body) - 1 ? "context_length_exceeded" : "");
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors_table_is_kept),
		cmocka_unit_test(test_errors_body_truncated_at_any_offset_is_still_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
