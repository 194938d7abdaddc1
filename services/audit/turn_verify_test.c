/*
 * audit/turn_verify_test.c - logs of several shards: what verification says of them when they are whole, pruned, shown in part, or
 * bent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/find.h"
#include "audit/lifecycle.h"
#include "audit/testlog.h"
#include "audit/turn.h"

#define US    UINT64_C(1000000)
#define Y2027 (UINT64_C(1798761600) * US) /* 2027-01-01 00:00 UTC */
#define HALF  (UINT64_C(181) * 86400 * US)

static uint64_t now_us;

static uint64_t
test_now(void)
{
	return ++now_us;
}

struct fixture {
	struct testlog t;
	struct audit_log *log;
	char vkey[4][NOTE_KEYTEXT_MAX]; /* of each shard */
	struct verify_report r;
};

static const char *const names[] = { "", "2027h1-1", "2027h2-1", "2028h1-1" };

/* Four shards: 600, 2 * 128, 20 and 20 records and their ends. The log stays open. */
static int
setup(void **state)
{
	static const uint64_t pairs[] = { 300, 127, 10, 10 };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	testlog_init(&f->t);
	f->t.half_years = true;
	f->t.now_us = test_now;
	now_us = Y2027 - HALF / 2;
	f->log = testlog_open(&f->t);
	assert_non_null(f->log);
	for (uint64_t i = 0; i < 4; i++) {
		if (i > 0)
			assert_int_equal(audit_log_turn(f->log, &f->t.err), IM_OK);
		assert_string_equal(f->log->shard.name, names[i]);
		note_signer_vkey(&f->log->shard.signer, f->vkey[i]);
		assert_int_equal(testlog_pairs(&f->t, f->log, i * 1000, pairs[i], 100), IM_OK);
		assert_int_equal(publisher_pass(&f->log->publisher, true, &f->t.err), IM_OK);
		now_us += HALF;
	}
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	audit_log_close(f->log);
	testlog_done(&f->t);
	free(f);
	return 0;
}

static void
path_of(const struct fixture *f, const char *name, char ret[256])
{
	(void)snprintf(ret, 256, "%s/%s", f->t.dir, name);
}

static bool
exists(const struct fixture *f, const char *name)
{
	char path[256];

	path_of(f, name, path);
	return access(path, F_OK) == 0;
}

/* Verify 'dir' below the log with 'vkey'; the number of problems. */
static uint64_t
verify(struct fixture *f, const char *dir, const char *vkey)
{
	char path[256];

	path_of(f, dir, path);
	if (audit_verify(path, vkey, NULL, &f->r, &f->t.err) != IM_OK)
		fail_msg("%s", f->t.err.text);
	return f->r.problems;
}

static void
expect_problem(struct fixture *f, const char *vkey, const char *text)
{
	if (verify(f, "", vkey) == 0)
		fail_msg("nothing found, not: %s", text);
	for (uint64_t i = 0; i < f->r.problems && i < VERIFY_PROBLEMS_MAX; i++)
		if (strstr(f->r.problem[i], text) != NULL)
			return;
	fail_msg("%s, not: %s", f->r.problem[0], text);
}

static void
test_verify_shards_with_the_key_of_any_one(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(verify(f, "", f->vkey[i]), 0);
		assert_int_equal(f->r.shards, 4);
		for (unsigned k = 0; k < 4; k++) {
			assert_string_equal(f->r.shard[k].name, names[k]);
			assert_int_equal(f->r.shard[k].trust, k < i    ? VERIFY_PINNED
							      : k == i ? VERIFY_GIVEN
								       : VERIFY_CHAINED);
		}
		assert_int_equal(f->r.open + f->r.orphans, 0);
		assert_int_equal(f->r.kinds[RECORD_RESPONSE], 447);
		assert_int_equal(f->r.kinds[RECORD_KEY_ROTATE], 6);
		assert_int_equal(f->r.size, audit_log_size(f->log));
		assert_int_equal(f->r.published_size, f->r.size);
	}
	assert_int_equal(verify(f, "", NULL), 0);
	assert_false(f->r.signature_checked);
}

static void
test_verify_shard_alone_says_that_the_log_goes_on(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(verify(f, "2027h1-1", f->vkey[1]), 0);
	assert_true(f->r.continues);
	assert_int_equal(f->r.shard[0].first, 601);
	assert_int_equal(verify(f, "2028h1-1", f->vkey[3]), 0);
	assert_false(f->r.continues);
}

static void
test_verify_shards_with_the_key_of_another_log_is_a_problem(void **state)
{
	struct fixture *f = *state;
	struct note_signer s;
	char vkey[NOTE_KEYTEXT_MAX];

	/* Called as a shard of it, and as none that there is. */
	assert_int_equal(note_signer_new("test.example/log/2027h2-1",
					 (const uint8_t[NOTE_KEY_BYTES]){ 1 }, &s, NULL),
			 IM_OK);
	note_signer_vkey(&s, vkey);
	note_signer_done(&s);
	expect_problem(f, vkey, "the key that was given is not the one");
	assert_int_equal(note_signer_new("test.example/log/2029h2-1",
					 (const uint8_t[NOTE_KEY_BYTES]){ 1 }, &s, NULL),
			 IM_OK);
	note_signer_vkey(&s, vkey);
	note_signer_done(&s);
	expect_problem(f, vkey, "no shard of this log is called test.example/log/2029h2-1");
}

/* Move 'from' away, look, and put it back. */
static void
without(struct fixture *f, const char *name, const char *text)
{
	char path[256], away[256];

	path_of(f, name, path);
	path_of(f, "away", away);
	assert_int_equal(rename(path, away), 0);
	expect_problem(f, f->vkey[0], text);
	assert_int_equal(rename(away, path), 0);
	assert_int_equal(verify(f, "", f->vkey[0]), 0);
}

/* 'name' becomes a copy of 'from'. */
static void
replaced(struct fixture *f, const char *name, const char *from, const char *text)
{
	char path[256], away[256], other[256];
	struct buf b = { 0 };
	FILE *file;

	path_of(f, name, path);
	path_of(f, "away", away);
	path_of(f, from, other);
	assert_int_equal(rename(path, away), 0);
	assert_int_equal(disk_read(other, 1 << 20, &b, NULL), IM_OK);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(b.data, 1, b.len, file), b.len);
	assert_int_equal(fclose(file), 0);
	buf_done(&b);
	expect_problem(f, f->vkey[0], text);
	assert_int_equal(rename(away, path), 0);
}

static void
test_verify_shards_with_parts_missing_or_swapped(void **state)
{
	struct fixture *f = *state;

	without(f, "2027h1-1", "2027h1-1/the log goes on in this shard, and it is missing");
	without(f, "2028h1-1", "2028h1-1/the log goes on in this shard, and it is missing");
	without(f, SHARD_NEXT, SHARD_NEXT " is missing, but the shard has ended");
	without(f, "2027h2-1/" SHARD_NEXT, "2027h2-1/" SHARD_NEXT " is missing");
	without(f, "2027h1-1/checkpoint", "2027h1-1/checkpoint is missing");
	without(f, "2027h1-1/tile/0/000", "2027h1-1/tile/0/000 is missing");
	without(f, "tile/entries/001", "tile/entries/001 is missing");
	replaced(f, SHARD_NEXT, "2027h1-1/" SHARD_NEXT, SHARD_NEXT ": ");
	replaced(f, "2027h1-1/checkpoint", "2027h2-1/checkpoint", "2027h1-1/checkpoint: ");
	replaced(f, "2027h2-1/" SHARD_NEXT, "2027h2-1/checkpoint",
		 "2027h2-1/" SHARD_NEXT ": not a proof");
	assert_int_equal(verify(f, "", f->vkey[0]), 0);
}

/* Each byte of a link, one bit each: nothing of it can be changed unseen. */
static void
test_verify_shards_with_any_bit_of_a_link_flipped(void **state)
{
	struct fixture *f = *state;
	struct buf b = { 0 };
	char path[256];

	path_of(f, "2027h1-1/" SHARD_NEXT, path);
	assert_int_equal(disk_read(path, 1 << 20, &b, NULL), IM_OK);
	for (size_t i = 0; i < b.len; i += 7) {
		FILE *file;

		b.data[i] ^= (uint8_t)(1u << i % 8);
		file = fopen(path, "we");
		assert_non_null(file);
		assert_int_equal(fwrite(b.data, 1, b.len, file), b.len);
		assert_int_equal(fclose(file), 0);
		if (verify(f, "", f->vkey[0]) == 0)
			fail_msg("byte %zu can be changed", i);
		b.data[i] ^= (uint8_t)(1u << i % 8);
	}
	buf_done(&b);
}

static void
test_prune_goes_over_shards_and_leaves_what_proves_them(void **state)
{
	struct fixture *f = *state;
	struct audit_pruned p;
	struct audit_source source;
	struct shards shards;
	uint64_t size = audit_log_size(f->log);

	/* Nothing is that old; then the first shard's whole bundles; then all of it and of the next. */
	assert_int_equal(audit_log_prune(f->log, Y2027 - HALF, false, NULL, &p, &f->t.err), IM_OK);
	assert_int_equal(p.was, 0);
	assert_int_equal(p.min_index, 0);
	assert_int_equal(audit_log_prune(f->log, Y2027 - HALF / 2 + 550, true, NULL, &p, &f->t.err),
			 IM_OK);
	assert_int_equal(p.min_index, 512);
	assert_int_equal(audit_log_size(f->log), size);
	assert_int_equal(audit_log_prune(f->log, Y2027 + 3 * HALF, false, "uid:0", &p, &f->t.err),
			 IM_OK);
	assert_int_equal(p.was, 0);
	/* The second shard has 256 records: its one bundle, and all of it. */
	assert_int_equal(p.min_index, 601 + 256 + 22);
	assert_int_equal(audit_log_size(f->log), size + 3); /* a PRUNE for each shard */
	while (exists(f, "2027h2-1/tile/entries/000.p"))
		assert_int_equal(publisher_pass(&f->log->publisher, true, &f->t.err), IM_OK);
	assert_false(exists(f, "tile/entries/000"));
	assert_false(exists(f, "tile/entries/002.p"));
	assert_true(exists(f, "tile/0/000"));
	assert_int_equal(verify(f, "", f->vkey[0]), 0);
	assert_int_equal(f->r.pruned, 601 + 256 + 22);
	assert_int_equal(verify(f, "", f->vkey[3]), 0);
	/* Once more: there is nothing left to do. */
	assert_int_equal(audit_log_prune(f->log, Y2027 + 3 * HALF, false, NULL, &p, &f->t.err),
			 IM_OK);
	assert_int_equal(p.was, p.min_index);
	audit_log_close(f->log);
	f->log = testlog_open(&f->t);
	if (f->log == NULL)
		fail_msg("%s", f->t.err.text);
	assert_int_equal(audit_log_size(f->log), size + 3);
	assert_int_equal(testlog_pairs(&f->t, f->log, 9000, 3, 2), IM_OK);
	/* The way through is still there. */
	source_folder(&source, f->t.dir);
	assert_int_equal(shards_load(&source, f->vkey[0], &shards, &f->t.err), IM_OK);
	assert_int_equal(shards.count, 4);
	shards_done(&shards);
	assert_int_equal(verify(f, "", f->vkey[0]), 0);
}

static void
test_prune_of_shards_that_a_stop_cut_off_goes_on_at_the_next_start(void **state)
{
	struct fixture *f = *state;
	struct audit_pruned p;

	assert_int_equal(audit_log_prune(f->log, Y2027 + 2 * HALF, false, NULL, &p, &f->t.err),
			 IM_OK);
	assert_int_equal(p.min_index, 601 + 256);
	audit_log_close(f->log); /* nothing was deleted yet */
	assert_true(exists(f, "tile/entries/000"));
	f->log = testlog_open(&f->t);
	assert_non_null(f->log);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(publisher_pass(&f->log->publisher, true, &f->t.err), IM_OK);
	assert_false(exists(f, "tile/entries/000"));
	assert_false(exists(f, "2027h1-1/tile/entries/000"));
	assert_true(exists(f, "2027h2-1/tile/entries/000.p/22"));
	assert_int_equal(verify(f, "", f->vkey[0]), 0);
	assert_int_equal(f->r.pruned, 601 + 256);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_verify_shards_with_the_key_of_any_one, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_verify_shard_alone_says_that_the_log_goes_on,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_verify_shards_with_the_key_of_another_log_is_a_problem, setup, teardown),
		cmocka_unit_test_setup_teardown(test_verify_shards_with_parts_missing_or_swapped,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_verify_shards_with_any_bit_of_a_link_flipped,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_prune_goes_over_shards_and_leaves_what_proves_them, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_prune_of_shards_that_a_stop_cut_off_goes_on_at_the_next_start, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
