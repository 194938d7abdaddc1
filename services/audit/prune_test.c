/*
 * audit/prune_test.c - retention: whole old bundles go, after the record that says so is published; nothing else ever does, and
 * what is left verifies, whatever fails in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/lifecycle.h"
#include "audit/testlog.h"
#include "audit/turn.h"

#define SECOND UINT64_C(1000000)
#define DAY    (UINT64_C(86400) * SECOND)

static uint64_t fake_now;

static uint64_t
fake_clock(void)
{
	return fake_now;
}

/* 1,300 records: number i has the time (1000 + i / 100) seconds. All published. */
static struct audit_log *
setup(struct testlog *t, const struct disk_ops *ops)
{
	struct audit_log *log;

	testlog_init(t);
	testdisk_arm(0, 0);
	t->ops = ops;
	t->now_us = fake_clock;
	fake_now = 1000 * SECOND;
	log = testlog_open(t);
	assert_non_null(log);
	for (uint64_t n = 0; n < 650; n += 50, fake_now += SECOND)
		assert_int_equal(testlog_pairs(t, log, n, 50, 100), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &t->err), IM_OK);
	return log;
}

static bool
has(const struct testlog *t, const char *name)
{
	char path[DISK_PATH_MAX];

	assert_int_equal(disk_path(path, t->dir, name, NULL), IM_OK);
	return access(path, F_OK) == 0;
}

static unsigned
bundles(const struct testlog *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 6; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "tile/entries/%03u", i);
		n += has(t, name);
	}
	return n;
}

static void
test_prune_deletes_old_bundles_once_their_record_is_published(void **state)
{
	struct testlog t;
	struct audit_log *log = setup(&t, NULL);
	struct audit_pruned p;
	struct verify_report r;
	struct audit_event e;
	uint64_t index;

	(void)state;
	assert_int_equal(bundles(&t), 5); /* 1,280 of 1,300 */
	/* Records 0 to 599 are older: two whole bundles. */
	assert_int_equal(audit_log_prune(log, 1006 * SECOND, true, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.was, 0);
	assert_int_equal(p.min_index, 512);
	assert_int_equal(audit_log_size(log), 1300);
	assert_int_equal(audit_log_prune(log, 1006 * SECOND, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.min_index, 512);
	assert_int_equal(p.index, 1300);
	assert_int_equal(publisher_minimum(&log->publisher), 512);
	assert_int_equal(publisher_pass(&log->publisher, false, &t.err), IM_OK);
	assert_int_equal(bundles(&t), 5); /* the record is durable, and nobody can see it yet */
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(bundles(&t), 3);
	assert_false(has(&t, "tile/entries/000") || has(&t, "tile/entries/001"));
	assert_true(has(&t, "tile/0/000") && has(&t, "tile/0/001"));
	testlog_verify(&t, &r);
	assert_int_equal(r.pruned, 512);
	/* Again: nothing to do, and no record of that. */
	assert_int_equal(audit_log_prune(log, 1006 * SECOND, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.was, 512);
	assert_int_equal(p.min_index, 512);
	assert_int_equal(audit_log_size(log), 1301);
	audit_log_close(log);
	/* What is left opens, is still known, and goes on. */
	log = testlog_open(&t);
	if (log == NULL)
		fail_msg("%s", t.err.text);
	assert_int_equal(publisher_minimum(&log->publisher), 512);
	testlog_event(&e, RECORD_RESPONSE, 600);
	assert_int_equal(audit_log_add(log, &e, &index, &t.err), IM_OK);
	assert_int_equal(index, 1201);
	assert_int_equal(testlog_pairs(&t, log, 5000, 50, 100), IM_OK);
	/* All of it is old now: all whole bundles go, the rest stays. */
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(audit_log_prune(log, UINT64_MAX, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.min_index, 1280);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(bundles(&t), 0);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.pruned, 1280);
	log = testlog_open(&t);
	if (log == NULL)
		fail_msg("%s", t.err.text);
	assert_int_equal(audit_log_size(log), 1402);
	assert_int_equal(audit_log_prune(log, UINT64_MAX, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.min_index, 1280);
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_prune_never_takes_what_is_not_published_or_not_old(void **state)
{
	struct testlog t;
	struct audit_log *log = setup(&t, NULL);
	struct audit_pruned p;

	(void)state;
	assert_int_equal(audit_log_prune(log, 0, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.min_index, 0);
	/* Record 255 is of second 1002. */
	assert_int_equal(audit_log_prune(log, 1002 * SECOND, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.min_index, 0);
	assert_int_equal(audit_log_size(log), 1300);
	assert_int_equal(testlog_pairs(&t, log, 3000, 500, 100), IM_OK);
	assert_int_equal(audit_log_prune(log, UINT64_MAX, true, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.min_index, 1280); /* of 2,300 */
	assert_int_equal(audit_log_prune(log, 1002 * SECOND + 1, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.min_index, 256);
	audit_log_close(log);
	testlog_done(&t);
}

/* A pruning in a process that is killed at disk call 'at', or whose call fails. False when there was no such call. */
static bool
prune_cut_off(unsigned at, int errnum)
{
	struct testlog t;
	struct audit_log *log = setup(&t, &testdisk);
	struct audit_pruned p;
	struct verify_report r;
	int status;
	pid_t pid = fork(); /* the log is its, from here on */

	assert_true(pid >= 0);
	if (pid == 0) {
		enum im_rc rc;

		testdisk_arm(at, errnum);
		rc = audit_log_prune(log, 1009 * SECOND, false, NULL, &p, &t.err);
		if (rc == IM_OK)
			(void)!publisher_pass(&log->publisher, true, &t.err);
		_exit(testdisk_calls() < at ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	audit_log_close(log);
	testlog_verify(&t, &r); /* as it lies there */
	assert_true(r.size >= 1300 && r.pruned <= 768);
	assert_true(bundles(&t) == 5 || r.kinds[RECORD_PRUNE] == 1);
	log = testlog_open(&t);
	if (log == NULL)
		fail_msg("call %u: %s", at, t.err.text);
	/* What was recorded is finished without being asked for again. */
	assert_int_equal(publisher_minimum(&log->publisher), audit_log_size(log) > 1300 ? 768 : 0);
	assert_int_equal(audit_log_prune(log, 1009 * SECOND, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.min_index, 768);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(bundles(&t), 2);
	assert_int_equal(audit_log_size(log), 1301);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.pruned, 768);
	assert_int_equal(r.kinds[RECORD_PRUNE], 1);
	testlog_done(&t);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
test_prune_killed_or_failing_at_any_call_leaves_a_log_that_verifies(void **state)
{
	static const int how[] = { TESTDISK_KILL, ENOSPC, EIO };
	unsigned runs = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(how) / sizeof(how[0]); i++)
		for (unsigned at = 1; prune_cut_off(at, how[i]); at++)
			runs++;
	assert_true(runs > 60);
	print_message("%u sites x faults\n", runs);
}

/* An unlink that fails, and more to delete than one look takes: the thread goes on by itself. */
static void
test_prune_goes_on_by_itself_when_a_file_could_not_be_deleted(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct audit_pruned p;
	struct verify_report r;

	(void)state;
	log = setup(&t, &testdisk);
	for (uint64_t n = 10000; n < 10000 + 128 * (PUBLISHER_PRUNE + 10); n += 640)
		assert_int_equal(testlog_pairs(&t, log, n, 640, 1280), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	testdisk_arm_name("unlink", EACCES);
	assert_int_equal(audit_log_prune(log, UINT64_MAX, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_EUNAVAILABLE);
	assert_non_null(strstr(t.err.text, "delete"));
	assert_int_equal(log->publisher.published, audit_log_size(log));
	testdisk_arm(0, 0);
	assert_int_equal(publisher_start(&log->publisher, &t.err), IM_OK);
	for (unsigned i = 0; i < 6000 && has(&t, "tile/entries/075"); i++)
		(void)usleep(10000); /* until it is so, at most a minute */
	publisher_stop(&log->publisher);
	assert_true(p.min_index > UINT64_C(256) * (PUBLISHER_PRUNE + 5));
	assert_int_equal(log->publisher.first, p.min_index);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.pruned, p.min_index);
	testlog_done(&t);
}

/* Its half-year ends before what was recorded is deleted; killed at disk call 'at'. False when there was no such call. */
static bool
turn_cut_off(unsigned at)
{
	struct testlog t;
	struct audit_log *log = setup(&t, &testdisk);
	struct audit_pruned p;
	struct verify_report r;
	int status;
	pid_t pid;

	audit_log_close(log);
	t.half_years = true;
	log = testlog_open(&t);
	assert_non_null(log);
	assert_int_equal(audit_log_prune(log, 1009 * SECOND, false, NULL, &p, &t.err), IM_OK);
	fake_now += 200 * DAY;
	assert_true(audit_log_turn_due(log));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		testdisk_arm(at, TESTDISK_KILL);
		_exit(audit_log_turn(log, &t.err) == IM_OK ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	audit_log_close(log);
	log = testlog_open(&t);
	if (log == NULL)
		fail_msg("call %u: %s", at, t.err.text);
	if (audit_log_turn_due(log))
		assert_int_equal(audit_log_turn(log, &t.err), IM_OK);
	assert_true(log != NULL && log->ended == NULL);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	if (bundles(&t) != 2)
		fail_msg("call %u: %u bundles are left", at, bundles(&t));
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.pruned, 768);
	testlog_done(&t);
	if (!WIFSIGNALED(status))
		assert_int_equal(status, 0);
	return WIFSIGNALED(status);
}

static void
test_prune_that_a_turn_overtakes_is_finished_wherever_that_is_killed(void **state)
{
	unsigned at = 1;

	(void)state;
	while (turn_cut_off(at))
		at++;
	assert_true(at > 20);
	print_message("%u kills\n", at - 1);
}

/* The record about an older shard is not published when the next turn comes: sizes are counted anew then. */
static void
test_prune_of_an_older_shard_goes_on_over_the_next_turn(void **state)
{
	struct testlog t;
	struct audit_log *log = setup(&t, NULL);
	struct audit_pruned p;
	struct verify_report r;

	(void)state;
	audit_log_close(log);
	t.half_years = true;
	log = testlog_open(&t);
	assert_non_null(log);
	fake_now += 200 * DAY;
	assert_int_equal(audit_log_turn(log, &t.err), IM_OK);
	assert_int_equal(testlog_pairs(&t, log, 3000, 150, 100), IM_OK);
	assert_int_equal(audit_log_prune(log, 1009 * SECOND, false, NULL, &p, &t.err), IM_OK);
	assert_int_equal(p.min_index, 768);
	fake_now += 200 * DAY;
	assert_int_equal(audit_log_turn(log, &t.err), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(bundles(&t), 2);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.pruned, 768);
	testlog_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prune_deletes_old_bundles_once_their_record_is_published),
		cmocka_unit_test(test_prune_never_takes_what_is_not_published_or_not_old),
		cmocka_unit_test(
		    test_prune_killed_or_failing_at_any_call_leaves_a_log_that_verifies),
		cmocka_unit_test(
		    test_prune_that_a_turn_overtakes_is_finished_wherever_that_is_killed),
		cmocka_unit_test(test_prune_of_an_older_shard_goes_on_over_the_next_turn),
		cmocka_unit_test(test_prune_goes_on_by_itself_when_a_file_could_not_be_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
