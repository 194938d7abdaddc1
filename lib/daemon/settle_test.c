/*
 * daemon/settle_test.c - what was only needed once is no longer resident, and all that is still works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/sha256.h"
#include "daemon/settle.h"

/* Pages of files that are resident: proc(5), /proc/pid/statm. */
static long
resident_of_files(void)
{
	char line[128], *at = line;
	FILE *f = fopen("/proc/self/statm", "re");
	long files = 0;

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	(void)fclose(f);
	for (int i = 0; i < 3; i++) /* size, all that is resident, of files */
		files = strtol(at, &at, 10);
	assert_true(files > 0);
	return files;
}

static void
hash_by_evp(uint8_t out[SHA256_BYTES])
{
	EVP_MD_CTX *ctx = sha256_new();

	assert_non_null(ctx);
	assert_int_equal(EVP_DigestUpdate(ctx, "abc", 3), 1);
	assert_true(sha256_peek(ctx, out));
	EVP_MD_CTX_free(ctx);
}

static void
test_settle_after_a_hash_drops_pages_and_hashes_the_same_again(void **state)
{
	uint8_t before[SHA256_BYTES], after[SHA256_BYTES];
	long pages;

	(void)state;
	hash_by_evp(before); /* OpenSSL reads all that it has */
	pages = resident_of_files();
	settle();
	assert_true(resident_of_files() < pages);
	hash_by_evp(after);
	assert_memory_equal(before, after, sizeof(after));
}

static void
test_settle_twice_is_harmless(void **state)
{
	char text[32];

	(void)state;
	settle();
	settle();
	(void)snprintf(text, sizeof(text), "%.3f", 0.125);
	assert_string_equal(text, "0.125");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settle_after_a_hash_drops_pages_and_hashes_the_same_again),
		cmocka_unit_test(test_settle_twice_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
