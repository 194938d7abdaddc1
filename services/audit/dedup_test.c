/*
 * audit/dedup_test.c - the table of recent records: windows, undoing, open requests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/dedup.h"
#include "audit/open_requests.h"

static uint8_t *
id_of(uint64_t n)
{
	static uint8_t id[RECORD_ID_BYTES];

	memset(id, 0, sizeof(id));
	memcpy(id, &n, sizeof(n));
	return id;
}

static void
test_dedup_finds_by_id_and_kind(void **state)
{
	struct dedup d;
	uint64_t index;

	(void)state;
	assert_int_equal(dedup_init(&d, 1000, NULL), IM_OK);
	assert_int_equal(dedup_add(&d, id_of(1), RECORD_REQUEST), IM_OK);
	assert_int_equal(dedup_add(&d, NULL, RECORD_GAP), IM_OK);
	assert_int_equal(dedup_add(&d, id_of(1), RECORD_RESPONSE), IM_OK);
	assert_true(dedup_find(&d, id_of(1), RECORD_REQUEST, &index));
	assert_int_equal(index, 1000);
	assert_true(dedup_find(&d, id_of(1), RECORD_RESPONSE, &index));
	assert_int_equal(index, 1002);
	assert_false(dedup_find(&d, id_of(2), RECORD_REQUEST, &index));
	assert_int_equal(d.open, 1);
	dedup_settle(&d);
	assert_int_equal(d.open, 0);
	dedup_done(&d);
}

/* Ids that share a place among those whose hash is remembered, that of zeros among them, are told apart in any order. */
static void
test_dedup_finds_ids_that_push_each_other_out(void **state)
{
	struct dedup d;
	uint64_t index;

	(void)state;
	assert_int_equal(dedup_init(&d, 0, NULL), IM_OK);
	for (uint64_t n = 0; n < 500; n++)
		assert_int_equal(dedup_add(&d, id_of(n), RECORD_REQUEST), IM_OK);
	for (uint64_t n = 0; n < 500; n++) {
		assert_true(dedup_find(&d, id_of(n * 7 % 500), RECORD_REQUEST, &index));
		assert_int_equal(index, n * 7 % 500);
		assert_false(dedup_find(&d, id_of(500 + n), RECORD_REQUEST, &index));
	}
	dedup_done(&d);
}

static void
test_dedup_pop_reopens_nothing_and_forgets(void **state)
{
	struct dedup d;
	uint64_t index;

	(void)state;
	assert_int_equal(dedup_init(&d, 0, NULL), IM_OK);
	assert_int_equal(dedup_add(&d, id_of(1), RECORD_REQUEST), IM_OK);
	dedup_settle(&d);
	assert_int_equal(dedup_add(&d, id_of(1), RECORD_RESPONSE), IM_OK);
	assert_int_equal(dedup_add(&d, id_of(2), RECORD_REQUEST), IM_OK);
	dedup_pop(&d);
	dedup_pop(&d);
	assert_int_equal(d.next, 1);
	assert_int_equal(d.open, 1);
	assert_false(dedup_find(&d, id_of(1), RECORD_RESPONSE, &index));
	assert_false(dedup_find(&d, id_of(2), RECORD_REQUEST, &index));
	assert_true(dedup_find(&d, id_of(1), RECORD_REQUEST, &index));
	dedup_done(&d);
}

static void
test_dedup_keeps_open_requests_longer_than_closed_ones(void **state)
{
	struct dedup d;
	uint64_t index;

	(void)state;
	assert_int_equal(dedup_init(&d, 0, NULL), IM_OK);
	/* 100 open ones, then pairs that close at once. */
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(dedup_add(&d, id_of(i), RECORD_REQUEST), IM_OK);
	for (uint64_t i = 100; d.next < DEDUP_RECENT + 5000; i++) {
		assert_int_equal(dedup_add(&d, id_of(i), RECORD_REQUEST), IM_OK);
		assert_int_equal(dedup_add(&d, id_of(i), RECORD_RESPONSE), IM_OK);
		dedup_settle(&d);
	}
	assert_int_equal(d.open, 100);
	assert_int_equal(d.old_count, 100);
	assert_true(dedup_find(&d, id_of(7), RECORD_REQUEST, &index));
	assert_int_equal(index, 7);
	assert_false(
	    dedup_find(&d, id_of(100), RECORD_REQUEST, &index)); /* closed, and out of the window */
	assert_int_equal(dedup_add(&d, id_of(7), RECORD_RESPONSE), IM_OK);
	dedup_settle(&d);
	assert_int_equal(d.open, 99);
	assert_false(dedup_find(&d, id_of(7), RECORD_REQUEST, &index));
	for (uint64_t i = 0; i < 100; i++)
		assert_true(i == 7 ||
			    (dedup_find(&d, id_of(i), RECORD_REQUEST, &index) && index == i));
	while (d.next < DEDUP_OPEN + 2 * DEDUP_RECENT) {
		assert_int_equal(dedup_add(&d, NULL, RECORD_CONFIG), IM_OK);
		dedup_settle(&d);
	}
	assert_int_equal(d.open, 0); /* abandoned */
	assert_int_equal(d.old_count, 0);
	dedup_done(&d);
}

static void
test_dedup_against_a_plain_list_on_random_operations(void **state)
{
	enum {
		N = 2000
	};
	struct {
		uint64_t id;
		enum record_kind kind;
	} log[N];
	struct dedup d;
	uint64_t size = 0, settled = 0, index;
	unsigned seed = 7;

	(void)state;
	assert_int_equal(dedup_init(&d, 0, NULL), IM_OK);
	for (unsigned step = 0; step < 20000 && size < N; step++) {
		unsigned r = (unsigned)rand_r(&seed);
		uint64_t id = r % 300;
		enum record_kind kind = (r >> 10) % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE;
		uint64_t want = UINT64_MAX;

		for (uint64_t i = 0; i < size; i++)
			if (log[i].id == id && log[i].kind == kind)
				want = i;
		assert_int_equal(dedup_find(&d, id_of(id), kind, &index), want != UINT64_MAX);
		if (want != UINT64_MAX) {
			assert_int_equal(index, want);
		} else {
			assert_int_equal(dedup_add(&d, id_of(id), kind), IM_OK);
			log[size].id = id;
			log[size++].kind = kind;
		}
		if ((r >> 12) % 16 == 0 && size > settled) {
			dedup_pop(&d);
			size--;
		}
		if ((r >> 16) % 8 == 0) {
			dedup_settle(&d);
			settled = size;
		}
	}
	dedup_done(&d);
}

/* What a start recalls answers as what was added one after the other: about the newest, about old open ones, and forgets the same. */
static void
test_dedup_recalled_knows_what_one_that_was_told_all_knows(void **state)
{
	const uint64_t end = 1000 + 3 * DEDUP_RECENT;
	struct dedup told, recalled;
	unsigned seed = 20261122;

	(void)state;
	assert_int_equal(dedup_init(&told, 1000, NULL), IM_OK);
	assert_int_equal(dedup_init(&recalled, 1000, NULL), IM_OK);
	for (uint64_t i = 1000; i < end; i++) {
		unsigned r = (unsigned)rand_r(&seed);
		/* Some of the requests are answered, late or at once; some records are about none. */
		bool answer = i % 2 != 0;
		uint64_t about = answer ? i - 1 - 2 * (uint64_t)(r % 8 == 0 ? i / 4 : r % 3) : i;
		const uint8_t *id = r % 50 == 0 ? NULL : id_of(about);
		enum record_kind kind = answer ? RECORD_RESPONSE : RECORD_REQUEST;

		assert_int_equal(dedup_add(&told, id, kind), IM_OK);
		dedup_settle(&told);
		assert_int_equal(dedup_recall(&recalled, id, kind, end), IM_OK);
	}
	assert_int_equal(told.next, recalled.next);
	assert_int_equal(told.settled, recalled.settled);
	assert_int_equal(told.open, recalled.open);
	assert_int_equal(told.old_count, recalled.old_count);
	assert_true(told.old_count > 0);
	for (uint64_t i = 0; i < end; i++) {
		uint64_t a = 0, b = 0;

		for (enum record_kind kind = RECORD_REQUEST; kind <= RECORD_RESPONSE; kind++) {
			assert_int_equal(dedup_find(&told, id_of(i), kind, &a),
					 dedup_find(&recalled, id_of(i), kind, &b));
			assert_int_equal(a, b);
		}
	}
	dedup_done(&told);
	dedup_done(&recalled);
}

/* Ids that differ in their high bits, or in two halves that make up for each other: these met at one place, whatever the seed was. */
static void
chosen_id(unsigned n, bool halves, uint8_t id[RECORD_ID_BYTES])
{
	uint64_t a = 7, b = (uint64_t)n << 46;

	if (halves) {
		b = n;
		a = b >> 31 ^ b << 33; /* a ^ rotated b is nought */
	}
	memcpy(id, &a, sizeof(a));
	memcpy(id + 8, &b, sizeof(b));
}

#define CHOSEN 4096

static void
test_ids_that_a_stranger_chose_do_not_meet_at_one_place(void **state)
{
	struct open_requests o = { 0 };
	size_t run = 0, longest = 0;
	unsigned used = 0;
	struct id_hash h;
	bool seen[CHOSEN] = { false };
	uint8_t id[RECORD_ID_BYTES];

	(void)state;
	id_hash_init(&h);
	for (int halves = 0; halves < 2; halves++) {
		memset(seen, 0, sizeof(seen));
		used = 0;
		for (unsigned n = 1; n <= CHOSEN; n++) {
			chosen_id(n, halves, id);
			used += !seen[id_hash(&h, id) % CHOSEN];
			seen[id_hash(&h, id) % CHOSEN] = true;
			assert_true(open_requests_reserve(&o));
			open_requests_add(&o, id, n, 0);
		}
		assert_in_range(used, CHOSEN / 2, CHOSEN); /* 63 % of the places, by chance */
	}
	for (size_t i = 0; i < o.cap; i++) {
		run = o.table[i].index_plus != 0 ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	assert_in_range(longest, 1, CHOSEN / 8);
	open_requests_done(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dedup_finds_by_id_and_kind),
		cmocka_unit_test(test_dedup_finds_ids_that_push_each_other_out),
		cmocka_unit_test(test_dedup_pop_reopens_nothing_and_forgets),
		cmocka_unit_test(test_dedup_keeps_open_requests_longer_than_closed_ones),
		cmocka_unit_test(test_dedup_recalled_knows_what_one_that_was_told_all_knows),
		cmocka_unit_test(test_ids_that_a_stranger_chose_do_not_meet_at_one_place),
		cmocka_unit_test(test_dedup_against_a_plain_list_on_random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
