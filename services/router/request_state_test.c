/*
 * router/request_state_test.c - the life of a request on virtual time, story by story. Random lives: request_lives_test.c.
 */
#include "router/request_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define DO(name) REQUEST_DO_##name
#define EV(name) REQUEST_EV_##name

static void
test_request_happy_stream_is_gated_by_both_records(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 60000);
	assert_int_equal(request_step(&r, EV(ADMIT), 1000), DO(FIND_WORKER));
	assert_int_equal(request_step(&r, EV(PICKED), 1000), DO(DISPATCH));
	assert_int_equal(request_step(&r, EV(FRAME), 1001),
			 0); /* held: the REQUEST record is not durable */
	assert_int_equal(request_step(&r, EV(RECORD_DURABLE), 1002), DO(OPEN) | DO(FLUSH));
	(void)request_step(&r, EV(DELIVERED), 1002);
	assert_int_equal(request_step(&r, EV(FLUSHED), 1002), 0);
	assert_int_equal(request_step(&r, EV(WORKER_OK), 1003), DO(FREE_SLOT) | DO(RECORD_END));
	assert_int_equal(r.outcome, OUTCOME_OK);
	assert_int_equal(request_step(&r, EV(TERMINAL_TAKEN), 1003), 0); /* the END waits */
	assert_int_equal(request_step(&r, EV(TERMINAL_DURABLE), 1005), DO(END) | DO(FREE));
	assert_int_equal(r.ending, REQUEST_END_OK);
}

static void
test_request_fail_open_waits_for_no_record(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_OPEN, false, 1, 1000, 60000);
	assert_int_equal(request_step(&r, EV(ADMIT), 1000), DO(FIND_WORKER) | DO(OPEN) | DO(FLUSH));
	(void)request_step(&r, EV(FLUSHED), 1000);
	(void)request_step(&r, EV(PICKED), 1000);
	assert_int_equal(request_step(&r, EV(FRAME), 1001), DO(FLUSH));
	(void)request_step(&r, EV(FLUSHED), 1001);
	assert_int_equal(request_step(&r, EV(WORKER_OK), 1003), DO(FREE_SLOT) | DO(RECORD_END));
	assert_int_equal(request_step(&r, EV(TERMINAL_TAKEN), 1003), DO(END) | DO(FREE));
}

static void
test_request_cache_hit_needs_no_worker(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, true, 1, 1000, 60000);
	assert_int_equal(request_step(&r, EV(ADMIT), 1000), DO(ASK_CACHE));
	assert_int_equal(request_step(&r, EV(RECORD_DURABLE), 1001),
			 0); /* hit or miss is part of the head */
	assert_int_equal(request_step(&r, EV(CACHE_HIT), 1002), DO(OPEN) | DO(FLUSH));
	assert_int_equal(request_step(&r, EV(FLUSHED), 1002), DO(RECORD_END));
	assert_int_equal(r.outcome, OUTCOME_CACHE_HIT);
	(void)request_step(&r, EV(TERMINAL_TAKEN), 1002);
	assert_int_equal(request_step(&r, EV(TERMINAL_DURABLE), 1003), DO(END) | DO(FREE));
}

static void
test_request_hit_before_its_record_asks_for_both_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) { /* a caller that reads quickly, and slowly */
		struct request_state r;

		request_state_init(&r, AUDIT_FAIL_CLOSED, true, 1, 1000, 60000);
		(void)request_step(&r, EV(ADMIT), 1000);
		assert_int_equal(request_step(&r, EV(CACHE_HIT), 1000), DO(RECORD_END));
		assert_int_equal(request_step(&r, EV(TERMINAL_TAKEN), 1000), 0);
		assert_int_equal(request_step(&r, EV(RECORD_DURABLE), 1002), DO(OPEN) | DO(FLUSH));
		/* The END waits for the other record and for what is held, whichever is last. */
		if (i == 0) {
			assert_int_equal(request_step(&r, EV(FLUSHED), 1002), 0);
			assert_int_equal(request_step(&r, EV(TERMINAL_DURABLE), 1002),
					 DO(END) | DO(FREE));
		} else {
			assert_int_equal(request_step(&r, EV(TERMINAL_DURABLE), 1002), DO(FLUSH));
			assert_int_equal(request_step(&r, EV(FLUSHED), 1003), DO(END) | DO(FREE));
		}
		assert_int_equal(r.ending, REQUEST_END_OK);
	}
}

static void
test_request_answer_before_its_record_asks_for_both_at_once(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(PICKED), 1000);
	assert_int_equal(request_step(&r, EV(FRAME), 1001), 0);
	assert_int_equal(request_step(&r, EV(WORKER_OK), 1001), DO(FREE_SLOT) | DO(RECORD_END));
	assert_int_equal(r.outcome, OUTCOME_OK);
	assert_int_equal(request_step(&r, EV(TERMINAL_TAKEN), 1001), 0);
	assert_int_equal(request_step(&r, EV(RECORD_DURABLE), 1002), DO(OPEN) | DO(FLUSH));
	assert_int_equal(request_step(&r, EV(FLUSHED), 1002), 0);
	assert_int_equal(request_step(&r, EV(TERMINAL_DURABLE), 1002), DO(END) | DO(FREE));
	assert_int_equal(r.ending, REQUEST_END_OK);
}

static void
test_request_hit_before_its_record_ends_badly_if_that_is_late(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, true, 1, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	assert_int_equal(request_step(&r, EV(CACHE_HIT), 1000), DO(RECORD_END));
	assert_int_equal(request_step(&r, EV(TERMINAL_TAKEN), 1000), 0);
	assert_int_equal(request_step(&r, EV(RECORD_FAILED), 3000), DO(END) | DO(FREE));
	assert_int_equal(r.ending, REQUEST_END_AUDIT);
	assert_false(r.opened);
}

static void
test_request_failed_worker_is_retried_before_the_first_frame_only(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_OFF, false, 1, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(FLUSHED), 1000);
	(void)request_step(&r, EV(PICKED), 1000);
	assert_int_equal(request_step(&r, EV(WORKER_RETRY), 1001) &
			     (DO(FREE_SLOT) | DO(FIND_WORKER) | DO(DROP_HELD)),
			 DO(FREE_SLOT) | DO(FIND_WORKER) | DO(DROP_HELD));
	(void)request_step(&r, EV(PICKED), 1002);
	assert_int_equal(r.attempts, 2);
	/* No retry is left. */
	assert_true((request_step(&r, EV(WORKER_RETRY), 1003) & DO(RECORD_END)) != 0);
	assert_int_equal(r.outcome, OUTCOME_ERROR);

	request_state_init(&r, AUDIT_OFF, false, 5, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(PICKED), 1000);
	(void)request_step(&r, EV(FRAME), 1000);
	(void)request_step(&r, EV(DELIVERED), 1000);
	assert_int_equal(request_step(&r, EV(WORKER_RETRY), 1001) & DO(FIND_WORKER), 0);
	assert_int_equal(r.outcome, OUTCOME_ERROR);
}

static void
test_request_that_failed_as_a_probe_goes_elsewhere_without_a_retry(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_OFF, false, 0, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(PICKED), 1000);
	assert_int_equal(request_step(&r, EV(WORKER_PROBE), 1001) &
			     (DO(FREE_SLOT) | DO(FIND_WORKER) | DO(DROP_HELD)),
			 DO(FREE_SLOT) | DO(FIND_WORKER) | DO(DROP_HELD));
	(void)request_step(&r, EV(PICKED), 1002);
	assert_int_equal(r.attempts, 2);
	/* The deadline is over, or the answer has begun: that is the end. */
	assert_true((request_step(&r, EV(WORKER_PROBE), 61000) & DO(RECORD_END)) != 0);

	request_state_init(&r, AUDIT_OFF, false, 5, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(PICKED), 1000);
	(void)request_step(&r, EV(FRAME), 1000);
	(void)request_step(&r, EV(DELIVERED), 1000);
	assert_int_equal(request_step(&r, EV(WORKER_PROBE), 1001) & DO(FIND_WORKER), 0);
	assert_int_equal(r.outcome, OUTCOME_ERROR);
}

static void
test_request_that_may_fall_back_says_its_head_with_the_answer(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_OFF, false, 0, 1000, 60000);
	r.late = true;
	assert_int_equal(request_step(&r, EV(ADMIT), 1000), DO(FIND_WORKER));
	assert_int_equal(request_step(&r, EV(PICKED), 1000), DO(DISPATCH));
	assert_int_equal(request_step(&r, EV(FALL_BACK), 1001),
			 DO(FREE_SLOT) | DO(DROP_HELD) | DO(FIND_WORKER));
	assert_int_equal(request_step(&r, EV(PICKED), 1002), DO(DISPATCH));
	assert_int_equal(request_step(&r, EV(FRAME), 1003), DO(OPEN) | DO(FLUSH));
	(void)request_step(&r, EV(DELIVERED), 1003);
	(void)request_step(&r, EV(FLUSHED), 1003);
	assert_int_equal(request_step(&r, EV(FALL_BACK), 1004), 0); /* too late */
	assert_int_equal(r.work, REQUEST_RUNNING);
}

static void
test_request_that_ends_with_the_fixed_answer_succeeds(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_OFF, false, 0, 1000, 60000);
	r.late = true;
	(void)request_step(&r, EV(ADMIT), 1000);
	assert_int_equal(request_step(&r, EV(FALL_BACK), 1000),
			 DO(LEAVE_QUEUE) | DO(DROP_HELD) | DO(FIND_WORKER));
	assert_int_equal(request_step(&r, EV(STATIC), 1001),
			 DO(LEAVE_QUEUE) | DO(OPEN) | DO(FLUSH));
	assert_int_equal(request_step(&r, EV(FLUSHED), 1001), DO(RECORD_END));
	assert_int_equal(r.outcome, OUTCOME_OK);
	assert_int_equal(r.ending, REQUEST_END_OK);
	assert_int_equal(r.attempts, 0);
}

static void
test_request_that_followed_falls_back_alone(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_OFF, false, 0, 1000, 60000);
	r.late = true;
	r.coalesced = true;
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(FOLLOWS), 1000);
	assert_int_equal(request_step(&r, EV(FALL_BACK), 1001),
			 DO(LEAVE_SHARED) | DO(DROP_HELD) | DO(FIND_WORKER));
	assert_false(r.coalesced);
	(void)request_step(&r, EV(PICKED), 1001);
	(void)request_step(&r, EV(FRAME), 1001);
	(void)request_step(&r, EV(FLUSHED), 1001);
	(void)request_step(&r, EV(WORKER_OK), 1002);
	assert_int_equal(r.outcome, OUTCOME_OK);
}

static void
test_request_full_worker_costs_no_attempt(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_OFF, false, 0, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(PICKED), 1000);
	assert_true((request_step(&r, EV(WORKER_FULL), 1001) & DO(FIND_WORKER)) != 0);
	assert_int_equal(r.attempts, 0);
	assert_int_equal(request_step(&r, EV(PICKED), 1001) & DO(DISPATCH), DO(DISPATCH));
}

static void
test_request_cancel_frees_the_slot_at_once(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(PICKED), 1000);
	assert_int_equal(request_step(&r, EV(CANCEL), 1500),
			 DO(CANCEL_WORKER) | DO(FREE_SLOT) | DO(RECORD_END) | DO(END));
	assert_int_equal(r.outcome, OUTCOME_CANCELLED);
	assert_int_equal(request_step(&r, EV(TERMINAL_TAKEN), 1500), DO(FREE)); /* nobody waits */
}

static void
test_request_cancel_at_the_deadline_is_the_deadline(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 1000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(CANCEL), 1995);
	assert_int_equal(r.outcome, OUTCOME_ERROR);
	assert_int_equal(r.ending, REQUEST_END_DEADLINE);
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 1000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(CANCEL), 1985);
	assert_int_equal(r.outcome, OUTCOME_CANCELLED);
}

static void
test_request_record_too_late_ends_with_audit_unavailable(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(PICKED), 1000);
	(void)request_step(&r, EV(FRAME), 1001);
	assert_int_equal(request_step(&r, EV(RECORD_FAILED), 3000),
			 DO(CANCEL_WORKER) | DO(FREE_SLOT) | DO(RECORD_END) | DO(END));
	assert_int_equal(r.ending, REQUEST_END_AUDIT);
	assert_int_equal(r.outcome, OUTCOME_ERROR);
	assert_false(r.opened);
}

static void
test_request_terminal_too_late_ends_with_audit_unavailable(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(RECORD_DURABLE), 1000);
	(void)request_step(&r, EV(FLUSHED), 1000);
	(void)request_step(&r, EV(PICKED), 1000);
	(void)request_step(&r, EV(WORKER_OK), 1000);
	(void)request_step(&r, EV(TERMINAL_TAKEN), 1000);
	assert_int_equal(request_step(&r, EV(TERMINAL_FAILED), 3000), DO(END) | DO(FREE));
	assert_int_equal(r.ending, REQUEST_END_AUDIT);
}

static void
test_request_no_memory_for_the_terminal_record_is_tried_again(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_OPEN, false, 1, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	assert_true((request_step(&r, EV(NO_WORKER), 1000) & DO(RECORD_END)) != 0);
	assert_int_equal(r.outcome, OUTCOME_REJECTED);
	assert_int_equal(request_step(&r, EV(TERMINAL_NOMEM), 1000), 0);
	assert_int_equal(request_step(&r, EV(TICK), 1100), DO(RECORD_END));
	assert_int_equal(request_step(&r, EV(TERMINAL_NOMEM), 1100), 0);
	assert_int_equal(request_step(&r, EV(DEADLINE), 1200),
			 DO(END)); /* nobody waits for memory */
	assert_int_equal(request_step(&r, EV(TICK), 1300), DO(RECORD_END));
	assert_int_equal(request_step(&r, EV(TERMINAL_TAKEN), 1300), DO(FREE));
	assert_int_equal(r.ending, REQUEST_END_ERROR);
}

/* Found by the simulation: a caller waited two seconds beyond its deadline for a record that said so. */
static void
test_request_deadline_waits_for_no_slow_audit_log(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 500);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(RECORD_DURABLE), 1001);
	(void)request_step(&r, EV(FLUSHED), 1001);
	(void)request_step(&r, EV(PICKED), 1001);
	assert_int_equal(request_step(&r, EV(DEADLINE), 1500),
			 DO(CANCEL_WORKER) | DO(FREE_SLOT) | DO(RECORD_END) | DO(END));
	assert_int_equal(r.ending, REQUEST_END_DEADLINE);
	assert_int_equal(request_step(&r, EV(TERMINAL_TAKEN), 1500), DO(FREE));

	/* The answer is whole and its record on its way: then what the record says stays true, and only the END changes. */
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 500);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(RECORD_DURABLE), 1001);
	(void)request_step(&r, EV(FLUSHED), 1001);
	(void)request_step(&r, EV(PICKED), 1001);
	(void)request_step(&r, EV(WORKER_OK), 1400);
	(void)request_step(&r, EV(TERMINAL_TAKEN), 1400);
	assert_int_equal(request_step(&r, EV(DEADLINE), 1500), DO(END) | DO(FREE));
	assert_int_equal(r.outcome, OUTCOME_OK);
	assert_int_equal(r.ending, REQUEST_END_DEADLINE);
}

static void
test_request_late_pick_gives_its_slot_back(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(CANCEL), 1001);
	assert_int_equal(request_step(&r, EV(PICKED), 1002), DO(FREE_SLOT));
	assert_false(r.slot);
}

static void
test_request_follower_ends_as_coalesced_and_the_leader_as_ok(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct request_state r;

		request_state_init(&r, AUDIT_OFF, false, 1, 1000, 60000);
		r.coalesced = i == 1;
		assert_int_equal(request_step(&r, EV(ADMIT), 1000),
				 DO(FIND_WORKER) | DO(OPEN) | DO(FLUSH));
		(void)request_step(&r, EV(FLUSHED), 1000);
		assert_int_equal(request_step(&r, EV(FOLLOWS), 1000), 0);
		assert_int_equal(request_step(&r, EV(FRAME), 1001), DO(FLUSH));
		/* The generation is over, but this one reads slowly: it stays until it has read everything. */
		assert_int_equal(request_step(&r, EV(WORKER_OK), 1002), DO(FLUSH));
		assert_int_equal(request_step(&r, EV(FLUSHED), 1003), DO(RECORD_END));
		assert_int_equal(r.outcome, i == 1 ? OUTCOME_COALESCED : OUTCOME_OK);
		assert_true(request_state_success(&r));
		assert_int_equal(r.attempts, 0); /* they are the generation's */
	}
}

static void
test_request_follower_that_leaves_frees_no_slot(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_FAIL_CLOSED, false, 1, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(FOLLOWS), 1000);
	assert_int_equal(request_step(&r, EV(CANCEL), 1500),
			 DO(LEAVE_SHARED) | DO(RECORD_END) | DO(END));
	assert_int_equal(r.outcome, OUTCOME_CANCELLED);
	assert_int_equal(request_step(&r, EV(FOLLOWS), 1501), DO(LEAVE_SHARED)); /* too late */
}

static void
test_request_follower_of_a_rejected_generation_is_rejected(void **state)
{
	struct request_state r;

	(void)state;
	request_state_init(&r, AUDIT_OFF, false, 1, 1000, 60000);
	(void)request_step(&r, EV(ADMIT), 1000);
	(void)request_step(&r, EV(FOLLOWS), 1000);
	assert_int_equal(request_step(&r, EV(NO_WORKER), 1000) & DO(RECORD_END), DO(RECORD_END));
	assert_int_equal(r.outcome, OUTCOME_REJECTED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_happy_stream_is_gated_by_both_records),
		cmocka_unit_test(test_request_fail_open_waits_for_no_record),
		cmocka_unit_test(test_request_cache_hit_needs_no_worker),
		cmocka_unit_test(test_request_hit_before_its_record_asks_for_both_at_once),
		cmocka_unit_test(test_request_answer_before_its_record_asks_for_both_at_once),
		cmocka_unit_test(test_request_hit_before_its_record_ends_badly_if_that_is_late),
		cmocka_unit_test(test_request_failed_worker_is_retried_before_the_first_frame_only),
		cmocka_unit_test(
		    test_request_that_failed_as_a_probe_goes_elsewhere_without_a_retry),
		cmocka_unit_test(test_request_that_may_fall_back_says_its_head_with_the_answer),
		cmocka_unit_test(test_request_that_ends_with_the_fixed_answer_succeeds),
		cmocka_unit_test(test_request_that_followed_falls_back_alone),
		cmocka_unit_test(test_request_full_worker_costs_no_attempt),
		cmocka_unit_test(test_request_cancel_frees_the_slot_at_once),
		cmocka_unit_test(test_request_cancel_at_the_deadline_is_the_deadline),
		cmocka_unit_test(test_request_record_too_late_ends_with_audit_unavailable),
		cmocka_unit_test(test_request_terminal_too_late_ends_with_audit_unavailable),
		cmocka_unit_test(test_request_no_memory_for_the_terminal_record_is_tried_again),
		cmocka_unit_test(test_request_deadline_waits_for_no_slow_audit_log),
		cmocka_unit_test(test_request_late_pick_gives_its_slot_back),
		cmocka_unit_test(test_request_follower_ends_as_coalesced_and_the_leader_as_ok),
		cmocka_unit_test(test_request_follower_that_leaves_frees_no_slot),
		cmocka_unit_test(test_request_follower_of_a_rejected_generation_is_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
