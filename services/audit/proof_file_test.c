/*
 * audit/proof_file_test.c - proof files of a small log: made, read and checked; each one that was changed is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "audit/proof_file.h"
#include "audit/testlog.h"

struct fixture {
	struct testlog t;
	struct audit_source source;
	struct note_verifier key;
	struct hasher h;
	struct im_err err;
};

/* 'pairs' requests with their answers, all published. */
static void
setup(struct fixture *f, unsigned pairs)
{
	struct audit_log *log;

	memset(f, 0, sizeof(*f));
	testlog_init(&f->t);
	log = testlog_open(&f->t);
	assert_non_null(log);
	assert_int_equal(testlog_pairs(&f->t, log, 0, pairs, 100), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &f->err), IM_OK);
	audit_log_close(log);
	source_folder(&f->source, f->t.dir);
	assert_int_equal(note_verifier_parse(f->t.vkey, &f->key, &f->err), IM_OK);
	assert_int_equal(hasher_init(&f->h, &f->err), IM_OK);
}

static void
teardown(struct fixture *f)
{
	hasher_done(&f->h);
	testlog_done(&f->t);
}

/* Parse and check what is in 'file'. */
static enum im_rc
accept(struct fixture *f, const char *bytes, size_t len)
{
	struct proof_file p;
	struct checkpoint cp;
	enum im_rc rc = proof_file_parse(bytes, len, &p, &f->err);

	if (rc != IM_OK)
		return rc;
	rc = proof_file_check(&f->h, &p, &f->key, &cp, &f->err);
	proof_file_done(&p);
	return rc;
}

static void
make(struct fixture *f, uint64_t index, struct buf *out)
{
	buf_clear(out);
	if (proof_file_make(&f->h, &f->source, &f->key, index, out, &f->err) != IM_OK)
		fail_msg("%s", f->err.text);
}

static void
test_proof_file_of_every_record_is_accepted(void **state)
{
	struct fixture f;
	struct buf out = { 0 };

	(void)state;
	setup(&f, 300); /* two levels, full and partial */
	for (uint64_t i = 0; i < 600; i++) {
		make(&f, i, &out);
		assert_int_equal(accept(&f, buf_cstr(&out), out.len), IM_OK);
	}
	buf_done(&out);
	teardown(&f);
}

static void
test_proof_file_of_a_record_that_is_not_published_is_not_made(void **state)
{
	struct fixture f;
	struct buf out = { 0 };

	(void)state;
	setup(&f, 3);
	assert_int_equal(proof_file_make(&f.h, &f.source, &f.key, 6, &out, &f.err), IM_EAGAIN);
	assert_non_null(strstr(f.err.text, "covers 6 records, and not yet record 6"));
	assert_int_equal(out.len, 0);
	teardown(&f);
}

static void
test_proof_file_with_any_bit_changed_is_refused(void **state)
{
	struct fixture f;
	struct buf out = { 0 };
	unsigned changed = 0;

	(void)state;
	setup(&f, 20);
	make(&f, 7, &out);
	for (size_t at = 0; at < out.len; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			out.data[at] ^= (uint8_t)(1U << bit);
			if (accept(&f, (const char *)out.data, out.len) == IM_OK)
				fail_msg("bit %u of byte %zu is not covered", bit, at);
			assert_true(strlen(f.err.text) > 0);
			out.data[at] ^= (uint8_t)(1U << bit);
			changed++;
		}
	}
	print_message("%u of %u changes refused\n", changed, changed);
	buf_done(&out);
	teardown(&f);
}

static void
test_proof_file_cut_off_anywhere_is_refused(void **state)
{
	struct fixture f;
	struct buf out = { 0 };

	(void)state;
	setup(&f, 20);
	make(&f, 39, &out);
	for (size_t len = 0; len < out.len; len++)
		assert_int_not_equal(accept(&f, (const char *)out.data, len), IM_OK);
	(void)buf_append_byte(&out, '\n');
	assert_int_not_equal(accept(&f, (const char *)out.data, out.len), IM_OK);
	buf_done(&out);
	teardown(&f);
}

static void
test_proof_file_of_another_log_is_refused(void **state)
{
	struct fixture ours, theirs;
	struct buf out = { 0 };

	(void)state;
	setup(&ours, 3);
	setup(&theirs, 3);
	make(&theirs, 2, &out);
	assert_int_not_equal(accept(&ours, buf_cstr(&out), out.len), IM_OK);
	buf_done(&out);
	teardown(&ours);
	teardown(&theirs);
}

static void
test_proof_file_without_the_record_says_so(void **state)
{
	struct fixture f;
	struct buf out = { 0 };
	const char *extra, *index;

	(void)state;
	setup(&f, 3);
	make(&f, 2, &out);
	extra = strstr(buf_cstr(&out), "extra ");
	index = strstr(buf_cstr(&out), "index ");
	memmove(out.data + (extra - (const char *)out.data), index,
		out.len - (size_t)(index - (const char *)out.data));
	out.len -= (size_t)(index - extra);
	assert_int_equal(accept(&f, (const char *)out.data, out.len), IM_EINVAL);
	assert_non_null(strstr(f.err.text, "'extra' line is missing"));
	buf_done(&out);
	teardown(&f);
}

static void
test_proof_file_too_large_or_with_too_many_hashes_is_refused(void **state)
{
	struct fixture f;
	struct buf out = { 0 };

	(void)state;
	setup(&f, 1);
	(void)buf_append_str(&out, "c2sp.org/tlog-proof@v1\nindex 0\n");
	for (int i = 0; i < TLOG_HEIGHT_MAX + 1; i++)
		(void)buf_append_str(&out, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	assert_int_equal(accept(&f, buf_cstr(&out), out.len), IM_EPROTO);
	assert_non_null(strstr(f.err.text, "more than 64 hashes"));
	while (out.len <= PROOF_FILE_MAX)
		(void)buf_append_str(&out, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	assert_int_equal(accept(&f, buf_cstr(&out), out.len), IM_EPROTO);
	buf_done(&out);
	teardown(&f);
}

static void
test_proof_file_from_a_damaged_log_is_not_made(void **state)
{
	struct fixture f;
	struct buf out = { 0 };
	char path[128];
	FILE *file;

	(void)state;
	setup(&f, 300);
	(void)snprintf(path, sizeof(path), "%s/tile/0/001", f.t.dir);
	file = fopen(path, "r+e");
	assert_non_null(file);
	assert_int_equal(fputc('x', file), 'x');
	assert_int_equal(fclose(file), 0);
	assert_int_equal(proof_file_make(&f.h, &f.source, &f.key, 300, &out, &f.err), IM_ECORRUPT);
	assert_non_null(strstr(f.err.text, "is damaged"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(proof_file_make(&f.h, &f.source, &f.key, 300, &out, &f.err), IM_ENOTFOUND);
	assert_non_null(strstr(f.err.text, "tile/0/001 is missing"));
	assert_int_equal(out.len, 0);
	teardown(&f);
}

/* The same bytes as ever, which sumdb and torchwood accept (tests/interop/tlog). */
static void
test_proof_file_golden_of_tesseras_test_log_is_accepted(void **state)
{
	static const char vkey[] =
	    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
	struct note_verifier key;
	struct buf file = { 0 };
	struct proof_file p;
	struct checkpoint cp;
	struct hasher h;

	(void)state;
	assert_int_equal(
	    disk_read("tests/fuzz/corpus/proof_fuzz/tessera", PROOF_FILE_MAX, &file, NULL), IM_OK);
	assert_int_equal(note_verifier_parse(vkey, &key, NULL), IM_OK);
	assert_int_equal(hasher_init(&h, NULL), IM_OK);
	assert_int_equal(proof_file_parse(buf_cstr(&file), file.len, &p, NULL), IM_OK);
	assert_int_equal(p.index, 5);
	assert_int_equal(p.entry_len, 3);
	assert_memory_equal(p.entry, "six", 3);
	assert_int_equal(p.proof.count, 4);
	assert_int_equal(proof_file_check(&h, &p, &key, &cp, NULL), IM_OK);
	assert_int_equal(cp.size, 15);
	proof_file_done(&p);
	hasher_done(&h);
	buf_done(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proof_file_of_every_record_is_accepted),
		cmocka_unit_test(test_proof_file_golden_of_tesseras_test_log_is_accepted),
		cmocka_unit_test(test_proof_file_of_a_record_that_is_not_published_is_not_made),
		cmocka_unit_test(test_proof_file_with_any_bit_changed_is_refused),
		cmocka_unit_test(test_proof_file_cut_off_anywhere_is_refused),
		cmocka_unit_test(test_proof_file_of_another_log_is_refused),
		cmocka_unit_test(test_proof_file_without_the_record_says_so),
		cmocka_unit_test(test_proof_file_too_large_or_with_too_many_hashes_is_refused),
		cmocka_unit_test(test_proof_file_from_a_damaged_log_is_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
