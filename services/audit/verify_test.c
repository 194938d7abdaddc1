/*
 * audit/verify_test.c - tampering with every file of a small log: verification notices all of it and names the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/testlog.h"

#define FILES_MAX 64

struct small {
	struct testlog t;
	char name[FILES_MAX][64];
	unsigned files;
	uint64_t wal_bytes; /* in use */
	unsigned long mutations, detected;
};

static void
keep_name(void *arg, const char *name)
{
	struct small *s = arg;

	if (strcmp(name, "lock") == 0)
		return;
	assert_true(s->files < FILES_MAX);
	(void)snprintf(s->name[s->files++], sizeof(s->name[0]), "%s", name);
}

/* 600 records, all of them published: bundles and tiles, full and partial, on two levels. */
static void
small_init(struct small *s)
{
	struct audit_log *log;

	memset(s, 0, sizeof(*s));
	testlog_init(&s->t);
	log = testlog_open(&s->t);
	assert_non_null(log);
	assert_int_equal(testlog_pairs(&s->t, log, 0, 300, 300), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &s->t.err), IM_OK);
	audit_log_close(log);
	log = testlog_open(&s->t); /* leaves a write-ahead log with one frame */
	assert_non_null(log);
	s->wal_bytes = log->wal.offset;
	audit_log_close(log);
	testlog_files(s->t.dir, keep_name, s);
	assert_true(s->files >= 9);
}

static bool
names(const char *problem, const char *name)
{
	return strstr(problem, name) != NULL ||
	       (strncmp(name, "wal/", 4) == 0 && strncmp(problem, "wal: ", 5) == 0);
}

/* A report must name the file that was changed, or the other one of a swap. */
static void
expect_either(struct small *s, const char *name, const char *other, const char *how)
{
	struct verify_report r;
	bool named = false;

	s->mutations++;
	if (audit_verify(s->t.dir, s->t.vkey, NULL, &r, &s->t.err) != IM_OK)
		fail_msg("%s: %s", name, s->t.err.text);
	if (r.problems == 0)
		fail_msg("%s of %s was not noticed", how, name);
	for (unsigned i = 0; i < r.problems && i < VERIFY_PROBLEMS_MAX; i++)
		named = named || names(r.problem[i], name) || names(r.problem[i], other);
	if (!named)
		fail_msg("%s of %s: not named in: %s", how, name, r.problem[0]);
	s->detected++;
}

static void
expect_noticed(struct small *s, const char *name, const char *how)
{
	expect_either(s, name, name, how);
}

static void
read_file(const struct small *s, const char *name, struct buf *out, char path[256])
{
	(void)snprintf(path, 256, "%s/%s", s->t.dir, name);
	buf_clear(out);
	assert_int_equal(disk_read(path, BUNDLE_MAX_BYTES, out, NULL), IM_OK);
}

static void
write_file(const char *path, const uint8_t *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(close(fd), 0);
}

static size_t
used_bytes(const struct small *s, const char *name, const struct buf *b)
{
	return strncmp(name, "wal/", 4) == 0 ? (size_t)s->wal_bytes : b->len;
}

static void
test_verify_untouched_log_has_no_problem(void **state)
{
	struct small s;
	struct verify_report r;

	(void)state;
	small_init(&s);
	testlog_verify(&s.t, &r);
	assert_int_equal(r.size, 600);
	assert_int_equal(r.published_size, 600);
	assert_string_equal(r.origin, "test.example/log");
	assert_true(r.signature_checked);
	assert_int_equal(r.kinds[RECORD_REQUEST], 300);
	assert_int_equal(r.kinds[RECORD_RESPONSE], 300);
	assert_int_equal(audit_verify(s.t.dir, NULL, NULL, &r, NULL), IM_OK);
	assert_int_equal(r.problems, 0);
	assert_false(r.signature_checked);
	testlog_done(&s.t);
}

static void
test_verify_notices_flipped_bits_in_every_file(void **state)
{
	struct small s;
	struct buf b = { 0 };
	unsigned seed = 42;
	char path[256];

	(void)state;
	small_init(&s);
	for (unsigned f = 0; f < s.files; f++) {
		size_t used;

		read_file(&s, s.name[f], &b, path);
		used = used_bytes(&s, s.name[f], &b);
		/* Each byte of the small ones, and of the large ones the ends and 60 places. */
		for (size_t n = 0; n < (used < 400 ? used : 64); n++) {
			size_t at = used < 400 ? n
				    : n < 2    ? n
				    : n < 4    ? used - n + 1
					       : (size_t)rand_r(&seed) % used;
			uint8_t bit = (uint8_t)(1U << (unsigned)rand_r(&seed) % 8);

			b.data[at] ^= bit;
			write_file(path, b.data, b.len);
			expect_noticed(&s, s.name[f], "a flipped bit");
			b.data[at] ^= bit;
		}
		write_file(path, b.data, b.len);
	}
	print_message("flipped bits: %lu of %lu noticed in %u files\n", s.detected, s.mutations,
		      s.files);
	buf_done(&b);
	testlog_done(&s.t);
}

static void
test_verify_notices_truncated_and_deleted_files(void **state)
{
	struct small s;
	struct buf b = { 0 };
	char path[256];

	(void)state;
	small_init(&s);
	for (unsigned f = 0; f < s.files; f++) {
		size_t used;

		read_file(&s, s.name[f], &b, path);
		used = used_bytes(&s, s.name[f], &b);
		for (unsigned n = 0; n < 12; n++) {
			write_file(path, b.data, n == 11 ? used - 1 : used * n / 11);
			expect_noticed(&s, s.name[f], "truncation");
		}
		assert_int_equal(unlink(path), 0);
		expect_noticed(&s, s.name[f], "deletion");
		write_file(path, b.data, b.len);
	}
	print_message("truncated and deleted: %lu of %lu noticed\n", s.detected, s.mutations);
	buf_done(&b);
	testlog_done(&s.t);
}

static void
test_verify_notices_swapped_files(void **state)
{
	struct small s;
	struct buf a = { 0 }, b = { 0 };
	char path_a[256], path_b[256];

	(void)state;
	small_init(&s);
	for (unsigned i = 0; i < s.files; i++) {
		for (unsigned j = i + 1; j < s.files; j++) {
			read_file(&s, s.name[i], &a, path_a);
			read_file(&s, s.name[j], &b, path_b);
			write_file(path_a, b.data, b.len);
			write_file(path_b, a.data, a.len);
			expect_either(&s, s.name[i], s.name[j], "a swap");
			write_file(path_a, a.data, a.len);
			write_file(path_b, b.data, b.len);
		}
	}
	print_message("swapped: %lu of %lu noticed\n", s.detected, s.mutations);
	buf_done(&a);
	buf_done(&b);
	testlog_done(&s.t);
}

static void
test_verify_notices_a_fork_signed_by_another_key(void **state)
{
	struct small s, forged;
	struct buf b = { 0 };
	char path[256];

	(void)state;
	small_init(&s);
	small_init(&forged); /* whole and consistent, but not ours */
	read_file(&forged, "checkpoint", &b, path);
	(void)snprintf(path, sizeof(path), "%s/checkpoint", s.t.dir);
	write_file(path, b.data, b.len);
	expect_noticed(&s, "checkpoint", "another log's checkpoint");
	memcpy(forged.t.vkey, s.t.vkey, sizeof(s.t.vkey));
	expect_noticed(&forged, "checkpoint", "another key");
	buf_done(&b);
	testlog_done(&s.t);
	testlog_done(&forged.t);
}

/* Records that a broken or dishonest service with the key could write. */
static void
test_verify_names_a_request_that_ends_twice_and_one_that_never_does(void **state)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;
	struct verify_options options = { .open_ids = 1 };
	struct buf b = { 0 };
	uint64_t none;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_int_equal(testlog_pairs(&t, log, 0, 3, 6), IM_OK);
	{
		struct audit_event e;

		for (uint64_t n = 50; n < 53; n++) {
			testlog_event(&e, RECORD_REQUEST, n);
			assert_int_equal(audit_log_add(log, &e, &none, &t.err), IM_OK);
		}
		/* A second answer to request 1, past the service's own check. */
		testlog_event(&e, RECORD_RESPONSE, 1000);
		assert_int_equal(audit_log_add(log, &e, &none, &t.err), IM_OK);
	}
	{
		struct record twice = { .kind = RECORD_RESPONSE,
					.has_request_id = true,
					.prev_index = 3,
					.log_time_us = 1,
					.outcome = OUTCOME_OK };
		struct hash leaf;

		twice.request_id[0] = 1;
		assert_true(record_encode(&twice, &b));
		assert_true(bundle_put(&log->records, b.data, b.len));
		assert_int_equal(dedup_add(&log->dedup, NULL, RECORD_RESPONSE), IM_OK);
		tlog_leaf(&log->hasher, b.data, b.len, &leaf);
		log->leaf[log->count++] = leaf;
		tlog_range_add(&log->next, &log->hasher, &leaf, NULL, NULL);
	}
	assert_int_equal(audit_log_commit(log, false, &t.err), IM_OK);
	audit_log_close(log);
	assert_int_equal(audit_verify(t.dir, t.vkey, &options, &r, &t.err), IM_OK);
	assert_int_equal(r.problems, 2);
	assert_non_null(strstr(r.problem[0], "record 10"));
	assert_non_null(strstr(r.problem[0], "before"));
	assert_non_null(strstr(r.problem[1], "second time"));
	assert_int_equal(r.open, 3);
	assert_int_equal(r.open_named, 1);
	assert_int_equal(r.open_first[0].index, 6);
	assert_int_equal(r.open_first[0].request_id[0], 50);
	assert_int_equal(r.orphans, 1);
	buf_done(&b);
	testlog_done(&t);
}

/* Write a PRUNE record of ours, past the service, and publish. */
static void
put_prune(struct testlog *t, uint64_t min_index, uint64_t size)
{
	struct audit_log *log = testlog_open(t);
	struct record r = { .kind = RECORD_PRUNE, .has_prune = true };
	struct buf b = { 0 };
	struct hash leaf;

	assert_non_null(log);
	r.log_time_us = log->log_time_us;
	r.prune = (struct record_prune){ .min_index = min_index, .size = size };
	tlog_range_root(&log->range, &log->hasher, &r.prune.root);
	assert_true(record_encode(&r, &b));
	assert_true(bundle_put(&log->records, b.data, b.len));
	assert_int_equal(dedup_add(&log->dedup, NULL, RECORD_PRUNE), IM_OK);
	tlog_leaf(&log->hasher, b.data, b.len, &leaf);
	log->leaf[log->count++] = leaf;
	tlog_range_add(&log->next, &log->hasher, &leaf, NULL, NULL);
	assert_int_equal(audit_log_commit(log, true, &t->err), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &t->err), IM_OK);
	audit_log_close(log);
	buf_done(&b);
}

static void
remove_file(const struct testlog *t, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	assert_int_equal(unlink(path), 0);
}

static void
test_verify_of_a_pruned_log_wants_hash_tiles_only_below_min_index(void **state)
{
	struct small s;
	struct verify_report r;

	(void)state;
	small_init(&s);
	put_prune(&s.t, 512, 600);
	testlog_verify(&s.t, &r);
	assert_int_equal(r.pruned, 0); /* not deleted yet */
	remove_file(&s.t, "tile/entries/000");
	testlog_verify(&s.t, &r);
	assert_int_equal(r.pruned, 256);
	remove_file(&s.t, "tile/entries/001");
	testlog_verify(&s.t, &r);
	assert_int_equal(r.pruned, 512);
	assert_int_equal(r.size, 601);
	assert_int_equal(r.orphans, 0);
	assert_int_equal(r.kinds[RECORD_PRUNE], 1);
	remove_file(&s.t, "tile/0/000");
	assert_int_equal(audit_verify(s.t.dir, s.t.vkey, NULL, &r, NULL), IM_OK);
	assert_int_not_equal(r.problems, 0);
	assert_non_null(strstr(r.problem[0], "tile/0/000 is missing"));
	testlog_done(&s.t);
}

static void
test_verify_names_missing_entries_that_no_prune_record_covers(void **state)
{
	struct small s;
	struct verify_report r;

	(void)state;
	small_init(&s);
	put_prune(&s.t, 256, 600);
	remove_file(&s.t, "tile/entries/001"); /* not the first one */
	assert_int_equal(audit_verify(s.t.dir, s.t.vkey, NULL, &r, NULL), IM_OK);
	assert_int_equal(r.problems > 0, 1);
	assert_non_null(strstr(r.problem[0], "tile/entries/001 is missing"));
	remove_file(&s.t, "tile/entries/000");
	assert_int_equal(audit_verify(s.t.dir, s.t.vkey, NULL, &r, NULL), IM_OK);
	assert_int_equal(r.problems, 1);
	assert_string_equal(r.problem[0],
			    "tile/entries/001 is missing, and no PRUNE record covers it");
	testlog_done(&s.t);
}

/* A source at which the log is pruned, or only looks so, as soon as its second bundle is asked for. */
struct moving {
	struct audit_source folder;
	struct testlog *t;
	bool prunes, moved;
};

static enum im_rc
moving_read(const struct audit_source *s, const char *path, size_t max, struct buf *out,
	    struct im_err *err)
{
	struct moving *m = s->user;

	if (!m->moved && strcmp(path, "tile/entries/001") == 0) {
		m->moved = true;
		put_prune(m->t, m->prunes ? 512 : 0, 600);
		remove_file(m->t, "tile/entries/000");
		remove_file(m->t, "tile/entries/001");
	}
	return m->folder.read(&m->folder, path, max, out, err);
}

static void
test_verify_of_a_log_that_is_pruned_meanwhile_raises_no_false_alarm(void **state)
{
	struct small s;
	struct verify_report r;
	struct moving m = { .prunes = true };
	const struct audit_source source = { moving_read, &m, "moving", NULL };

	(void)state;
	small_init(&s);
	m.t = &s.t;
	source_folder(&m.folder, s.t.dir);
	assert_int_equal(audit_verify_source(&source, s.t.vkey, NULL, &r, &s.t.err), IM_OK);
	assert_true(m.moved);
	assert_int_equal(r.problems, 0);
	assert_int_equal(r.pruned, 512);
	assert_int_equal(r.size, 601);
	testlog_done(&s.t);
}

static void
test_verify_of_a_log_that_loses_entries_while_it_grows_is_not_fooled(void **state)
{
	struct small s;
	struct verify_report r;
	struct moving m = { .prunes = false };
	const struct audit_source source = { moving_read, &m, "moving", NULL };

	(void)state;
	small_init(&s);
	m.t = &s.t;
	source_folder(&m.folder, s.t.dir);
	assert_int_equal(audit_verify_source(&source, s.t.vkey, NULL, &r, &s.t.err), IM_OK);
	assert_int_equal(r.problems, 2);
	assert_non_null(strstr(r.problem[0], "tile/entries/000 is missing"));
	assert_non_null(strstr(r.problem[1], "tile/entries/001 is missing"));
	testlog_done(&s.t);
}

static void
test_verify_refuses_a_prune_record_that_does_not_name_the_tree_before_it(void **state)
{
	struct small s;
	struct verify_report r;

	(void)state;
	small_init(&s);
	put_prune(&s.t, 512, 599);
	assert_int_equal(audit_verify(s.t.dir, s.t.vkey, NULL, &r, NULL), IM_OK);
	assert_int_equal(r.problems, 1);
	assert_non_null(strstr(r.problem[0], "PRUNE record 600 does not name the tree before it"));
	testlog_done(&s.t);
}

static bool
stop_at_once(void *user, uint64_t done, uint64_t total)
{
	(void)user;
	(void)done;
	(void)total;
	return false;
}

static void
test_verify_of_no_log_and_when_told_to_stop(void **state)
{
	struct small s;
	struct verify_report r;
	struct verify_options options = { .progress = stop_at_once };

	(void)state;
	assert_int_equal(audit_verify("/nonexistent", NULL, NULL, &r, NULL), IM_ENOTFOUND);
	small_init(&s);
	assert_int_equal(audit_verify(s.t.dir, "no key", NULL, &r, NULL), IM_EINVAL);
	assert_int_equal(audit_verify(s.t.dir, s.t.vkey, &options, &r, NULL), IM_ECANCELED);
	testlog_done(&s.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verify_untouched_log_has_no_problem),
		cmocka_unit_test(test_verify_notices_flipped_bits_in_every_file),
		cmocka_unit_test(test_verify_notices_truncated_and_deleted_files),
		cmocka_unit_test(test_verify_notices_swapped_files),
		cmocka_unit_test(test_verify_notices_a_fork_signed_by_another_key),
		cmocka_unit_test(
		    test_verify_names_a_request_that_ends_twice_and_one_that_never_does),
		cmocka_unit_test(test_verify_of_a_pruned_log_wants_hash_tiles_only_below_min_index),
		cmocka_unit_test(test_verify_names_missing_entries_that_no_prune_record_covers),
		cmocka_unit_test(
		    test_verify_of_a_log_that_is_pruned_meanwhile_raises_no_false_alarm),
		cmocka_unit_test(
		    test_verify_of_a_log_that_loses_entries_while_it_grows_is_not_fooled),
		cmocka_unit_test(
		    test_verify_refuses_a_prune_record_that_does_not_name_the_tree_before_it),
		cmocka_unit_test(test_verify_of_no_log_and_when_told_to_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
