/*
 * daemon/api_key_test.c - a key that others want from us: who may read it, what it may hold, and that a new one is noticed.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/api_key.h"

static char dir[] = "/tmp/infermesh-key-XXXXXX";
static char path[64];

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/key", dir);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(dir);
}

/* A new file each time, as editors and secret mounts do it. */
static void
write_key(const char *text, mode_t mode)
{
	int fd;

	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static void
test_api_key_file_is_read_and_read_again_when_it_changed(void **state)
{
	struct api_key k;
	struct im_err err;
	const char *key;

	(void)state;
	write_key("sk-one\n", 0600);
	assert_int_equal(api_key_init(&k, path, NULL, &err), IM_OK);
	assert_int_equal(api_key_get(&k, &key, &err), IM_OK);
	assert_string_equal(key, "sk-one");
	write_key("sk-two \r\n\n", 0640);
	assert_int_equal(api_key_get(&k, &key, &err), IM_OK);
	assert_string_equal(key, "sk-two");
	write_key("sk-three", 0644);
	assert_int_equal(api_key_get(&k, &key, &err), IM_EPERM);
	assert_non_null(strstr(err.text, "chmod 0600"));
	(void)unlink(path);
	assert_int_equal(api_key_get(&k, &key, &err), IM_EIO);
	write_key("sk-four", 0400);
	assert_int_equal(api_key_get(&k, &key, &err), IM_OK);
	assert_string_equal(key, "sk-four");
	api_key_done(&k);
}

static void
test_api_key_that_cannot_be_one_is_refused_without_being_shown(void **state)
{
	static const char *const bad[] = { "",        "\n",         "sk-a b", "sk-a\r\nX-Evil: 1",
					   "sk-\x01", "sk-\xC3\xA4" };
	struct api_key k;
	struct im_err err;
	char *large;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_key(bad[i], 0600);
		assert_int_equal(api_key_init(&k, path, NULL, &err), IM_EINVAL);
		assert_null(strstr(err.text, "sk-"));
	}
	large = malloc(API_KEY_MAX + 2);
	assert_non_null(large);
	memset(large, 'k', API_KEY_MAX + 1);
	large[API_KEY_MAX + 1] = '\0';
	write_key(large, 0600);
	assert_int_equal(api_key_init(&k, path, NULL, &err), IM_EINVAL);
	large[API_KEY_MAX] = '\0';
	write_key(large, 0600);
	assert_int_equal(api_key_init(&k, path, NULL, &err), IM_OK);
	api_key_done(&k);
	free(large);
	assert_int_equal(api_key_init(&k, dir, NULL, &err), IM_EINVAL);
}

static void
test_api_key_comes_from_the_environment_or_is_none(void **state)
{
	struct api_key k;
	struct im_err err;
	const char *key;

	(void)state;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
	assert_int_equal(setenv("INFERMESH_TEST_KEY", "sk-env", 1), 0);
	assert_int_equal(api_key_init(&k, NULL, "INFERMESH_TEST_KEY", &err), IM_OK);
	assert_int_equal(api_key_get(&k, &key, &err), IM_OK);
	assert_string_equal(key, "sk-env");
	api_key_done(&k);
	assert_int_equal(api_key_init(&k, NULL, "INFERMESH_TEST_NO_KEY", &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "INFERMESH_TEST_NO_KEY"));
	assert_int_equal(api_key_init(&k, NULL, NULL, &err), IM_OK);
	assert_int_equal(api_key_get(&k, &key, &err), IM_OK);
	assert_string_equal(key, "");
	api_key_done(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_api_key_file_is_read_and_read_again_when_it_changed),
		cmocka_unit_test(test_api_key_that_cannot_be_one_is_refused_without_being_shown),
		cmocka_unit_test(test_api_key_comes_from_the_environment_or_is_none),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
