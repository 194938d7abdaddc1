/*
 * audit/log_test.c - the log without its threads: appending, idempotence, recovery, and every system call failing once.
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
#include <unistd.h>

#include "audit/testlog.h"

static uint64_t fake_now;

static uint64_t
fake_clock(void)
{
	return fake_now;
}

static uint64_t
append_one(struct testlog *t, struct audit_log *log, enum record_kind kind, uint64_t n)
{
	struct audit_event e;
	uint64_t index = UINT64_MAX;

	testlog_event(&e, kind, n);
	assert_int_equal(audit_log_add(log, &e, &index, &t->err), IM_OK);
	assert_int_equal(audit_log_commit(log, false, &t->err), IM_OK);
	return index;
}

static void
test_log_acknowledged_records_survive_without_publishing(void **state)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_non_null(log);
	assert_int_equal(testlog_pairs(&t, log, 0, 300, 7), IM_OK);
	assert_int_equal(append_one(&t, log, RECORD_REQUEST, 1000), 600);
	audit_log_close(log); /* as after a crash: nothing was published */
	testlog_verify(&t, &r);
	assert_int_equal(r.published_size, 0);
	assert_int_equal(r.size, 601);
	assert_int_equal(r.open, 1);
	assert_int_equal(r.open_first[0].index, 600);
	assert_int_equal(r.outcomes[OUTCOME_OK], 300);
	log = testlog_open(&t);
	assert_non_null(log);
	assert_int_equal(audit_log_size(log), 601);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.published_size, 601);
	testlog_done(&t);
}

static void
test_log_appending_again_is_the_same_record(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct audit_event e;
	uint64_t a, b, c;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_int_equal(append_one(&t, log, RECORD_REQUEST, 5), 0);
	assert_int_equal(append_one(&t, log, RECORD_REQUEST, 5), 0);
	/* In one frame too, and across a restart. */
	testlog_event(&e, RECORD_RESPONSE, 5);
	assert_int_equal(audit_log_add(log, &e, &a, &t.err), IM_OK);
	e.outcome = OUTCOME_ERROR;
	assert_int_equal(audit_log_add(log, &e, &b, &t.err), IM_OK);
	assert_int_equal(a, 1);
	assert_int_equal(b, 1);
	assert_int_equal(audit_log_commit(log, false, &t.err), IM_OK);
	audit_log_close(log);
	log = testlog_open(&t);
	assert_int_equal(audit_log_add(log, &e, &c, &t.err), IM_OK);
	assert_int_equal(c, 1);
	assert_true(audit_log_idle(log));
	assert_int_equal(log->dedup.open, 0);
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_log_response_points_at_its_request(void **state)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	(void)append_one(&t, log, RECORD_REQUEST, 1);
	(void)append_one(&t, log, RECORD_REQUEST, 2);
	(void)append_one(&t, log, RECORD_RESPONSE, 1);
	(void)append_one(&t, log, RECORD_RESPONSE,
			 99); /* nobody knows it: recorded, and counted as an orphan */
	assert_int_equal(log->dedup.open, 1);
	audit_log_close(log);
	testlog_verify(&t, &r); /* checks prev_index against the requests */
	assert_int_equal(r.open, 1);
	assert_int_equal(r.orphans, 1);
	testlog_done(&t);
}

static void
test_log_time_never_decreases_when_the_clock_does(void **state)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;

	(void)state;
	testlog_init(&t);
	t.now_us = fake_clock;
	fake_now = 5000;
	log = testlog_open(&t);
	(void)append_one(&t, log, RECORD_REQUEST, 1);
	fake_now = 4000;
	(void)append_one(&t, log, RECORD_REQUEST, 2);
	audit_log_close(log);
	fake_now = 3000;
	log = testlog_open(&t); /* also over a restart */
	(void)append_one(&t, log, RECORD_REQUEST, 3);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.first_time_us, 5000);
	assert_int_equal(r.last_time_us, 5000);
	testlog_done(&t);
}

static void
test_log_grows_over_tiles_segments_and_restarts(void **state)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;
	uint64_t done = 0;

	(void)state;
	testlog_init(&t);
	for (int round = 0; round < 6; round++) {
		log = testlog_open(&t);
		if (log == NULL)
			fail_msg("%s", t.err.text);
		assert_int_equal(audit_log_size(log), 2 * done);
		for (int i = 0; i < 10; i++, done += 300) {
			assert_int_equal(testlog_pairs(&t, log, done, 300, 50), IM_OK);
			if (i % 3 == round % 3)
				assert_int_equal(publisher_pass(&log->publisher, true, &t.err),
						 IM_OK);
		}
		assert_int_equal(log->dedup.open, 0);
		assert_true(log->wal.generation >> 32 == (uint64_t)round + 1);
		audit_log_close(log);
		testlog_verify(&t, &r);
		assert_int_equal(r.size, 2 * done);
	}
	assert_int_equal(r.kinds[RECORD_REQUEST], 18000);
	testlog_done(&t);
}

static void
test_log_in_use_is_refused(void **state)
{
	struct testlog t;
	struct audit_log *log;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_non_null(log);
	assert_null(testlog_open(&t));
	assert_int_equal(t.err.rc, IM_EEXIST);
	assert_non_null(strstr(t.err.text, t.dir));
	audit_log_close(log);
	testlog_done(&t);
}

static void
remove_wal(void *arg, const char *name)
{
	struct testlog *t = arg;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	if (strncmp(name, "wal/", 4) == 0)
		assert_int_equal(unlink(path), 0);
}

static void
test_log_rolled_back_is_refused(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct im_err ignored;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_int_equal(testlog_pairs(&t, log, 0, 10, 4), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &ignored), IM_OK);
	audit_log_close(log);
	testlog_files(t.dir, remove_wal, &t);
	assert_null(testlog_open(&t));
	assert_int_equal(t.err.rc, IM_ECORRUPT);
	assert_non_null(strstr(t.err.text, "rolled back"));
	testlog_done(&t);
}

static void
remove_all_but_tiles(void *arg, const char *name)
{
	struct testlog *t = arg;
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	if (strncmp(name, "tile/", 5) != 0)
		assert_int_equal(unlink(path), 0);
}

/* A new log would be written over the old one's tiles. */
static void
test_log_of_which_only_tiles_are_left_is_refused(void **state)
{
	static const uint64_t pairs[] = {
		10, 200
	}; /* a partial bundle; a full one and a partial one */
	struct im_err ignored;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct testlog t;
		struct audit_log *log;

		testlog_init(&t);
		log = testlog_open(&t);
		assert_int_equal(testlog_pairs(&t, log, 0, pairs[i], 4), IM_OK);
		assert_int_equal(publisher_pass(&log->publisher, true, &ignored), IM_OK);
		audit_log_close(log);
		testlog_files(t.dir, remove_all_but_tiles, &t);
		assert_null(testlog_open(&t));
		assert_int_equal(t.err.rc, IM_ECORRUPT);
		assert_non_null(strstr(t.err.text, "rolled back"));
		testlog_done(&t);
	}
}

static void
test_log_with_another_key_is_refused(void **state)
{
	struct testlog t, other;
	struct audit_log *log;
	char own[sizeof(other.dir)];

	(void)state;
	testlog_init(&t);
	testlog_init(&other);
	log = testlog_open(&t);
	assert_int_equal(testlog_pairs(&t, log, 0, 10, 4), IM_OK);
	audit_log_close(log);
	memcpy(own, other.dir, sizeof(own));
	memcpy(other.dir, t.dir, sizeof(t.dir));
	assert_null(testlog_open(&other));
	assert_int_equal(other.err.rc, IM_ECORRUPT);
	memcpy(other.dir, own, sizeof(own));
	testlog_done(&t);
	testlog_done(&other);
}

static void
test_log_event_that_is_too_large_is_refused_alone(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct audit_event e;
	uint64_t index;
	char *huge = calloc(1, 70000);

	(void)state;
	assert_non_null(huge);
	memset(huge, 'x', 69999);
	testlog_init(&t);
	log = testlog_open(&t);
	testlog_event(&e, RECORD_REQUEST, 1);
	e.model = huge;
	assert_int_equal(audit_log_add(log, &e, &index, &t.err), IM_ETOOBIG);
	huge[64000] = '\0';
	assert_int_equal(audit_log_add(log, &e, &index, &t.err), IM_OK);
	assert_int_equal(audit_log_commit(log, false, &t.err), IM_OK);
	audit_log_close(log);
	free(huge);
	testlog_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_acknowledged_records_survive_without_publishing),
		cmocka_unit_test(test_log_appending_again_is_the_same_record),
		cmocka_unit_test(test_log_response_points_at_its_request),
		cmocka_unit_test(test_log_time_never_decreases_when_the_clock_does),
		cmocka_unit_test(test_log_grows_over_tiles_segments_and_restarts),
		cmocka_unit_test(test_log_in_use_is_refused),
		cmocka_unit_test(test_log_rolled_back_is_refused),
		cmocka_unit_test(test_log_of_which_only_tiles_are_left_is_refused),
		cmocka_unit_test(test_log_with_another_key_is_refused),
		cmocka_unit_test(test_log_event_that_is_too_large_is_refused_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
