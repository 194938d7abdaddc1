/*
 * audit/search_test.c - with an index and without the same records are found, the newest first, in tiles and behind them; an index
 * that is damaged, of another log or lies is noticed and made anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/lifecycle.h"
#include "audit/search.h"
#include "audit/testlog.h"
#include "audit/turn.h"

#define SECOND UINT64_C(1000000)

static uint64_t fake_now, base_s = 1000; /* when request 0 came */

static uint64_t
fake_clock(void)
{
	return fake_now;
}

struct rig {
	struct testlog t;
	struct audit_log *log;
	struct audit_source source;
	char index[96];
};

/* Of nine callers and three models; every seventh request fails. Two records a request; second base_s + n. */
static void
add(struct rig *rig, uint64_t from, uint64_t count)
{
	static const char *const models[] = { "small", "large", "other" };

	for (uint64_t n = from; n < from + count; n++) {
		char caller[8];
		uint64_t index;

		fake_now = (base_s + n) * SECOND;
		if (audit_log_turn_due(rig->log))
			assert_int_equal(audit_log_turn(rig->log, &rig->t.err), IM_OK);
		(void)snprintf(caller, sizeof(caller), "c%u", (unsigned)(n % 9));
		for (int end = 0; end < 2; end++) {
			struct audit_event e;

			testlog_event(&e, end != 0 ? RECORD_RESPONSE : RECORD_REQUEST, n);
			e.caller = caller;
			e.model = models[n % 3];
			if (end != 0 && n % 7 == 0) {
				e.outcome = OUTCOME_ERROR;
				e.status_code = 503;
			}
			assert_int_equal(audit_log_add(rig->log, &e, &index, &rig->t.err), IM_OK);
		}
		assert_int_equal(audit_log_commit(rig->log, false, &rig->t.err), IM_OK);
	}
}

static void
publish(struct rig *rig)
{
	assert_int_equal(publisher_pass(&rig->log->publisher, true, &rig->t.err), IM_OK);
}

/* 500 published requests and 20 that are not. */
static void
setup(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	testlog_init(&rig->t);
	rig->t.now_us = fake_clock;
	fake_now = 1000 * SECOND;
	rig->log = testlog_open(&rig->t);
	assert_non_null(rig->log);
	(void)snprintf(rig->index, sizeof(rig->index), "%s.sqlite", rig->t.dir);
	source_folder(&rig->source, rig->t.dir);
	add(rig, 0, 500);
	publish(rig);
	add(rig, 500, 20);
}

static void
teardown(struct rig *rig)
{
	audit_log_close(rig->log);
	(void)unlink(rig->index);
	testlog_done(&rig->t);
}

struct hits {
	uint64_t index[2048];
	size_t count;
	unsigned rebuilt;
	char why[256];
};

static enum im_rc
on_hit(void *user, uint64_t index, const struct record *r, struct im_err *err)
{
	struct hits *h = user;

	(void)r;
	(void)err;
	assert_true(h->count == 0 || index < h->index[h->count - 1]);
	assert_true(h->count < sizeof(h->index) / sizeof(h->index[0]));
	h->index[h->count++] = index;
	return IM_OK;
}

static void
on_rebuilt(void *user, const char *why)
{
	struct hits *h = user;

	h->rebuilt++;
	(void)snprintf(h->why, sizeof(h->why), "%s", why);
}

static void
search(struct rig *rig, const struct search_filter *f, uint64_t limit, bool index, struct hits *ret,
       struct searched *ret_searched)
{
	const struct search s = { .source = &rig->source,
				  .filter = *f,
				  .index = index ? rig->index : NULL,
				  .limit = limit,
				  .hit = on_hit,
				  .rebuilt = on_rebuilt,
				  .user = ret };

	memset(ret, 0, sizeof(*ret));
	if (audit_search(&s, ret_searched, &rig->t.err) != IM_OK)
		fail_msg("%s", rig->t.err.text);
	assert_int_equal(ret->count, ret_searched->hits);
}

/* With and without the index the same; how many were found, and how often the index was made anew. */
static size_t
both(struct rig *rig, const struct search_filter *f, unsigned rebuilt)
{
	static struct hits with, without;
	struct searched a, b;

	search(rig, f, 0, true, &with, &a);
	search(rig, f, 0, false, &without, &b);
	assert_int_equal(with.rebuilt, rebuilt);
	assert_int_equal(with.count, without.count);
	assert_memory_equal(with.index, without.index, with.count * sizeof(with.index[0]));
	assert_int_equal(a.end, b.end);
	assert_false(a.more || b.more);
	return with.count;
}

static struct search_who
who(struct rig *rig, const char *kind, const char *name)
{
	struct search_who w = { .count = 1 };
	struct hasher h = { 0 };

	assert_int_equal(hasher_init(&h, NULL), IM_OK);
	pseudonym_make(&h, &rig->t.keys.keys, "acme", kind, name, w.pseudonym[0]);
	hasher_done(&h);
	return w;
}

static void
test_search_finds_the_same_with_an_index_and_without(void **state)
{
	struct rig rig;
	struct search_filter f = { 0 };

	(void)state;
	setup(&rig);
	assert_int_equal(both(&rig, &f, 0), 1040);
	f = (struct search_filter){ .model = "large" };
	assert_int_equal(both(&rig, &f, 0), 2 * 173);
	f = (struct search_filter){ .caller = who(&rig, PSEUDONYM_CALLER, "c8") };
	assert_int_equal(both(&rig, &f, 0), 2 * 57);
	f.outcome = OUTCOME_ERROR;
	f.status_code = 503;
	assert_int_equal(both(&rig, &f, 0), 8); /* n % 63 == 35 */
	f = (struct search_filter){ .outcome = OUTCOME_OK, .worker = "w1" };
	assert_int_equal(both(&rig, &f, 0), 520 - 75);
	f = (struct search_filter){ .kind = RECORD_REQUEST,
				    .since_us = 1100 * SECOND,
				    .until_us = 1510 * SECOND };
	assert_int_equal(both(&rig, &f, 0), 410);
	f = (struct search_filter){ .tenant = who(&rig, PSEUDONYM_TENANT, "acme"),
				    .since_us = 1519 * SECOND };
	assert_int_equal(both(&rig, &f, 0), 2);
	f = (struct search_filter){ .tenant = who(&rig, PSEUDONYM_TENANT, "nobody") };
	assert_int_equal(both(&rig, &f, 0), 0);
	f = (struct search_filter){ .model = "none", .kind = RECORD_GAP };
	assert_int_equal(both(&rig, &f, 0), 0);
	teardown(&rig);
}

static void
test_search_for_one_of_several_pseudonyms_finds_them_all(void **state)
{
	struct rig rig;
	struct search_filter f = { .caller.count = 2 };

	(void)state;
	setup(&rig);
	memcpy(f.caller.pseudonym[0], who(&rig, PSEUDONYM_CALLER, "c1").pseudonym[0], 16);
	memcpy(f.caller.pseudonym[1], who(&rig, PSEUDONYM_CALLER, "c2").pseudonym[0], 16);
	assert_int_equal(both(&rig, &f, 0), 2 * (58 + 58));
	teardown(&rig);
}

static void
test_search_stops_at_the_limit_and_says_that_there_is_more(void **state)
{
	static struct hits h;
	struct searched found;
	struct rig rig;
	const struct search_filter f = { .kind = RECORD_RESPONSE };

	(void)state;
	setup(&rig);
	for (int index = 0; index < 2; index++) {
		search(&rig, &f, 30, index != 0, &h, &found); /* 20 of them unpublished */
		assert_int_equal(h.count, 30);
		assert_int_equal(h.index[0], 1039);
		assert_int_equal(h.index[29], 981);
		assert_true(found.more);
		search(&rig, &f, 520, index != 0, &h, &found);
		assert_int_equal(h.count, 520);
		assert_false(found.more);
	}
	teardown(&rig);
}

static void
test_index_takes_up_what_is_new(void **state)
{
	struct rig rig;
	struct search_filter f = { .model = "small" };

	(void)state;
	setup(&rig);
	assert_int_equal(both(&rig, &f, 0), 2 * 174);
	publish(&rig);
	add(&rig, 520, 80);
	assert_int_equal(both(&rig, &f, 0), 2 * 200);
	publish(&rig);
	assert_int_equal(both(&rig, &f, 0), 2 * 200);
	teardown(&rig);
}

/* 4 KiB of nonsense at byte 'at' of the file, made if it is not there. */
static void
spoil(const char *path, long at)
{
	FILE *file = fopen(path, access(path, F_OK) == 0 ? "r+e" : "we");

	assert_non_null(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	for (int k = 0; k < 4096; k++)
		(void)fputc(0xee, file);
	assert_int_equal(fclose(file), 0);
}

static void
test_index_that_is_damaged_is_made_anew(void **state)
{
	struct rig rig;
	const struct search_filter f = { .model = "small" };
	static const long at[] = { 0, 100, 5000 };
	char journal[128];

	(void)state;
	setup(&rig);
	assert_int_equal(both(&rig, &f, 0), 2 * 174);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		spoil(rig.index, at[i]);
		assert_int_equal(both(&rig, &f, 1), 2 * 174);
		assert_int_equal(both(&rig, &f, 0), 2 * 174);
	}
	assert_int_equal(truncate(rig.index, 6000), 0);
	assert_int_equal(both(&rig, &f, 1), 2 * 174);
	/* A journal of what was there before must not be played back into the new one. */
	(void)snprintf(journal, sizeof(journal), "%s-journal", rig.index);
	assert_int_equal(truncate(rig.index, 6000), 0);
	spoil(journal, 0);
	assert_int_equal(both(&rig, &f, 1), 2 * 174);
	assert_int_equal(both(&rig, &f, 0), 2 * 174);
	assert_int_not_equal(access(journal, F_OK), 0);
	teardown(&rig);
}

static void
change(const struct rig *rig, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(rig->index, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
test_index_that_lies_hides_and_never_invents(void **state)
{
	static struct hits h;
	struct searched found;
	struct rig rig;
	const struct search_filter f = { .outcome = OUTCOME_ERROR };

	(void)state;
	setup(&rig);
	assert_int_equal(both(&rig, &f, 0), 75);
	/* It says of records in the middle what is not so: from there on the log itself is read. */
	change(&rig, "UPDATE records SET outcome = 2 WHERE idx BETWEEN 500 AND 520");
	assert_int_equal(both(&rig, &f, 1), 75);
	assert_int_equal(both(&rig, &f, 0), 75);
	/* It names what the log does not have. */
	change(&rig, "UPDATE records SET idx = idx + 100000 WHERE idx = 999");
	assert_int_equal(both(&rig, &f, 1), 75);
	assert_int_equal(both(&rig, &f, 0), 75);
	/* What it does not say is not found, but in what it does not hold. */
	change(&rig, "UPDATE records SET outcome = 1");
	search(&rig, &f, 0, true, &h, &found);
	assert_int_equal(h.count, 3); /* unpublished */
	teardown(&rig);
}

static void
test_index_of_another_version_or_log_is_made_anew(void **state)
{
	struct rig rig, other;
	const struct search_filter f = { .model = "small" };

	(void)state;
	setup(&rig);
	setup(&other);
	assert_int_equal(both(&rig, &f, 0), 2 * 174);
	change(&rig, "PRAGMA user_version = 99");
	assert_int_equal(both(&rig, &f, 1), 2 * 174);
	change(&rig, "DROP TABLE names");
	assert_int_equal(both(&rig, &f, 1), 2 * 174);
	assert_int_equal(both(&rig, &f, 0), 2 * 174);
	/* A log of the same size in the same place. */
	assert_int_equal(rename(rig.index, other.index), 0);
	assert_int_equal(both(&other, &f, 1), 2 * 174);
	assert_int_equal(both(&other, &f, 0), 2 * 174);
	teardown(&rig);
	teardown(&other);
}

static void
test_search_passes_over_what_was_pruned(void **state)
{
	struct rig rig;
	struct audit_pruned p;
	const struct search_filter f = { .kind = RECORD_REQUEST };

	(void)state;
	setup(&rig);
	assert_int_equal(both(&rig, &f, 0), 520);
	assert_int_equal(audit_log_prune(rig.log, 1300 * SECOND, false, NULL, &p, &rig.t.err),
			 IM_OK);
	publish(&rig);
	assert_int_equal(p.min_index, 512);
	assert_int_equal(both(&rig, &f, 0), 520 - 256);
	assert_int_equal(unlink(rig.index), 0);
	assert_int_equal(both(&rig, &f, 0), 520 - 256);
	teardown(&rig);
}

static void
test_search_goes_through_all_shards(void **state)
{
	const uint64_t y2027_s = 1798761600;
	struct pseudonym_keys later;
	struct search_filter f = { .outcome = OUTCOME_ERROR };
	struct hasher h = { 0 };
	struct rig rig;

	(void)state;
	memset(&rig, 0, sizeof(rig));
	testlog_init(&rig.t);
	rig.t.half_years = true;
	rig.t.now_us = fake_clock;
	base_s = y2027_s - 300;
	fake_now = base_s * SECOND;
	rig.log = testlog_open(&rig.t);
	assert_non_null(rig.log);
	(void)snprintf(rig.index, sizeof(rig.index), "%s.sqlite", rig.t.dir);
	source_folder(&rig.source, rig.t.dir);
	add(&rig, 0, 290);
	publish(&rig);
	assert_int_equal(both(&rig, &f, 0), 42); /* indexed while the shard goes on */
	add(&rig, 290, 230);
	assert_int_equal(both(&rig, &f, 0), 75);
	publish(&rig);
	assert_int_equal(both(&rig, &f, 0), 75);
	f = (struct search_filter){ .kind = RECORD_KEY_ROTATE };
	assert_int_equal(both(&rig, &f, 0), 2);
	f = (struct search_filter){ .since_us = (y2027_s - 5) * SECOND,
				    .until_us = (y2027_s + 5) * SECOND,
				    .kind = RECORD_REQUEST };
	assert_int_equal(both(&rig, &f, 0), 10);
	/* The second shard has pseudonyms of its own. */
	f = (struct search_filter){ .caller = who(&rig, PSEUDONYM_CALLER, "c8") };
	assert_int_equal(both(&rig, &f, 0), 2 * 33);
	later = rig.t.keys.keys;
	later.epoch++;
	assert_int_equal(hasher_init(&h, NULL), IM_OK);
	pseudonym_make(&h, &later, "acme", PSEUDONYM_CALLER, "c8", f.caller.pseudonym[1]);
	hasher_done(&h);
	f.caller.count = 2;
	assert_int_equal(both(&rig, &f, 0), 2 * 57);
	teardown(&rig);
	base_s = 1000;
}

static void
test_index_that_cannot_be_written_says_what_to_do(void **state)
{
	struct rig rig;
	struct searched found;
	struct search s = { .hit = on_hit };

	(void)state;
	setup(&rig);
	s.source = &rig.source;
	s.index = "/nonexistent/x.sqlite";
	assert_int_equal(audit_search(&s, &found, &rig.t.err), IM_EUNAVAILABLE);
	assert_non_null(strstr(rig.t.err.text, "--scan"));
	teardown(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_search_finds_the_same_with_an_index_and_without),
		cmocka_unit_test(test_search_for_one_of_several_pseudonyms_finds_them_all),
		cmocka_unit_test(test_search_stops_at_the_limit_and_says_that_there_is_more),
		cmocka_unit_test(test_index_takes_up_what_is_new),
		cmocka_unit_test(test_index_that_is_damaged_is_made_anew),
		cmocka_unit_test(test_index_that_lies_hides_and_never_invents),
		cmocka_unit_test(test_index_of_another_version_or_log_is_made_anew),
		cmocka_unit_test(test_search_passes_over_what_was_pruned),
		cmocka_unit_test(test_search_goes_through_all_shards),
		cmocka_unit_test(test_index_that_cannot_be_written_says_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
