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
	assert_int_equal(pace_room(&p, 0), 128);
}

static void
test_pace_beside_answers_a_step_stays_short(void **state)
{
	struct pace p = { .step_us = 100000, .batch_tokens = 512 };

	(void)state;
	assert_int_equal(pace_room(&p, 3), 128); /* not known yet */
	pace_took(&p, 128, 128, 128000);         /* 1 ms a token */
	assert_int_equal(pace_room(&p, 3), 100);
	for (int i = 0; i < 40; i++)
		pace_took(&p, 100, 97, 400000); /* it became four times slower */
	assert_in_range(pace_room(&p, 3), 24, 26);
	for (int i = 0; i < 40; i++)
		pace_took(&p, 100, 97, 100); /* and very quick */
	assert_int_equal(pace_room(&p, 3), 509);
}

static void
test_pace_slowest_machine_still_feeds_prompts(void **state)
{
	struct pace p = { .step_us = 10000, .batch_tokens = 64 };

	(void)state;
	pace_took(&p, 64, 64, UINT64_MAX);
	assert_int_equal(pace_room(&p, 1), PACE_TOKENS_MIN);
	assert_int_equal(pace_room(&p, 60), 4); /* no more than there is room */
	assert_int_equal(pace_room(&p, 64), 0);
}

static void
test_pace_steps_of_answers_alone_say_nothing(void **state)
{
	struct pace p = { .step_us = 10000, .batch_tokens = 64 };

	(void)state;
	pace_took(&p, 8, 0, 900000);
	pace_took(&p, 17, 15, 900000);
	pace_took(&p, 0, 16, 1);
	assert_int_equal(p.token_ns, 0);
}

static void
test_pace_one_prompt_gets_all_room(void **state)
{
	struct pace_prompt one = { .age = 7, .left = 300 };

	(void)state;
	pace_share(&one, 1, 101, 1);
	assert_int_equal(one.take, 101);
	pace_share(&one, 1, 400, 2);
	assert_int_equal(one.take, 300);
	pace_share(NULL, 0, 10, 0);
}

static void
test_pace_short_prompt_passes_a_long_one_that_goes_on(void **state)
{
	struct pace_prompt p[] = { { .age = 1, .left = 1000 },
				   { .age = 2, .left = 900 },
				   { .age = 3, .left = 20 } };

	(void)state;
	pace_share(p, COUNT(p), 128, 1);
	assert_int_equal(p[0].take, 0);
	assert_int_equal(p[1].take, 108);
	assert_int_equal(p[2].take, 20);
	pace_share(p, COUNT(p), 128, 2);
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
	pace_share(p, COUNT(p), 128, 1);
	assert_int_equal(p[1].take, 100); /* the eldest is done first: its answer begins */
	assert_int_equal(p[2].take, 28);
	assert_int_equal(p[0].take, 0);
}

static void
test_pace_eldest_ends_however_many_short_ones_come(void **state)
{
	struct pace_prompt p[] = { { .age = 1, .left = 1000 }, { .age = 2, .left = 40 } };
	unsigned steps = 0;

	(void)state;
	while (p[0].left > 0) {
		pace_share(p, COUNT(p), 32, steps);
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
		cmocka_unit_test(test_pace_steps_of_answers_alone_say_nothing),
		cmocka_unit_test(test_pace_one_prompt_gets_all_room),
		cmocka_unit_test(test_pace_short_prompt_passes_a_long_one_that_goes_on),
		cmocka_unit_test(test_pace_equal_prompts_go_in_turn),
		cmocka_unit_test(test_pace_eldest_ends_however_many_short_ones_come),
		cmocka_unit_test(test_fit_follows_processors_memory_and_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
