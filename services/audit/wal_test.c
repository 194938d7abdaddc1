/*
 * audit/wal_test.c - frames byte by byte, segments, and what is a torn tail and what is corruption.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/testlog.h"
#include "base/hex.h"

static void
small_frame(struct wal_frame *f)
{
	static const uint8_t records[] = { 0, 1, 'a', 0, 2, 'b', 'c' };

	*f = (struct wal_frame){ .generation = UINT64_C(0x100000002),
				 .first = 5,
				 .count = 2,
				 .records = records,
				 .records_len = sizeof(records),
				 .checkpoint = "cp\n",
				 .checkpoint_len = 3 };
	memset(&f->root, 0x0f, sizeof(f->root));
}

static void
test_crc32c_known_answers(void **state)
{
	uint8_t zeros[32] = { 0 };

	(void)state;
	assert_int_equal(wal_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(wal_crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(wal_crc32c(wal_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	assert_int_equal(wal_crc32c(0, "", 0), 0);
	assert_int_equal(wal_crc32c_by_table(0, "123456789", 9), 0xe3069283);
	for (size_t len = 0; len < sizeof(zeros); len++) {
		zeros[len] = (uint8_t)(len * 37);
		assert_int_equal(wal_crc32c_by_table(7, zeros, len), wal_crc32c(7, zeros, len));
	}
}

/* Three lanes at once, from every place, and what remains behind them. */
static void
test_crc32c_of_much_is_that_of_the_table(void **state)
{
	static uint8_t data[10000];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 2654435761U >> 13);
	for (size_t len = 3060; len<sizeof(data) - 8; len += len % 1024> 1000 ? 1 : 97)
		for (size_t at = 0; at < 8; at++)
			assert_int_equal(wal_crc32c(3, data + at, len),
					 wal_crc32c_by_table(3, data + at, len));
}

static void
test_wal_frame_that_is_renumbered_is_the_frame_of_that_number(void **state)
{
	static const size_t sizes[] = { 4, 100, 3000, 65535 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		uint8_t entry[65535] = { 7, 8, 9 };
		struct buf records = { 0 }, was = { 0 }, is = { 0 };
		struct wal_frame f = { .generation = UINT64_C(5) << 32,
				       .first = 12,
				       .count = 1,
				       .root = { { 1, 2 } },
				       .checkpoint = "text",
				       .checkpoint_len = 4 };

		assert_true(bundle_put(&records, entry, sizes[i]));
		f.records = records.data;
		f.records_len = records.len;
		assert_true(wal_frame_put(&was, &f));
		f.generation = UINT64_C(6) << 32 | 3;
		assert_true(wal_frame_put(&is, &f));
		wal_frame_renumber(was.data, was.len, f.generation);
		assert_int_equal(was.len, is.len);
		assert_memory_equal(was.data, is.data, is.len);
		/* What was wrong stays wrong. */
		was.data[was.len - 10] ^= 1;
		wal_frame_renumber(was.data, was.len, UINT64_C(9) << 32);
		assert_int_equal(wal_frame_get(was.data, was.len, &f, NULL), IM_EPROTO);
		buf_done(&records);
		buf_done(&was);
		buf_done(&is);
	}
}

static void
test_wal_frame_golden_bytes_cut_and_flipped(void **state)
{
	static const char golden[] =
	    "494d57414c465231"
	    "0200000001000000"
	    "0500000000000000"
	    "02000000"
	    "07000000"
	    "03000000"
	    "00000000"
	    "7e5fd698"
	    "000161"
	    "00026263"
	    "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
	    "63700a"
	    "6a6a3332";
	struct wal_frame f, back;
	struct buf b = { 0 };
	char hex[256];

	(void)state;
	small_frame(&f);
	assert_true(wal_frame_put(&b, &f));
	assert_int_equal(b.len, wal_frame_bytes(&f));
	hex_encode(b.data, b.len, hex);
	assert_string_equal(hex, golden);
	assert_int_equal(wal_frame_get(b.data, b.len, &back, NULL), IM_OK);
	assert_int_equal(back.first, 5);
	assert_int_equal(back.count, 2);
	assert_memory_equal(back.checkpoint, "cp\n", 3);
	for (size_t len = 0; len < b.len; len++) {
		uint8_t *exact =
		    malloc(len + 1); /* on the heap, so that reading past it is noticed */

		assert_non_null(exact);
		memcpy(exact, b.data, len);
		assert_int_equal(wal_frame_get(exact, len, &back, NULL), IM_EPROTO);
		free(exact);
	}
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_int_equal(wal_frame_get(b.data, b.len, &back, NULL), IM_EPROTO);
		b.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	buf_done(&b);
}

/* A log of 12 frames in one segment; where they begin. */
struct walled {
	struct testlog t;
	char path[DISK_PATH_MAX];
	uint64_t at[13];
};

static void
walled_init(struct walled *w)
{
	struct audit_log *log;

	testlog_init(&w->t);
	log = testlog_open(&w->t);
	assert_non_null(log);
	for (unsigned i = 0; i < 12; i++) {
		w->at[i] = log->wal.offset;
		assert_int_equal(testlog_pairs(&w->t, log, (uint64_t)i * 3, 3, 6), IM_OK);
	}
	w->at[12] = log->wal.offset;
	(void)snprintf(w->path, sizeof(w->path), "%s", log->wal.path);
	audit_log_close(log);
}

static void
overwrite(const char *path, uint64_t at, size_t len, int byte)
{
	uint8_t data[4096];
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	memset(data, byte, sizeof(data));
	assert_int_equal(pwrite(fd, data, len, (off_t)at), len);
	assert_int_equal(close(fd), 0);
}

static void
flip(const char *path, uint64_t at)
{
	uint8_t byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	assert_int_equal(close(fd), 0);
}

static void
expect_size(struct walled *w, uint64_t size)
{
	struct verify_report r;
	struct audit_log *log = testlog_open(&w->t);

	if (log == NULL)
		fail_msg("%s", w->t.err.text);
	assert_int_equal(audit_log_size(log), size);
	assert_int_equal(testlog_pairs(&w->t, log, 900, 2, 4), IM_OK);
	audit_log_close(log);
	testlog_verify(&w->t, &r);
	assert_int_equal(r.size, size + 4);
}

static void
test_wal_last_frame_without_a_sector_is_a_torn_tail(void **state)
{
	struct walled w;

	(void)state;
	walled_init(&w);
	overwrite(w.path, (w.at[11] / 512 + 1) * 512, 512, 0);
	expect_size(&w, 66);
	testlog_done(&w.t);
	/* Without its first sector: the header is gone, the rest is there. */
	walled_init(&w);
	overwrite(w.path, w.at[11], 512 - w.at[11] % 512, 0);
	expect_size(&w, 66);
	testlog_done(&w.t);
	/* The file ends in the middle. */
	walled_init(&w);
	assert_int_equal(truncate(w.path, (off_t)w.at[12] - 7), 0);
	expect_size(&w, 66);
	testlog_done(&w.t);
	/* Nothing of it at all. */
	walled_init(&w);
	assert_int_equal(truncate(w.path, (off_t)w.at[11]), 0);
	expect_size(&w, 66);
	testlog_done(&w.t);
}

static void
expect_corrupt(struct walled *w, uint64_t at)
{
	char place[64];

	if (testlog_open(&w->t) != NULL)
		fail_msg("the damage at byte %lu was not noticed", (unsigned long)at);
	assert_int_equal(w->t.err.rc, IM_ECORRUPT);
	assert_non_null(strstr(w->t.err.text, w->path));
	(void)snprintf(place, sizeof(place), "byte %lu:", (unsigned long)at);
	assert_non_null(strstr(w->t.err.text, place));
	testlog_done(&w->t);
}

static void
test_wal_damage_that_no_crash_explains_is_refused(void **state)
{
	struct walled w;

	(void)state;
	/* One byte in the last frame: no sector is missing. */
	walled_init(&w);
	flip(w.path, w.at[11] + 100);
	expect_corrupt(&w, w.at[11]);
	/* A frame in the middle, even if whole sectors of it are zero: what follows was written after it was durable. */
	walled_init(&w);
	overwrite(w.path, w.at[5], 1024, 0);
	expect_corrupt(&w, w.at[5]);
	/* Its header alone. */
	walled_init(&w);
	flip(w.path, w.at[5] + 20);
	expect_corrupt(&w, w.at[5]);
}

/* Whoever writes goes on while somebody reads. */
struct reading {
	struct testlog *t;
	struct audit_log *log;
	uint64_t frames, records;
};

static enum im_rc
append_meanwhile(void *user, const struct wal_frame *f, const char *where, struct im_err *err)
{
	struct reading *r = user;

	(void)where;
	(void)err;
	assert_int_equal(f->first, r->records);
	r->records += f->count;
	/* While what was read ahead is taken in, and after the last frame in it. */
	if (r->frames++ % 5 == 2)
		assert_int_equal(testlog_pairs(r->t, r->log, 100 + r->frames, 1, 2), IM_OK);
	return IM_OK;
}

static bool
any_frame(void *user, const struct wal_frame *f)
{
	(void)user;
	(void)f;
	return true;
}

static void
test_wal_frames_that_are_written_while_it_is_read_are_no_damage(void **state)
{
	struct walled w;
	struct wal_found found;
	struct reading r = { .t = &w.t };
	const struct wal_scan scan = { append_meanwhile, any_frame, &r, false };

	(void)state;
	walled_init(&w);
	r.log = testlog_open(&w.t);
	assert_non_null(r.log);
	if (wal_read(w.t.dir, &scan, &found, &w.t.err) != IM_OK)
		fail_msg("%s", w.t.err.text);
	assert_false(found.torn);
	assert_int_equal(found.frames,
			 15); /* 12, and 3 that came meanwhile: after the 3rd, the 8th, the 13th */
	assert_int_equal(r.records, audit_log_size(r.log));
	audit_log_close(r.log);
	testlog_done(&w.t);
}

static void
test_wal_older_epochs_do_not_count(void **state)
{
	struct walled w;
	char path[320];

	(void)state;
	walled_init(&w);
	expect_size(&w, 72);
	/* The first epoch's segment comes back, damaged, as after a lost removal. */
	(void)snprintf(path, sizeof(path), "%s/wal/0000000100000000.wal", w.t.dir);
	assert_int_equal(access(path, F_OK), -1);
	{
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, "rubbish", 7), 7);
		assert_int_equal(close(fd), 0);
	}
	{
		struct audit_log *log = testlog_open(&w.t);

		assert_non_null(log);
		assert_int_equal(audit_log_size(log), 76);
		assert_int_equal(access(path, F_OK), -1);
		audit_log_close(log);
	}
	testlog_done(&w.t);
}

static void
test_wal_names_have_one_spelling(void **state)
{
	uint64_t g;

	(void)state;
	assert_true(wal_name_parse("00000001000000ff.wal", &g));
	assert_int_equal(g, UINT64_C(0x1000000ff));
	assert_false(wal_name_parse("00000001000000FF.wal", &g));
	assert_false(wal_name_parse("0000001000000ff.wal", &g));
	assert_false(wal_name_parse("00000001000000ff.tmp", &g));
	assert_false(wal_name_parse("00000001000000ff.wal.tmp", &g));
	assert_false(wal_name_parse("0000000100000g00.wal", &g));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc32c_known_answers),
		cmocka_unit_test(test_crc32c_of_much_is_that_of_the_table),
		cmocka_unit_test(test_wal_frame_that_is_renumbered_is_the_frame_of_that_number),
		cmocka_unit_test(test_wal_frame_golden_bytes_cut_and_flipped),
		cmocka_unit_test(test_wal_last_frame_without_a_sector_is_a_torn_tail),
		cmocka_unit_test(test_wal_damage_that_no_crash_explains_is_refused),
		cmocka_unit_test(test_wal_frames_that_are_written_while_it_is_read_are_no_damage),
		cmocka_unit_test(test_wal_older_epochs_do_not_count),
		cmocka_unit_test(test_wal_names_have_one_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
