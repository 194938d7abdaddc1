/*
 * audit/note_test.c - signed notes, their keys and checkpoints, against the public Tessera test log.
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

#include "audit/checkpoint.h"
#include "audit/keyfile.h"
#include "audit/note.h"
#include "base/hex.h"

#define SKEY                                                                                       \
	"PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
#define VKEY "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
#define BODY "example.com/log/testdata\n15\nrKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=\n"
#define SIG                                                                                        \
	"\xe2\x80\x94 example.com/log/testdata "                                                   \
	"M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=\n"
#define COSIG                                                                                      \
	"\xe2\x80\x94 witness.example/w1 "                                                         \
	"wDrY1AAAAABlU/EANCz2O6DkpPPrjow8GDWQhCIfSl+CWuwStBbRwtFJwePV9R8FtGguCNEv+gni2+CPDLE0MEsl0fWoBGECRXoiAw==\n"

static const char golden[] = BODY "\n" SIG;

static void
test_checkpoint_of_tessera_verifies_and_signs_identically(void **state)
{
	struct note_verifier v;
	struct note_signer s;
	struct checkpoint c;
	struct buf out = { 0 };
	char text[NOTE_KEYTEXT_MAX];

	(void)state;
	assert_int_equal(note_verifier_parse(VKEY, &v, NULL), IM_OK);
	assert_int_equal(v.key_id, 0x33d7b496);
	assert_int_equal(checkpoint_open(golden, strlen(golden), &v, &c, NULL), IM_OK);
	assert_int_equal(c.size, 15);
	assert_int_equal(note_signer_parse(SKEY, &s, NULL), IM_OK);
	assert_int_equal(checkpoint_sign(&s, 15, &c.root, &out, NULL), IM_OK);
	assert_string_equal(buf_cstr(&out), golden);
	note_signer_vkey(&s, text);
	assert_string_equal(text, VKEY);
	note_signer_skey(&s, text);
	assert_string_equal(text, SKEY);
	buf_done(&out);
	note_signer_done(&s);
}

static void
test_note_with_a_cosignature_keeps_both(void **state)
{
	static const char both[] = BODY "\n" SIG COSIG;
	struct note_verifier v;
	struct note n;

	(void)state;
	assert_int_equal(note_verifier_parse(VKEY, &v, NULL), IM_OK);
	assert_int_equal(note_parse(both, strlen(both), &n, NULL), IM_OK);
	assert_int_equal(n.sig_count, 2);
	assert_int_equal(n.sig[1].key_id, 0xc03ad8d4);
	assert_int_equal(n.sig[1].sig_len, 72);
	assert_int_equal(n.text_len, strlen(BODY));
	assert_int_equal(note_verify(&n, &v, NULL), IM_OK);
}

static void
test_note_with_any_bit_flipped_does_not_verify(void **state)
{
	struct note_verifier v;
	struct checkpoint c;
	char copy[sizeof(golden)];

	(void)state;
	assert_int_equal(note_verifier_parse(VKEY, &v, NULL), IM_OK);
	for (size_t i = 0; i < strlen(golden); i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(copy, golden, sizeof(golden));
			copy[i] = (char)(copy[i] ^ 1 << bit);
			if (checkpoint_open(copy, strlen(golden), &v, &c, NULL) == IM_OK)
				fail_msg("bit %d of byte %zu", bit, i);
		}
	}
}

static void
test_note_cut_anywhere_is_refused(void **state)
{
	struct checkpoint c;

	(void)state;
	for (size_t len = 0; len < strlen(golden); len++) {
		char *exact = malloc(len + 1); /* on the heap, so that reading past it is noticed */

		assert_non_null(exact);
		memcpy(exact, golden, len);
		assert_int_equal(checkpoint_open(exact, len, NULL, &c, NULL), IM_EPROTO);
		free(exact);
	}
}

static void
test_note_malformed_is_refused(void **state)
{
	static const char *const bad[] = { "",
					   "\n",
					   "\n\n",
					   "a\n\n",
					   "a\n" SIG,
					   "a\n\n- x AAAA\n",
					   "a\n\n\xe2\x80\x94 x\n",
					   "a\n\n\xe2\x80\x94  AAAAAAAA\n",
					   "a\n\n\xe2\x80\x94 a+b AAAAAAAA\n",
					   "a\n\n\xe2\x80\x94 x AAAA\n",
					   "a\n\n\xe2\x80\x94 x !!!!\n",
					   "a\r\n\n" SIG,
					   "\xff\n\n" SIG };
	struct note n;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (note_parse(bad[i], strlen(bad[i]), &n, NULL) != IM_EPROTO)
			fail_msg("number %zu was taken", i);
	assert_int_equal(note_parse("a\0b\n\n" SIG, 5 + strlen(SIG), &n, NULL), IM_EPROTO);
}

static void
test_checkpoint_malformed_is_refused(void **state)
{
	static const char root[] = "rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=\n";
	static const char *const head[] = { "",         "x\n",
					    "\n1\n",    "x\n\n",
					    "x\n01\n",  "x\n+1\n",
					    "x\n1 \n",  "x\n18446744073709551616\n",
					    "a b\n1\n", "a+b\n1\n" };
	struct checkpoint c;
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
		int n = snprintf(text, sizeof(text), "%s%s", head[i], root);

		if (checkpoint_parse(text, (size_t)n, &c, NULL) != IM_EPROTO)
			fail_msg("'%s' was taken", text);
	}
	assert_int_equal(checkpoint_parse(BODY "extension\n", strlen(BODY) + 10, &c, NULL),
			 IM_EPROTO);
	assert_int_equal(checkpoint_parse("x\n1\nAAAA\n", 9, &c, NULL), IM_EPROTO);
	assert_int_equal(checkpoint_parse(BODY, strlen(BODY), &c, NULL), IM_OK);
}

static void
test_note_of_another_key_is_not_found(void **state)
{
	struct note_signer s;
	struct note_verifier v;
	struct checkpoint c;
	char vkey[NOTE_KEYTEXT_MAX];

	(void)state;
	assert_int_equal(note_signer_new("example.com/log/testdata",
					 (const uint8_t *)"0123456789abcdef0123456789abcdef", &s,
					 NULL),
			 IM_OK);
	note_signer_vkey(&s, vkey);
	assert_int_equal(note_verifier_parse(vkey, &v, NULL), IM_OK);
	assert_int_equal(checkpoint_open(golden, strlen(golden), &v, &c, NULL), IM_ENOTFOUND);
	note_signer_done(&s);
}

static void
test_key_text_malformed_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"x+33d7b496",
		"x+33d7b496+",
		"+33d7b496+AeHT",
		"example.com/log/testdata+33d7b497+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
		"example.com/log/testdata+33D7B496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
		"example.com/log/testdatb+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
		"example.com/log/testdata+33d7b496+BOHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
		"example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkS",
		SKEY
	};
	struct note_verifier v;
	struct note_signer s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (note_verifier_parse(bad[i], &v, NULL) != IM_EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(note_signer_parse(VKEY, &s, NULL), IM_EINVAL);
	assert_int_equal(note_signer_parse("PRIVATE+KEY+" VKEY, &s, NULL), IM_EINVAL);
	assert_false(note_name_ok(""));
	assert_false(note_name_ok("a b"));
	assert_false(note_name_ok("a+b"));
	assert_true(note_name_ok("infermesh.local/log"));
}

static void
test_keyfile_is_made_once_read_back_and_lax_modes_refused(void **state)
{
	char dir[] = "/tmp/im-keyfile-XXXXXX", path[64];
	struct keyfile made, back;
	struct im_err err;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/sub/audit.key", dir);
	assert_int_equal(keyfile_load(path, &back, &err), IM_ENOTFOUND);
	assert_int_equal(keyfile_create(path, "a b", &made, &err), IM_EINVAL);
	assert_int_equal(keyfile_create(path, "test.example/log", &made, &err), IM_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(keyfile_create(path, "test.example/log", &back, &err), IM_EEXIST);
	assert_int_equal(keyfile_load(path, &back, &err), IM_OK);
	assert_memory_equal(back.signer.seed, made.signer.seed, NOTE_KEY_BYTES);
	assert_memory_equal(&back.keys.master, &made.keys.master, HASH_BYTES);
	assert_int_equal(back.keys.epoch, 1);
	keyfile_done(&back);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(keyfile_load(path, &back, &err), IM_EPERM);
	assert_non_null(strstr(err.text, "chmod 600"));
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(truncate(path, 300), 0);
	assert_int_equal(keyfile_load(path, &back, &err), IM_EINVAL);
	keyfile_done(&made);
	assert_int_equal(unlink(path), 0);
	*strrchr(path, '/') = '\0';
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* The process was killed while it made the file. */
static void
test_keyfile_that_a_crash_left_unfinished_is_made_anew(void **state)
{
	char dir[] = "/tmp/im-keyfile-XXXXXX", path[64], tmp[80];
	struct keyfile made, back;
	struct im_err err;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/audit.key", dir);
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	f = fopen(tmp, "we");
	assert_non_null(f);
	assert_true(fputs("signer PRIV", f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(keyfile_load(path, &back, &err),
			 IM_ENOTFOUND); /* it has no name before it is whole */
	assert_int_equal(keyfile_create(path, "test.example/log", &made, &err), IM_OK);
	assert_int_equal(keyfile_load(path, &back, &err), IM_OK);
	assert_memory_equal(back.signer.seed, made.signer.seed, NOTE_KEY_BYTES);
	assert_int_not_equal(access(tmp, F_OK), 0);
	keyfile_done(&back);
	keyfile_done(&made);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint_of_tessera_verifies_and_signs_identically),
		cmocka_unit_test(test_note_with_a_cosignature_keeps_both),
		cmocka_unit_test(test_note_with_any_bit_flipped_does_not_verify),
		cmocka_unit_test(test_note_cut_anywhere_is_refused),
		cmocka_unit_test(test_note_malformed_is_refused),
		cmocka_unit_test(test_checkpoint_malformed_is_refused),
		cmocka_unit_test(test_note_of_another_key_is_not_found),
		cmocka_unit_test(test_key_text_malformed_is_refused),
		cmocka_unit_test(test_keyfile_is_made_once_read_back_and_lax_modes_refused),
		cmocka_unit_test(test_keyfile_that_a_crash_left_unfinished_is_made_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
