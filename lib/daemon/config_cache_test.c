/*
 * daemon/config_cache_test.c - the cache's tiers: what is read, and which mistakes are told how.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "daemon/config.h"
#include "daemon/redis_url.h"
#include "daemon/s3_url.h"

static void
expect_mistake(const char *text, const char *says)
{
	struct config *c = NULL;
	struct im_err err = { .text = "" };

	assert_int_equal(config_parse("t.yaml", text, strlen(text), &c, &err), IM_EINVAL);
	assert_null(c);
	if (strstr(err.text, says) == NULL)
		fail_msg("'%s' does not say '%s'", err.text, says);
}

static void
test_config_cache_wrong_redis_addresses_are_named(void **state)
{
	static const char *const wrong[] = { "localhost:6379",     "redis://",       "redis://h",
					     "redis://h:70000",    "redis://h:1/x",  "redis://h:1/",
					     "redis://u:p@h:6379", "rediss://h:6379" };
	char text[160];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		(void)snprintf(text, sizeof(text), "cache:\n  redis: ['redis://a:1', '%s']\n",
			       wrong[i]);
		expect_mistake(text, "t.yaml:2: cache.redis: found \"");
	}
	expect_mistake("cache: {redis: []}", "cache.redis: allowed: 1 to 64 addresses");
	expect_mistake("cache: {redis_password_file: /tmp/p}",
		       "cache.redis_password_file: needs cache.redis beside it, which is off");
}

static void
test_config_cache_prefix_that_is_a_pattern_is_refused(void **state)
{
	static const char *const wrong[] = { "a*", "{a}", "a b", "a?", "[a]", "" };
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		(void)snprintf(text, sizeof(text), "cache: {redis_prefix: '%s'}", wrong[i]);
		expect_mistake(text, "cache.redis_prefix: found");
	}
}

static void
test_config_cache_addresses_are_told_apart(void **state)
{
	struct buf text = { 0 };
	struct config *c = NULL;

	(void)state;
	expect_mistake("cache: {addresses: []}", "cache.addresses: found no address");
	expect_mistake("cache: {addresses: [tcp://a:1, 'off']}",
		       "cache.addresses: found \"off\", allowed: ipc://PATH");
	expect_mistake("cache: {addresses: [tcp://a:1, http://a:1]}",
		       "cache.addresses: found \"http://a:1\"");
	expect_mistake("cache: {addresses: [tcp://a:1, tcp://b:1, tcp://a:1]}",
		       "cache.addresses: found \"tcp://a:1\", allowed: each address once");
	(void)buf_append_str(&text, "cache: {addresses: [tcp://a:1");
	for (unsigned i = 2; i <= 65; i++)
		(void)buf_printf(&text, ", tcp://a:%u", i);
	(void)buf_append_str(&text, "]}");
	expect_mistake(buf_cstr(&text), "cache.addresses: allowed: at most 64 addresses");
	buf_done(&text);
	assert_int_equal(config_parse("t.yaml", "cache: {addresses: 'off'}", 25, &c, NULL), IM_OK);
	assert_string_equal(config_strings_at(c, "cache.addresses", 0), "off");
	config_free(c);
}

static void
test_config_cache_folder_without_a_name_is_refused(void **state)
{
	(void)state;
	expect_mistake("cache: {l2_dir: ''}", "cache.l2_dir: found \"\"");
	expect_mistake("cache: {l2_bytes: 1MiB}", "cache.l2_bytes");
}

static void
test_config_cache_redis_address_is_taken_apart(void **state)
{
	static const struct {
		const char *url, *host;
		int port, db;
	} cases[] = { { "redis://h:6379", "h", 6379, 0 },
		      { "redis://10.0.0.1:1/15", "10.0.0.1", 1, 15 },
		      { "redis://[::1]:7000/2", "[::1]", 7000, 2 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char host[64];
		int port, db;

		assert_true(redis_url_is(cases[i].url));
		redis_url_read(cases[i].url, host, sizeof(host), &port, &db);
		assert_string_equal(host, cases[i].host);
		assert_int_equal(port, cases[i].port);
		assert_int_equal(db, cases[i].db);
	}
}

static void
test_config_cache_wrong_object_store_is_named(void **state)
{
	static const char *const wrong[] = { "s3://b",         "http://h",         "http://h/",
					     "http:///b",      "http://h:99999/b", "http://h:x/b",
					     "http://u@h/b",   "http://h/b/",      "http://h/b//p",
					     "http://h/b/a b", "http://h/b?x=y",   "http://h/b/..",
					     "http://h/b%2f",  "http://h\\i/b",    "ftp://h/b" };
	char text[200];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		(void)snprintf(text, sizeof(text), "cache:\n  l3: '%s'\n  l3_credentials_env: C\n",
			       wrong[i]);
		expect_mistake(text, "t.yaml:2: cache.l3: found \"");
	}
	expect_mistake("cache: {l3: 'http://h/b'}", "cache.l3: needs cache.l3_credentials_file");
	expect_mistake("cache: {l3_credentials_file: /tmp/c}", "needs cache.l3 beside it");
	expect_mistake("cache: {l3_credentials_env: C}", "needs cache.l3 beside it");
	expect_mistake("cache: {l3: 'http://h/b', l3_credentials_file: /c, l3_credentials_env: C}",
		       "cache.l3_credentials_env: cannot stand beside");
	expect_mistake("cache: {l3_region: 'a:b'}", "cache.l3_region: found \"a:b\"");
	expect_mistake("cache: {l3: 'http://h/b', l3_credentials_file: /c}",
		       "cache.l3_ms: must be below router.cache_ms");
}

static void
test_config_cache_entries_without_their_home_are_refused(void **state)
{
	(void)state;
	expect_mistake("cache: {store: disk}", "cache.store: needs a folder in cache.l2_dir");
	expect_mistake("cache: {store: redis}", "cache.store: needs cache.redis beside it");
	expect_mistake("cache: {store: tape}", "cache.store: found \"tape\"");
	expect_mistake("cache: {store_ms: 0}", "cache.store_ms: found \"0\"");
}

static void
test_config_cache_object_store_is_taken_apart(void **state)
{
	static const struct {
		const char *url, *prefix;
	} cases[] = { { "https://s3.eu-central-1.amazonaws.com/my.bucket", "" },
		      { "http://127.0.0.1:9000/b/p", "/p" },
		      { "http://[::1]:9000/b_c/p/q-1", "/p/q-1" },
		      { "http://[::1]/b", "" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(s3_url_is(cases[i].url));
		assert_string_equal(cases[i].url + s3_url_bucket_len(cases[i].url),
				    cases[i].prefix);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_cache_wrong_redis_addresses_are_named),
		cmocka_unit_test(test_config_cache_prefix_that_is_a_pattern_is_refused),
		cmocka_unit_test(test_config_cache_addresses_are_told_apart),
		cmocka_unit_test(test_config_cache_folder_without_a_name_is_refused),
		cmocka_unit_test(test_config_cache_redis_address_is_taken_apart),
		cmocka_unit_test(test_config_cache_wrong_object_store_is_named),
		cmocka_unit_test(test_config_cache_entries_without_their_home_are_refused),
		cmocka_unit_test(test_config_cache_object_store_is_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
