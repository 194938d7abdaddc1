/*
 * audit/fault_test.c - every system call that touches the log folder fails once, with each error, at each site: nothing that
 * was acknowledged is lost, and a disk that lies is never asked again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "audit/testlog.h"
#include "audit/turn.h"
#include "base/log.h"

/* Rounds of a frame and a publication; counts what was acknowledged. Ends at the first IM_EIO, as a daemon does. */
static enum im_rc
work(struct testlog *t, struct audit_log *log, uint64_t *acked)
{
	for (uint64_t n = 0; n < 4; n++) {
		enum im_rc rc = testlog_pairs(t, log, n * 40, 40, 80);

		if (rc == IM_OK)
			*acked = (n + 1) * 80;
		if (rc != IM_OK) /* nothing of a failed frame may be left in memory */
			assert_int_equal(audit_log_size(log), *acked);
		if (rc == IM_EIO)
			return rc;
		if (rc == IM_OK)
			rc = publisher_pass(&log->publisher, true, &t->err);
		if (rc == IM_EIO)
			return rc;
		if (rc != IM_OK)
			n--; /* once more: the disk recovered */
	}
	return IM_OK;
}

/* One run with call number 'at' failing. Returns false when there was no such call. */
static bool
run_with_fault(unsigned at, int errnum, unsigned *ret_fatal)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;
	uint64_t acked = 0;
	enum im_rc rc;
	bool sync_failed;

	testlog_init(&t);
	t.ops = &testdisk;
	testdisk_arm(at, errnum);
	log = testlog_open(&t);
	rc = log == NULL ? t.err.rc : work(&t, log, &acked);
	if (testdisk_calls() < at) {
		audit_log_close(log);
		testlog_done(&t);
		return false;
	}
	sync_failed = strstr(testdisk_failed(), "sync") != NULL;
	/* A sync that failed or EIO while writing must end it, whatever comes after. */
	if (log != NULL &&
	    (sync_failed || (errnum == EIO && strcmp(testdisk_failed(), "pwrite") == 0)))
		assert_int_equal(rc, IM_EIO);
	if (log != NULL && !sync_failed && errnum == ENOSPC)
		assert_int_equal(rc, IM_OK);
	*ret_fatal += rc == IM_EIO;
	if (rc == IM_EIO && log != NULL && log->dead.rc == IM_EIO)
		assert_int_equal(testlog_pairs(&t, log, 9000, 1, 2), IM_EIO);
	audit_log_close(log);
	testdisk_arm(0, 0);
	log = testlog_open(&t);
	if (log == NULL)
		fail_msg("call %u (%s, errno %d): %s", at, testdisk_failed(), errnum, t.err.text);
	assert_true(audit_log_size(log) >= acked);
	assert_int_equal(audit_log_size(log) % 80, 0); /* a frame is there or not, never half */
	assert_int_equal(testlog_pairs(&t, log, 5000, 1, 2), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.open, 0);
	testlog_done(&t);
	return true;
}

static void
test_log_any_system_call_failing_once_loses_nothing_acknowledged(void **state)
{
	static const int errnums[] = { ENOSPC, EIO, EINTR };
	unsigned runs = 0, fatal = 0;

	(void)state;
	for (size_t e = 0; e < sizeof(errnums) / sizeof(errnums[0]); e++)
		for (unsigned at = 1; run_with_fault(at, errnums[e], &fatal); at++)
			runs++;
	assert_true(runs > 100);
	print_message("%u sites x faults, %u of them fatal\n", runs, fatal);
}

static void
test_log_full_disk_refuses_and_goes_on_without_a_restart(void **state)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;
	struct audit_event gap = { .kind = RECORD_GAP,
				   .has_gap = true,
				   .gap = {
				       .count = 3, .from_us = 1, .to_us = 2, .reason = "full" } };
	uint64_t size = 0, index;
	enum im_rc rc;

	(void)state;
	testlog_init(&t);
	t.ops = &testdisk;
	testdisk_arm(0, 0);
	log = testlog_open(&t);
	assert_non_null(log);
	/* The segment fills up, and no space can be set aside for the next one. */
	testdisk_arm_name("fallocate", ENOSPC);
	for (rc = IM_OK; rc == IM_OK; size += 50)
		rc = testlog_pairs(&t, log, size, 50, 100);
	assert_true(log->wal.offset > 800000);
	assert_int_equal(rc, IM_EUNAVAILABLE);
	assert_string_equal(t.err.reason, "audit_unavailable");
	assert_non_null(strstr(t.err.text, t.dir));
	assert_non_null(strstr(t.err.text, "No space left"));
	/* What says that the log was full has its own space. */
	size = audit_log_size(log);
	assert_int_equal(audit_log_add(log, &gap, &index, &t.err), IM_OK);
	assert_int_equal(audit_log_commit(log, true, &t.err), IM_OK);
	assert_int_equal(index, size);
	assert_int_equal(testlog_pairs(&t, log, 199900, 50, 100), IM_EUNAVAILABLE);
	/* There is space again. */
	testdisk_arm(0, 0);
	assert_int_equal(testlog_pairs(&t, log, 200000, 500, 100), IM_OK);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.gap_records, 3);
	testlog_done(&t);
}

static void
test_log_file_size_limit_refuses_and_goes_on(void **state)
{
	struct rlimit was, limit;
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;
	enum im_rc rc = IM_OK;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	limit = was;
	limit.rlim_cur = 200000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (uint64_t n = 0; rc == IM_OK; n += 50)
		rc = testlog_pairs(&t, log, n, 50, 100);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(rc, IM_EUNAVAILABLE);
	assert_int_equal(testlog_pairs(&t, log, 100000, 50, 100), IM_OK);
	audit_log_close(log);
	testlog_verify(&t, &r);
	testlog_done(&t);
}

static uint64_t now_us;
static unsigned warnings, infos;

static uint64_t
test_now(void)
{
	return now_us;
}

static void
count_line(void *arg, const char *line)
{
	(void)arg;
	warnings += strstr(line, "cannot go on in a new shard") != NULL;
	infos += strstr(line, "has gone on in a new shard") != NULL;
}

/* An operator must hear of it, and once is enough. */
static void
test_log_that_cannot_go_on_in_a_new_shard_says_so_once(void **state)
{
	struct testlog t;
	struct audit_log *log;

	(void)state;
	testlog_init(&t);
	t.ops = &testdisk;
	t.half_years = true;
	t.now_us = test_now;
	testdisk_arm(0, 0);
	now_us = 1000000;
	log = testlog_open(&t);
	assert_non_null(log);
	assert_int_equal(testlog_pairs(&t, log, 0, 1, 2), IM_OK);
	log_capture(count_line, NULL);
	testdisk_arm_name("mkdir", ENOSPC);
	for (unsigned i = 0; i < 3; i++) {
		now_us += UINT64_C(200) * 86400 * 1000000;
		assert_true(audit_log_turn_due(log));
		assert_int_equal(audit_log_turn(log, &t.err), IM_EUNAVAILABLE);
	}
	assert_int_equal(warnings, 1);
	assert_int_equal(infos, 0);
	testdisk_arm(0, 0);
	now_us += TURN_RETRY_US;
	assert_int_equal(audit_log_turn(log, &t.err), IM_OK);
	log_capture(NULL, NULL);
	assert_int_equal(warnings, 1);
	assert_int_equal(infos, 1);
	audit_log_close(log);
	testlog_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_any_system_call_failing_once_loses_nothing_acknowledged),
		cmocka_unit_test(test_log_full_disk_refuses_and_goes_on_without_a_restart),
		cmocka_unit_test(test_log_that_cannot_go_on_in_a_new_shard_says_so_once),
		cmocka_unit_test(test_log_file_size_limit_refuses_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
