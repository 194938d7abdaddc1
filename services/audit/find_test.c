/*
 * audit/find_test.c - a request's records are found wherever they are: in tiles, in the write-ahead log, in both.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/find.h"
#include "audit/testlog.h"

static void
expect(const char *dir, uint64_t n, enum im_rc want)
{
	struct audit_event e;
	struct audit_source source;
	struct audit_found f;
	struct im_err err;

	testlog_event(&e, RECORD_REQUEST, n);
	source_folder(&source, dir);
	assert_int_equal(audit_find(&source, e.request_id, &f, &err), want);
	if (want == IM_OK) {
		assert_true(f.has_request && f.has_response);
		assert_int_equal(f.response_index, f.request_index + 1);
		assert_int_equal(f.response.prev_index, f.request_index + 1);
		assert_int_equal(f.request_index, 2 * n);
		assert_memory_equal(f.response.request_id, e.request_id, 16);
	}
	audit_found_done(&f);
}

static void
test_find_in_tiles_and_in_the_write_ahead_log(void **state)
{
	struct testlog t;
	struct audit_log *log;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_non_null(log);
	assert_int_equal(testlog_pairs(&t, log, 0, 300, 300), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	assert_int_equal(testlog_pairs(&t, log, 300, 20, 10), IM_OK);
	for (uint64_t n = 0; n < 320; n += 7)
		expect(t.dir, n, IM_OK); /* while the log is open, too */
	expect(t.dir, 319, IM_OK);
	expect(t.dir, 320, IM_ENOTFOUND);
	audit_log_close(log);
	log = testlog_open(&t);
	assert_non_null(log);
	audit_log_close(log);
	expect(t.dir, 0, IM_OK);
	expect(t.dir, 319, IM_OK);
	testlog_done(&t);
}

static void
test_find_request_without_an_end(void **state)
{
	struct testlog t;
	struct audit_source source;
	struct audit_event e;
	struct audit_found f;
	struct audit_log *log;
	struct buf entry = { 0 };
	uint64_t index;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_non_null(log);
	testlog_event(&e, RECORD_REQUEST, 5);
	assert_int_equal(audit_log_add(log, &e, &index, &t.err), IM_OK);
	assert_int_equal(audit_log_commit(log, true, &t.err), IM_OK);
	source_folder(&source, t.dir);
	assert_int_equal(audit_find(&source, e.request_id, &f, &t.err), IM_OK);
	assert_true(f.has_request && !f.has_response);
	audit_found_done(&f);
	assert_int_equal(audit_entry(&source, index, &entry, &t.err), IM_OK);
	assert_non_null(memmem(entry.data, entry.len, e.request_id, RECORD_ID_BYTES));
	assert_int_equal(audit_entry(&source, index + 1, &entry, &t.err), IM_ENOTFOUND);
	buf_done(&entry);
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_find_where_there_is_no_log_says_so(void **state)
{
	uint8_t id[RECORD_ID_BYTES] = { 0 };
	struct audit_source source;
	struct audit_found f;
	struct im_err err;

	(void)state;
	source_folder(&source, "/nonexistent");
	assert_int_equal(audit_find(&source, id, &f, &err), IM_ENOTFOUND);
	assert_string_equal(err.text, "there is no audit log in /nonexistent");
	audit_found_done(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_in_tiles_and_in_the_write_ahead_log),
		cmocka_unit_test(test_find_request_without_an_end),
		cmocka_unit_test(test_find_where_there_is_no_log_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
