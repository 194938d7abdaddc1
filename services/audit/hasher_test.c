/*
 * audit/hasher_test.c - short messages, alone and several at once, against known answers of FIPS 180-2 and against OpenSSL's contexts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "audit/hasher.h"
#include "base/hex.h"
#include "base/prng.h"

#define LEN_MAX 1200 /* some blocks more than what is padded by us */
#define COUNT   70

static struct hasher h;
static struct hasher pairs, plain; /* those of processors that can do less */

static int
setup(void **state)
{
	(void)state;
	if (hasher_init(&h, NULL) != IM_OK || hasher_init(&pairs, NULL) != IM_OK ||
	    hasher_init(&plain, NULL) != IM_OK)
		return -1;
	pairs.sixteen = NULL;
	plain.sixteen = NULL;
	plain.pair = NULL;
	print_message("two messages at once: %s; sixteen: %s\n",
		      h.pair != NULL ? "yes" : "not here", h.sixteen != NULL ? "yes" : "not here");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	hasher_done(&h);
	hasher_done(&pairs);
	hasher_done(&plain);
	return 0;
}

static void
assert_hex(const struct hash *hash, const char *hex)
{
	char text[2 * HASH_BYTES + 1];

	hex_encode(hash->b, HASH_BYTES, text);
	assert_string_equal(text, hex);
}

/* By a context, in two parts. */
static void
by_context(uint8_t prefix, const struct hash_part *message, struct hash *ret)
{
	const struct hash_part parts[] = { { &prefix, 1 }, *message };

	hasher_parts(&h, parts, 2, ret);
}

/* Of its own length, so that a byte read too many is found. NULL if it has none. The caller frees it. */
static uint8_t *
make_message(struct prng *p, size_t len)
{
	uint8_t *data;

	if (len == 0)
		return NULL;
	data = malloc(len);
	if (data == NULL)
		abort();
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)prng_next(p);
	return data;
}

static void
test_hasher_known_answers_match(void **state)
{
	static const struct {
		const char *text, *hex;
	} known[] = {
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
		{ "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrst"
		  "nopqrstu",
		  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct hash_part rest = { known[i].text + 1, strlen(known[i].text) - 1 };
		const struct hash_part twice[] = { rest, rest };
		struct hash hash[2];

		hasher_prefixed(&h, 'a', &rest, 1, hash);
		assert_hex(&hash[0], known[i].hex);
		memset(hash, 0, sizeof(hash));
		hasher_prefixed(&h, 'a', twice, 2, hash);
		assert_hex(&hash[0], known[i].hex);
		assert_hex(&hash[1], known[i].hex);
		memset(hash, 0, sizeof(hash));
		hasher_prefixed(&plain, 'a', twice, 2, hash);
		assert_hex(&hash[0], known[i].hex);
		assert_hex(&hash[1], known[i].hex);
	}
}

/* The two differ, so that neither can pass for the other. */
static void
test_hasher_messages_of_every_length_alone_and_in_pairs_match_openssl(void **state)
{
	struct prng p;

	(void)state;
	prng_seed(&p, 1);
	for (size_t len = 0; len <= LEN_MAX; len++) {
		uint8_t *a = make_message(&p, len), *b = make_message(&p, len);
		const struct hash_part two[] = { { a, len }, { b, len } };
		struct hash want[2], got[2];
		uint8_t prefix = (uint8_t)len;

		for (size_t i = 0; i < 2; i++) {
			by_context(prefix, &two[i], &want[i]);
			hasher_prefixed(&h, prefix, &two[i], 1, &got[i]);
		}
		assert_memory_equal(got, want, sizeof(want));
		memset(got, 0, sizeof(got));
		hasher_prefixed(&h, prefix, two, 2, got);
		assert_memory_equal(got, want, sizeof(want));
		memset(got, 0, sizeof(got));
		hasher_prefixed(&plain, prefix, two, 2, got);
		assert_memory_equal(got, want, sizeof(want));
		free(a);
		free(b);
	}
}

/* By each hasher; beyond the last nothing is written. */
static void
assert_hashes(const struct hash_part *message, size_t count, const struct hash *want)
{
	struct hasher *const all[] = { &h, &pairs, &plain };

	for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
		struct hash got[COUNT + 1], beyond;

		memset(got, 0x5a, sizeof(got));
		beyond = got[count];
		hasher_prefixed(all[k], 1, message, count, got);
		assert_memory_equal(got, want, count * sizeof(*want));
		assert_memory_equal(&got[count], &beyond, sizeof(beyond));
	}
}

/* Whoever has partners and whoever is left over: each hash comes where its message was. */
static void
test_hasher_many_messages_of_mixed_lengths_keep_their_places(void **state)
{
	struct prng p;

	(void)state;
	prng_seed(&p, 2);
	for (size_t count = 0; count <= COUNT; count++) {
		struct hash_part message[COUNT];
		uint8_t *data[COUNT];
		struct hash want[COUNT];

		for (size_t i = 0; i < count; i++) {
			size_t len = prng_below(&p, count % 2 == 0 ? LEN_MAX : 256);

			data[i] = make_message(&p, len);
			message[i] = (struct hash_part){ data[i], len };
			by_context(1, &message[i], &want[i]);
		}
		assert_hashes(message, count, want);
		for (size_t i = 0; i < count; i++)
			free(data[i]);
	}
}

static void
test_hasher_any_number_of_messages_of_any_one_length_match_openssl(void **state)
{
	struct prng p;

	(void)state;
	prng_seed(&p, 3);
	for (size_t len = 0; len <= LEN_MAX; len += 1 + len / 40) {
		struct hash_part message[COUNT];
		uint8_t *data[COUNT];
		struct hash want[COUNT];

		for (size_t i = 0; i < COUNT; i++) {
			data[i] = make_message(&p, len);
			message[i] = (struct hash_part){ data[i], len };
			by_context(1, &message[i], &want[i]);
		}
		for (size_t count = 0; count <= COUNT; count++)
			assert_hashes(message, count, want);
		for (size_t i = 0; i < COUNT; i++)
			free(data[i]);
	}
}

/* In two parts, under a key that is used again, and once. */
static void
test_hasher_hmac_of_every_length_matches_openssl(void **state)
{
	struct hmac_key again;
	struct prng p;
	struct hash key;

	(void)state;
	prng_seed(&p, 4);
	for (size_t i = 0; i < HASH_BYTES; i++)
		key.b[i] = (uint8_t)prng_next(&p);
	hasher_hmac_key(&key, &again);
	for (size_t len = 1; len <= LEN_MAX; len++) {
		uint8_t *data = make_message(&p, len);
		const struct hash_part parts[] = { { data, len / 3 },
						   { data + len / 3, len - len / 3 } };
		struct hash want, got;
		unsigned n = 0;

		assert_non_null(
		    HMAC(EVP_sha256(), key.b, (int)sizeof(key.b), data, len, want.b, &n));
		assert_int_equal(n, HASH_BYTES);
		hasher_hmac(&h, &key, parts, 2, &got);
		assert_memory_equal(&got, &want, sizeof(want));
		memset(&got, 0, sizeof(got));
		hasher_hmac_under(&again, parts, 2, &got);
		assert_memory_equal(&got, &want, sizeof(want));
		free(data);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hasher_known_answers_match),
		cmocka_unit_test(
		    test_hasher_messages_of_every_length_alone_and_in_pairs_match_openssl),
		cmocka_unit_test(test_hasher_many_messages_of_mixed_lengths_keep_their_places),
		cmocka_unit_test(
		    test_hasher_any_number_of_messages_of_any_one_length_match_openssl),
		cmocka_unit_test(test_hasher_hmac_of_every_length_matches_openssl),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
