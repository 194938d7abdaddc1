/*
 * router/cache_rules_test.c - what may be cached of which model or route.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "router/cache_key.h"
#include "router/cache_rules.h"

static struct config *config;

static void
load(struct cache_rules *r, const char *yaml)
{
	struct im_err err;

	assert_int_equal(config_parse("t.yaml", yaml, strlen(yaml), &config, &err), IM_OK);
	assert_int_equal(cache_rules_load(r, config, &err), IM_OK);
}

static void
test_cache_rules_without_one_the_temperature_of_all_holds(void **state)
{
	struct cache_rules r;

	(void)state;
	load(&r, "router: {cache_temperature: 0.5}\n");
	assert_true(cache_rules_of(&r, "anything") == 0.5);
	cache_rules_done(&r);
	config_free(config);
}

static void
test_cache_rules_name_what_is_asked_for(void **state)
{
	struct cache_rules r;

	(void)state;
	load(&r, "router: {cache_rules: {faq: all, drafts: off, code: 0, chat: 0.7}}\n");
	assert_true(cache_rules_of(&r, "faq") == CACHE_ALL);
	assert_true(cache_rules_of(&r, "drafts") == CACHE_OFF);
	assert_true(cache_rules_of(&r, "code") == 0);
	assert_true(cache_rules_of(&r, "chat") == 0.7);
	assert_true(cache_rules_of(&r, "other") == 0.3);
	cache_rules_done(&r);
	config_free(config);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cache_rules_without_one_the_temperature_of_all_holds),
		cmocka_unit_test(test_cache_rules_name_what_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
