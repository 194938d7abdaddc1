/*
 * router/breaker_test.c - the breaker on virtual time: each transition by name, and random lives against a plain model.
 */
#include "router/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"

static const struct breaker_settings set = { .failures = 5,
					     .rate_percent = 50,
					     .rate_min = 20,
					     .window_ms = 8000,
					     .open_ms = 30000,
					     .open_max_ms = 100000 };

static enum breaker_change
attempt(struct breaker *b, enum verdict verdict, uint64_t now_ms)
{
	return breaker_end(b, &set, breaker_begin(b), verdict, now_ms);
}

static void
fail_in_a_row(struct breaker *b, unsigned count, uint64_t now_ms)
{
	while (count-- > 0) {
		(void)attempt(b, VERDICT_FAILED, now_ms);
	}
}

/* Opened at 1000. */
static struct breaker
opened(void)
{
	struct breaker b;

	breaker_init(&b, 1);
	fail_in_a_row(&b, set.failures, 1000);
	assert_int_equal(b.state, BREAKER_OPEN);
	return b;
}

static struct breaker
half_open(void)
{
	struct breaker b = opened();

	assert_int_equal(breaker_tick(&b, 31000), BREAKER_PROBES);
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	return b;
}

static void
test_breaker_nth_failure_in_a_row_opens(void **state)
{
	static const uint32_t limits[] = { 1, 2, 3, 5, 100 };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct breaker_settings s = set;
		struct breaker b;

		s.failures = limits[i];
		s.rate_percent = 0;
		breaker_init(&b, 1);
		for (uint32_t n = 1; n < limits[i]; n++) {
			assert_int_equal(breaker_end(&b, &s, breaker_begin(&b), VERDICT_FAILED, n),
					 BREAKER_SAME);
			assert_true(breaker_admits(&b));
		}
		assert_int_equal(breaker_end(&b, &s, breaker_begin(&b), VERDICT_FAILED, 500),
				 BREAKER_OPENS);
		assert_false(breaker_admits(&b));
		assert_int_equal(breaker_wait_ms(&b, 500), 30000);
	}
}

static void
test_breaker_success_between_failures_starts_the_row_anew(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b, 1);
	fail_in_a_row(&b, 4, 1);
	assert_int_equal(attempt(&b, VERDICT_OK, 2), BREAKER_SAME);
	fail_in_a_row(&b, 4, 3);
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_int_equal(attempt(&b, VERDICT_FAILED, 4), BREAKER_OPENS);
}

static void
test_breaker_what_says_nothing_neither_adds_to_the_row_nor_ends_it(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b, 1);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(attempt(&b, i % 2 ? VERDICT_NOTHING : VERDICT_PAUSE, 1),
				 BREAKER_SAME);
	}
	fail_in_a_row(&b, 4, 1);
	assert_int_equal(attempt(&b, VERDICT_NOTHING, 1), BREAKER_SAME);
	assert_int_equal(attempt(&b, VERDICT_FAILED, 1), BREAKER_OPENS);
}

static void
test_breaker_error_rate_opens_from_the_minimum_count_on(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b, 1);
	for (int i = 0; i < 19; i++) { /* every second one: never a row */
		assert_int_equal(attempt(&b, i % 2 ? VERDICT_FAILED : VERDICT_OK, 100),
				 BREAKER_SAME);
	}
	assert_int_equal(attempt(&b, VERDICT_FAILED, 100), BREAKER_OPENS); /* 10 of 20 */
}

static void
test_breaker_error_rate_below_the_limit_stays_closed(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b, 1);
	for (int i = 0; i < 999; i++) {
		assert_int_equal(attempt(&b, i % 3 == 2 ? VERDICT_FAILED : VERDICT_OK, 100),
				 BREAKER_SAME);
	}
}

static void
test_breaker_failures_that_left_the_window_do_not_count(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b, 1);
	for (int i = 0; i < 18; i++) {
		(void)attempt(&b, i % 2 ? VERDICT_FAILED : VERDICT_OK, 1000);
	}
	/* The whole window later: two of two, then 10 of 20. */
	for (int i = 0; i < 19; i++) {
		assert_int_equal(attempt(&b, i % 2 ? VERDICT_FAILED : VERDICT_OK, 9000),
				 BREAKER_SAME);
	}
	assert_int_equal(attempt(&b, VERDICT_FAILED, 16999), BREAKER_OPENS);
}

static void
test_breaker_pause_ends_on_time_and_not_before(void **state)
{
	struct breaker b = opened();

	(void)state;
	assert_int_equal(breaker_tick(&b, 30999), BREAKER_SAME);
	assert_int_equal(breaker_wait_ms(&b, 30999), 1);
	assert_false(breaker_admits(&b));
	assert_int_equal(breaker_tick(&b, 31000), BREAKER_PROBES);
	assert_int_equal(breaker_tick(&b, 31001), BREAKER_SAME);
	assert_true(breaker_admits(&b));
	assert_int_equal(breaker_wait_ms(&b, 31001), 0);
}

static void
test_breaker_one_probe_succeeds_closes(void **state)
{
	struct breaker b = half_open();
	breaker_ticket probe = breaker_begin(&b);

	(void)state;
	assert_true(breaker_is_probe(probe));
	assert_false(breaker_admits(&b)); /* one only */
	assert_int_equal(breaker_end(&b, &set, probe, VERDICT_OK, 32000), BREAKER_CLOSES);
	assert_true(breaker_admits(&b));
	assert_int_equal(b.row, 0);
}

static void
test_breaker_probe_fails_reopens_with_doubled_pause(void **state)
{
	struct breaker b = half_open();
	static const uint32_t pauses[] = { 60000, 100000, 100000 }; /* up to the cap */
	uint64_t now_ms = 31000;

	(void)state;
	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		assert_int_equal(attempt(&b, VERDICT_FAILED, now_ms), BREAKER_REOPENS);
		assert_int_equal(breaker_wait_ms(&b, now_ms), pauses[i]);
		now_ms += pauses[i];
		assert_int_equal(breaker_tick(&b, now_ms - 1), BREAKER_SAME);
		assert_int_equal(breaker_tick(&b, now_ms), BREAKER_PROBES);
	}
	assert_int_equal(b.opened, 4);
	assert_int_equal(b.probes, 3);
}

static void
test_breaker_probe_that_says_nothing_leaves_the_next_one_to_probe(void **state)
{
	static const enum verdict verdicts[] = { VERDICT_NOTHING, VERDICT_PAUSE };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct breaker b = half_open();
		breaker_ticket first = breaker_begin(&b);

		assert_int_equal(breaker_end(&b, &set, first, verdicts[i], 31500),
				 BREAKER_PROBE_FREE);
		assert_int_equal(b.state, BREAKER_HALF_OPEN);
		assert_true(breaker_admits(&b));
		assert_true(breaker_is_probe(breaker_begin(&b)));
		/* The first one, told a second time, frees or decides nothing. */
		assert_int_equal(breaker_end(&b, &set, first, VERDICT_OK, 31600), BREAKER_SAME);
		assert_false(breaker_admits(&b));
	}
}

static void
test_breaker_first_token_of_the_probe_closes_and_its_failure_counts_again(void **state)
{
	struct breaker b = half_open();
	breaker_ticket t = breaker_begin(&b);

	(void)state;
	assert_int_equal(breaker_first_token(&b, &t, 32000), BREAKER_CLOSES);
	assert_false(breaker_is_probe(t));
	assert_int_equal(breaker_first_token(&b, &t, 32001), BREAKER_SAME);
	assert_int_equal(breaker_end(&b, &set, t, VERDICT_FAILED, 33000), BREAKER_SAME);
	assert_int_equal(b.row, 1);
}

static void
test_breaker_attempts_from_before_it_opened_decide_nothing(void **state)
{
	struct breaker b;
	breaker_ticket old[3];

	(void)state;
	breaker_init(&b, 1);
	for (size_t i = 0; i < 3; i++) {
		old[i] = breaker_begin(&b);
	}
	fail_in_a_row(&b, 5, 1000);
	assert_int_equal(breaker_end(&b, &set, old[0], VERDICT_OK, 1001), BREAKER_SAME);
	assert_int_equal(breaker_tick(&b, 31000), BREAKER_PROBES);
	assert_int_equal(breaker_end(&b, &set, old[1], VERDICT_OK, 31001), BREAKER_SAME);
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	assert_int_equal(attempt(&b, VERDICT_OK, 31002), BREAKER_CLOSES);
	assert_int_equal(breaker_end(&b, &set, old[2], VERDICT_FAILED, 31003), BREAKER_SAME);
	assert_int_equal(b.row, 0);
}

static void
test_breaker_opening_again_soon_after_closing_doubles_too(void **state)
{
	struct breaker b = half_open();

	(void)state;
	assert_int_equal(attempt(&b, VERDICT_OK, 31000), BREAKER_CLOSES);
	fail_in_a_row(&b, 5, 60999); /* closed for less than 30 s */
	assert_int_equal(breaker_wait_ms(&b, 60999), 60000);
	assert_int_equal(breaker_tick(&b, 120999), BREAKER_PROBES);
	assert_int_equal(attempt(&b, VERDICT_OK, 121000), BREAKER_CLOSES);
	fail_in_a_row(&b, 5, 181000); /* 60 s: it is forgiven */
	assert_int_equal(breaker_wait_ms(&b, 181000), 30000);
}

static void
test_breaker_not_obeyed_still_has_one_probe(void **state)
{
	struct breaker b = opened();
	breaker_ticket t = breaker_begin(&b), probe, beside;

	(void)state;
	assert_int_equal(breaker_end(&b, &set, t, VERDICT_OK, 2000), BREAKER_SAME);
	assert_int_equal(breaker_tick(&b, 31000), BREAKER_PROBES);
	probe = breaker_begin(&b);
	beside = breaker_begin(&b);
	assert_true(breaker_is_probe(probe));
	assert_false(breaker_is_probe(beside));
	assert_int_equal(breaker_end(&b, &set, beside, VERDICT_OK, 31001), BREAKER_SAME);
	assert_int_equal(breaker_end(&b, &set, probe, VERDICT_FAILED, 31002), BREAKER_REOPENS);
}

static void
test_breaker_inherited_with_its_probe_lost_reopens_doubled(void **state)
{
	struct breaker old = half_open(), new;
	breaker_ticket lost = breaker_begin(&old);

	(void)state;
	breaker_init(&new, 2);
	breaker_inherit(&new, &old, &set, 32000);
	assert_int_equal(new.state, BREAKER_OPEN);
	assert_int_equal(breaker_wait_ms(&new, 32000), 60000);
	assert_int_equal(breaker_tick(&new, 92000), BREAKER_PROBES);
	assert_int_equal(breaker_end(&new, &set, lost, VERDICT_OK, 92001), BREAKER_SAME);
}

static void
test_breaker_inherited_without_a_probe_stays_as_it_was(void **state)
{
	struct breaker old = opened(), new;

	(void)state;
	breaker_init(&new, 2);
	breaker_inherit(&new, &old, &set, 2000);
	assert_int_equal(new.state, BREAKER_OPEN);
	assert_int_equal(breaker_wait_ms(&new, 2000), 29000);
	old = half_open();
	breaker_inherit(&new, &old, &set, 32000);
	assert_true(breaker_admits(&new));
}

/* Every event in every state leads where the picture in breaker.h says. */
static void
test_breaker_every_event_in_every_state(void **state)
{
	enum {
		TICK,
		OK,
		FAILED,
		NOTHING,
		TOKEN,
		EVENTS
	};
	static const struct {
		enum breaker_state next;
		enum breaker_change change;
	} table[3][EVENTS] = {
		[BREAKER_CLOSED] = { { BREAKER_CLOSED, BREAKER_SAME },
				     { BREAKER_CLOSED, BREAKER_SAME },
				     { BREAKER_OPEN, BREAKER_OPENS }, /* the fifth */
				     { BREAKER_CLOSED, BREAKER_SAME },
				     { BREAKER_CLOSED, BREAKER_SAME } },
		[BREAKER_OPEN] = { { BREAKER_HALF_OPEN, BREAKER_PROBES },
				   { BREAKER_OPEN, BREAKER_SAME },
				   { BREAKER_OPEN, BREAKER_SAME },
				   { BREAKER_OPEN, BREAKER_SAME },
				   { BREAKER_OPEN, BREAKER_SAME } },
		[BREAKER_HALF_OPEN] = { { BREAKER_HALF_OPEN, BREAKER_SAME },
					{ BREAKER_CLOSED, BREAKER_CLOSES },
					{ BREAKER_OPEN, BREAKER_REOPENS },
					{ BREAKER_HALF_OPEN, BREAKER_PROBE_FREE },
					{ BREAKER_CLOSED, BREAKER_CLOSES } },
	};
	static const enum verdict verdicts[] = { VERDICT_NOTHING, VERDICT_OK, VERDICT_FAILED,
						 VERDICT_NOTHING };

	(void)state;
	for (int from = 0; from < 3; from++) {
		for (int ev = 0; ev < EVENTS; ev++) {
			struct breaker b;
			breaker_ticket t;
			enum breaker_change change;

			breaker_init(&b, 1);
			fail_in_a_row(&b, 4, 1000);
			b = from == BREAKER_OPEN        ? opened()
			    : from == BREAKER_HALF_OPEN ? half_open()
							: b;
			t = breaker_begin(&b);
			change = ev == TICK    ? breaker_tick(&b, 31000)
				 : ev == TOKEN ? breaker_first_token(&b, &t, 31000)
					       : breaker_end(&b, &set, t, verdicts[ev], 31000);
			assert_int_equal(change, table[from][ev].change);
			assert_int_equal(b.state, table[from][ev].next);
		}
	}
}

#define LIVES   200UL
#define STEPS   5000
#define PENDING 32

/* Opens often, so that a life holds many probes. */
static const struct breaker_settings hasty = { .failures = 2,
					       .rate_percent = 50,
					       .rate_min = 20,
					       .window_ms = 8000,
					       .open_ms = 3000,
					       .open_max_ms = 10000 };

struct life {
	struct prng rng;
	struct breaker b;
	breaker_ticket pending[PENDING];
	size_t count; /* attempts under way */
	uint64_t now_ms;
	bool obeyed;
};

static size_t
count_probes(const struct life *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->count; i++) {
		n += breaker_is_probe(l->pending[i]) && l->pending[i] >> 1 == l->b.period;
	}
	return n;
}

static void
live(struct life *l)
{
	switch (prng_below(&l->rng, 8)) {
	case 0:
		l->now_ms += prng_below(&l->rng, 20000);
		(void)breaker_tick(&l->b, l->now_ms);
		break;
	case 1: /* another link to the same process: all is lost */
		if (prng_below(&l->rng, 50) == 0) {
			struct breaker old = l->b;
			uint32_t serial = (uint32_t)(old.period >> 32) + 1;

			breaker_init(&l->b, serial);
			breaker_inherit(&l->b, &old, &hasty, l->now_ms);
		}
		break;
	case 2:
		if (l->count > 0) {
			size_t i = prng_below(&l->rng, (uint32_t)l->count);

			(void)breaker_first_token(&l->b, &l->pending[i], l->now_ms);
		}
		break;
	case 3:
	case 4:
		if (l->count > 0) {
			size_t i = prng_below(&l->rng, (uint32_t)l->count);
			enum verdict v = (enum verdict)prng_below(&l->rng, 4);

			/* Sometimes told twice. */
			(void)breaker_end(&l->b, &hasty, l->pending[i], v, l->now_ms);
			if (prng_below(&l->rng, 20) != 0) {
				l->pending[i] = l->pending[--l->count];
			}
		}
		break;
	default:
		if (l->count < PENDING && (breaker_admits(&l->b) || !l->obeyed)) {
			l->pending[l->count++] = breaker_begin(&l->b);
		}
		break;
	}
}

static void
test_breaker_random_lives_never_have_two_probes(void **state)
{
	uint64_t opened_sum = 0, probes_sum = 0;

	(void)state;
	for (uint64_t seed = 0; seed < LIVES; seed++) {
		struct life l = { .obeyed = seed % 4 != 0 };

		prng_seed(&l.rng, seed);
		breaker_init(&l.b, 1);
		for (int i = 0; i < STEPS; i++) {
			size_t probes;

			live(&l);
			probes = count_probes(&l);
			if (probes > 1 || (l.b.probing && probes != 1) ||
			    (l.b.probing && l.b.state != BREAKER_HALF_OPEN) ||
			    l.b.pause_ms > hasty.open_max_ms) {
				fail_msg("seed %llu, step %d: %zu probes, state %d",
					 (unsigned long long)seed, i, probes, l.b.state);
			}
		}
		opened_sum += l.b.opened;
		probes_sum += l.b.probes;
	}
	/* The lives went through everything. */
	assert_true(opened_sum > LIVES * 10 && probes_sum > LIVES * 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_breaker_nth_failure_in_a_row_opens),
		cmocka_unit_test(test_breaker_success_between_failures_starts_the_row_anew),
		cmocka_unit_test(
		    test_breaker_what_says_nothing_neither_adds_to_the_row_nor_ends_it),
		cmocka_unit_test(test_breaker_error_rate_opens_from_the_minimum_count_on),
		cmocka_unit_test(test_breaker_error_rate_below_the_limit_stays_closed),
		cmocka_unit_test(test_breaker_failures_that_left_the_window_do_not_count),
		cmocka_unit_test(test_breaker_pause_ends_on_time_and_not_before),
		cmocka_unit_test(test_breaker_one_probe_succeeds_closes),
		cmocka_unit_test(test_breaker_probe_fails_reopens_with_doubled_pause),
		cmocka_unit_test(test_breaker_probe_that_says_nothing_leaves_the_next_one_to_probe),
		cmocka_unit_test(
		    test_breaker_first_token_of_the_probe_closes_and_its_failure_counts_again),
		cmocka_unit_test(test_breaker_attempts_from_before_it_opened_decide_nothing),
		cmocka_unit_test(test_breaker_opening_again_soon_after_closing_doubles_too),
		cmocka_unit_test(test_breaker_not_obeyed_still_has_one_probe),
		cmocka_unit_test(test_breaker_inherited_with_its_probe_lost_reopens_doubled),
		cmocka_unit_test(test_breaker_inherited_without_a_probe_stays_as_it_was),
		cmocka_unit_test(test_breaker_every_event_in_every_state),
		cmocka_unit_test(test_breaker_random_lives_never_have_two_probes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
