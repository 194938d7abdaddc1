/*
 * base/sha256_test.c - known answers of FIPS 180-4's examples, and that peeking does not end a running digest.
 */
#include "base/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"

static void
expect(const uint8_t digest[SHA256_BYTES], const char *hex)
{
	char got[2 * SHA256_BYTES + 1];

	hex_encode(digest, SHA256_BYTES, got);
	assert_string_equal(got, hex);
}

static void
test_sha256_of_known_texts(void **state)
{
	uint8_t digest[SHA256_BYTES];

	(void)state;
	assert_true(sha256_of("", 0, digest));
	expect(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_true(sha256_of("abc", 3, digest));
	expect(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void
test_sha256_peek_lets_the_digest_go_on(void **state)
{
	EVP_MD_CTX *ctx = sha256_new();
	uint8_t digest[SHA256_BYTES];

	(void)state;
	assert_non_null(ctx);
	assert_int_equal(EVP_DigestUpdate(ctx, "abc", 3), 1);
	assert_true(sha256_peek(ctx, digest));
	expect(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(
	    EVP_DigestUpdate(ctx, "dbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 53), 1);
	assert_true(sha256_peek(ctx, digest));
	expect(digest, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	EVP_MD_CTX_free(ctx);
}

/* Against a context, at every length of some blocks; what is read in between changes nothing. */
static void
test_sha256_in_place_is_what_a_context_makes(void **state)
{
	uint8_t text[300], got[SHA256_BYTES], want[SHA256_BYTES];
	struct sha256 all;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7);
	sha256_start(&all);
	for (size_t len = 0; len <= sizeof(text); len++) {
		EVP_MD_CTX *ctx = sha256_new();

		assert_non_null(ctx);
		assert_int_equal(EVP_DigestUpdate(ctx, text, len), 1);
		assert_true(sha256_peek(ctx, want));
		EVP_MD_CTX_free(ctx);
		sha256_so_far(&all, got);
		assert_memory_equal(got, want, sizeof(want));
		assert_true(sha256_of(text, len, got));
		assert_memory_equal(got, want, sizeof(want));
		if (len < sizeof(text))
			sha256_add(&all, text + len, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256_of_known_texts),
		cmocka_unit_test(test_sha256_peek_lets_the_digest_go_on),
		cmocka_unit_test(test_sha256_in_place_is_what_a_context_makes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
