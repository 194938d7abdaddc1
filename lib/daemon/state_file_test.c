/*
 * daemon/state_file_test.c - what is kept comes back whole or not at all; writes that overtake each other.
 */
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

#include "daemon/state_file.h"

struct place {
	char dir[64], path[80];
};

static void
place_make(struct place *p)
{
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/state-file-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/routes", p->dir);
}

static void
place_drop(const struct place *p)
{
	(void)unlink(p->path);
	assert_int_equal(rmdir(p->dir), 0); /* so nothing else is left, such as a .tmp */
}

static void
test_state_file_comes_back_and_is_private(void **state)
{
	struct place p;
	struct buf out = BUF_INIT(0);
	struct im_err err;
	struct stat st;

	(void)state;
	place_make(&p);
	assert_int_equal(state_file_read(p.path, &out, &err), IM_ENOTFOUND);
	assert_int_equal(state_file_write(p.path, "one", 3, &err), IM_OK);
	assert_int_equal(state_file_write(p.path, "second", 6, &err), IM_OK);
	assert_int_equal(state_file_read(p.path, &out, &err), IM_OK);
	assert_int_equal(out.len, 6);
	assert_memory_equal(out.data, "second", 6);
	assert_int_equal(stat(p.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	buf_done(&out);
	place_drop(&p);
}

static void
test_state_file_cut_or_changed_anywhere_is_refused(void **state)
{
	struct place p;
	struct im_err err;
	uint8_t bytes[64];
	size_t len;
	FILE *f;

	(void)state;
	place_make(&p);
	assert_int_equal(state_file_write(p.path, "contents", 8, &err), IM_OK);
	f = fopen(p.path, "re");
	assert_non_null(f);
	len = fread(bytes, 1, sizeof(bytes), f);
	(void)fclose(f);
	assert_int_equal(len, 48);
	for (size_t at = 0; at < 2 * len; at++) {
		struct buf out = BUF_INIT(0);

		f = fopen(p.path, "we");
		assert_non_null(f);
		if (at >= len)
			bytes[at - len] ^= 1;
		(void)fwrite(bytes, 1, at < len ? at : len, f);
		(void)fclose(f);
		if (at >= len)
			bytes[at - len] ^= 1;
		assert_int_equal(state_file_read(p.path, &out, &err), IM_ECORRUPT);
		assert_int_equal(out.len, 0);
		buf_done(&out);
	}
	place_drop(&p);
}

static void
test_state_file_in_a_folder_that_is_gone_says_so(void **state)
{
	struct im_err err;

	(void)state;
	assert_int_equal(state_file_write("/nonexistent/routes", "x", 1, &err), IM_EIO);
	assert_non_null(strstr(err.text, "/nonexistent/routes"));
}

struct user {
	struct loop *loop;
	struct state_file file;
	struct state_waiter waiter[3];
	unsigned told, failed;
};

static struct user user;

static void
on_done(struct state_waiter *w, const struct im_err *err)
{
	(void)w;
	user.told++;
	user.failed += err != NULL;
}

static void
on_idle(void *arg)
{
	(void)arg;
	loop_stop(user.loop);
}

static void
run_three(const char *path)
{
	struct im_err err;

	memset(&user, 0, sizeof(user));
	assert_int_equal(loop_new(&user.loop, &err), IM_OK);
	state_file_init(&user.file, user.loop, path, on_idle, NULL);
	loop_enter(user.loop);
	for (unsigned i = 0; i < 3; i++) {
		char text[2] = { (char)('a' + i), 0 };

		user.waiter[i].done = on_done;
		state_file_save(&user.file, text, 1, &user.waiter[i]);
	}
	state_file_save(&user.file, "d", 1, NULL);
	assert_true(state_file_busy(&user.file));
	loop_leave(user.loop);
	loop_run(user.loop);
	assert_false(state_file_busy(&user.file));
	assert_int_equal(user.told, 3);
	loop_free(user.loop);
}

static void
test_state_file_last_of_several_saves_counts(void **state)
{
	struct buf out = BUF_INIT(0);
	struct place p;
	struct im_err err;

	(void)state;
	place_make(&p);
	run_three(p.path);
	assert_int_equal(user.failed, 0);
	assert_int_equal(state_file_read(p.path, &out, &err), IM_OK);
	assert_int_equal(out.len, 1);
	assert_int_equal(out.data[0], 'd');
	buf_done(&out);
	place_drop(&p);
}

static void
test_state_file_that_cannot_be_written_tells_everybody(void **state)
{
	(void)state;
	run_three("/nonexistent/routes");
	assert_int_equal(user.failed, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state_file_comes_back_and_is_private),
		cmocka_unit_test(test_state_file_cut_or_changed_anywhere_is_refused),
		cmocka_unit_test(test_state_file_in_a_folder_that_is_gone_says_so),
		cmocka_unit_test(test_state_file_last_of_several_saves_counts),
		cmocka_unit_test(test_state_file_that_cannot_be_written_tells_everybody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
