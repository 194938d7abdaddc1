/*
 * inference/upstream_proxy_test.c - when a proxy of the environment is none of our business.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "inference/upstream.h"

static void
test_no_proxy_names_hosts_and_domains_as_for_libcurl(void **state)
{
	static const struct {
		const char *list, *host;
		bool named;
	} rows[] = {
		{ "*", "example.com", true },
		{ "a,*", "example.com", false },
		{ "example.com", "example.com", true },
		{ "Example.COM", "eXample.com", true },
		{ "example.com", "www.example.com", true },
		{ ".example.com", "www.example.com", true },
		{ ".example.com", "example.com", true },
		{ "example.com", "notexample.com", false },
		{ "example.com", "example.com.org", false },
		{ "example.com", "com", false },
		{ "a, b\t,,d , example.com", "example.com", true },
		{ "example.co,ample.com", "example.com", false },
		{ "127.0.0.1", "127.0.0.1", true },
		/* An address has no domain. */
		{ "0.1", "127.0.0.1", false },
		{ ".0.0.1", "127.0.0.1", false },
		{ "", "example.com", false },
		{ ",. ,", "example.com", false },
		{ "example.com", "", false },
		/* Left to libcurl. */
		{ "127.0.0.0/8", "127.0.0.1", false },
		{ "::1", "[::1]", false },
		{ "a example.com", "example.com", false },
		{ "example.com:80", "example.com", false },
		{ "example.com.", "example.com", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (upstream_no_proxy(rows[i].list, rows[i].host) != rows[i].named)
			fail_msg("\"%s\" and \"%s\"", rows[i].list, rows[i].host);
}

static void
test_proxy_of_the_environment_counts_for_its_scheme_and_not_where_excepted(void **state)
{
	static const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY",
					     "all_proxy",  "ALL_PROXY",   "no_proxy",
					     "NO_PROXY" };
	static const struct {
		const char *name, *no_proxy, *url;
		bool by_proxy;
	} rows[] = {
		{ NULL, NULL, "http://a.b/v1", false },
		{ "http_proxy", NULL, "http://a.b/v1", true },
		{ "http_proxy", NULL, "https://a.b/v1", false },
		{ "https_proxy", NULL, "http://a.b/v1", false },
		{ "HTTPS_PROXY", NULL, "https://a.b/v1", true },
		{ "all_proxy", NULL, "http://a.b/v1", true },
		{ "ALL_PROXY", NULL, "https://a.b/v1", true },
		{ "http_proxy", "no_proxy", "http://a.b/v1", false },
		{ "http_proxy", "NO_PROXY", "http://a.b:8000/v1", false },
		{ "http_proxy", "no_proxy", "http://a.c/v1", true },
	};

	(void)state;
	/* NOLINTBEGIN(concurrency-mt-unsafe): no other thread looks at the environment */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CURLU *url = curl_url();

		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			(void)unsetenv(names[k]);
		if (rows[i].name != NULL)
			(void)setenv(rows[i].name, "http://127.0.0.1:1", 1);
		if (rows[i].no_proxy != NULL)
			(void)setenv(rows[i].no_proxy, "x,b", 1);
		assert_int_equal(curl_url_set(url, CURLUPART_URL, rows[i].url, 0), CURLUE_OK);
		if (upstream_by_proxy(url) != rows[i].by_proxy)
			fail_msg("row %zu", i);
		curl_url_cleanup(url);
	}
	/* NOLINTEND(concurrency-mt-unsafe) */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_proxy_names_hosts_and_domains_as_for_libcurl),
		cmocka_unit_test(
		    test_proxy_of_the_environment_counts_for_its_scheme_and_not_where_excepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
