/*
 * audit/direct_test.c - what is appended past the page cache is what the file holds, in whole blocks, whatever fails meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/direct.h"
#include "audit/testlog.h"
#include "base/prng.h"

#define FILE_MAX ((size_t)4 << 20)

struct bench {
	struct testlog t; /* for its folder */
	char path[DISK_PATH_MAX];
	int fd;
	struct direct direct;
	uint8_t *model; /* what the file must begin with; zeros follow */
	uint8_t *found;
	size_t len;
	struct im_err err;
};

static void
setup(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	testlog_init(&b->t);
	testdisk_arm(0, 0);
	assert_int_equal(disk_path(b->path, b->t.dir, "file", NULL), IM_OK);
	b->fd = open(b->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(b->fd >= 0);
	b->model = calloc(2, FILE_MAX);
	assert_non_null(b->model);
	b->found = b->model + FILE_MAX;
	assert_int_equal(direct_init(&b->direct, &b->err), IM_OK);
}

static void
teardown(struct bench *b)
{
	(void)close(b->fd);
	direct_done(&b->direct);
	free(b->model);
	testlog_done(&b->t);
}

static enum im_rc
append(struct bench *b, const void *data, size_t len)
{
	enum im_rc rc =
	    direct_write(&b->direct, &testdisk, b->fd, b->path, b->len, data, len, &b->err);

	if (rc == IM_OK) {
		direct_keep(&b->direct, b->len, data, len);
		memcpy(b->model + b->len, data, len);
		b->len += len;
	}
	return rc;
}

static void
check(struct bench *b)
{
	uint64_t whole = DIRECT_UP(b->len);
	int fd = open(b->path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true((uint64_t)st.st_size >= whole);
	assert_int_equal(pread(fd, b->found, (size_t)whole, 0), whole);
	assert_memory_equal(b->found, b->model, (size_t)whole);
	(void)close(fd);
}

/* Lengths about the borders of blocks and pieces, and any others. */
static size_t
some_length(struct prng *r)
{
	static const size_t near[] = { 1, 512, 4096, 8192, 131072, 262144 };
	uint32_t way = prng_below(r, 10);

	if (way < 5)
		return 1 + prng_below(r, 9000);
	return near[prng_below(r, 6)] + (way < 7 ? 0 : prng_below(r, 3));
}

static void
append_many(struct bench *b, uint64_t seed, unsigned fail_every)
{
	uint8_t *data = malloc(300000);
	struct prng r;

	assert_non_null(data);
	prng_seed(&r, seed);
	for (unsigned i = 1; b->len + 300000 < FILE_MAX; i++) {
		size_t len = some_length(&r);

		for (size_t k = 0; k < len; k++)
			data[k] = (uint8_t)prng_below(&r, 255) + 1;
		if (fail_every != 0 && i % fail_every == 0) {
			testdisk_arm_name("pwrite", ENOSPC);
			assert_int_equal(append(b, data, len), IM_EUNAVAILABLE);
			testdisk_arm(0, 0);
		}
		assert_int_equal(append(b, data, len), IM_OK);
		if (i % 16 == 0)
			check(b);
	}
	check(b);
	free(data);
}

static void
test_direct_any_lengths_are_what_the_file_holds(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	direct_begin(&b.direct, b.fd);
	append_many(&b, 1, 0);
	teardown(&b);
}

static void
test_direct_without_the_file_system_s_help_is_the_same(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	append_many(&b, 2, 0);
	teardown(&b);
}

static void
test_direct_that_the_device_refuses_goes_through_the_page_cache(void **state)
{
	uint8_t data[5000];
	struct bench b;

	(void)state;
	setup(&b);
	direct_begin(&b.direct, b.fd);
	if (!b.direct.on) { /* this folder's file system has none: nothing to refuse */
		teardown(&b);
		return;
	}
	memset(data, 7, sizeof(data));
	assert_int_equal(append(&b, data, 100), IM_OK);
	testdisk_arm(1, EINVAL);
	assert_int_equal(append(&b, data, sizeof(data)), IM_OK);
	assert_string_equal(testdisk_failed(), "pwrite");
	assert_false(b.direct.on);
	testdisk_arm(0, 0);
	assert_int_equal(append(&b, data, 3), IM_OK);
	check(&b);
	teardown(&b);
}

static void
test_direct_failed_writes_can_be_repeated(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	direct_begin(&b.direct, b.fd);
	append_many(&b, 3, 3);
	teardown(&b);
}

static void
test_direct_lost_disk_is_told(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	direct_begin(&b.direct, b.fd);
	testdisk_arm(1, EIO);
	assert_int_equal(append(&b, "x", 1), IM_EIO);
	teardown(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_direct_any_lengths_are_what_the_file_holds),
		cmocka_unit_test(test_direct_without_the_file_system_s_help_is_the_same),
		cmocka_unit_test(test_direct_that_the_device_refuses_goes_through_the_page_cache),
		cmocka_unit_test(test_direct_failed_writes_can_be_repeated),
		cmocka_unit_test(test_direct_lost_disk_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
