/*
 * audit/publisher_test.c - what the publisher keeps in memory: bounded while the disk takes no tiles, and a checkpoint comes out
 * although records keep coming.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "audit/testlog.h"

#define PAIRS 6000 /* 3 MB with their leaf hashes */

static size_t
held(const struct store *s)
{
	size_t bytes = 0;

	LIST_FOREACH (&s->full, f, struct store_file, node)
		bytes += sizeof(*f) + f->len;
	return bytes;
}

static void
test_publisher_that_cannot_write_keeps_one_portion_and_counts_the_rest(void **state)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;
	size_t waited = 0;

	(void)state;
	testlog_init(&t);
	t.ops = &testdisk;
	t.segment_bytes = UINT64_C(64) << 20;
	testdisk_arm(0, 0);
	log = testlog_open(&t);
	assert_non_null(log);
	testdisk_arm_name("rename",
			  ENOSPC); /* no file gets its name; the write-ahead log needs none */
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(testlog_pairs(&t, log, i * PAIRS, PAIRS, 500), IM_OK);
		assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_EUNAVAILABLE);
		assert_in_range(held(&log->publisher.store), 1,
				PUBLISHER_PORTION + PUBLISHER_PORTION / 4);
		assert_true(log->publisher.backlog > waited); /* so that commits wait in the end */
		waited = log->publisher.backlog;
	}
	assert_in_range(waited, (size_t)8 << 20, PUBLISHER_BACKLOG_MAX);
	testdisk_arm(0, 0);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(held(&log->publisher.store), 0);
	assert_int_equal(log->publisher.backlog, 0);
	assert_int_equal(publisher_published(&log->publisher), audit_log_size(log));
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.published_size, 10 * PAIRS);
	testlog_done(&t);
}

/* A disk on which writing a file takes as long as it takes others to append a frame. */
static struct {
	struct testlog *t;
	struct audit_log *log;
	uint64_t next;
} meanwhile;

static int
rename_meanwhile(const char *from, const char *to)
{
	if (meanwhile.log != NULL && meanwhile.next < 4000) {
		assert_int_equal(
		    testlog_pairs(meanwhile.t, meanwhile.log, meanwhile.next, 400, 800), IM_OK);
		meanwhile.next += 400;
	}
	return disk_posix.rename(from, to);
}

static void
test_publisher_publishes_what_was_there_when_it_began(void **state)
{
	struct disk_ops ops = disk_posix;
	struct testlog t;
	struct audit_log *log;
	uint64_t size;

	(void)state;
	ops.rename = rename_meanwhile;
	testlog_init(&t);
	t.ops = &ops;
	log = testlog_open(&t);
	assert_non_null(log);
	assert_int_equal(testlog_pairs(&t, log, 0, 400, 100), IM_OK);
	size = audit_log_size(log);
	meanwhile.t = &t;
	meanwhile.log = log;
	meanwhile.next = 400;
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(publisher_published(&log->publisher), size);
	assert_true(audit_log_size(log) > size);
	meanwhile.log = NULL;
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(publisher_published(&log->publisher), audit_log_size(log));
	audit_log_close(log);
	testlog_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_publisher_that_cannot_write_keeps_one_portion_and_counts_the_rest),
		cmocka_unit_test(test_publisher_publishes_what_was_there_when_it_began),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
