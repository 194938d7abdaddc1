/*
 * router/coalesce_test.c - generations and those who follow them, at random places and paces.
 */
#include "router/coalesce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"

#define KEEP 1000

static const uint8_t key_a[SHA256_BYTES] = { 1 }, key_b[SHA256_BYTES] = { 1, 0, 7 };

static struct coalesce table;

static int
init_table(void **state)
{
	(void)state;
	coalesce_init(&table, KEEP);
	return 0;
}

static void
say(struct generation *g, const char *text, size_t credit)
{
	assert_int_equal(generation_say(g, (const uint8_t *)text, strlen(text), credit), IM_OK);
}

/* Read all that is there into 'out'; the credit that the worker gets. */
static size_t
hear(struct follower *f, char *out, size_t size)
{
	const struct said *said;
	size_t used = 0, credit = 0;

	while ((said = follower_next(f)) != NULL) {
		assert_true(used + said->len < size);
		memcpy(out + used, said->bytes, said->len);
		used += said->len;
		credit += follower_took(f);
	}
	out[used] = '\0';
	return credit;
}

static void
test_coalesce_finds_what_runs_and_nothing_else(void **state)
{
	struct generation a = { 0 }, b = { 0 };

	(void)state;
	assert_null(coalesce_find(&table, key_a, false));
	generation_begin(&a, &table, key_a, true);
	generation_begin(&b, &table, key_b, true); /* of the same bucket */
	assert_ptr_equal(coalesce_find(&table, key_a, true), &a);
	assert_ptr_equal(coalesce_find(&table, key_b, true), &b);
	generation_close(&a);
	generation_close(&a);
	assert_null(coalesce_find(&table, key_a, true));
	generation_done(&a);
	generation_done(&b);
	assert_null(coalesce_find(&table, key_b, true));
}

static void
test_coalesce_stream_joins_only_what_streams(void **state)
{
	struct generation whole = { 0 }, streams = { 0 };

	(void)state;
	generation_begin(&whole, &table, key_a, false);
	assert_null(coalesce_find(&table, key_a, true));
	assert_ptr_equal(coalesce_find(&table, key_a, false), &whole);
	generation_begin(&streams, &table, key_a, true);
	assert_ptr_equal(coalesce_find(&table, key_a, true), &streams);
	generation_done(&whole);
	assert_ptr_equal(coalesce_find(&table, key_a, false), &streams);
	generation_done(&streams);
}

static void
test_coalesce_late_follower_reads_everything_and_costs_no_credit_twice(void **state)
{
	struct generation g = { 0 };
	struct follower early = { 0 }, late = { 0 };
	char text[64];

	(void)state;
	generation_begin(&g, &table, key_a, true);
	generation_join(&g, &early);
	say(&g, "Hel", 10);
	say(&g, "lo", 20);
	assert_int_equal(hear(&early, text, sizeof(text)), 30);
	generation_join(&g, &late);
	assert_int_equal(hear(&late, text, sizeof(text)), 0);
	assert_string_equal(text, "Hello");
	say(&g, "!", 5);
	assert_int_equal(hear(&late, text, sizeof(text)), 5); /* it is the fastest now */
	assert_string_equal(text, "!");
	assert_int_equal(hear(&early, text, sizeof(text)), 0);
	assert_string_equal(text, "!");
	assert_int_equal(table.spared, 1);
	generation_forget(&early);
	generation_forget(&late);
	generation_forget(&late);
	generation_done(&g);
}

static void
test_coalesce_last_one_who_leaves_closes_it(void **state)
{
	struct generation g = { 0 };
	struct follower a = { 0 }, b = { 0 }, nobody = { 0 };

	(void)state;
	generation_begin(&g, &table, key_a, true);
	generation_join(&g, &a);
	generation_join(&g, &b);
	assert_false(generation_leave(&a)); /* the one for whom it was begun */
	assert_false(generation_leave(&a));
	assert_ptr_equal(coalesce_find(&table, key_a, true), &g);
	assert_true(generation_leave(&b));
	assert_null(coalesce_find(&table, key_a, true));
	assert_false(generation_leave(&nobody));
	generation_forget(&a);
	generation_forget(&b);
	generation_done(&g);
}

static void
test_coalesce_slow_follower_is_cut_off_and_holds_a_bounded_amount(void **state)
{
	struct generation g = { 0 };
	struct follower fast = { 0 }, slow = { 0 };
	char frame[101], text[16384];
	size_t credit = 0;

	(void)state;
	memset(frame, 'x', 100);
	frame[100] = '\0';
	generation_begin(&g, &table, key_a, true);
	generation_join(&g, &fast);
	generation_join(&g, &slow);
	for (int i = 0; i < 10; i++) {
		say(&g, frame, 1);
		credit += hear(&fast, text, sizeof(text));
	}
	assert_int_equal(credit, 10); /* the slow one holds nobody up */
	assert_false(follower_lags(&slow));
	assert_non_null(coalesce_find(&table, key_a, true));
	say(&g, frame, 1);
	(void)hear(&fast, text, sizeof(text));
	assert_true(follower_lags(&slow));
	assert_false(follower_lags(&fast));
	assert_null(coalesce_find(&table, key_a, true)); /* the beginning will be lost */
	assert_false(generation_leave(&slow));
	for (int i = 0; i < 100; i++) {
		say(&g, frame, 1);
		(void)hear(&fast, text, sizeof(text));
		assert_true(g.end - g.first <= KEEP / 100 + 2);
	}
	assert_null(follower_next(&slow));
	generation_forget(&fast);
	generation_forget(&slow);
	generation_done(&g);
}

static void
test_coalesce_lone_reader_is_never_cut_off(void **state)
{
	struct generation g = { 0 };
	struct follower f = { 0 };
	char frame[4 * KEEP];

	(void)state;
	memset(frame, 'x', sizeof(frame) - 1);
	frame[sizeof(frame) - 1] = '\0';
	generation_begin(&g, &table, key_a, true);
	generation_join(&g, &f);
	say(&g, frame, 1);
	say(&g, frame, 1);
	assert_false(follower_lags(&f));
	assert_non_null(follower_next(&f));
	generation_forget(&f);
	generation_done(&g);
}

static void
test_coalesce_restart_begins_anew_for_everybody(void **state)
{
	struct generation g = { 0 };
	struct follower whole = { 0 }, stream = { 0 };
	char text[64];

	(void)state;
	generation_begin(&g, &table, key_a, true);
	generation_join(&g, &whole);
	generation_join(&g, &stream);
	say(&g, "wrong", 1);
	(void)hear(&whole, text, sizeof(text)); /* it only gathers: nothing has reached anybody */
	generation_restart(&g);
	assert_null(follower_next(&whole));
	say(&g, "right", 1);
	assert_int_equal(hear(&whole, text, sizeof(text)), 1);
	assert_string_equal(text, "right");
	(void)hear(&stream, text, sizeof(text));
	assert_string_equal(text, "right");
	generation_forget(&whole);
	generation_forget(&stream);
	generation_done(&g);
}

#define READERS 8

/* Each says what number it has; whoever joins reads 0, 1, 2, … without a gap, or is cut off. */
static void
live_one(uint64_t seed)
{
	struct generation g = { 0 };
	struct follower f[READERS] = { 0 };
	uint32_t read[READERS] = { 0 }, said = 0;
	struct prng p;

	prng_seed(&p, seed);
	generation_begin(&g, &table, key_a, true);
	generation_join(&g, &f[0]);
	while (g.listening > 0) {
		size_t i = prng_below(&p, READERS);
		const struct said *next = follower_next(&f[i]);
		uint8_t bytes[200] = { 0 };

		if (prng_below(&p, 300) == 0) {
			(void)generation_leave(&f[i]);
		} else if (prng_below(&p, 12) == 0) {
			memcpy(bytes, &said, sizeof(said));
			said++;
			assert_int_equal(generation_say(&g, bytes, 4 + prng_below(&p, 190), 1),
					 IM_OK);
			for (size_t k = 0; k < READERS; k++) {
				if (f[k].listening && follower_lags(&f[k])) {
					(void)generation_leave(&f[k]);
				}
			}
		} else if (f[i].generation == NULL) {
			if (coalesce_find(&table, key_a, true) == &g) {
				generation_join(&g, &f[i]);
			}
		} else if (f[i].listening && next != NULL) {
			uint32_t number;

			memcpy(&number, next->bytes, sizeof(number));
			assert_int_equal(number, read[i]++);
			(void)follower_took(&f[i]);
		}
	}
	for (size_t i = 0; i < READERS; i++) {
		generation_forget(&f[i]);
	}
	generation_done(&g);
	assert_null(coalesce_find(&table, key_a, true));
}

static void
test_coalesce_random_readers_miss_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		live_one(seed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_coalesce_finds_what_runs_and_nothing_else, init_table),
		cmocka_unit_test_setup(test_coalesce_stream_joins_only_what_streams, init_table),
		cmocka_unit_test_setup(
		    test_coalesce_late_follower_reads_everything_and_costs_no_credit_twice,
		    init_table),
		cmocka_unit_test_setup(test_coalesce_last_one_who_leaves_closes_it, init_table),
		cmocka_unit_test_setup(
		    test_coalesce_slow_follower_is_cut_off_and_holds_a_bounded_amount, init_table),
		cmocka_unit_test_setup(test_coalesce_lone_reader_is_never_cut_off, init_table),
		cmocka_unit_test_setup(test_coalesce_restart_begins_anew_for_everybody, init_table),
		cmocka_unit_test_setup(test_coalesce_random_readers_miss_nothing, init_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
