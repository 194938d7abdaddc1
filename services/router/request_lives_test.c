/*
 * router/request_lives_test.c - random lives of requests: any sequence of events, and what must hold after each step.
 */
#include "router/request_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DO(name) REQUEST_DO_##name
#define EV(name) REQUEST_EV_##name

struct world {
	struct request_state r;
	uint64_t seed, now_ms;
	int slots, calls; /* taken at the worker; calls open */
	bool shares;      /* it looks for a generation in place of a worker */
	bool follows;     /* a generation tells it frames and an end */
	int fallbacks;    /* so far; the third is the fixed answer */
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
	if ((a & DO(OPEN)) != 0 && w->r.late) { /* the head says who answers */
		assert_true(w->r.answering || w->r.work == REQUEST_OVER);
	}
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

/* Now and then, as the shell does: while nobody has heard of an answer. */
static bool
may_fall_back(struct world *w)
{
	if (!w->r.late || w->r.opened || w->r.delivered || w->fallbacks == 3 || roll(w, 3) != 0) {
		return false;
	}
	w->fallbacks++;
	return true;
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
	send(w, may_fall_back(w) ? EV(FALL_BACK) : ends[roll(w, 5)]);
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
	if (may_fall_back(w)) {
		send(w, EV(FALL_BACK));
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
		if (w->fallbacks == 3) {
			w->held++;
			send(w, EV(STATIC));
		} else if (may_fall_back(w)) {
			send(w, EV(FALL_BACK));
		} else if (w->shares && w->fallbacks == 0) {
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
	w.r.late = roll(&w, 2) == 0;
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
		cmocka_unit_test(test_request_random_lives_keep_every_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
