/*
 * inference/local_pace_test.c - what goes into a step, and what fits a machine; no clock, no model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "inference/local_fit.h"
#include "inference/local_pace.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
test_pace_without_answers_a_prompt_gets_the_whole_step(void **state)
{
	struct pace p = { .step_us = 1, .batch_tokens = 128, .token_ns = 1000000 };

	(void)state;
	assert_int_equal(pace_room(&p, 1, 0), 128);
}

static void
test_pace_beside_answers_a_step_stays_short(void **state)
{
	struct pace p = { .step_us = 100000, .batch_tokens = 512 };

	(void)state;
	assert_int_equal(pace_room(&p, 1, 3), 128); /* not known yet */
	pace_fed(&p, 128, 128000);                  /* 1 ms a token */
	assert_int_equal(pace_room(&p, 1, 3), 100);
	for (int i = 0; i < 40; i++)
		pace_fed(&p, 100, 400000); /* it became four times slower */
	assert_in_range(pace_room(&p, 1, 3), 24, 26);
	for (int i = 0; i < 40; i++)
		pace_fed(&p, 100, 100); /* and very quick */
	assert_int_equal(pace_room(&p, 1, 3), 512);
}

static void
test_pace_slowest_machine_still_feeds_prompts(void **state)
{
	struct pace p = { .step_us = 10000, .batch_tokens = 64 };

	(void)state;
	pace_fed(&p, 64, UINT64_MAX);
	assert_int_equal(pace_room(&p, 1, 3), PACE_TOKENS_MIN);
	p.batch_tokens = 4; /* no more than there is room */
	assert_int_equal(pace_room(&p, 1, 3), 4);
}

static void
test_pace_step_is_longer_where_more_wait_for_their_first_token(void **state)
{
	struct pace p = { .step_us = 100000, .batch_tokens = 1000, .token_ns = 1000000 };

	(void)state;
	assert_int_equal(pace_room(&p, 0, 1), 100);
	assert_int_equal(pace_room(&p, 1, 1), 100); /* it waits alone */
	assert_int_equal(pace_room(&p, 2, 20), 105);
	assert_int_equal(pace_room(&p, 4, 3), 200);
	assert_int_equal(pace_room(&p, 7, 9), 166);
	assert_int_equal(pace_room(&p, 30, 1), 100 * PACE_STRETCH);
	assert_int_equal(pace_room(&p, UINT32_MAX, 1), 100 * PACE_STRETCH);
	p.batch_tokens = 128;
	assert_int_equal(pace_room(&p, 6, 3), 128);
}

static void
test_pace_step_has_some_tokens_to_spare_but_never_more_than_a_batch(void **state)
{
	struct pace p = { .step_us = 100000, .batch_tokens = 128 };

	(void)state;
	assert_int_equal(pace_spare(&p, 100), 25);
	assert_int_equal(pace_spare(&p, 120), 8);
	assert_int_equal(pace_spare(&p, 128), 0);
}

static void
test_pace_steps_of_few_tokens_say_nothing(void **state)
{
	struct pace p = { .step_us = 10000, .batch_tokens = 64 };

	(void)state;
	pace_fed(&p, 15, 900000);
	pace_fed(&p, 0, 1);
	assert_int_equal(p.token_ns, 0);
}

/* What llama.cpp takes for steps of 1 to 8 answers: on two processors with a model of 108 million. */
static const uint32_t step_us[] = { 0, 4800, 22700, 25100, 24800, 27000, 29700, 29500, 29200 };

/* Rounds of 'due' answers with those steps. Returns what all took. */
static uint64_t
rounds(struct pace *p, uint32_t due, unsigned count, const uint32_t *took_us)
{
	uint64_t sum_us = 0;

	for (unsigned i = 0; i < count; i++) {
		for (uint32_t left = due, group; left > 0; left -= group) {
			group = pace_group(p, left);
			assert_in_range(group, 1, left);
			pace_answered(p, group, took_us[group]);
			sum_us += took_us[group];
		}
	}
	return sum_us;
}

static void
test_pace_answers_that_are_quicker_one_by_one_go_so(void **state)
{
	struct pace p = { .step_us = 250000, .batch_tokens = 512 };
	unsigned n = 1000;

	(void)state;
	assert_in_range(rounds(&p, 2, n, step_us), n * 9600, n * 9600 * 1.02);
	assert_in_range(rounds(&p, 4, n, step_us), n * 19200, n * 19200 * 1.02);
	assert_in_range(rounds(&p, 8, n, step_us), n * 29200, n * 29200 * 1.02);
	/* nothing known of seven but that eight and one are quick */
	assert_in_range(rounds(&p, 7, n, step_us), n * 29500, n * 29500 * 1.02);
}

static void
test_pace_answers_that_are_quicker_together_stay_so(void **state)
{
	/* the weights have to be read for each step, and take longest */
	static const uint32_t large[] = { 0, 100000, 102000, 104000, 106000 };
	struct pace p = { .step_us = 250000, .batch_tokens = 512 };

	(void)state;
	assert_in_range(rounds(&p, 4, 1000, large), 1000 * 106000, 1000 * 106000 * 1.02);
}

static void
test_pace_groups_get_over_a_disturbed_measurement(void **state)
{
	struct pace p = { .step_us = 250000, .batch_tokens = 512 };

	(void)state;
	pace_answered(&p, 1, 3000000); /* the weights came from the disk */
	(void)rounds(&p, 4, 600, step_us);
	assert_in_range(rounds(&p, 4, 1000, step_us), 1000 * 19200, 1000 * 19200 * 1.02);
	(void)rounds(&p, 8, 10, step_us);
	pace_answered(&p, 8, UINT64_MAX);
	(void)rounds(&p, 8, 600, step_us);
	assert_in_range(rounds(&p, 8, 1000, step_us), 1000 * 29200, 1000 * 29200 * 1.02);
}

static void
test_pace_first_step_of_a_size_does_not_decide(void **state)
{
	struct pace p = { .step_us = 250000, .batch_tokens = 512 };

	(void)state;
	(void)rounds(&p, 6, 10, step_us);
	assert_int_equal(pace_group(&p, 8), 8);
	pace_answered(&p, 8, 48800); /* six and two single ones would be quicker than this */
	assert_in_range(rounds(&p, 8, 200, step_us), 200 * 29200, 200 * 29200 * 1.02);
}

static void
test_pace_more_answers_than_it_remembers_go_together(void **state)
{
	struct pace p = { .step_us = 250000, .batch_tokens = 512 };

	(void)state;
	assert_int_equal(pace_group(&p, PACE_ANSWERS + 1), PACE_ANSWERS + 1);
	pace_answered(&p, PACE_ANSWERS + 1, 1);
	pace_answered(&p, 0, 1);
	assert_int_equal(pace_group(&p, 0), 0);
	assert_int_equal(pace_group(&p, 1), 1);
	for (uint32_t n = 0; n < PACE_SURE * PACE_ANSWERS; n++)
		pace_answered(&p, 1 + n % PACE_ANSWERS, UINT64_MAX);
	assert_int_equal(pace_group(&p, PACE_ANSWERS), PACE_ANSWERS);
}

static void
test_pace_one_prompt_gets_all_room(void **state)
{
	struct pace_prompt one = { .age = 7, .left = 300 };

	(void)state;
	pace_share(&one, 1, 101, 0, 1);
	assert_int_equal(one.take, 101);
	pace_share(&one, 1, 400, 0, 2);
	assert_int_equal(one.take, 300);
	pace_share(NULL, 0, 10, 0, 0);
}

static void
test_pace_short_prompt_passes_a_long_one_that_goes_on(void **state)
{
	struct pace_prompt p[] = { { .age = 1, .left = 1000 },
				   { .age = 2, .left = 900 },
				   { .age = 3, .left = 20 } };

	(void)state;
	pace_share(p, COUNT(p), 128, 0, 1);
	assert_int_equal(p[0].take, 0);
	assert_int_equal(p[1].take, 108);
	assert_int_equal(p[2].take, 20);
	pace_share(p, COUNT(p), 128, 0, 2);
	assert_int_equal(p[0].take, 128);
	assert_int_equal(p[1].take + p[2].take, 0);
}

static void
test_pace_equal_prompts_go_in_turn(void **state)
{
	struct pace_prompt p[] = { { .age = 9, .left = 100 },
				   { .age = 4, .left = 100 },
				   { .age = 6, .left = 100 } };

	(void)state;
	pace_share(p, COUNT(p), 128, 0, 1);
	assert_int_equal(p[1].take, 100); /* the eldest is done first: its answer begins */
	assert_int_equal(p[2].take + p[0].take, 0); /* whole in the next step */
	pace_share(p, COUNT(p), 220, 0, 2);
	assert_int_equal(p[1].take + p[2].take, 200);
	pace_share(p, COUNT(p), 201, 0, 3);
	assert_int_equal(p[0].take, 0);
	pace_share(p, COUNT(p), 190, 0, 4);
	assert_int_equal(p[1].take, 100);
	assert_int_equal(p[2].take, 0);
	pace_share(p, COUNT(p), 300, 0, 5);
	assert_int_equal(p[0].take + p[1].take + p[2].take, 300);
}

static void
test_pace_prompt_that_is_whole_with_a_little_more_gets_it(void **state)
{
	struct pace_prompt p[] = { { .age = 1, .left = 45 },
				   { .age = 2, .left = 45 },
				   { .age = 3, .left = 45 } };

	(void)state;
	pace_share(p, COUNT(p), 80, 20, 1);
	assert_int_equal(p[0].take, 45);
	assert_int_equal(p[1].take, 45);
	assert_int_equal(p[2].take, 0);
	pace_share(p, COUNT(p), 80, 9, 1);
	assert_int_equal(p[0].take, 45);
	assert_int_equal(p[1].take, 0);
	p[0].left = 99; /* the eldest in its turn, and whole */
	pace_share(p, COUNT(p), 80, 20, 2);
	assert_int_equal(p[0].take, 99);
	assert_int_equal(p[1].take + p[2].take, 0);
	p[0].left = 101; /* a piece has no more than its room */
	pace_share(p, COUNT(p), 80, 20, 2);
	assert_int_equal(p[0].take, 80);
	pace_share(p, 1, UINT32_MAX - 1, 1, 2);
	assert_int_equal(p[0].take, 101);
}

static void
test_pace_eldest_ends_however_many_short_ones_come(void **state)
{
	struct pace_prompt p[] = { { .age = 1, .left = 1000 }, { .age = 2, .left = 40 } };
	unsigned steps = 0;

	(void)state;
	while (p[0].left > 0) {
		pace_share(p, COUNT(p), 32, 0, steps);
		assert_int_equal(p[0].take + p[1].take, 32); /* nothing is wasted */
		p[0].left -= p[0].take;
		p[1] = (struct pace_prompt){ .age = 2 + steps, .left = 40 };
		steps++;
	}
	assert_in_range(steps, 55, 63); /* half of each, and more once it is the shorter one */
}

static void
test_fit_follows_processors_memory_and_model(void **state)
{
	static const struct {
		struct local_fit f;
		uint32_t threads, sequences, batch;
	} cases[] = {
		/* the demo model on two processors, on a small board, on a server */
		{ { 2, 8ULL << 30, 4000000, 4096, 512 }, 1, 8, 512 },
		{ { 1, 1ULL << 30, 4000000, 4096, 512 }, 1, 4, 512 },
		{ { 64, 256ULL << 30, 4000000, 4096, 512 }, 1, 32, 512 },
		/* 8 billion parameters: 128 KiB a token */
		{ { 8, 16ULL << 30, 8000000000, 131072, 2048 }, 8, 8, 128 },
		{ { 8, 2ULL << 30, 8000000000, 131072, 8192 }, 8, 1, 128 },
		/* nothing could be told */
		{ { 0, 0, 0, 0, 0 }, 1, 4, 512 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(fit_threads(&cases[i].f), cases[i].threads);
		assert_int_equal(fit_sequences(&cases[i].f), cases[i].sequences);
		assert_int_equal(fit_batch_tokens(&cases[i].f, 4), cases[i].batch);
	}
	assert_int_equal(fit_batch_tokens(&cases[3].f, 200), 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pace_without_answers_a_prompt_gets_the_whole_step),
		cmocka_unit_test(test_pace_beside_answers_a_step_stays_short),
		cmocka_unit_test(test_pace_slowest_machine_still_feeds_prompts),
		cmocka_unit_test(test_pace_step_is_longer_where_more_wait_for_their_first_token),
		cmocka_unit_test(
		    test_pace_step_has_some_tokens_to_spare_but_never_more_than_a_batch),
		cmocka_unit_test(test_pace_steps_of_few_tokens_say_nothing),
		cmocka_unit_test(test_pace_answers_that_are_quicker_one_by_one_go_so),
		cmocka_unit_test(test_pace_answers_that_are_quicker_together_stay_so),
		cmocka_unit_test(test_pace_groups_get_over_a_disturbed_measurement),
		cmocka_unit_test(test_pace_first_step_of_a_size_does_not_decide),
		cmocka_unit_test(test_pace_more_answers_than_it_remembers_go_together),
		cmocka_unit_test(test_pace_one_prompt_gets_all_room),
		cmocka_unit_test(test_pace_short_prompt_passes_a_long_one_that_goes_on),
		cmocka_unit_test(test_pace_equal_prompts_go_in_turn),
		cmocka_unit_test(test_pace_prompt_that_is_whole_with_a_little_more_gets_it),
		cmocka_unit_test(test_pace_eldest_ends_however_many_short_ones_come),
		cmocka_unit_test(test_fit_follows_processors_memory_and_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
