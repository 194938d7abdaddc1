/*
 * inference/local_params_test.c - defaults, what is taken over, what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "inference/local_params.h"

static void
test_params_defaults_are_sensible(void **state)
{
	struct generate_request req = { .model = "m",
					.tools_json = "[]",
					.response_format_json = "{ \"type\" : \"text\" }",
					.extra_json = "{\"logit_bias\":{},\"other\":1}",
					.logprobs = { true, false } };
	struct local_params a, b;
	struct im_err err;

	(void)state;
	assert_int_equal(local_params_read(&req, &a, &err), IM_OK);
	assert_int_equal(local_params_read(&req, &b, &err), IM_OK);
	assert_true(a.temperature > 0.69F && a.temperature < 0.71F);
	assert_int_equal(a.top_k, LOCAL_TOP_K);
	assert_true(a.repeat_penalty == 1);
	assert_int_equal(a.max_tokens, UINT32_MAX);
	assert_int_equal(a.choices, 1);
	assert_true(a.seed != b.seed);
}

static void
test_params_given_ones_are_taken(void **state)
{
	struct generate_request req = { .model = "m",
					.temperature = { true, 0 },
					.top_p = { true, 0.5 },
					.top_k = { true, UINT32_MAX },
					.seed = { true, -1 },
					.max_tokens = { true, 3 },
					.n = 4,
					.repeat_penalty = { true, 0 } };
	struct local_params p;
	struct im_err err;

	(void)state;
	assert_int_equal(local_params_read(&req, &p, &err), IM_OK);
	assert_true(p.temperature == 0 && p.top_p == 0.5F);
	assert_true(p.top_k > 0);
	assert_true(p.seed == UINT64_MAX);
	assert_int_equal(p.max_tokens, 3);
	assert_int_equal(p.choices, 4);
	assert_true(p.repeat_penalty == 1); /* it divides */
}

static void
assert_refused(const struct generate_request *req, const char *param)
{
	struct local_params p;
	struct im_err err;

	assert_int_equal(local_params_read(req, &p, &err), IM_EINVAL);
	assert_string_equal(err.param, param);
	assert_string_equal(err.reason, "unsupported_parameter");
	assert_non_null(strstr(err.text, "does not support"));
	assert_int_equal(local_params_read(req, &p, NULL), IM_EINVAL);
}

static void
test_params_top_logprobs_alone_ask_for_logprobs(void **state)
{
	struct local_params p;

	(void)state;
	assert_int_equal(
	    local_params_read(&(struct generate_request){ .top_logprobs = { true, 2 } }, &p, NULL),
	    IM_OK);
	assert_true(p.logprobs && p.top_logprobs == 2);
	assert_int_equal(
	    local_params_read(&(struct generate_request){ .logprobs = { true, true } }, &p, NULL),
	    IM_OK);
	assert_true(p.logprobs && p.top_logprobs == 0);
	assert_int_equal(local_params_read(&(struct generate_request){ .model = "m" }, &p, NULL),
			 IM_OK);
	assert_false(p.logprobs);
}

static void
test_params_unsupported_ones_are_named(void **state)
{
	(void)state;
	assert_refused(&(struct generate_request){ .tools_json = "[{}]" }, "tools");
	assert_refused(&(struct generate_request){ .operation = OPERATION_COMPLETION,
						   .extra_json = "{\"suffix\":\"x\"}" },
		       "suffix");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_params_defaults_are_sensible),
		cmocka_unit_test(test_params_given_ones_are_taken),
		cmocka_unit_test(test_params_top_logprobs_alone_ask_for_logprobs),
		cmocka_unit_test(test_params_unsupported_ones_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
