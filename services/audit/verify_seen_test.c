/*
 * audit/verify_seen_test.c - a log whose holder, who has its key, rolled it back or wrote it anew: nothing in it is wrong, and
 * a checkpoint that was kept elsewhere shows it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/testlog.h"

/* Append 'pairs' from request 'from' on, publish, and give the checkpoint. */
static struct checkpoint
grow(struct testlog *t, uint64_t from, uint64_t pairs)
{
	struct audit_log *log = testlog_open(t);
	struct checkpoint cp;

	assert_non_null(log);
	assert_int_equal(testlog_pairs(t, log, from, pairs, 100), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &t->err), IM_OK);
	assert_int_equal(
	    checkpoint_open(log->checkpoint, log->checkpoint_len, &log->shard.verifier, &cp, NULL),
	    IM_OK);
	audit_log_close(log);
	return cp;
}

static void
verify(struct testlog *t, const struct checkpoint *seen, size_t count, struct verify_report *ret)
{
	const struct verify_options options = { .seen = seen, .seen_count = count };

	assert_int_equal(audit_verify(t->dir, t->vkey, &options, ret, &t->err), IM_OK);
}

/* Another log with the same key. */
static void
init_twin(struct testlog *t, const struct testlog *of)
{
	testlog_init(t);
	keyfile_done(&t->keys);
	t->keys = of->keys;
	memcpy(t->vkey, of->vkey, sizeof(t->vkey));
	t->borrowed_keys = true;
}

static void
test_verify_log_that_continues_what_was_seen_is_fine(void **state)
{
	struct testlog t;
	struct verify_report r;
	struct checkpoint seen[4] = { { .size = 0 } };

	(void)state;
	testlog_init(&t);
	seen[1] = grow(&t, 0, 60);
	seen[2] = grow(&t, 100, 200);
	seen[3] = grow(&t, 400, 1);
	verify(&t, seen, 4, &r);
	assert_int_equal(r.problems, 0);
	assert_int_equal(r.size, 522);
	seen[0] = seen[3];
	assert_int_equal(audit_verify(t.dir, t.vkey,
				      &(struct verify_options){ .seen = seen, .seen_count = 2 }, &r,
				      NULL),
			 IM_EINVAL);
	testlog_done(&t);
}

static void
test_verify_log_that_was_rolled_back_is_told_by_what_was_seen(void **state)
{
	struct testlog t, older;
	struct verify_report r;
	struct checkpoint seen;

	(void)state;
	testlog_init(&t);
	init_twin(&older, &t);
	seen = grow(&t, 0, 60);
	(void)grow(&older, 0, 59);
	verify(&older, NULL, 0, &r);
	assert_int_equal(r.problems, 0);
	verify(&older, &seen, 1, &r);
	assert_int_equal(r.problems, 1);
	assert_non_null(strstr(r.problem[0], "the log ends at record 118"));
	assert_non_null(strstr(r.problem[0], "a checkpoint of 120 was kept"));
	testlog_done(&older);
	testlog_done(&t);
}

static void
test_verify_log_that_was_written_anew_is_told_by_what_was_seen(void **state)
{
	struct testlog t, forged;
	struct verify_report r;
	struct checkpoint seen;

	(void)state;
	testlog_init(&t);
	init_twin(&forged, &t);
	seen = grow(&t, 0, 60);
	(void)grow(&forged, 1000, 400); /* longer, whole and signed */
	verify(&forged, NULL, 0, &r);
	assert_int_equal(r.problems, 0);
	verify(&forged, &seen, 1, &r);
	assert_int_equal(r.problems, 1);
	assert_non_null(strstr(r.problem[0], "the first 120 records do not have the root"));
	testlog_done(&forged);
	testlog_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verify_log_that_continues_what_was_seen_is_fine),
		cmocka_unit_test(test_verify_log_that_was_rolled_back_is_told_by_what_was_seen),
		cmocka_unit_test(test_verify_log_that_was_written_anew_is_told_by_what_was_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
