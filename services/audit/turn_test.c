/*
 * audit/turn_test.c - from one shard to the next: numbers go on, nothing is recorded twice, and a request ends where the log is
 * by then; also when the process is killed or a call fails anywhere on the way.
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
#include <sys/wait.h>
#include <unistd.h>

#include "audit/find.h"
#include "audit/testlog.h"
#include "audit/turn.h"
#include "base/log.h"
#include "daemon/secret_file.h"

#define US     UINT64_C(1000000)
#define Y2027  (UINT64_C(1798761600) * US) /* 2027-01-01 00:00 UTC */
#define Y2027M (UINT64_C(1814400000) * US) /* 2027-07-01 */

static uint64_t now_us;

static uint64_t
test_now(void)
{
	return now_us;
}

static void
setup(struct testlog *t)
{
	testlog_init(t);
	t->half_years = true;
	testdisk_whole_sectors(true); /* frames of one record: a torn one would not show as such */
	t->now_us = test_now;
	now_us = Y2027 - 3600 * US;
}

static bool
exists(const struct testlog *t, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	return access(path, F_OK) == 0;
}

/* One event, durable: its number. As the committer does, the turn comes before it. */
static uint64_t
append(struct testlog *t, struct audit_log *log, enum record_kind kind, uint64_t n)
{
	struct audit_event e;
	uint64_t number;

	if (audit_log_turn_due(log))
		assert_int_equal(audit_log_turn(log, &t->err), IM_OK);
	testlog_event(&e, kind, n);
	assert_int_equal(audit_log_add(log, &e, &number, &t->err), IM_OK);
	assert_int_equal(audit_log_commit(log, false, &t->err), IM_OK);
	return number;
}

static void
read_record(struct testlog *t, uint64_t number, struct arena *arena, struct record *ret)
{
	struct audit_source source;
	struct buf entry = { 0 };

	source_folder(&source, t->dir);
	if (audit_entry(&source, number, &entry, &t->err) != IM_OK)
		fail_msg("record %lu: %s", (unsigned long)number, t->err.text);
	assert_int_equal(record_decode(entry.data, entry.len, arena, ret, &t->err), IM_OK);
	buf_done(&entry);
}

static void
test_turn_comes_with_the_half_year_and_numbers_go_on(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct arena arena = { 0 };
	struct shards shards;
	struct audit_source source;
	struct record r;
	uint64_t first, second;

	(void)state;
	setup(&t);
	log = testlog_open(&t);
	assert_non_null(log);
	assert_int_equal(append(&t, log, RECORD_REQUEST, 1), 0);
	assert_int_equal(append(&t, log, RECORD_RESPONSE, 1), 1);
	assert_false(audit_log_turn_due(log));
	now_us = Y2027;
	assert_true(audit_log_turn_due(log));
	first = append(&t, log, RECORD_REQUEST, 2);
	assert_int_equal(first, 4); /* behind the end of one shard and the beginning of the other */
	assert_string_equal(log->shard.name, "2027h1-1");
	assert_false(audit_log_turn_due(log));
	assert_null(log->ended);
	now_us = Y2027M + 5;
	second = append(&t, log, RECORD_RESPONSE, 2);
	assert_int_equal(second, 7);
	assert_string_equal(log->shard.name, "2027h2-1");
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(audit_log_size(log), 8);
	assert_int_equal(publisher_published_number(&log->publisher), 8);
	audit_log_close(log);
	/* The request began in a shard before: it is named all the same. */
	read_record(&t, second, &arena, &r);
	assert_int_equal(r.prev_index, first + 1);
	read_record(&t, 2, &arena, &r);
	assert_true(r.has_next);
	assert_string_equal(r.next.origin, "test.example/log/2027h1-1");
	read_record(&t, 3, &arena, &r);
	assert_int_equal(r.previous.size, 3);
	assert_int_equal(r.previous.first, 3);
	arena_done(&arena);
	source_folder(&source, t.dir);
	assert_int_equal(shards_load(&source, t.vkey, &shards, &t.err), IM_OK);
	assert_int_equal(shards.count, 3);
	assert_int_equal(shards.shard[2]->first, 6);
	shards_done(&shards);
	assert_false(exists(&t, "wal"));
	assert_false(exists(&t, "2027h1-1/wal"));
	assert_true(exists(&t, "2027h2-1/wal"));
	testlog_done(&t);
}

static void
test_turn_is_not_made_when_shards_are_off_and_not_twice(void **state)
{
	struct testlog t;
	struct audit_log *log;

	(void)state;
	setup(&t);
	t.half_years = false;
	log = testlog_open(&t);
	(void)append(&t, log, RECORD_REQUEST, 1);
	now_us = Y2027M;
	assert_false(audit_log_turn_due(log));
	audit_log_close(log);
	/* Switched on later: the first shard, which bears no name, belongs to the half-year in which it begins. */
	t.half_years = true;
	log = testlog_open(&t);
	assert_true(audit_log_turn_due(log));
	(void)append(&t, log, RECORD_REQUEST, 2);
	assert_string_equal(log->shard.name, "2027h2-1");
	audit_log_close(log);
	log = testlog_open(&t);
	assert_false(audit_log_turn_due(log));
	now_us = Y2027; /* the clock was set back */
	assert_false(audit_log_turn_due(log));
	assert_int_equal(append(&t, log, RECORD_REQUEST, 3), 4);
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_turn_frame_does_not_reach_over_it(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct audit_event e;
	uint64_t number;

	(void)state;
	setup(&t);
	log = testlog_open(&t);
	testlog_event(&e, RECORD_REQUEST, 1);
	assert_int_equal(audit_log_add(log, &e, &number, &t.err), IM_OK);
	now_us = Y2027;
	testlog_event(&e, RECORD_REQUEST, 2);
	assert_int_equal(audit_log_add(log, &e, &number, &t.err), IM_EAGAIN);
	assert_int_equal(audit_log_commit(log, false, &t.err), IM_OK);
	assert_int_equal(append(&t, log, RECORD_REQUEST, 2), 3);
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_turn_event_that_an_older_shard_has_is_no_second_record(void **state)
{
	struct testlog t;
	struct audit_log *log;

	(void)state;
	setup(&t);
	log = testlog_open(&t);
	for (uint64_t n = 0; n < 300; n++)
		assert_int_equal(append(&t, log, RECORD_REQUEST, n), n);
	now_us = Y2027;
	for (unsigned again = 0; again < 2; again++) {
		assert_int_equal(append(&t, log, RECORD_REQUEST, 299), 299);
		assert_int_equal(append(&t, log, RECORD_REQUEST, 0), 0);
		assert_int_equal(append(&t, log, RECORD_RESPONSE, 7), 302);
		assert_int_equal(log->dedup.open, 299);
		if (again == 0) { /* the same from what is on the disk */
			audit_log_close(log);
			log = testlog_open(&t);
			assert_non_null(log);
		}
	}
	assert_int_equal(audit_log_size(log), 303);
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_turn_pseudonyms_of_two_shards_cannot_be_linked_and_openings_go_on(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct arena arena = { 0 };
	struct record before, after;
	uint64_t a, b;

	(void)state;
	setup(&t);
	log = testlog_open(&t);
	a = append(&t, log, RECORD_REQUEST, 1);
	now_us = Y2027;
	b = append(&t, log, RECORD_REQUEST, 2);
	audit_log_close(log);
	log = testlog_open(&t);
	assert_int_equal(log->pseudonyms.epoch, 2);
	audit_log_close(log);
	read_record(&t, a, &arena, &before);
	read_record(&t, b, &arena, &after);
	assert_memory_not_equal(before.caller, after.caller, sizeof(before.caller));
	assert_memory_not_equal(before.tenant, after.tenant, sizeof(before.tenant));
	/* The subject's key is the same one, so one erasure reaches both. */
	assert_memory_equal(before.subject_key, after.subject_key, sizeof(before.subject_key));
	arena_done(&arena);
	testlog_done(&t);
}

static void
test_turn_rotation_signs_with_a_fresh_key_and_destroys_the_old_one(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct audit_rotated rotated;
	struct keyfile keys;
	char secret[NOTE_KEYTEXT_MAX];
	struct buf text = { 0 };
	uint8_t old[NOTE_KEY_BYTES];

	(void)state;
	setup(&t);
	memcpy(old, t.keys.signer.pub, sizeof(old));
	note_signer_skey(&t.keys.signer, secret);
	log = testlog_open(&t);
	(void)append(&t, log, RECORD_REQUEST, 1);
	assert_int_equal(audit_log_rotate(log, "uid:0", &rotated, &t.err), IM_OK);
	assert_int_equal(rotated.number, 1);
	assert_string_equal(rotated.origin, "test.example/log/2026h2-1");
	assert_memory_not_equal(log->shard.signer.pub, old, sizeof(old));
	(void)append(&t, log, RECORD_RESPONSE, 1);
	/* The half-year's turn keeps the new one. */
	now_us = Y2027;
	(void)append(&t, log, RECORD_REQUEST, 2);
	assert_memory_equal(log->shard.signer.pub, t.keys.signer.pub, sizeof(old));
	audit_log_close(log);
	assert_int_equal(keyfile_load(t.key_file, &keys, &t.err), IM_OK);
	assert_int_equal(keys.old_count, 1);
	assert_string_equal(keys.old[0], t.vkey);
	keyfile_done(&keys);
	assert_int_equal(disk_read(t.key_file, (size_t)SECRET_FILE_MAX, &text, &t.err), IM_OK);
	assert_null(strstr(buf_cstr(&text), secret));
	buf_done(&text);
	log = testlog_open(&t);
	assert_non_null(log);
	assert_string_equal(log->shard.name, "2027h1-1");
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_turn_key_file_from_before_a_rotation_is_refused(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct audit_rotated rotated;
	struct buf text = { 0 };
	FILE *f;

	(void)state;
	setup(&t);
	assert_int_equal(disk_read(t.key_file, (size_t)SECRET_FILE_MAX, &text, &t.err), IM_OK);
	log = testlog_open(&t);
	assert_int_equal(audit_log_rotate(log, NULL, &rotated, &t.err), IM_OK);
	audit_log_close(log);
	f = fopen(t.key_file, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(text.data, 1, text.len, f), text.len);
	assert_int_equal(fclose(f), 0);
	buf_done(&text);
	keyfile_done(&t.keys);
	assert_int_equal(keyfile_load(t.key_file, &t.keys, &t.err), IM_OK);
	assert_null(testlog_open(&t));
	assert_int_equal(t.err.rc, IM_EINVAL);
	assert_non_null(strstr(t.err.text, "before the key was rotated"));
	testlog_done(&t);
}

static void
test_turn_shard_that_the_log_does_not_know_is_a_rollback(void **state)
{
	struct testlog t;
	struct audit_log *log;
	char cmd[256], checkpoint[256];

	(void)state;
	setup(&t);
	log = testlog_open(&t);
	(void)append(&t, log, RECORD_REQUEST, 1);
	now_us = Y2027;
	(void)append(&t, log, RECORD_REQUEST, 2);
	audit_log_close(log);
	(void)snprintf(cmd, sizeof(cmd), "cp -a '%s/2027h1-1' '%s/2027h1-2'", t.dir, t.dir);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe,cert-env33-c): a test's own command */
	assert_int_equal(system(cmd), 0);
	(void)snprintf(checkpoint, sizeof(checkpoint), "%s/2027h1-2/checkpoint", t.dir);
	for (unsigned i = 0; i < 2; i++) { /* published, or acknowledged only */
		assert_null(testlog_open(&t));
		assert_int_equal(t.err.rc, IM_ECORRUPT);
		assert_non_null(
		    strstr(t.err.text, "2027h1-2 is a shard that the log does not know"));
		assert_int_equal(unlink(checkpoint), i == 0 ? 0 : -1);
	}
	testlog_done(&t);
}

/* Requests before, over and after a turn, and a rotation; counts what was acknowledged. */
static enum im_rc
work(struct testlog *t, struct audit_log *log, uint64_t *acked)
{
	struct audit_rotated rotated;

	now_us = Y2027 - 3600 * US;
	for (unsigned n = 0; n < 4; n++) {
		struct audit_event e;
		uint64_t number;
		enum im_rc rc = IM_OK;

		if (n == 1)
			now_us = Y2027;
		if (n == 2)
			rc = audit_log_rotate(log, NULL, &rotated, &t->err);
		now_us += 2 * TURN_RETRY_US;
		for (unsigned i = 0; i < 3 && rc != IM_EIO && audit_log_turn_due(log); i++)
			rc = audit_log_turn(log, &t->err);
		if (rc == IM_EIO)
			return rc;
		testlog_event(&e, n % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE, n / 2);
		rc = audit_log_add(log, &e, &number, &t->err);
		if (rc == IM_OK)
			rc = audit_log_commit(log, false, &t->err);
		if (rc == IM_OK)
			*acked = n + 1;
		if (rc == IM_EIO)
			return rc;
		if (rc != IM_OK)
			n--; /* once more: the disk recovered */
	}
	return publisher_pass(&log->publisher, true, &t->err);
}

/* After a crash or an error: all that was acknowledged is there once, and the log goes on. */
static void
check_after(struct testlog *t, uint64_t acked, unsigned at)
{
	struct verify_report r;
	struct audit_log *log;
	uint64_t size, done = 0;

	testdisk_arm(0, 0);
	keyfile_done(&t->keys); /* as a new process reads it */
	assert_int_equal(keyfile_load(t->key_file, &t->keys, &t->err), IM_OK);
	log = testlog_open(t);
	if (log == NULL) {
		fail_msg("call %u (%s): %s", at, testdisk_failed(), t->err.text);
		return; /* for clang-tidy */
	}
	assert_non_null(log);
	if (log->ended != NULL) /* publishing it failed while opening: it cannot, any more */
		fail_msg("call %u (%s): not finished", at, testdisk_failed());
	if (audit_log_turn_due(log))
		assert_int_equal(audit_log_turn(log, &t->err), IM_OK);
	size = audit_log_size(log);
	for (unsigned n = 0; n < acked; n++)
		(void)append(t, log, n % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE, n / 2);
	assert_int_equal(audit_log_size(log), size); /* each was there already */
	assert_int_equal(work(t, log, &done), IM_OK);
	assert_int_equal(done, 4);
	assert_null(log->ended);
	assert_true(log->shard.ordinal >= 2);
	assert_int_equal(log->dedup.open, 0);
	assert_string_equal(t->keys.spare.name, "");
	audit_log_close(log);
	testlog_verify(t, &r);
	assert_int_equal(r.open, 0);
	assert_int_equal(r.orphans, 0);
	assert_int_equal(r.kinds[RECORD_REQUEST], 2);
	assert_int_equal(r.kinds[RECORD_RESPONSE], 2);
}

static void
test_turn_any_system_call_failing_once_loses_nothing(void **state)
{
	static const int errnums[] = { ENOSPC, EIO, EINTR };
	unsigned runs = 0;
	bool hit = true;

	(void)state;
	for (size_t e = 0; e < sizeof(errnums) / sizeof(errnums[0]); e++, hit = true) {
		for (unsigned at = 1; hit; at++) {
			struct testlog t;
			struct audit_log *log;
			uint64_t acked = 0;
			enum im_rc rc;

			setup(&t);
			t.ops = &testdisk;
			testdisk_arm(at, errnums[e]);
			log = testlog_open(&t);
			rc = log == NULL ? t.err.rc : work(&t, log, &acked);
			hit = testdisk_calls() >= at;
			if (log != NULL && hit && strstr(testdisk_failed(), "sync") != NULL)
				assert_int_equal(rc, IM_EIO);
			audit_log_close(log);
			check_after(&t, acked, at);
			testlog_done(&t);
			runs += hit;
		}
	}
	assert_true(runs > 300);
	print_message("%u sites x faults\n", runs);
}

static bool
killed_at(unsigned at)
{
	struct testlog t;
	uint64_t acked = 0;
	int status;
	pid_t pid;

	setup(&t);
	t.ops = &testdisk;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct audit_log *log;

		testdisk_arm(at, TESTDISK_KILL);
		log = testlog_open(&t);
		_exit(log != NULL && work(&t, log, &acked) == IM_OK ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		assert_int_equal(status, 0);
	check_after(&t, 0, at);
	testlog_done(&t);
	return WIFSIGNALED(status);
}

static void
test_turn_killed_at_any_system_call_is_finished_by_the_next_start(void **state)
{
	unsigned at = 1;

	(void)state;
	while (killed_at(at))
		at++;
	assert_true(at > 100);
	print_message("%u kills\n", at - 1);
}

static void
drop_line(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turn_comes_with_the_half_year_and_numbers_go_on),
		cmocka_unit_test(test_turn_is_not_made_when_shards_are_off_and_not_twice),
		cmocka_unit_test(test_turn_frame_does_not_reach_over_it),
		cmocka_unit_test(test_turn_event_that_an_older_shard_has_is_no_second_record),
		cmocka_unit_test(
		    test_turn_pseudonyms_of_two_shards_cannot_be_linked_and_openings_go_on),
		cmocka_unit_test(
		    test_turn_rotation_signs_with_a_fresh_key_and_destroys_the_old_one),
		cmocka_unit_test(test_turn_key_file_from_before_a_rotation_is_refused),
		cmocka_unit_test(test_turn_shard_that_the_log_does_not_know_is_a_rollback),
		cmocka_unit_test(test_turn_any_system_call_failing_once_loses_nothing),
		cmocka_unit_test(test_turn_killed_at_any_system_call_is_finished_by_the_next_start),
	};

	log_capture(drop_line, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
