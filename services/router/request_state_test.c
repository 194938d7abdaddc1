/*
 * router/request_state_test.c - the life of a request on virtual time: single stories, and random sequences of events whose
 * invariants are checked after each step.
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

/* --- random sequences --- */

struct world {
	struct request_state r;
	uint64_t seed, now_ms;
	int slots, calls; /* taken at the worker; calls open */
	bool shares;      /* it looks for a generation in place of a worker */
	bool follows;     /* a generation tells it frames and an end */
	int terminals, ends, frees, opens;
	bool asked, finding, flushing, cache_open;
	bool record_durable, terminal_durable, pending;
	int held;
};

static uint32_t
roll(struct world *w, uint32_t n)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return (uint32_t)(w->seed >> 33) % n;
}

static void
check_gates(const struct world *w, unsigned a)
{
	if (w->r.mode == AUDIT_FAIL_CLOSED && (a & (DO(OPEN) | DO(FLUSH))) != 0) {
		assert_true(w->record_durable);
	}
	if (w->r.mode == AUDIT_FAIL_CLOSED && (a & DO(END)) != 0 && w->r.ending == REQUEST_END_OK &&
	    !w->r.gone) {
		assert_true(w->record_durable && w->terminal_durable);
	}
	if ((a & DO(END)) != 0 && w->r.ending == REQUEST_END_OK && !w->r.gone) {
		assert_int_equal(w->held, 0);
	}
}

/* Do what is asked as the shell does, and keep count. */
static void
perform(struct world *w, unsigned a)
{
	check_gates(w, a);
	if ((a & DO(STOP_CACHE)) != 0) {
		assert_true(w->cache_open);
		w->cache_open = false;
	}
	if ((a & DO(LEAVE_QUEUE)) != 0) {
		w->finding = false;
	}
	if ((a & DO(LEAVE_SHARED)) != 0) {
		assert_true(w->follows);
		w->follows = false;
	}
	if ((a & DO(CANCEL_WORKER)) != 0) {
		assert_int_equal(w->calls, 1);
		w->calls--;
	}
	if ((a & DO(FREE_SLOT)) != 0) {
		w->slots--;
	}
	assert_in_range(w->slots, 0, 1);
	if ((a & DO(DROP_HELD)) != 0) {
		w->held = 0;
	}
	if ((a & DO(ASK_CACHE)) != 0) {
		w->cache_open = true;
	}
	if ((a & DO(FIND_WORKER)) != 0) {
		w->finding = true;
	}
	if ((a & DO(DISPATCH)) != 0) {
		assert_int_equal(w->slots, 1);
		w->calls++;
	}
	assert_in_range(w->calls, 0, w->slots); /* no call without a slot */
	w->opens += (a & DO(OPEN)) != 0;
	w->flushing = w->flushing || (a & DO(FLUSH)) != 0;
	if ((a & DO(RECORD_END)) != 0) {
		assert_int_not_equal(w->r.outcome, OUTCOME_NONE);
		assert_false(w->asked);
		w->asked = true;
	}
	w->ends += (a & DO(END)) != 0;
	if ((a & DO(FREE)) != 0) {
		w->frees++;
		assert_int_equal(w->slots, 0);
		assert_int_equal(w->calls, 0);
		assert_false(w->cache_open);
		assert_false(w->follows);
		assert_int_equal(w->terminals, 1);
		assert_int_equal(w->ends, 1);
	}
	assert_in_range(w->terminals, 0, 1);
	assert_in_range(w->ends, 0, 1);
	assert_in_range(w->opens, 0, 1);
}

static void
send(struct world *w, enum request_event ev)
{
	perform(w, request_step(&w->r, ev, w->now_ms));
}

static void
happen_at_worker(struct world *w)
{
	static const enum request_event ends[] = { EV(WORKER_OK), EV(WORKER_RETRY), EV(WORKER_FULL),
						   EV(WORKER_FAILED), EV(WORKER_PROBE) };

	if (w->calls == 0) {
		return;
	}
	if (roll(w, 3) != 0) {
		w->held++;
		send(w, EV(FRAME));
		return;
	}
	w->calls--;
	send(w, ends[roll(w, 5)]);
}

static void
happen_at_generation(struct world *w)
{
	static const enum request_event ends[] = { EV(WORKER_OK), EV(WORKER_OK), EV(WORKER_FAILED),
						   EV(NO_WORKER) };

	if (!w->follows) {
		return;
	}
	if (roll(w, 3) != 0) {
		w->held++;
		send(w, EV(FRAME));
		return;
	}
	w->follows = false;
	send(w, ends[roll(w, 4)]);
}

static void
happen_at_audit(struct world *w)
{
	if (w->asked) {
		bool taken = roll(w, 4) != 0;

		w->asked = false;
		w->terminals += taken;
		w->pending = taken;
		send(w, taken ? EV(TERMINAL_TAKEN) : EV(TERMINAL_NOMEM));
	} else if (w->pending && roll(w, 2) == 0) {
		w->pending = false;
		w->terminal_durable = roll(w, 3) != 0;
		send(w, w->terminal_durable ? EV(TERMINAL_DURABLE) : EV(TERMINAL_FAILED));
	} else if (!w->record_durable && w->r.record == GATE_SHUT && roll(w, 2) == 0) {
		w->record_durable = roll(w, 4) != 0;
		send(w, w->record_durable ? EV(RECORD_DURABLE) : EV(RECORD_FAILED));
	}
}

static void
happen_at_caller(struct world *w)
{
	if (w->flushing && roll(w, 2) == 0) {
		w->flushing = false;
		if (w->held > 0) {
			send(w, EV(DELIVERED));
		}
		w->held = 0;
		send(w, EV(FLUSHED));
	} else if (roll(w, 12) == 0) {
		send(w, EV(CANCEL));
	} else if (roll(w, 30) == 0) {
		send(w, EV(FAILED));
	}
}

static void
happen_in_the_house(struct world *w)
{
	if (w->cache_open && roll(w, 2) == 0) {
		bool hit = roll(w, 2) == 0;

		w->cache_open = false;
		w->held += hit;
		send(w, hit ? EV(CACHE_HIT) : EV(CACHE_MISS));
	} else if (w->finding && roll(w, 2) == 0) {
		w->finding = false;
		if (w->shares) {
			w->follows = true;
			send(w, EV(FOLLOWS));
		} else if (roll(w, 5) != 0) {
			w->slots++;
			send(w, EV(PICKED));
		} else {
			send(w, EV(NO_WORKER));
		}
	} else if (roll(w, 4) == 0) {
		send(w, EV(TICK));
	}
}

/* Anything at any time, also what makes no sense: but a slot is only taken for somebody who looks for one. */
static void
happen_out_of_order(struct world *w)
{
	static const enum request_event any[] = { EV(ADMIT),     EV(RECORD_FAILED),
						  EV(DELIVERED), EV(DEADLINE),
						  EV(TICK),      EV(TERMINAL_FAILED),
						  EV(CANCEL) };
	enum request_event ev = any[roll(w, sizeof(any) / sizeof(any[0]))];

	if (ev == EV(TERMINAL_FAILED) && w->pending) {
		w->pending = false;
	}
	send(w, ev);
}

static void
live_one(uint64_t seed)
{
	static const enum audit_mode modes[] = { AUDIT_FAIL_CLOSED, AUDIT_FAIL_CLOSED,
						 AUDIT_FAIL_OPEN, AUDIT_OFF };
	struct world w = { .seed = seed * 0x9e3779b97f4a7c15ULL + 1, .now_ms = 1000 };
	int steps = 0;

	request_state_init(&w.r, modes[roll(&w, 4)], roll(&w, 2) == 0, roll(&w, 3), w.now_ms,
			   1 + roll(&w, 200));
	w.shares = roll(&w, 3) == 0;
	w.r.coalesced = w.shares && roll(&w, 2) == 0;
	send(&w, EV(ADMIT));
	while (w.frees == 0) {
		static void (*const places[])(struct world *) = {
			happen_at_worker, happen_at_audit, happen_at_caller,    happen_in_the_house,
			happen_at_worker, happen_at_audit, happen_at_generation
		};

		assert_in_range(++steps, 1, 20000);
		w.now_ms += roll(&w, 3);
		if (w.now_ms >= w.r.deadline_ms && roll(&w, 3) == 0) {
			send(&w, EV(DEADLINE));
		} else if (roll(&w, 40) == 0) {
			happen_out_of_order(&w);
		} else {
			places[roll(&w, sizeof(places) / sizeof(places[0]))](&w);
		}
		assert_int_equal(w.slots, w.r.slot);
	}
	for (int ev = 0; ev < REQUEST_EV_COUNT; ev++) { /* nothing wakes the dead */
		assert_int_equal(request_step(&w.r, (enum request_event)ev, w.now_ms),
				 ev == EV(PICKED)    ? DO(FREE_SLOT)
				 : ev == EV(FOLLOWS) ? DO(LEAVE_SHARED)
						     : 0);
	}
	assert_int_equal(w.ends, 1);
	assert_int_equal(w.terminals, 1);
	assert_int_equal(w.slots, 0);
}

static void
test_request_random_lives_keep_every_promise(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200000; seed++) {
		live_one(seed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_happy_stream_is_gated_by_both_records),
		cmocka_unit_test(test_request_fail_open_waits_for_no_record),
		cmocka_unit_test(test_request_cache_hit_needs_no_worker),
		cmocka_unit_test(test_request_failed_worker_is_retried_before_the_first_frame_only),
		cmocka_unit_test(
		    test_request_that_failed_as_a_probe_goes_elsewhere_without_a_retry),
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
		cmocka_unit_test(test_request_random_lives_keep_every_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
