/*
 * daemon/config_limits_test.c - limits[]: what is read, and which mistakes are told how.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/config.h"

#define MATCHES "allowed: global, tenant:NAME, tenant:*, key:NAME or key:*"

static void
expect_mistake(const char *text, const char *says)
{
	struct config *c = NULL;
	struct im_err err = { .text = "" };

	assert_int_equal(config_parse("t.yaml", text, strlen(text), &c, &err), IM_EINVAL);
	assert_null(c);
	assert_string_equal(err.text, says);
}

static void
test_config_limits_wrong_matches_are_named(void **state)
{
	static const char *const wrong[] = { "everybody", "tenant:", "key:",  "key:a*",
					     "Global",    "tenant",  "user:a" };
	char text[128], says[256];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		(void)snprintf(text, sizeof(text),
			       "limits:\n  - match: '%s'\n    requests_per_minute: 1\n", wrong[i]);
		(void)snprintf(says, sizeof(says),
			       "t.yaml:2: limits[].match: found \"%s\", " MATCHES, wrong[i]);
		expect_mistake(text, says);
	}
	expect_mistake("limits: [{requests_per_minute: 1}]",
		       "t.yaml:1: limits[].match: missing, " MATCHES);
}

static void
test_config_limits_name_of_257_bytes_is_refused(void **state)
{
	char text[512];
	struct config *c = NULL;
	struct im_err err;

	(void)state;
	(void)snprintf(text, sizeof(text),
		       "limits: [{match: 'key:%0257d', requests_per_minute: 1}]", 0);
	assert_int_equal(config_parse("t.yaml", text, strlen(text), &c, &err), IM_EINVAL);
	(void)snprintf(text, sizeof(text),
		       "limits: [{match: 'key:%0256d', requests_per_minute: 1}]", 0);
	assert_int_equal(config_parse("t.yaml", text, strlen(text), &c, &err), IM_OK);
	config_free(c);
}

static void
test_config_limits_that_do_not_fit_together_are_named(void **state)
{
	(void)state;
	expect_mistake(
	    "limits:\n  - {match: global, requests_per_minute: 1}\n"
	    "  - {match: global, tokens_per_minute: 1}\n",
	    "t.yaml:3: limits[].match: found \"global\", allowed: a match that no other limit has");
	expect_mistake("limits: [{match: global}]",
		       "t.yaml:1: limits[].match: limits nothing: give requests_per_minute, "
		       "tokens_per_minute or both");
	expect_mistake("limits: [{match: global, tokens_per_minute: 1, requests_burst: 5}]",
		       "t.yaml:1: limits[].requests_burst: needs limits[].requests_per_minute "
		       "beside it, which is 0");
	expect_mistake("limits: [{match: global, requests_per_minute: 1, tokens_burst: 5}]",
		       "t.yaml:1: limits[].tokens_burst: needs limits[].tokens_per_minute beside "
		       "it, which is 0");
	expect_mistake("limits: [{match: global, requests_per_minute: 1000000001}]",
		       "t.yaml:1: limits[].requests_per_minute: found \"1000000001\", allowed: a "
		       "whole number from 0 to 1000000000");
}

static void
test_config_limits_redis_address_is_checked(void **state)
{
	static const char *const wrong[] = { "redis://",         "redis://h",
					     "h:6379",           "redis://h:6379/",
					     "redis://h:6379/x", "redis://h:6379/0/1",
					     "redis://:p@h:637", "rediss://h:6379",
					     "redis://h:99999" };
	static const char *const right[] = { "off", "redis://h:6379", "redis://[::1]:6379/15" };
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]) + sizeof(right) / sizeof(right[0]);
	     i++) {
		size_t wrongs = sizeof(wrong) / sizeof(wrong[0]);
		const char *url = i < wrongs ? wrong[i] : right[i - wrongs];
		struct config *c = NULL;
		struct im_err err;

		(void)snprintf(text, sizeof(text), "router: {limits_redis: '%s'}", url);
		assert_int_equal(config_parse("t.yaml", text, strlen(text), &c, &err),
				 i < wrongs ? IM_EINVAL : IM_OK);
		if (i < wrongs)
			assert_non_null(strstr(err.text, "t.yaml:1: router.limits_redis: found"));
		config_free(c);
	}
	expect_mistake("router: {limits_redis_password_file: /x}",
		       "t.yaml:1: router.limits_redis_password_file: needs router.limits_redis "
		       "beside it, which is off");
}

static void
test_config_limits_are_read(void **state)
{
	static const char text[] =
	    "limits:\n"
	    "  - {match: global, requests_per_minute: 600}\n"
	    "  - {match: 'key:*', tokens_per_minute: 1000, tokens_burst: 50}\n";
	const struct config *l;
	struct config *c = NULL;

	(void)state;
	assert_int_equal(config_parse("t.yaml", text, strlen(text), &c, NULL), IM_OK);
	assert_int_equal(config_items(c, "limits"), 2);
	l = config_item(c, "limits", 1);
	assert_string_equal(config_str(l, "limits[].match"), "key:*");
	assert_int_equal(config_int(l, "limits[].requests_per_minute"), 0);
	assert_int_equal(config_int(l, "limits[].tokens_per_minute"), 1000);
	assert_int_equal(config_int(l, "limits[].tokens_burst"), 50);
	config_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_limits_wrong_matches_are_named),
		cmocka_unit_test(test_config_limits_name_of_257_bytes_is_refused),
		cmocka_unit_test(test_config_limits_that_do_not_fit_together_are_named),
		cmocka_unit_test(test_config_limits_redis_address_is_checked),
		cmocka_unit_test(test_config_limits_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
