/*
 * audit/keyfile_test.c - a signing key that comes and one that goes: what is in the key file afterwards, and that a crash or an
 * error at any system call leaves a file that says the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/keyfile.h"
#include "audit/testlog.h"
#include "daemon/secret_file.h"

#define ORIGIN "test.example/log"

struct fixture {
	char dir[64], path[96];
	struct keyfile keys;
	uint8_t first[NOTE_KEY_BYTES]; /* public half of the first signer */
	char secret[NOTE_KEYTEXT_MAX]; /* and its private one, as it stands in the file */
	struct im_err err;
};

static void
setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	(void)snprintf(f->dir, sizeof(f->dir), "%s/im-keyfile-XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/audit.key", f->dir);
	assert_int_equal(keyfile_create(f->path, ORIGIN, &f->keys, &f->err), IM_OK);
	memcpy(f->first, f->keys.signer.pub, sizeof(f->first));
	note_signer_skey(&f->keys.signer, f->secret);
}

static void
teardown(struct fixture *f)
{
	keyfile_done(&f->keys);
	(void)unlink(f->path);
	(void)rmdir(f->dir);
}

static char *
contents(const struct fixture *f)
{
	struct buf b = { 0 };
	size_t len;

	assert_int_equal(disk_read(f->path, (size_t)SECRET_FILE_MAX, &b, NULL), IM_OK);
	(void)buf_cstr(&b);
	return (char *)buf_take(&b, &len);
}

static bool
file_holds(const struct fixture *f, const char *text)
{
	char *all = contents(f);
	bool found = strstr(all, text) != NULL;

	free(all);
	return found;
}

static void
test_keyfile_rotation_keeps_the_old_public_key_and_destroys_the_old_secret(void **state)
{
	struct fixture f;
	char vkey[NOTE_KEYTEXT_MAX], old[NOTE_KEYTEXT_MAX];
	uint8_t pub[NOTE_KEY_BYTES];
	struct hash master;

	(void)state;
	setup(&f);
	master = f.keys.keys.master;
	keyfile_first_vkey(&f.keys, old);
	assert_int_equal(keyfile_add(&disk_posix, f.path, ORIGIN "/2027h1-1", &f.keys, &f.err),
			 IM_OK);
	assert_int_equal(keyfile_add(&disk_posix, f.path, ORIGIN "/2027h1-2", &f.keys, &f.err),
			 IM_EEXIST);
	memcpy(pub, f.keys.spare.pub, sizeof(pub));
	assert_true(file_holds(&f, f.secret));
	assert_int_equal(keyfile_settle(&disk_posix, f.path, pub, &f.keys, &f.err), IM_OK);
	assert_memory_equal(f.keys.signer.pub, pub, sizeof(pub));
	assert_string_equal(f.keys.signer.name, ORIGIN "/2027h1-1");
	assert_string_equal(f.keys.spare.name, "");
	assert_int_equal(f.keys.old_count, 1);
	assert_memory_equal(&f.keys.keys.master, &master, sizeof(master));
	keyfile_first_vkey(&f.keys, vkey);
	assert_string_equal(vkey, old);
	/* Not even the last byte of it. */
	for (size_t i = strlen("PRIVATE+KEY+" ORIGIN) + 10; i + 8 < strlen(f.secret); i++) {
		char part[9] = "";

		memcpy(part, f.secret + i, 8);
		assert_false(file_holds(&f, part));
	}
	teardown(&f);
}

static void
test_keyfile_key_that_was_never_used_leaves_no_trace(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	assert_int_equal(keyfile_add(&disk_posix, f.path, ORIGIN "/2027h1-1", &f.keys, &f.err),
			 IM_OK);
	assert_int_equal(keyfile_settle(&disk_posix, f.path, f.first, &f.keys, &f.err), IM_OK);
	assert_string_equal(f.keys.spare.name, "");
	assert_int_equal(f.keys.old_count, 0);
	assert_true(file_holds(&f, f.secret));
	assert_false(file_holds(&f, "2027h1-1"));
	assert_int_equal(keyfile_settle(&disk_posix, f.path, (const uint8_t[NOTE_KEY_BYTES]){ 1 },
					&f.keys, &f.err),
			 IM_ENOTFOUND);
	teardown(&f);
}

static void
test_keyfile_that_needs_no_change_may_be_read_only(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	assert_int_equal(chmod(f.path, 0400), 0);
	testdisk_arm_name("open", EACCES);
	assert_int_equal(keyfile_settle(&testdisk, f.path, f.first, &f.keys, &f.err), IM_OK);
	assert_int_equal(keyfile_add(&testdisk, f.path, ORIGIN "/2027h1-1", &f.keys, &f.err),
			 IM_EUNAVAILABLE);
	assert_non_null(strstr(f.err.text, f.path));
	testdisk_arm(0, 0);
	teardown(&f);
}

/* Both steps of a rotation. */
static enum im_rc
rotate(struct fixture *f, const struct disk_ops *ops)
{
	uint8_t pub[NOTE_KEY_BYTES];
	enum im_rc rc = IM_OK;

	if (f->keys.spare.name[0] == '\0')
		rc = keyfile_add(ops, f->path, ORIGIN "/2027h1-1", &f->keys, &f->err);
	if (rc != IM_OK)
		return rc;
	memcpy(pub, f->keys.spare.pub, sizeof(pub));
	return keyfile_settle(ops, f->path, pub, &f->keys, &f->err);
}

/* Killed at call 'at'. False when there was no such call. */
static bool
killed_at(unsigned at)
{
	struct fixture f;
	struct keyfile back;
	int status;
	pid_t pid;

	setup(&f);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		testdisk_arm(at, TESTDISK_KILL);
		_exit(rotate(&f, &testdisk) == IM_OK ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		assert_int_equal(status, 0);
	/* Whatever came of it, one of both keys is whole, and settling with it gives a file with one signer. */
	assert_int_equal(keyfile_load(f.path, &back, &f.err), IM_OK);
	keyfile_done(&f.keys);
	f.keys = back;
	if (f.keys.spare.name[0] != '\0' || f.keys.old_count > 0) {
		struct note_signer *now =
		    f.keys.spare.name[0] != '\0' ? &f.keys.spare : &f.keys.signer;
		uint8_t pub[NOTE_KEY_BYTES];

		memcpy(pub, now->pub, sizeof(pub));
		assert_int_equal(keyfile_settle(&disk_posix, f.path, pub, &f.keys, &f.err), IM_OK);
		assert_int_equal(f.keys.old_count, 1);
		assert_false(file_holds(&f, f.secret));
		assert_false(file_holds(&f, f.secret + strlen("PRIVATE+KEY+" ORIGIN) + 20));
	} else {
		assert_memory_equal(f.keys.signer.pub, f.first, sizeof(f.first));
		assert_int_equal(rotate(&f, &disk_posix), IM_OK);
	}
	assert_string_equal(f.keys.spare.name, "");
	assert_false(f.keys.unfinished);
	teardown(&f);
	return WIFSIGNALED(status);
}

static void
test_keyfile_killed_at_any_call_has_a_key_and_goes_on(void **state)
{
	unsigned at = 1;

	(void)state;
	while (killed_at(at))
		at++;
	assert_true(at > 10);
	print_message("%u kills\n", at - 1);
}

static void
test_keyfile_any_call_failing_once_is_made_good_by_the_next_try(void **state)
{
	struct fixture f;
	unsigned at, calls = 1;

	(void)state;
	for (at = 1; calls >= at; at++) {
		setup(&f);
		testdisk_arm(at, ENOSPC);
		if (rotate(&f, &testdisk) != IM_OK) {
			if (f.err.rc == IM_EIO) { /* a sync: only a new start may go on */
				keyfile_done(&f.keys);
				assert_int_equal(keyfile_load(f.path, &f.keys, &f.err), IM_OK);
			}
			if (f.keys.old_count == 0)
				assert_int_equal(rotate(&f, &testdisk), IM_OK);
			else
				assert_int_equal(keyfile_settle(&testdisk, f.path,
								f.keys.spare.name[0] != '\0'
								    ? f.keys.spare.pub
								    : f.keys.signer.pub,
								&f.keys, &f.err),
						 IM_OK);
		}
		calls = testdisk_calls();
		testdisk_arm(0, 0);
		assert_int_equal(f.keys.old_count, 1);
		assert_string_equal(f.keys.spare.name, "");
		assert_false(f.keys.unfinished);
		assert_false(file_holds(&f, f.secret));
		teardown(&f);
	}
	assert_true(at > 10);
}

static void
test_keyfile_append_that_was_cut_off_does_not_count(void **state)
{
	struct fixture f;
	struct keyfile back;
	char *all;
	FILE *file;

	(void)state;
	setup(&f);
	all = contents(&f);
	/* The same line once more, cut at each byte, and the rest of the file's block zeros. */
	for (size_t cut = 1; cut < strlen(f.secret) + 7; cut++) {
		char line[NOTE_KEYTEXT_MAX + 16];

		(void)snprintf(line, sizeof(line), "signer %s", f.secret);
		line[cut] = '\0';
		file = fopen(f.path, "we");
		assert_non_null(file);
		assert_true(fputs(all, file) >= 0 && fputs(line, file) >= 0);
		assert_int_equal(fwrite("\0\0\0", 1, cut % 4 == 0 ? 3 : 0, file),
				 cut % 4 == 0 ? 3 : 0);
		assert_int_equal(fclose(file), 0);
		assert_int_equal(keyfile_load(f.path, &back, &f.err), IM_OK);
		assert_memory_equal(back.signer.pub, f.first, sizeof(f.first));
		keyfile_done(&back);
	}
	free(all);
	/* The next key comes in its place. */
	assert_int_equal(rotate(&f, &disk_posix), IM_OK);
	assert_int_equal(f.keys.old_count, 1);
	teardown(&f);
}

static void
test_keyfile_with_three_signers_or_a_malformed_old_key_is_refused(void **state)
{
	struct fixture f;
	struct keyfile back;
	FILE *file;

	(void)state;
	setup(&f);
	file = fopen(f.path, "ae");
	assert_non_null(file);
	assert_true(fprintf(file, "old nonsense\n") > 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(keyfile_load(f.path, &back, &f.err), IM_EINVAL);
	assert_non_null(strstr(f.err.text, "line 6"));
	teardown(&f);
	setup(&f);
	file = fopen(f.path, "ae");
	assert_non_null(file);
	assert_true(fprintf(file, "signer %s\nsigner %s\n", f.secret, f.secret) > 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(keyfile_load(f.path, &back, &f.err), IM_EINVAL);
	assert_non_null(strstr(f.err.text, "line 7"));
	teardown(&f);
}

/* Whoever edits it by hand may forget the last newline: what appends does not count that line, so nobody else may. */
static void
test_keyfile_last_line_without_its_newline_is_asked_for(void **state)
{
	struct fixture f;
	struct keyfile back;
	char *all;
	FILE *file;

	(void)state;
	setup(&f);
	all = contents(&f);
	file = fopen(f.path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(all, 1, strlen(all) - 1, file), strlen(all) - 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(keyfile_load(f.path, &back, &f.err), IM_EINVAL);
	assert_non_null(strstr(f.err.text, "line 5 does not end with a newline"));
	/* A second signer, whole but for its newline, is none, and keeps no other from coming. */
	file = fopen(f.path, "we");
	assert_non_null(file);
	assert_true(fprintf(file, "%ssigner %s", all, f.secret) > 0);
	assert_int_equal(fclose(file), 0);
	free(all);
	keyfile_done(&f.keys);
	assert_int_equal(keyfile_load(f.path, &f.keys, &f.err), IM_OK);
	assert_string_equal(f.keys.spare.name, "");
	assert_int_equal(rotate(&f, &disk_posix), IM_OK);
	assert_int_equal(f.keys.old_count, 1);
	teardown(&f);
}

/* The file that is full can be read: only the rotation is refused. */
static void
test_keyfile_is_never_rotated_into_one_that_cannot_be_read(void **state)
{
	struct fixture f;
	enum im_rc rc = IM_OK;
	unsigned n;

	(void)state;
	for (unsigned longest = 0; longest < 2; longest++) {
		char name[NOTE_NAME_MAX + 1];

		setup(&f);
		memset(name, 'n', sizeof(name) - 1);
		name[longest == 1 ? sizeof(name) - 1 : 30] = '\0';
		for (n = 0; n < 2 * KEYFILE_OLD_MAX && rc == IM_OK; n++) {
			rc = keyfile_add(&disk_posix, f.path, name, &f.keys, &f.err);
			if (rc == IM_OK)
				assert_int_equal(keyfile_settle(&disk_posix, f.path,
								f.keys.spare.pub, &f.keys, &f.err),
						 IM_OK);
		}
		assert_int_equal(rc, IM_EINVAL);
		assert_non_null(strstr(f.err.text, "no room"));
		assert_true(longest == 1 ? n > 90 : n == KEYFILE_OLD_MAX + 1);
		teardown(&f);
		rc = IM_OK;
	}
	setup(&f); /* those that came to nothing take room too */
	for (n = 0; n < 10000 && rc == IM_OK; n++) {
		rc = keyfile_add(&disk_posix, f.path, ORIGIN "/2027h1-1", &f.keys, &f.err);
		if (rc == IM_OK)
			assert_int_equal(
			    keyfile_settle(&disk_posix, f.path, f.first, &f.keys, &f.err), IM_OK);
	}
	assert_int_equal(rc, IM_EINVAL);
	keyfile_done(&f.keys);
	assert_int_equal(keyfile_load(f.path, &f.keys, &f.err), IM_OK);
	teardown(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_keyfile_rotation_keeps_the_old_public_key_and_destroys_the_old_secret),
		cmocka_unit_test(test_keyfile_key_that_was_never_used_leaves_no_trace),
		cmocka_unit_test(test_keyfile_that_needs_no_change_may_be_read_only),
		cmocka_unit_test(test_keyfile_killed_at_any_call_has_a_key_and_goes_on),
		cmocka_unit_test(test_keyfile_any_call_failing_once_is_made_good_by_the_next_try),
		cmocka_unit_test(test_keyfile_append_that_was_cut_off_does_not_count),
		cmocka_unit_test(test_keyfile_last_line_without_its_newline_is_asked_for),
		cmocka_unit_test(test_keyfile_is_never_rotated_into_one_that_cannot_be_read),
		cmocka_unit_test(test_keyfile_with_three_signers_or_a_malformed_old_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
