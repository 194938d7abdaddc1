/*
 * inference/sealed_test.c - the format of encrypted model files: golden bytes, and whatever may be done to a file is found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "base/le.h"
#include "base/sha256.h"
#include "inference/sealed.h"

#define PLAIN      10000 /* two chunks and a piece */
#define CHUNK      4096
#define FILE_BYTES (SEALED_HEAD_BYTES + PLAIN + 3 * SEALED_TAG_BYTES)

/* A file in memory, with room for more behind it. */
struct sample {
	struct sealed_key key;
	uint8_t file[FILE_BYTES + 64];
	uint64_t bytes;
};

static uint8_t
plain_at(size_t i)
{
	return (uint8_t)(i * 7);
}

/* The key counts from 'key', the salt from 'salt'. */
static void
make(struct sample *s, uint8_t key, uint8_t salt)
{
	struct sealed_head head = { .plain_bytes = PLAIN, .chunk_bytes = CHUNK };
	uint8_t plain[PLAIN];
	struct sealed *c;

	for (size_t i = 0; i < PLAIN; i++)
		plain[i] = plain_at(i);
	for (size_t i = 0; i < SEALED_KEY_BYTES; i++) {
		s->key.bytes[i] = (uint8_t)(key + i);
		head.salt[i] = (uint8_t)(salt + i);
	}
	assert_int_equal(sealed_key_init(&s->key, NULL), IM_OK);
	assert_int_equal(sealed_begin(&s->key, &head, s->file, &c, NULL), IM_OK);
	s->bytes = SEALED_HEAD_BYTES;
	for (uint64_t i = 0; i < sealed_chunks(&head); i++) {
		uint32_t len = sealed_chunk_len(&head, i);

		assert_int_equal(
		    sealed_chunk_seal(c, i, plain + i * CHUNK, len, s->file + s->bytes, NULL),
		    IM_OK);
		s->bytes += len + SEALED_TAG_BYTES;
	}
	sealed_free(c);
	assert_int_equal(s->bytes, FILE_BYTES);
	assert_int_equal(s->bytes, sealed_file_bytes(&head));
}

/* As a reader does, with the key of 'key'. What opens must be what was sealed. */
static enum im_rc
open_all(const struct sample *s, const struct sealed_key *key, struct im_err *err)
{
	struct sealed_head head;
	uint8_t plain[CHUNK];
	struct sealed *c;
	size_t at = SEALED_HEAD_BYTES, done = 0;
	size_t len = s->bytes < SEALED_HEAD_BYTES ? (size_t)s->bytes : SEALED_HEAD_BYTES;
	enum im_rc rc = sealed_head_read(s->file, len, s->bytes, &head, err);

	if (rc == IM_OK)
		rc = sealed_open_head(key, s->file, &head, &c, err);
	if (rc != IM_OK)
		return rc;
	for (uint64_t i = 0; rc == IM_OK && i < sealed_chunks(&head); i++) {
		uint32_t n = sealed_chunk_len(&head, i);

		rc = sealed_chunk_open(c, i, s->file + at, n, plain, err);
		for (uint32_t k = 0; k < n; k++) {
			assert_int_equal(plain[k], rc == IM_OK ? plain_at(done) : 0);
			done++;
		}
		at += n + SEALED_TAG_BYTES;
	}
	sealed_free(c);
	return rc;
}

static void
assert_refused(const struct sample *s, const char *says)
{
	struct im_err err = { .text = "" };

	assert_int_equal(open_all(s, &s->key, &err), IM_ECORRUPT);
	if (strstr(err.text, says) == NULL)
		fail_msg("'%s' is not in: %s", says, err.text);
}

/* Made by another program: Python's hmac and cryptography. */
static void
test_sealed_file_has_golden_bytes(void **state)
{
	char hex[2 * SHA256_BYTES + 1];
	uint8_t digest[SHA256_BYTES];
	struct sample s;
	struct im_err err;

	(void)state;
	make(&s, 0, 32);
	hex_encode(s.key.id, SEALED_ID_BYTES, hex);
	assert_string_equal(hex, "58e71a657ab94550bf90507c460e2e73");
	hex_encode(s.file + 72, SEALED_TAG_BYTES, hex);
	assert_string_equal(hex, "72390de44cab4bc13f503708f1f1120f");
	assert_true(sha256_of(s.file, (size_t)s.bytes, digest));
	hex_encode(digest, sizeof(digest), hex);
	assert_string_equal(hex,
			    "84ac0240560b18e4368e6b7665c5d837d582962f0234d8142f0bd1952236b9de");
	assert_int_equal(open_all(&s, &s.key, &err), IM_OK);
}

static void
test_sealed_file_cut_at_every_length_is_refused(void **state)
{
	struct sample s;
	struct im_err err;

	(void)state;
	make(&s, 1, 2);
	for (s.bytes = 0; s.bytes < FILE_BYTES; s.bytes++) {
		assert_int_equal(open_all(&s, &s.key, &err), IM_ECORRUPT);
		if (s.bytes >= SEALED_HEAD_BYTES)
			assert_non_null(strstr(err.text, "cut off"));
	}
	s.bytes = FILE_BYTES + 1;
	assert_refused(&s, "behind its end");
}

/* One whose header tells the shorter length is none that was ever written. */
static void
test_sealed_file_cut_with_its_header_set_right_is_refused(void **state)
{
	struct sample s;

	(void)state;
	make(&s, 1, 2);
	s.file[16] = (uint8_t)(2 * CHUNK % 256);
	s.file[17] = (uint8_t)(2 * CHUNK / 256);
	s.bytes = SEALED_HEAD_BYTES + 2 * (CHUNK + SEALED_TAG_BYTES);
	assert_refused(&s, "header was changed");
}

static void
test_sealed_file_with_any_bit_flipped_is_refused(void **state)
{
	struct sample s;

	(void)state;
	make(&s, 1, 2);
	for (size_t i = 0; i < FILE_BYTES; i++) {
		/* All eight where it matters most, else one. */
		bool head = i < SEALED_HEAD_BYTES || i % CHUNK < 100;

		for (unsigned bit = head ? 0 : i % 8; bit < (head ? 8 : i % 8 + 1); bit++) {
			enum im_rc rc;

			s.file[i] ^= (uint8_t)(1U << bit);
			rc = open_all(&s, &s.key, NULL);
			/* Another id of the key: it looks like a file of another key. */
			assert_int_equal(rc, i >= 24 && i < 40 ? IM_EINVAL : IM_ECORRUPT);
			s.file[i] ^= (uint8_t)(1U << bit);
		}
	}
	assert_int_equal(open_all(&s, &s.key, NULL), IM_OK);
}

static void
test_sealed_chunks_moved_or_of_another_file_are_refused(void **state)
{
	const size_t whole = CHUNK + SEALED_TAG_BYTES;
	struct sample s, other;

	(void)state;
	make(&s, 1, 2);
	memcpy(s.file + SEALED_HEAD_BYTES, s.file + SEALED_HEAD_BYTES + whole, whole);
	assert_refused(&s, "chunk 0"); /* the second one twice */
	make(&other, 1, 2);
	memcpy(s.file + SEALED_HEAD_BYTES + whole, other.file + SEALED_HEAD_BYTES, whole);
	assert_refused(&s, "chunk 0"); /* swapped */
	make(&s, 1, 2);
	make(&other, 1, 3); /* the same key and weights */
	memcpy(s.file + SEALED_HEAD_BYTES + whole, other.file + SEALED_HEAD_BYTES + whole, whole);
	assert_refused(&s, "chunk 1");
	make(&s, 1, 2);
	memcpy(s.file, other.file, SEALED_HEAD_BYTES);
	assert_refused(&s, "chunk 0");
}

static void
test_sealed_file_with_another_key_names_both(void **state)
{
	struct sample s, other;
	struct im_err err;
	char hex[2 * SEALED_ID_BYTES + 1];

	(void)state;
	make(&s, 1, 2);
	make(&other, 2, 2);
	assert_int_equal(open_all(&s, &other.key, &err), IM_EINVAL);
	hex_encode(s.key.id, SEALED_ID_BYTES, hex);
	assert_non_null(strstr(err.text, hex));
	hex_encode(other.key.id, SEALED_ID_BYTES, hex);
	assert_non_null(strstr(err.text, hex));
	/* Nor does it help to say that it is the one. */
	memcpy(other.key.id, s.key.id, SEALED_ID_BYTES);
	assert_int_equal(open_all(&s, &other.key, &err), IM_ECORRUPT);
}

static void
test_sealed_headers_beyond_the_limits_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint64_t value;
		unsigned bytes;
		const char *says;
	} rows[] = {
		{ 0, 0x46554747, 4, "no encrypted" },
		{ 8, 0, 4, "version 0" },
		{ 8, 2, 4, "version 2" },
		{ 12, 0, 4, "header was changed" },
		{ 12, 2048, 4, "header was changed" },
		{ 12, 4097, 4, "header was changed" },
		{ 12, 32U << 20, 4, "header was changed" },
		{ 12, UINT32_MAX, 4, "header was changed" },
		{ 16, 0, 8, "header was changed" },
		{ 16, SEALED_PLAIN_MAX + 1, 8, "header was changed" },
		{ 16, UINT64_MAX, 8, "header was changed" },
		{ 16, SEALED_PLAIN_MAX, 8, "cut off" },
	};
	struct sample s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(&s, 1, 2);
		put_le(s.file + rows[i].at, rows[i].value, rows[i].bytes);
		assert_refused(&s, rows[i].says);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sealed_file_has_golden_bytes),
		cmocka_unit_test(test_sealed_file_cut_at_every_length_is_refused),
		cmocka_unit_test(test_sealed_file_cut_with_its_header_set_right_is_refused),
		cmocka_unit_test(test_sealed_file_with_any_bit_flipped_is_refused),
		cmocka_unit_test(test_sealed_chunks_moved_or_of_another_file_are_refused),
		cmocka_unit_test(test_sealed_file_with_another_key_names_both),
		cmocka_unit_test(test_sealed_headers_beyond_the_limits_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
