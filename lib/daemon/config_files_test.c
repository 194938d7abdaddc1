/*
 * daemon/config_files_test.c - files that a configuration names and that are not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/config.h"

static char dir[64], there[96], missing[96];

static int
setup(void **state)
{
	FILE *f;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/infermesh-files-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(there, sizeof(there), "%s/there", dir);
	(void)snprintf(missing, sizeof(missing), "%s/missing", dir);
	f = fopen(there, "we");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	return unlink(there) == 0 && rmdir(dir) == 0 ? 0 : -1;
}

/* What is wrong with this configuration, which parses. */
static enum im_rc
check(const char *yaml, struct im_err *err)
{
	struct config *c;
	enum im_rc rc;

	assert_int_equal(config_parse("t.yaml", yaml, strlen(yaml), &c, err), IM_OK);
	rc = config_check_files(c, err);
	config_free(c);
	return rc;
}

static void
fill(char *out, size_t cap, const char *yaml, const char *file)
{
	size_t at = 0;

	for (; *yaml != '\0'; yaml++) {
		const char one[] = { *yaml, '\0' };
		const char *text = *yaml == '@' ? file : *yaml == '+' ? there : one;

		at += (size_t)snprintf(out + at, cap - at, "%s", text);
		assert_true(at < cap);
	}
}

static void
test_config_without_files_names_none(void **state)
{
	struct im_err err;

	(void)state;
	assert_int_equal(check("mesh: {drain_ms: 5s}\n", &err), IM_OK);
}

static void
test_config_file_that_is_missing_or_a_folder_is_named_with_line_and_key(void **state)
{
	static const struct {
		const char *yaml, *line,
		    *key; /* yaml: @ is the file in question, + one that is there */
	} rows[] = {
		{ "gateway:\n  tls_key: +\n  tls_cert: @\n", "3", "gateway.tls_cert" },
		{ "gateway:\n  tls_cert: +\n  tls_key: @\n", "3", "gateway.tls_key" },
		{ "router:\n  limits_redis: redis://h:1\n\n  limits_redis_password_file: @\n", "4",
		  "router.limits_redis_password_file" },
		{ "workers:\n  - {name: a}\n  - name: b\n    model_file: @\n", "4",
		  "workers[].model_file" },
		{ "workers:\n  - name: b\n    model_file: +\n    model_key_file: @\n", "4",
		  "workers[].model_key_file" },
		{ "workers:\n  - name: b\n    backend: upstream\n    url: https://h\n    ca_file: @\n",
		  "5", "workers[].ca_file" },
		{ "workers:\n  - name: b\n    backend: upstream\n    url: https://h\n    api_key_file: @\n",
		  "5", "workers[].api_key_file" },
	};
	char yaml[512], says[256];
	struct im_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const wrong[] = { missing, dir };
		const char *const why[] = { "No such file or directory", "this is none" };

		for (size_t k = 0; k < 2; k++) {
			fill(yaml, sizeof(yaml), rows[i].yaml, wrong[k]);
			assert_int_equal(check(yaml, &err), IM_EINVAL);
			(void)snprintf(
			    says, sizeof(says),
			    "t.yaml:%s: %s: found \"%s\", allowed: a file that can be read (%s)",
			    rows[i].line, rows[i].key, wrong[k], why[k]);
			assert_string_equal(err.text, says);
		}
		fill(yaml, sizeof(yaml), rows[i].yaml, there);
		assert_int_equal(check(yaml, &err), IM_OK);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_without_files_names_none),
		cmocka_unit_test(
		    test_config_file_that_is_missing_or_a_folder_is_named_with_line_and_key),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
