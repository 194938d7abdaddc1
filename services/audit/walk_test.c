/*
 * audit/walk_test.c - every record is shown once and in order, wherever it lies, in both directions.
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

#include "audit/find.h"
#include "audit/lifecycle.h"
#include "audit/testlog.h"
#include "audit/turn.h"
#include "audit/walk.h"

#define SECOND UINT64_C(1000000)
#define Y2027  (UINT64_C(1798761600) * SECOND) /* 2027-01-01 00:00 UTC */
#define Y2027M (UINT64_C(1814400000) * SECOND) /* 2027-07-01 */

static uint64_t fake_now;

static uint64_t
fake_clock(void)
{
	return fake_now;
}

struct seen {
	uint64_t count, first, last;
	uint64_t stop_at; /* count; 0 = never */
	bool backwards;
	bool any_kind; /* records of the log itself are among them */
};

static enum im_rc
on_record(void *user, uint64_t index, const struct record *r, struct im_err *err)
{
	struct seen *s = user;

	if (s->count++ == 0)
		s->first = index;
	else
		assert_int_equal(index, s->backwards ? s->last - 1 : s->last + 1);
	s->last = index;
	if (!s->any_kind)
		assert_int_equal(r->kind, index % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE);
	if (s->count == s->stop_at)
		return err_set(err, IM_EAGAIN, "enough");
	return IM_OK;
}

/* 1,300 records: number i has the time (1000 + i / 100) seconds. The last 100 are not published. */
static struct audit_log *
setup(struct testlog *t)
{
	struct audit_log *log;

	testlog_init(t);
	t->now_us = fake_clock;
	fake_now = 1000 * SECOND;
	log = testlog_open(t);
	assert_non_null(log);
	for (uint64_t n = 0; n < 650; n += 50, fake_now += SECOND) {
		if (n == 600)
			assert_int_equal(publisher_pass(&log->publisher, true, &t->err), IM_OK);
		assert_int_equal(testlog_pairs(t, log, n, 50, 30), IM_OK);
	}
	return log;
}

/* Walk both ways: 'first' to 'last' must be shown, or nothing if first > last. 'any_kind': of a log with records of its own
 * among them; else of setup()'s. */
static void
expect_of(const struct testlog *t, struct audit_walk w, uint64_t first, uint64_t last,
	  bool any_kind)
{
	struct audit_source source;
	struct audit_walked walked;
	struct im_err err;

	source_folder(&source, t->dir);
	w.source = &source;
	w.record = on_record;
	for (int backwards = 0; backwards < 2; backwards++) {
		struct seen s = { .backwards = backwards != 0, .any_kind = any_kind };

		w.backwards = s.backwards;
		w.user = &s;
		if (audit_walk(&w, &walked, &err) != IM_OK)
			fail_msg("%s", err.text);
		assert_int_equal(s.count, first > last ? 0 : last - first + 1);
		if (s.count > 0) {
			assert_int_equal(s.first, backwards ? last : first);
			assert_int_equal(s.last, backwards ? first : last);
		}
		if (!any_kind)
			assert_int_equal(walked.end, 1300);
	}
}

static void
expect(const struct testlog *t, struct audit_walk w, uint64_t first, uint64_t last)
{
	expect_of(t, w, first, last, false);
}

static void
expect_all(const struct testlog *t, struct audit_walk w, uint64_t first, uint64_t last)
{
	expect_of(t, w, first, last, true);
}

static void
test_walk_shows_tiles_and_the_write_ahead_log_as_one_row(void **state)
{
	struct testlog t;
	struct audit_log *log = setup(&t);

	(void)state;
	expect(&t, (struct audit_walk){ 0 }, 0, 1299); /* while the log is open, too */
	audit_log_close(log);
	expect(&t, (struct audit_walk){ 0 }, 0, 1299);
	testlog_done(&t);
}

static void
test_walk_of_a_range_of_indices(void **state)
{
	static const uint64_t edge[] = { 0, 1, 255, 256, 257, 511, 1199, 1200, 1201, 1299 };
	struct testlog t;
	struct audit_log *log = setup(&t);

	(void)state;
	for (size_t a = 0; a < sizeof(edge) / sizeof(edge[0]); a++)
		for (size_t b = a; b < sizeof(edge) / sizeof(edge[0]); b++)
			expect(&t, (struct audit_walk){ .from = edge[a], .to = edge[b] + 1 },
			       edge[a], edge[b]);
	expect(&t, (struct audit_walk){ .from = 1300 }, 1, 0);
	expect(&t, (struct audit_walk){ .from = 300, .to = 300 }, 1, 0);
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_walk_of_a_range_of_times(void **state)
{
	struct testlog t;
	struct audit_log *log = setup(&t);

	(void)state;
	for (uint64_t a = 0; a < 13; a++)
		for (uint64_t b = a; b <= 13; b++)
			expect(&t,
			       (struct audit_walk){ .since_us = (1000 + a) * SECOND,
						    .until_us = (1000 + b) * SECOND },
			       a == b ? 1 : a * 100, a == b ? 0 : b * 100 - 1);
	expect(&t, (struct audit_walk){ .since_us = 5000 * SECOND }, 1, 0);
	expect(&t, (struct audit_walk){ .until_us = 5 }, 1, 0);
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_walk_begins_behind_what_was_pruned(void **state)
{
	struct testlog t;
	struct audit_log *log = setup(&t);
	struct audit_source source;
	struct audit_walked walked;
	struct audit_pruned p;
	struct seen s = { .stop_at = 5 };
	struct audit_walk w = { .source = &source, .record = on_record, .user = &s, .to = 1300 };

	(void)state;
	source_folder(&source, t.dir);
	assert_int_equal(audit_log_prune(log, 1006 * SECOND, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(audit_walk(&w, &walked, &t.err), IM_EAGAIN);
	assert_int_equal(walked.first, 512);
	assert_int_equal(s.first, 512);
	s = (struct seen){ .backwards = true };
	w.backwards = true;
	assert_int_equal(audit_walk(&w, &walked, &t.err), IM_OK);
	assert_int_equal(walked.first, 512);
	assert_int_equal(s.first, 1299);
	assert_int_equal(s.last, 512);
	/* Before what is there: nothing. */
	s = (struct seen){ 0 };
	w = (struct audit_walk){ .source = &source, .record = on_record, .user = &s, .to = 500 };
	assert_int_equal(audit_walk(&w, &walked, &t.err), IM_OK);
	assert_int_equal(s.count, 0);
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_walk_over_a_hole_says_which_file_is_missing(void **state)
{
	struct testlog t;
	struct audit_log *log = setup(&t);
	struct audit_source source;
	struct audit_walked walked;
	struct seen s = { 0 };
	struct audit_walk w = { .source = &source, .record = on_record, .user = &s };
	char path[DISK_PATH_MAX];

	(void)state;
	audit_log_close(log);
	assert_int_equal(disk_path(path, t.dir, "tile/entries/002", NULL), IM_OK);
	assert_int_equal(unlink(path), 0);
	source_folder(&source, t.dir);
	assert_int_equal(audit_walk(&w, &walked, &t.err), IM_ECORRUPT);
	assert_non_null(strstr(t.err.text, "tile/entries/002 is missing"));
	assert_int_equal(s.last, 511);
	source_folder(&source, "/nonexistent");
	assert_int_equal(audit_walk(&w, &walked, &t.err), IM_ENOTFOUND);
	testlog_done(&t);
}

static void
test_walk_goes_through_all_shards_as_one_row(void **state)
{
	static const uint64_t begins[] = { Y2027 - 5 * SECOND, Y2027, Y2027M };
	struct testlog t;
	struct audit_log *log;
	uint64_t first[3], end = 0;

	(void)state;
	testlog_init(&t);
	t.half_years = true;
	t.now_us = fake_clock;
	fake_now = begins[0];
	log = testlog_open(&t);
	assert_non_null(log);
	for (uint64_t i = 0; i < 3; i++) {
		fake_now = begins[i];
		if (audit_log_turn_due(log))
			assert_int_equal(audit_log_turn(log, &t.err), IM_OK);
		first[i] = end;
		assert_int_equal(testlog_pairs(&t, log, 300 * i, 300, 64), IM_OK);
		assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
		end = 600 * (i + 1) + 2 * i; /* a turn ends one shard and begins the other */
		expect_all(&t, (struct audit_walk){ 0 }, 0, end - 1);
	}
	assert_int_equal(testlog_pairs(&t, log, 900, 10, 64), IM_OK); /* not published */
	end += 20;
	expect_all(&t, (struct audit_walk){ 0 }, 0, end - 1);
	expect_all(&t, (struct audit_walk){ .from = 5, .to = first[2] + 3 }, 5, first[2] + 2);
	expect_all(&t, (struct audit_walk){ .from = first[1] + 10 }, first[1] + 10, end - 1);
	/* A turn has the time of the first record that comes after it. */
	expect_all(&t, (struct audit_walk){ .since_us = Y2027, .until_us = Y2027M }, 600,
		   2 * 600 + 1);
	audit_log_close(log);
	testlog_done(&t);
}

/* Of a shard that has ended also the last bundle goes, which is none of 256. */
static void
test_walk_begins_behind_shards_of_which_nothing_is_left(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct audit_pruned p;
	struct audit_source source;
	struct audit_walked walked;
	struct audit_found found;
	struct seen s = { .any_kind = true };
	struct audit_walk w = { .source = &source, .record = on_record, .user = &s };

	(void)state;
	testlog_init(&t);
	t.half_years = true;
	t.now_us = fake_clock;
	fake_now = Y2027 - 5 * SECOND;
	log = testlog_open(&t);
	assert_non_null(log);
	assert_int_equal(testlog_pairs(&t, log, 0, 300, 64), IM_OK);
	fake_now = Y2027;
	assert_int_equal(audit_log_turn(log, &t.err), IM_OK);
	assert_int_equal(testlog_pairs(&t, log, 300, 300, 64), IM_OK);
	assert_int_equal(audit_log_prune(log, Y2027, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(audit_log_prune(log, Y2027 + 1, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, false, &t.err), IM_OK);
	expect_all(&t, (struct audit_walk){ 0 }, 601, audit_log_size(log) - 1);
	expect_all(&t, (struct audit_walk){ .until_us = Y2027 + 1 }, 601, audit_log_size(log) - 1);
	source_folder(&source, t.dir);
	assert_int_equal(audit_walk(&w, &walked, &t.err), IM_OK);
	assert_int_equal(walked.first, 601);
	/* One that is gone, and one that never was. */
	for (uint8_t n = 0; n < 2; n++) {
		struct audit_event e;

		testlog_event(&e, RECORD_REQUEST, n == 0 ? 7 : 70000);
		assert_int_equal(audit_find(&source, e.request_id, &found, &t.err), IM_ENOTFOUND);
		audit_found_done(&found);
	}
	audit_log_close(log);
	testlog_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk_shows_tiles_and_the_write_ahead_log_as_one_row),
		cmocka_unit_test(test_walk_of_a_range_of_indices),
		cmocka_unit_test(test_walk_of_a_range_of_times),
		cmocka_unit_test(test_walk_begins_behind_what_was_pruned),
		cmocka_unit_test(test_walk_over_a_hole_says_which_file_is_missing),
		cmocka_unit_test(test_walk_goes_through_all_shards_as_one_row),
		cmocka_unit_test(test_walk_begins_behind_shards_of_which_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
