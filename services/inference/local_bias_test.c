/*
 * inference/local_bias_test.c - what is taken for a logit_bias, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "inference/local_bias.h"

#define KNOWN 2048

static void
test_bias_of_tokens_is_read(void **state)
{
	struct local_bias b = { 0 };
	struct im_err err;

	(void)state;
	assert_int_equal(
	    local_bias_read("{\"x\":{\"logit_bias\":{\"9\":9}},\"logit_bias\" : { \"5\" : -100, "
			    "\"2047\":1.5,\"0\":1e2 }}",
			    KNOWN, &b, &err),
	    IM_OK);
	assert_int_equal(b.count, 3);
	assert_true(b.list[0].token == 5 && b.list[0].bias == -100);
	assert_true(b.list[1].token == 2047 && b.list[1].bias == 1.5F);
	assert_true(b.list[2].token == 0 && b.list[2].bias == 100);
	local_bias_done(&b);
	assert_null(b.list);
}

static void
test_bias_that_is_none_is_fine(void **state)
{
	static const char *const none[] = { NULL,
					    "",
					    "{}",
					    "{\"logit_bias\":null}",
					    "{\"logit_bias\":{}}",
					    "{\"other\":{\"5\":1}}" };

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		struct local_bias b = { 0 };

		assert_int_equal(local_bias_read(none[i], KNOWN, &b, NULL), IM_OK);
		assert_true(b.list == NULL && b.count == 0);
	}
}

static void
test_bias_that_cannot_be_is_refused(void **state)
{
	static const struct {
		const char *bias, *reason, *word;
	} cases[] = {
		{ "[]", "invalid_type", "must be an object" },
		{ "\"5\"", "invalid_type", "must be an object" },
		{ "7", "invalid_type", "must be an object" },
		{ "{\"2048\":1}", "invalid_value",
		  "'2048', and the model has only the tokens 0 to 2047" },
		{ "{\"99999999999\":1}", "invalid_value", "only the tokens" },
		{ "{\"-1\":1}", "invalid_value", "'-1'" },
		{ "{\"\":1}", "invalid_value", "''" },
		{ "{\" 1\":1}", "invalid_value", "' 1'" },
		{ "{\"1.0\":1}", "invalid_value", "'1.0'" },
		{ "{\"\\u0031\":1}", "invalid_value", "'\\u0031'" },
		{ "{\"hello\":1}", "invalid_value", "'hello'" },
		{ "{\"5\":100.5}", "invalid_value", "token 5 is no number from -100 to 100" },
		{ "{\"4\":1,\"5\":-101}", "invalid_value", "token 5" },
		{ "{\"5\":1e999}", "invalid_value", "token 5" },
		{ "{\"5\":\"1\"}", "invalid_value", "token 5" },
		{ "{\"5\":null}", "invalid_value", "token 5" },
		{ "{\"5\":true}", "invalid_value", "token 5" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct local_bias b = { 0 };
		struct im_err err;
		char json[128];

		(void)snprintf(json, sizeof(json), "{\"logit_bias\":%s}", cases[i].bias);
		if (local_bias_read(json, KNOWN, &b, &err) != IM_EINVAL)
			fail_msg("%s was taken", json);
		assert_string_equal(err.param, "logit_bias");
		assert_string_equal(err.reason, cases[i].reason);
		if (strstr(err.text, cases[i].word) == NULL)
			fail_msg("'%s' is not in: %s", cases[i].word, err.text);
		assert_null(b.list);
		assert_int_equal(local_bias_read(json, KNOWN, &b, NULL), IM_EINVAL);
	}
}

static void
test_bias_of_too_many_tokens_is_refused(void **state)
{
	static char json[32 * (LOCAL_BIAS_TOKENS_MAX + 1)];
	struct local_bias b = { 0 };
	struct im_err err;

	(void)state;
	for (unsigned count = LOCAL_BIAS_TOKENS_MAX; count <= LOCAL_BIAS_TOKENS_MAX + 1; count++) {
		size_t at = (size_t)sprintf(json, "{\"logit_bias\":{");

		for (unsigned i = 0; i < count; i++)
			at += (size_t)sprintf(json + at, "%s\"%u\":1", i > 0 ? "," : "", i);
		(void)sprintf(json + at, "}}");
		if (count == LOCAL_BIAS_TOKENS_MAX) {
			assert_int_equal(local_bias_read(json, KNOWN, &b, &err), IM_OK);
			assert_int_equal(b.count, count);
			local_bias_done(&b);
		} else {
			assert_int_equal(local_bias_read(json, KNOWN, &b, &err), IM_EINVAL);
			assert_non_null(strstr(err.text, "more than 1024"));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bias_of_tokens_is_read),
		cmocka_unit_test(test_bias_that_is_none_is_fine),
		cmocka_unit_test(test_bias_that_cannot_be_is_refused),
		cmocka_unit_test(test_bias_of_too_many_tokens_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
