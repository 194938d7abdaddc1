/*
 * audit/bytes_test.c - blocks of memory and of files: who holds them, and what a file may do meanwhile.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/bytes.h"

#define FILE_BYTES ((size_t)3 * BYTES_MAP_ALIGN + 10)

static char path[64];

static uint8_t
byte_at(uint64_t at)
{
	return (uint8_t)(at * 7 + at / 251);
}

/* A file that is FILE_BYTES long, open. */
static int
make_file(void)
{
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/im-bytes-test-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	for (size_t at = 0; at < FILE_BYTES; at += 1000) {
		uint8_t part[1000];
		size_t len = FILE_BYTES - at < sizeof(part) ? FILE_BYTES - at : sizeof(part);

		for (size_t i = 0; i < len; i++)
			part[i] = byte_at(at + i);
		assert_int_equal(pwrite(fd, part, len, (off_t)at), (ssize_t)len);
	}
	return fd;
}

static void
assert_bytes(const struct bytes *b, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(b->data[i], byte_at(at + i));
}

static void
test_bytes_of_memory_are_there_until_the_last_reference_goes(void **state)
{
	struct bytes *b = bytes_new(1000), *also;

	(void)state;
	assert_non_null(b);
	assert_int_equal(b->cap, 1000);
	assert_false(bytes_shared(b));
	also = bytes_ref(b);
	assert_true(bytes_shared(b));
	memset(b->data, 1, b->cap);
	bytes_unref(b);
	assert_false(bytes_shared(also));
	assert_int_equal(also->data[999], 1);
	bytes_unref(also);
	bytes_unref(NULL);
	assert_null(bytes_new(SIZE_MAX));
}

static void
test_bytes_of_a_file_outlive_its_name_and_its_descriptor(void **state)
{
	int fd = make_file();
	struct bytes *whole = bytes_map(fd, 0, FILE_BYTES);
	struct bytes *part = bytes_map(fd, 2 * BYTES_MAP_ALIGN, BYTES_MAP_ALIGN + 10);

	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(close(fd), 0);
	assert_non_null(whole);
	assert_non_null(part);
	assert_bytes(whole, 0, FILE_BYTES);
	bytes_unref(whole);
	assert_bytes(part, 2 * BYTES_MAP_ALIGN, BYTES_MAP_ALIGN + 10);
	bytes_unref(part);
}

/* What would be a signal when it is looked at is no block. */
static void
test_bytes_of_a_file_that_is_too_short_or_none_are_refused(void **state)
{
	int fd = make_file();

	(void)state;
	assert_null(bytes_map(fd, 0, FILE_BYTES + BYTES_MAP_ALIGN));
	assert_null(bytes_map(fd, 4 * BYTES_MAP_ALIGN, 10));
	assert_null(bytes_map(fd, 0, 0));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(close(fd), 0);
	assert_null(bytes_map(fd, 0, 10));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_of_memory_are_there_until_the_last_reference_goes),
		cmocka_unit_test(test_bytes_of_a_file_outlive_its_name_and_its_descriptor),
		cmocka_unit_test(test_bytes_of_a_file_that_is_too_short_or_none_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
