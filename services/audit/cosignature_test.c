/*
 * audit/cosignature_test.c - cosignatures and the keys of witnesses, against bytes that another implementation made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "audit/checkpoint.h"
#include "audit/cosignature.h"
#include "audit/witness_key.h"

/* By Python's cryptography, of the seed 00 01 … 1f. */
#define SKEY "PRIVATE+KEY+witness.example/w1+e75f6532+BAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
#define VKEY "witness.example/w1+e75f6532+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
#define BODY "example.com/log/testdata\n15\nrKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=\n"
#define LINE                                                                                       \
	"\xe2\x80\x94 witness.example/w1 "                                                         \
	"519lMgAAAABlU/EA8Ksalh7kTmlIFPRO/50jC8JyWktgWjbjpb8ZCaY7/1Pyo/Js5iv0m/SL/Pgn8ExkAr34GAbhHPwm6x2I0VpoBA==\n"
#define TIME     1700000000
#define LOG_VKEY "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"

static void
test_cosignature_is_byte_for_byte_that_of_another_implementation(void **state)
{
	struct note_signer s;
	struct note_verifier v;
	struct note note;
	struct buf out = { 0 };
	char text[NOTE_KEYTEXT_MAX];
	uint64_t time_s;

	(void)state;
	assert_int_equal(note_cosigner_skey_parse(SKEY, &s, NULL), IM_OK);
	note_signer_vkey(&s, text);
	assert_string_equal(text, VKEY);
	note_signer_skey(&s, text);
	assert_string_equal(text, SKEY);
	assert_true(buf_append_str(&out, BODY "\n"));
	assert_int_equal(cosignature_sign(&s, TIME, BODY, strlen(BODY), &out, NULL), IM_OK);
	assert_string_equal(buf_cstr(&out), BODY "\n" LINE);
	assert_int_equal(note_cosigner_parse(VKEY, &v, NULL), IM_OK);
	assert_int_equal(note_parse(buf_cstr(&out), out.len, &note, NULL), IM_OK);
	assert_int_equal(cosignature_verify(&note, &v, &time_s, NULL), IM_OK);
	assert_int_equal(time_s, TIME);
	buf_done(&out);
	note_signer_done(&s);
}

static void
test_cosignature_latest_of_several_counts_and_all_must_be_right(void **state)
{
	struct note_signer s;
	struct note_verifier v;
	struct note note;
	struct buf out = { 0 };
	uint64_t time_s = 1;

	(void)state;
	assert_int_equal(note_cosigner_skey_parse(SKEY, &s, NULL), IM_OK);
	note_verifier_of(&s, &v);
	assert_true(buf_append_str(&out, BODY "\n"));
	assert_int_equal(cosignature_sign(&s, TIME + 5, BODY, strlen(BODY), &out, NULL), IM_OK);
	assert_true(buf_append_str(&out, LINE));
	assert_int_equal(note_parse(buf_cstr(&out), out.len, &note, NULL), IM_OK);
	assert_int_equal(cosignature_verify(&note, &v, &time_s, NULL), IM_OK);
	assert_int_equal(time_s, TIME + 5);
	for (size_t i = 0; i < COSIGNATURE_BYTES; i++) { /* time and signature, each byte */
		struct note bad = note;

		bad.sig[1].sig[i] ^= 0x10;
		assert_int_equal(cosignature_verify(&bad, &v, &time_s, NULL), IM_ECORRUPT);
	}
	note.sig[1].sig_len = NOTE_SIG_BYTES; /* a plain signature under a witness's key */
	assert_int_equal(cosignature_verify(&note, &v, &time_s, NULL), IM_ECORRUPT);
	note.sig[1].key_id ^= 1;
	assert_int_equal(cosignature_verify(&note, &v, &time_s, NULL), IM_OK);
	note.sig[0].key_id ^= 1;
	assert_int_equal(cosignature_verify(&note, &v, &time_s, NULL), IM_ENOTFOUND);
	buf_done(&out);
	note_signer_done(&s);
}

/* What a witness answers is as untrusted as anything: it is one of n, and must not spoil what the others say. */
static void
test_cosignature_is_taken_only_if_it_is_of_the_text_that_was_sent(void **state)
{
	static const char log[] =
	    "\xe2\x80\x94 example.com/log/testdata "
	    "M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=\n";
	static const char other[] = "\xe2\x80\x94 somebody.else q83vAAAAAAAAAA==\n";
	struct buf sent = { 0 }, text = { 0 }, answer = { 0 }, line = { 0 };
	struct note_signer s;
	struct note_verifier v;

	(void)state;
	assert_int_equal(note_cosigner_skey_parse(SKEY, &s, NULL), IM_OK);
	note_verifier_of(&s, &v);
	assert_true(buf_append_str(&sent, BODY "\n") && buf_append_str(&sent, log));
	assert_true(buf_append_str(&answer, other) && buf_append_str(&answer, LINE));
	assert_int_equal(cosignature_take(buf_cstr(&sent), sent.len, buf_cstr(&answer), answer.len,
					  &v, &line, NULL),
			 IM_OK);
	assert_string_equal(buf_cstr(&line), LINE);
	buf_clear(&line);
	assert_int_equal(
	    cosignature_take(buf_cstr(&sent), sent.len, other, strlen(other), &v, &line, NULL),
	    IM_ENOTFOUND);
	assert_int_equal(cosignature_take(buf_cstr(&sent), sent.len, "", 0, &v, &line, NULL),
			 IM_ENOTFOUND);
	/* It makes a longer text of the note, and cosigns that. */
	buf_clear(&answer);
	assert_true(buf_append_str(&answer, "more\n"));
	assert_true(buf_append(&text, sent.data, sent.len) &&
		    buf_append(&text, answer.data, answer.len));
	assert_true(buf_append_byte(&answer, '\n'));
	assert_int_equal(cosignature_sign(&s, TIME, buf_cstr(&text), text.len, &answer, NULL),
			 IM_OK);
	assert_int_equal(cosignature_take(buf_cstr(&sent), sent.len, buf_cstr(&answer), answer.len,
					  &v, &line, NULL),
			 IM_EPROTO);
	assert_int_equal(line.len, 0);
	buf_done(&sent);
	buf_done(&text);
	buf_done(&answer);
	buf_done(&line);
	note_signer_done(&s);
}

static void
test_keys_of_logs_and_witnesses_are_not_taken_for_each_other(void **state)
{
	struct note_verifier v;
	struct note_signer s;
	struct im_err err;

	(void)state;
	assert_int_equal(note_verifier_parse(VKEY, &v, NULL), IM_EINVAL);
	assert_int_equal(note_cosigner_parse(LOG_VKEY, &v, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "0x04"));
	assert_int_equal(note_signer_parse(SKEY, &s, NULL), IM_EINVAL);
	/* The hash covers the kind too. */
	assert_int_equal(
	    note_cosigner_parse(
		"witness.example/w1+e75f6533+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4", &v,
		NULL),
	    IM_EINVAL);
	/* A public witness of somebody else. */
	assert_int_equal(
	    note_cosigner_parse(
		"remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", &v, NULL),
	    IM_OK);
}

static void
test_key_file_of_a_witness_is_made_once_and_kept(void **state)
{
	char dir[] = "/tmp/infermesh-key-XXXXXX", path[64], first[NOTE_KEYTEXT_MAX],
	     again[NOTE_KEYTEXT_MAX];
	struct note_signer s;
	struct stat st;
	struct im_err err;
	bool made;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/w.key", dir);
	assert_int_equal(witness_key_open(path, "example.com/w", &s, &made, NULL), IM_OK);
	assert_true(made);
	note_signer_skey(&s, first);
	note_signer_done(&s);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(witness_key_open(path, "example.com/w", &s, &made, NULL), IM_OK);
	assert_false(made);
	note_signer_skey(&s, again);
	note_signer_done(&s);
	assert_string_equal(first, again);
	assert_int_equal(witness_key_open(path, "example.com/x", &s, &made, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "witness.name"));
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(witness_key_open(path, "example.com/w", &s, &made, &err), IM_EPERM);
	assert_non_null(strstr(err.text, "chmod 600"));
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(truncate(path, 120), 0);
	assert_int_equal(witness_key_open(path, "example.com/w", &s, &made, &err), IM_EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cosignature_is_byte_for_byte_that_of_another_implementation),
		cmocka_unit_test(test_cosignature_latest_of_several_counts_and_all_must_be_right),
		cmocka_unit_test(test_cosignature_is_taken_only_if_it_is_of_the_text_that_was_sent),
		cmocka_unit_test(test_keys_of_logs_and_witnesses_are_not_taken_for_each_other),
		cmocka_unit_test(test_key_file_of_a_witness_is_made_once_and_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
