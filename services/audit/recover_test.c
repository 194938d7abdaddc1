/*
 * audit/recover_test.c - a start that finds much that was not published: more than one thread hashes it, and what was signed comes
 * out, or the frame is named that does not fit.
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

#include "audit/crew.h"
#include "audit/testlog.h"

#define PAIRS 12000

/* More than CREW_WORTH_BYTES of frames of every width. */
static struct audit_log *
fill(struct testlog *t)
{
	static const unsigned batch[] = { 1, 2, 3, 7, 64, 255, 256, 257, 1000, 5 };
	struct audit_log *log;
	uint64_t at = 0;

	testlog_init(t);
	t->segment_bytes = UINT64_C(16) << 20;
	log = testlog_open(t);
	assert_non_null(log);
	for (unsigned i = 0; at < PAIRS; i++) {
		unsigned count = batch[i % 10];

		assert_int_equal(testlog_pairs(t, log, at, count, count), IM_OK);
		at += count;
	}
	assert_in_range(log->wal.offset, 3 * CREW_WORTH_BYTES, SIZE_MAX);
	return log;
}

/* The first segment of an epoch. */
static bool
is_there(const struct testlog *t, uint32_t epoch, const char *suffix)
{
	char path[DISK_PATH_MAX], name[WAL_NAME_MAX];

	wal_name((uint64_t)epoch << 32, name);
	(void)snprintf(path, sizeof(path), "%s/wal/%s%s", t->dir, name, suffix);
	return access(path, F_OK) == 0;
}

static void
test_recovery_by_several_threads_finds_the_tree_that_was_signed(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct verify_report r;
	struct tlog_range range;
	char *checkpoint;
	uint64_t size;

	(void)state;
	log = fill(&t);
	size = audit_log_size(log);
	range = log->range;
	checkpoint = strdup(log->checkpoint);
	assert_non_null(checkpoint);
	audit_log_close(log);
	for (int i = 0; i < 2; i++) { /* the second finds what the first copied */
		log = testlog_open(&t);
		assert_non_null(log);
		assert_int_equal(audit_log_size(log), size);
		assert_string_equal(log->checkpoint, checkpoint);
		assert_false(is_there(&t, (uint32_t)i + 1, ""));
		assert_true(is_there(&t, (uint32_t)i + 2, ""));
		for (unsigned k = 0; k < TLOG_HEIGHT_MAX; k++)
			if ((size >> k & 1) != 0)
				assert_memory_equal(&log->range.peak[k], &range.peak[k],
						    HASH_BYTES);
		if (i == 0)
			audit_log_close(log);
	}
	/* An event that it has is no second record, and it goes on. */
	assert_int_equal(testlog_pairs(&t, log, PAIRS - 1, 1, 2), IM_OK);
	assert_int_equal(audit_log_size(log), size);
	assert_int_equal(testlog_pairs(&t, log, 1000000, 1, 2), IM_OK);
	assert_int_equal(audit_log_size(log), size + 2);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.problems, 0);
	testlog_done(&t);
	free(checkpoint);
}

/* Change one record of the frame that begins behind 'from', with a checksum that is right. */
static uint64_t
forge(const char *path, uint64_t from)
{
	struct buf file = { 0 }, out = { 0 };
	struct wal_frame f;
	uint64_t at = 0;
	size_t total;
	FILE *to;

	assert_int_equal(disk_read(path, (size_t)16 << 20, &file, NULL), IM_OK);
	while (wal_header_get(file.data + at, &f, &total) && at < from)
		at += total;
	assert_true(at >= from);
	assert_int_equal(wal_frame_get(file.data + at, total, &f, NULL), IM_OK);
	file.data[at + WAL_HEADER_BYTES + f.records_len - 1] ^=
	    1; /* in the last record's blind or reporter */
	assert_true(wal_frame_put(&out, &f));
	assert_int_equal(out.len, total);
	to = fopen(path, "r+e");
	assert_non_null(to);
	assert_int_equal(fseek(to, (long)at, SEEK_SET), 0);
	assert_int_equal(fwrite(out.data, 1, out.len, to), out.len);
	assert_int_equal(fclose(to), 0);
	buf_done(&file);
	buf_done(&out);
	return at;
}

static void
test_recovery_names_the_frame_whose_records_were_changed(void **state)
{
	struct testlog t;
	struct audit_log *log;
	char path[DISK_PATH_MAX], place[64];
	uint64_t at;

	(void)state;
	log = fill(&t);
	(void)snprintf(path, sizeof(path), "%s", log->wal.path);
	audit_log_close(log);
	at = forge(path, UINT64_C(3) << 20);
	assert_null(testlog_open(&t));
	assert_int_equal(t.err.rc, IM_ECORRUPT);
	assert_non_null(strstr(t.err.text, path));
	assert_non_null(strstr(t.err.text, "do not have the root that was signed"));
	(void)snprintf(place, sizeof(place), "byte %llu:", (unsigned long long)at);
	assert_non_null(strstr(t.err.text, place));
	/* Refused: the copy that was begun is gone, and nothing else is. */
	assert_true(is_there(&t, 1, ""));
	assert_false(is_there(&t, 2, ".tmp"));
	assert_false(is_there(&t, 2, ""));
	testlog_done(&t);
}

static void
test_crew_that_is_ended_with_work_left_forgets_it(void **state)
{
	struct hasher h;
	struct crew c, never = { 0 };
	struct chunk *chunks[40];

	(void)state;
	assert_int_equal(hasher_init(&h, NULL), IM_OK);
	crew_init(&c, &h);
	assert_null(crew_take(&c, true));
	for (uint64_t i = 0; i < 40; i++) {
		struct chunk *chunk = chunks[i] = calloc(1, sizeof(*chunk));

		assert_non_null(chunk);
		*chunk = (struct chunk){ .first = i, .count = 1, .records_len = 65537 };
		chunk->records = calloc(1, chunk->records_len);
		chunk->leaf = calloc(1, sizeof(*chunk->leaf));
		assert_true(chunk->records != NULL && chunk->leaf != NULL);
		chunk->records[0] = chunk->records[1] = 0xff;
		assert_int_equal(crew_give(&c, chunk, "here", NULL), IM_OK);
	}
	crew_job_free(crew_take(&c, true));
	crew_done(&c);
	crew_done(&never);
	for (size_t i = 0; i < 40; i++)
		chunk_free(chunks[i]);
	hasher_done(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recovery_by_several_threads_finds_the_tree_that_was_signed),
		cmocka_unit_test(test_recovery_names_the_frame_whose_records_were_changed),
		cmocka_unit_test(test_crew_that_is_ended_with_work_left_forgets_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
