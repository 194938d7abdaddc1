/*
 * daemon/worker_name_test.c - what workers call themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/worker_name.h"

static struct config *
parse(const char *text)
{
	struct config *c = NULL;
	struct im_err err;

	if (config_parse("t.yaml", text, strlen(text), &c, &err) != IM_OK)
		fail_msg("%s", err.text);
	return c;
}

static void
expect_name(const char *text, const char *host, const char *expected)
{
	struct config *c = parse(text);
	char name[NET_NAME_MAX] = "";
	struct im_err err;

	assert_int_equal(worker_name(config_item(c, "workers", 0), host, name, &err), IM_OK);
	assert_string_equal(name, expected);
	config_free(c);
}

static void
expect_refused(const char *text, const char *host, const char *says)
{
	struct config *c = parse(text);
	char name[NET_NAME_MAX] = "untouched";
	struct im_err err;

	assert_int_equal(worker_name(config_item(c, "workers", 0), host, name, &err), IM_EINVAL);
	if (strstr(err.text, says) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", err.text, says);
	assert_string_equal(name, "untouched");
	config_free(c);
}

static void
test_worker_name_is_that_of_the_entry(void **state)
{
	char name[NET_NAME_MAX];
	struct im_err err;

	(void)state;
	expect_name("workers: [{name: gpu}]\n", "box-1", "gpu");
	expect_name("workers: [{name: gpu, per_host: false}]\n", "no name!", "gpu");
	assert_int_equal(worker_name(NULL, "box-1", name, &err), IM_OK);
	assert_string_equal(name, "demo");
}

static void
test_worker_name_per_host_has_the_host_behind_it(void **state)
{
	(void)state;
	expect_name("workers: [{name: gpu, per_host: true}]\n", "3f2a91bc04de", "gpu-3f2a91bc04de");
	expect_name("workers: [{name: gpu, per_host: true}]\n", "box-1.example.org",
		    "gpu-box-1.example.org");
}

static void
test_worker_name_per_host_on_a_machine_with_an_odd_name_is_refused(void **state)
{
	(void)state;
	expect_refused("workers: [{name: gpu, per_host: true}]\n", "",
		       "this machine is called \"\"");
	expect_refused("workers: [{name: gpu, per_host: true}]\n", "b\303\266x",
		       "rename the machine");
	expect_refused("workers: [{name: gpu, per_host: true}]\n", "(none)", "letters, digits");
}

static void
test_worker_name_per_host_of_63_bytes_fits_and_of_64_is_refused(void **state)
{
	/* 60 bytes. */
	static const char host[] = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff";

	(void)state;
	expect_name("workers: [{name: gp, per_host: true}]\n", host,
		    "gp-aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff");
	expect_refused("workers: [{name: gpu, per_host: true}]\n", host,
		       "is longer than 63 bytes; shorten workers[].name");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worker_name_is_that_of_the_entry),
		cmocka_unit_test(test_worker_name_per_host_has_the_host_behind_it),
		cmocka_unit_test(
		    test_worker_name_per_host_on_a_machine_with_an_odd_name_is_refused),
		cmocka_unit_test(test_worker_name_per_host_of_63_bytes_fits_and_of_64_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
