/*
 * audit/reconcile_test.c - each request once, each end once; whatever else is there is counted and named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/reconcile.h"

struct rig {
	struct reconcile *r;
	uint64_t first, number;
};

static void
setup(struct rig *rig)
{
	*rig = (struct rig){ .r = calloc(1, sizeof(*rig->r)) };
	assert_non_null(rig->r);
}

static void
teardown(struct rig *rig)
{
	reconcile_done(rig->r);
	free(rig->r);
}

/* Record of request 'id', told by the router 'who' (0: it does not say). Returns its number. */
static uint64_t
add(struct rig *rig, enum record_kind kind, uint64_t id, uint8_t who, uint64_t prev)
{
	struct record r = { .kind = kind,
			    .has_request_id = true,
			    .prev_index = prev,
			    .outcome = kind == RECORD_RESPONSE ? OUTCOME_OK : OUTCOME_NONE,
			    .has_reporter = who != 0,
			    .gap = { .count = id } };

	memcpy(r.request_id, &id, sizeof(id));
	r.reporter[0] = who;
	assert_int_equal(reconcile_add(rig->r, rig->first, rig->number, &r, NULL), IM_OK);
	return rig->number++;
}

static void
pair(struct rig *rig, uint64_t id, uint8_t who)
{
	uint64_t number = add(rig, RECORD_REQUEST, id, who, 0);

	(void)add(rig, RECORD_RESPONSE, id, who, number + 1);
}

static struct reconcile_reporter
told_by(const struct rig *rig, uint8_t who)
{
	const uint8_t id[AUDIT_REPORTER_BYTES] = { who };

	return reconcile_reporter(rig->r, id);
}

static void
test_reconcile_of_a_whole_log_finds_nothing_wrong(void **state)
{
	struct rig rig;

	(void)state;
	setup(&rig);
	for (uint64_t i = 0; i < 5000; i++)
		pair(&rig, i, (uint8_t)(1 + i % 3));
	(void)add(&rig, RECORD_CONFIG, 77, 1, 0);
	assert_int_equal(rig.r->requests, 5000);
	assert_int_equal(rig.r->ended, 5000);
	assert_int_equal(rig.r->outcomes[OUTCOME_OK], 5000);
	assert_int_equal(rig.r->open.count, 0);
	assert_int_equal(rig.r->problems, 0);
	assert_int_equal(rig.r->reporters, 3);
	assert_int_equal(told_by(&rig, 1).requests, 1667);
	assert_int_equal(told_by(&rig, 9).requests, 0);
	teardown(&rig);
}

static void
test_reconcile_names_requests_without_an_end_and_who_took_them(void **state)
{
	const struct open_request *open;
	struct rig rig;
	uint64_t b;

	(void)state;
	setup(&rig);
	pair(&rig, 1, 1);
	(void)add(&rig, RECORD_REQUEST, 2, 1, 0);
	b = add(&rig, RECORD_REQUEST, 3, 2, 0);
	pair(&rig, 4, 2);
	assert_int_equal(told_by(&rig, 1).open, 1);
	assert_int_equal(told_by(&rig, 2).open, 1);
	/* Ended by another life than it began with, as when audit got the records late. */
	(void)add(&rig, RECORD_RESPONSE, 3, 3, b + 1);
	assert_int_equal(told_by(&rig, 2).open, 0);
	assert_int_equal(rig.r->open.count, 1);
	open = open_requests_sort(&rig.r->open);
	assert_int_equal(open[0].index_plus, 3);
	assert_int_equal(open[0].id[0], 2);
	assert_int_equal(rig.r->problems, 0);
	teardown(&rig);
}

static void
test_reconcile_names_what_is_there_twice(void **state)
{
	struct rig rig;

	(void)state;
	setup(&rig);
	(void)add(&rig, RECORD_REQUEST, 1, 1, 0);
	(void)add(&rig, RECORD_REQUEST, 1, 1, 0); /* while it is open */
	(void)add(&rig, RECORD_RESPONSE, 1, 1, 1);
	(void)add(&rig, RECORD_REQUEST, 1, 1, 0); /* after its end */
	(void)add(&rig, RECORD_RESPONSE, 1, 1, 1);
	assert_int_equal(rig.r->requests, 1);
	assert_int_equal(rig.r->ended, 1);
	assert_int_equal(rig.r->problems, 3);
	assert_int_equal(rig.r->problem[0].what, RECONCILE_REQUEST_TWICE);
	assert_int_equal(rig.r->problem[0].number, 1);
	assert_int_equal(rig.r->problem[1].what, RECONCILE_REQUEST_TWICE);
	assert_int_equal(rig.r->problem[1].number, 3);
	assert_int_equal(rig.r->problem[2].what, RECONCILE_END_TWICE);
	assert_int_equal(rig.r->problem[2].number, 4);
	teardown(&rig);
}

static void
test_reconcile_remembers_the_last_million_ends(void **state)
{
	struct rig rig;

	(void)state;
	setup(&rig);
	for (uint64_t i = 0; i < 2 * RECONCILE_RECENT + 10; i++)
		pair(&rig, i, 1);
	(void)add(&rig, RECORD_REQUEST, RECONCILE_RECENT + 20, 1, 0);
	assert_int_equal(rig.r->problems, 1);
	assert_true(rig.r->recent.count + rig.r->older.count <= (size_t)2 * RECONCILE_RECENT);
	teardown(&rig);
}

static void
test_reconcile_of_an_end_without_a_request(void **state)
{
	struct rig rig;

	(void)state;
	setup(&rig);
	(void)add(&rig, RECORD_RESPONSE, 1, 1, 0);
	(void)add(&rig, RECORD_RESPONSE, 2, 1, 1);
	assert_int_equal(rig.r->problems, 2);
	assert_int_equal(rig.r->problem[1].what, RECONCILE_NO_REQUEST);
	teardown(&rig);
	/* In a log whose beginning was pruned that is as it should be, unless the REQUEST had to be there. */
	setup(&rig);
	rig.first = rig.number = 512;
	(void)add(&rig, RECORD_RESPONSE, 1, 1, 0);
	(void)add(&rig, RECORD_RESPONSE, 2, 1, 512);
	assert_int_equal(rig.r->problems, 0);
	(void)add(&rig, RECORD_RESPONSE, 3, 1, 513);
	assert_int_equal(rig.r->problems, 1);
	teardown(&rig);
}

static void
test_reconcile_counts_gaps_and_keeps_within_bounds(void **state)
{
	struct rig rig;

	(void)state;
	setup(&rig);
	(void)add(&rig, RECORD_GAP, 7, 1, 0);
	(void)add(&rig, RECORD_GAP, 5, 1, 0);
	assert_int_equal(rig.r->gaps, 2);
	assert_int_equal(rig.r->gap_records, 12);
	for (uint64_t i = 0; i < RECONCILE_NAMED_MAX + 100; i++)
		(void)add(&rig, RECORD_RESPONSE, 100 + i, 1, 0);
	assert_int_equal(rig.r->problems, RECONCILE_NAMED_MAX + 100);
	teardown(&rig);
}

static void
test_reconcile_agrees_with_a_router_that_is_quiet_or_busy(void **state)
{
	struct reconcile_router q = { .admitted = 10, .before = 10, .after = 10 };

	(void)state;
	assert_true(reconcile_agrees(&q));
	q.open = 1; /* it says that nothing is in flight */
	assert_false(reconcile_agrees(&q));
	q.in_flight = 1;
	assert_true(reconcile_agrees(&q));
	q.admitted = 11; /* one is not in the log */
	assert_false(reconcile_agrees(&q));
	q.after = 12; /* it and another one came meanwhile */
	assert_true(reconcile_agrees(&q));
	q.open = 4;
	assert_false(reconcile_agrees(&q));
	q.admitted = 9; /* the log has what it never admitted */
	assert_false(reconcile_agrees(&q));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reconcile_of_a_whole_log_finds_nothing_wrong),
		cmocka_unit_test(test_reconcile_names_requests_without_an_end_and_who_took_them),
		cmocka_unit_test(test_reconcile_names_what_is_there_twice),
		cmocka_unit_test(test_reconcile_remembers_the_last_million_ends),
		cmocka_unit_test(test_reconcile_of_an_end_without_a_request),
		cmocka_unit_test(test_reconcile_counts_gaps_and_keeps_within_bounds),
		cmocka_unit_test(test_reconcile_agrees_with_a_router_that_is_quiet_or_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
