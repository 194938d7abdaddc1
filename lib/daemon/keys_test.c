/*
 * daemon/keys_test.c - the key file on a real folder.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/keys.h"
#include "daemon/paths.h"

/* SHA-256 of "im-test", by sha256sum(1). */
#define HASH_OF_TEST "b9c41f5f6d8688988f8aa7ea570a8d4aa0a74eeac6d714f0c09fd2b9ef22d7c0"

struct place {
	char dir[64], path[96];
};

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/keys-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/a/b/keys", p->dir);
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct place *p = *state;
	char part[96];

	(void)unlink(p->path);
	(void)snprintf(part, sizeof(part), "%s/a/b", p->dir);
	(void)rmdir(part);
	(void)snprintf(part, sizeof(part), "%s/a", p->dir);
	(void)rmdir(part);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static void
put(const struct place *p, const char *text, mode_t mode)
{
	FILE *f;

	assert_int_equal(paths_make_parents(p->path, NULL), IM_OK);
	f = fopen(p->path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(p->path, mode), 0);
}

static void
test_keys_created_key_is_found(void **state)
{
	const struct place *p = *state;
	char one[KEYS_KEY_LEN + 1], two[KEYS_KEY_LEN + 1];
	const char *caller, *tenant;
	struct keys *keys = NULL;
	struct stat st;

	assert_int_equal(keys_create(p->path, "alice", "acme", one, NULL), IM_OK);
	assert_int_equal(keys_create(p->path, "bob@x", "acme", two, NULL), IM_OK);
	assert_int_equal(strlen(one), KEYS_KEY_LEN);
	assert_memory_equal(one, "im-", 3);
	assert_string_not_equal(one, two);
	assert_int_equal(stat(p->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(keys_load(p->path, &keys, NULL), IM_OK);
	assert_int_equal(keys_count(keys), 2);
	assert_true(keys_find(keys, two, KEYS_KEY_LEN, &caller, &tenant));
	assert_string_equal(caller, "bob@x");
	assert_string_equal(tenant, "acme");
	assert_false(keys_find(keys, two, KEYS_KEY_LEN - 1, &caller, &tenant));
	assert_false(keys_find(keys, "", 0, &caller, &tenant));
	keys_free(keys);
}

static void
test_keys_file_by_hand_is_read(void **state)
{
	const struct place *p = *state;
	const char *caller, *tenant;
	char key[KEYS_KEY_LEN + 1];
	struct keys *keys = NULL;

	/* No line break at the end: a key added later must not stick to it. */
	put(p, "# ours\n\n  " HASH_OF_TEST "\tci  default 17 # for tests\n" HASH_OF_TEST " x y 1",
	    0640);
	assert_int_equal(keys_create(p->path, "c", "d", key, NULL), IM_OK);
	assert_int_equal(keys_load(p->path, &keys, NULL), IM_OK);
	assert_int_equal(keys_count(keys), 3);
	assert_true(keys_find(keys, "im-test", 7, &caller, &tenant));
	assert_true(keys_find(keys, key, KEYS_KEY_LEN, &caller, &tenant));
	assert_string_equal(tenant, "d");
	keys_free(keys);
}

static void
test_keys_missing_file_is_not_found(void **state)
{
	const struct place *p = *state;
	struct keys *keys = NULL;
	struct im_err err;

	assert_int_equal(keys_load(p->path, &keys, &err), IM_ENOTFOUND);
	assert_non_null(strstr(err.text, "infermesh key create"));
}

static void
test_keys_lax_mode_is_refused(void **state)
{
	const struct place *p = *state;
	struct keys *keys = NULL;
	struct im_err err;
	static const mode_t modes[] = { 0644, 0660, 0601, 0602 };

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		put(p, "", modes[i]);
		assert_int_equal(keys_load(p->path, &keys, &err), IM_EPERM);
		assert_non_null(strstr(err.text, "chmod 0600"));
	}
	put(p, "", 0600);
	assert_int_equal(keys_load(p->path, &keys, &err), IM_OK);
	assert_int_equal(keys_count(keys), 0);
	keys_free(keys);
}

static void
test_keys_wrong_line_is_named(void **state)
{
	static const char *const bad[] = { "nonsense\n",
					   HASH_OF_TEST " a b\n",
					   HASH_OF_TEST " a b x\n",
					   HASH_OF_TEST " a b 1 2\n",
					   "zz" HASH_OF_TEST " a b 1\n",
					   HASH_OF_TEST " a/b b 1\n" };
	const struct place *p = *state;
	struct keys *keys = NULL;
	struct im_err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[256];

		(void)snprintf(text, sizeof(text), "# one\n%s", bad[i]);
		put(p, text, 0600);
		assert_int_equal(keys_load(p->path, &keys, &err), IM_EINVAL);
		assert_non_null(strstr(err.text, "keys:2: "));
	}
}

static void
test_keys_create_refuses_bad_names(void **state)
{
	const struct place *p = *state;
	char key[KEYS_KEY_LEN + 1];

	assert_int_equal(keys_create(p->path, "a b", "t", key, NULL), IM_EINVAL);
	assert_int_equal(keys_create(p->path, "a", "", key, NULL), IM_EINVAL);
	assert_int_equal(keys_create(p->path, "a\n", "t", key, NULL), IM_EINVAL);
	assert_int_equal(access(p->path, F_OK), -1);
}

static void
test_paths_private_folder_is_made_and_checked(void **state)
{
	const struct place *p = *state;
	char dir[96], link[96];
	struct im_err err;
	struct stat st;

	(void)snprintf(dir, sizeof(dir), "%s/a/b", p->dir);
	assert_int_equal(paths_make_private(dir, &err), IM_OK);
	assert_int_equal(paths_make_private(dir, &err), IM_OK);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(chmod(dir, 0770), 0);
	assert_int_equal(paths_make_private(dir, &err), IM_EPERM);
	assert_non_null(strstr(err.text, "chmod go-w"));
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(paths_make_private(dir, &err), IM_OK);
	(void)snprintf(link, sizeof(link), "%s/link", p->dir);
	assert_int_equal(symlink(dir, link), 0);
	assert_int_equal(paths_make_private(link, &err), IM_EPERM);
	(void)unlink(link);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keys_created_key_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_file_by_hand_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_missing_file_is_not_found, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_keys_lax_mode_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_wrong_line_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_create_refuses_bad_names, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_paths_private_folder_is_made_and_checked,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
