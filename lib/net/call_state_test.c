/*
 * net/call_state_test.c - the pure parts: the life of a call, back-off, heartbeat, the table of calls. No socket, no clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/call_state.h"
#include "net/call_table.h"
#include "net/pace.h"

static struct call_state
caller(uint32_t window, uint32_t budget_ms)
{
	struct call_state s;

	call_state_init(&s, false, window, /* now_us= */ 1000000, budget_ms);
	return s;
}

static struct call_state
callee(uint32_t window, uint32_t budget_ms)
{
	struct call_state s;

	call_state_init(&s, true, window, 1000000, budget_ms);
	return s;
}

static void
test_call_data_within_credit_is_delivered_beyond_it_is_an_error(void **state)
{
	struct call_state s = caller(100, 0);

	(void)state;
	assert_int_equal(call_step(&s, CALL_EV_DATA, 99), CALL_DO_DELIVER);
	assert_int_equal(call_step(&s, CALL_EV_DATA, 5000),
			 CALL_DO_DELIVER); /* one byte was left */
	assert_int_equal(call_step(&s, CALL_EV_DATA, 1), CALL_DO_PROTOCOL_ERROR);
	assert_int_equal(call_step(&s, CALL_EV_DATA, 0), CALL_DO_PROTOCOL_ERROR);
}

static void
test_call_grant_is_gathered_to_half_a_window(void **state)
{
	struct call_state s = caller(100, 0);

	(void)state;
	assert_int_equal(call_step(&s, CALL_EV_DATA, 100), CALL_DO_DELIVER);
	assert_int_equal(call_step(&s, CALL_EV_GRANT, 49), 0);
	assert_int_equal(call_step(&s, CALL_EV_GRANT, 1), CALL_DO_SEND_CREDIT);
	assert_int_equal(call_take_grant(&s), 50);
	assert_int_equal(s.credit, 50);
	assert_int_equal(call_step(&s, CALL_EV_GRANT, 0), 0);
	assert_int_equal(call_step(&s, CALL_EV_DATA, 50), CALL_DO_DELIVER);
	assert_int_equal(call_step(&s, CALL_EV_DATA, 1), CALL_DO_PROTOCOL_ERROR);
}

static void
test_call_grant_beyond_all_bounds_is_bounded(void **state)
{
	struct call_state s = caller(100, 0);

	(void)state;
	for (int i = 0; i < 10000; i++)
		if (call_step(&s, CALL_EV_GRANT, UINT64_MAX) & CALL_DO_SEND_CREDIT)
			assert_in_range(call_take_grant(&s), 1, CALL_GRANT_MAX);
	assert_true(s.credit <= CALL_CREDIT_MAX);
	s = callee(100, 0);
	for (int i = 0; i < 10000; i++)
		(void)call_step(&s, CALL_EV_CREDIT, UINT32_MAX);
	assert_true(s.credit > 0 && s.credit <= CALL_CREDIT_MAX);
}

/* Both sides of one stream, in all orders that matter: the callee never exceeds the credit, and never starves. */
static void
test_call_credit_of_both_sides_agrees(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 300; seed++) {
		uint32_t window = 1 + seed * 7919 % 5000, rnd = seed, sent = 0, taken = 0,
			 granted = 0;
		struct call_state ours = caller(window, 0), theirs = callee(window, 0);

		for (int message = 0; message < 200;) {
			uint32_t size = (rnd = rnd * 1664525 + 1013904223) >> 8;
			unsigned todo;

			size = size % 3 == 0 ? size % (3 * window) : size % (window / 10 + 1);
			todo = call_step(&theirs, CALL_EV_SEND, size);
			if (todo & CALL_DO_SEND_DATA) {
				sent += size;
				message++;
				assert_int_equal(call_step(&ours, CALL_EV_DATA, size),
						 CALL_DO_DELIVER);
				if (rnd & 0x10000)
					continue; /* the reader lags */
			}
			taken = sent;
			todo = call_step(&ours, CALL_EV_GRANT, taken - granted);
			granted = taken;
			if (todo & CALL_DO_SEND_CREDIT)
				(void)call_step(&theirs, CALL_EV_CREDIT, call_take_grant(&ours));
			/* All that came is dealt with, so there must be credit again. */
			assert_true(call_has_credit(&theirs));
			assert_false(theirs.waiting);
		}
	}
}

static void
test_call_ends_once_whatever_comes_first(void **state)
{
	const enum call_event ends[] = { CALL_EV_END, CALL_EV_CANCEL, CALL_EV_TICK, CALL_EV_LOST };
	const unsigned first[] = { CALL_DO_REPORT_END, CALL_DO_SEND_CANCEL,
				   CALL_DO_SEND_CANCEL | CALL_DO_REPORT_DEADLINE,
				   CALL_DO_REPORT_LOST };
	const uint64_t late_us = 1000000 + 250000;

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct call_state s = caller(100, 250);

		assert_int_equal(call_step(&s, CALL_EV_TICK, late_us - 1), 0);
		assert_int_equal(call_step(&s, ends[i], late_us), first[i]);
		for (int j = 0; j < 4; j++)
			assert_int_equal(call_step(&s, ends[j], late_us + 1), 0);
		assert_int_equal(call_step(&s, CALL_EV_DATA, 1), 0);
		assert_int_equal(call_step(&s, CALL_EV_GRANT, 1000), 0);
	}
}

static void
test_served_cancelled_is_told_once_and_sends_nothing(void **state)
{
	const enum call_event stops[] = { CALL_EV_CANCEL, CALL_EV_TICK, CALL_EV_LOST };
	const uint64_t late_us = 1000000 + 250000 + CALL_GRACE_US;

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct call_state s = callee(100, 250);

		assert_int_equal(call_step(&s, CALL_EV_TICK, late_us - 1), 0);
		assert_int_equal(call_step(&s, stops[i], late_us), CALL_DO_TELL_CANCELLED);
		for (int j = 0; j < 3; j++)
			assert_int_equal(call_step(&s, stops[j], late_us), 0);
		assert_int_equal(call_step(&s, CALL_EV_SEND, 1), 0);
		assert_int_equal(call_step(&s, CALL_EV_CREDIT, 100), 0);
		assert_int_equal(call_step(&s, CALL_EV_END, 0), 0);
		assert_int_equal(s.phase, CALL_CLOSED);
	}
}

static void
test_served_ended_sends_the_end_and_hears_no_more(void **state)
{
	struct call_state s = callee(100, 250);

	(void)state;
	assert_int_equal(call_step(&s, CALL_EV_END, 0), CALL_DO_SEND_END);
	assert_int_equal(call_step(&s, CALL_EV_CANCEL, 0), 0);
	assert_int_equal(call_step(&s, CALL_EV_TICK, UINT64_MAX), 0);
	assert_int_equal(call_step(&s, CALL_EV_LOST, 0), 0);
}

static void
test_served_without_credit_waits_and_is_woken_once(void **state)
{
	struct call_state s = callee(10, 0);

	(void)state;
	assert_int_equal(call_step(&s, CALL_EV_SEND, 30), CALL_DO_SEND_DATA);
	assert_int_equal(call_step(&s, CALL_EV_SEND, 1), CALL_DO_WAIT);
	assert_int_equal(call_step(&s, CALL_EV_CREDIT, 20), 0); /* exactly nothing is left */
	assert_int_equal(call_step(&s, CALL_EV_CREDIT, 1), CALL_DO_WRITABLE);
	assert_int_equal(call_step(&s, CALL_EV_CREDIT, 1), 0);
	assert_int_equal(call_step(&s, CALL_EV_SEND, 1), CALL_DO_SEND_DATA);
}

static void
test_served_without_a_window_waits_for_credit(void **state)
{
	struct call_state s = callee(0, 0);

	(void)state;
	assert_int_equal(call_step(&s, CALL_EV_SEND, 1), CALL_DO_WAIT);
	assert_int_equal(call_step(&s, CALL_EV_CREDIT, 1), CALL_DO_WRITABLE);
}

static void
test_call_without_a_budget_never_expires(void **state)
{
	struct call_state s = caller(100, 0);

	(void)state;
	assert_int_equal(call_step(&s, CALL_EV_TICK, UINT64_MAX), 0);
}

static void
test_backoff_doubles_within_bounds_and_is_spread(void **state)
{
	uint64_t low = UINT64_MAX, high = 0;

	(void)state;
	for (uint64_t r = 0; r < 100000; r++) {
		assert_in_range(backoff_delay_us(0, 10, 1000, r), 0, 10000);
		assert_in_range(backoff_delay_us(3, 10, 1000, r), 0, 80000);
		assert_in_range(backoff_delay_us(4000000000u, 10, 1000, r * 7919), 0, 1000000);
	}
	for (uint64_t r = 0; r < 2000; r++) {
		uint64_t d = backoff_delay_us(20, 10, 1000, r * UINT64_C(0x9e3779b97f4a7c15));

		low = d < low ? d : low;
		high = d > high ? d : high;
	}
	assert_in_range(low, 0, 100000);
	assert_in_range(high, 900000, 1000000);
	assert_in_range(backoff_delay_us(9, 500, 100, 12345), 0, 100000); /* min above max */
}

static void
test_beat_pings_after_silence_and_gives_up_after_three(void **state)
{
	uint64_t next = 0;

	(void)state;
	assert_int_equal(beat_step(1000, 900, 0, 500, &next), BEAT_WAIT);
	assert_int_equal(next, 1400);
	assert_int_equal(beat_step(1400, 900, 0, 500, &next), BEAT_PING);
	assert_int_equal(next, 1900);
	assert_int_equal(beat_step(2399, 900, 0, 500, &next), BEAT_PING);
	assert_int_equal(beat_step(2400, 900, 0, 500, &next), BEAT_DEAD);
	assert_int_equal(beat_step(2400, 2390, 901, 500, &next), BEAT_WAIT);
	assert_int_equal(beat_step(2400, 2390, 900, 500, &next),
			 BEAT_DEAD); /* talks, never reads */
	assert_int_equal(beat_step(1000, 2000, 0, 500, &next), BEAT_WAIT);
}

static void
test_table_finds_what_is_in_it_and_nothing_else(void **state)
{
	enum {
		N = 5000
	};
	struct call_entry *e = calloc(N, sizeof(*e));
	struct call_table t;

	(void)state;
	assert_non_null(e);
	call_table_init(&t, 12345678);
	assert_null(call_table_find(&t, 2));
	for (uint32_t i = 0; i < N; i++)
		assert_true(call_table_add(&t, &e[i], i * 2));
	for (uint32_t i = 0; i < N; i += 3)
		call_table_remove(&t, &e[i]);
	call_table_remove(&t, &e[0]);
	for (uint32_t i = 0; i < N; i++) {
		assert_ptr_equal(call_table_find(&t, i * 2), i % 3 == 0 ? NULL : &e[i]);
		assert_null(call_table_find(&t, i * 2 + 1));
	}
	assert_int_equal(t.count, N - (N + 2) / 3);
	call_table_done(&t);
	free(e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call_data_within_credit_is_delivered_beyond_it_is_an_error),
		cmocka_unit_test(test_call_grant_is_gathered_to_half_a_window),
		cmocka_unit_test(test_call_grant_beyond_all_bounds_is_bounded),
		cmocka_unit_test(test_call_credit_of_both_sides_agrees),
		cmocka_unit_test(test_call_ends_once_whatever_comes_first),
		cmocka_unit_test(test_served_cancelled_is_told_once_and_sends_nothing),
		cmocka_unit_test(test_served_ended_sends_the_end_and_hears_no_more),
		cmocka_unit_test(test_served_without_credit_waits_and_is_woken_once),
		cmocka_unit_test(test_served_without_a_window_waits_for_credit),
		cmocka_unit_test(test_call_without_a_budget_never_expires),
		cmocka_unit_test(test_backoff_doubles_within_bounds_and_is_spread),
		cmocka_unit_test(test_beat_pings_after_silence_and_gives_up_after_three),
		cmocka_unit_test(test_table_finds_what_is_in_it_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
