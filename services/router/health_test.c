/*
 * router/health_test.c - the worker's state machine, what an attempt says of a worker, and the retry budget: tables on
 * virtual time.
 */
#include "router/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "router/retry_budget.h"
#include "router/verdict.h"

/* A worker in each state, the shortest way. */
static struct health
worker_in(enum health_state state)
{
	static const enum health_event ways[HEALTH_STATES] = {
		[HEALTH_JOINING] = HEALTH_EVENTS,    [HEALTH_READY] = HEALTH_EV_RAMPED,
		[HEALTH_SUSPECT] = HEALTH_EV_SILENT, [HEALTH_EJECTED] = HEALTH_EV_EJECT,
		[HEALTH_DRAINING] = HEALTH_EV_DRAIN, [HEALTH_GONE] = HEALTH_EV_LOST,
	};
	struct health h;

	health_init(&h, 0);
	if (state != HEALTH_JOINING) {
		(void)health_step(&h, HEALTH_EV_RAMPED, 1);
	}
	if (state != HEALTH_JOINING && state != HEALTH_READY) {
		assert_true(health_step(&h, ways[state], 2));
	}
	assert_int_equal(h.state, state);
	return h;
}

static void
test_health_every_event_in_every_state(void **state)
{
#define J HEALTH_JOINING
#define R HEALTH_READY
#define S HEALTH_SUSPECT
#define E HEALTH_EJECTED
#define D HEALTH_DRAINING
#define G HEALTH_GONE
	static const enum health_state table[HEALTH_STATES][HEALTH_EVENTS] = {
		/* RAMPED SILENT HEARD FAILING WELL EJECT READMIT DRAIN UNDRAIN OP_DRAIN OP_UNDRAIN LOST */
		[J] = { R, S, J, S, J, E, J, D, J, D, J, G },
		[R] = { R, S, R, S, R, E, R, D, R, D, R, G },
		[S] = { S, S, R, S, S, E, S, D, S, D, S, G }, /* silent */
		[E] = { E, E, E, E, E, E, J, D, E, D, E, G },
		[D] = { D, D, D, D, D, D, D, D, R, D, D, G }, /* by its own word */
		[G] = { G, G, G, G, G, G, G, G, G, G, G, G },
	};
#undef J
#undef R
#undef S
#undef E
#undef D
#undef G

	(void)state;
	for (int from = 0; from < HEALTH_STATES; from++) {
		for (int ev = 0; ev < HEALTH_EVENTS; ev++) {
			struct health h = worker_in((enum health_state)from);
			bool changed = health_step(&h, (enum health_event)ev, 7);

			if (h.state != table[from][ev]) {
				fail_msg("event %d in %s leads to %s", ev,
					 health_state_text((enum health_state)from),
					 health_state_text(h.state));
			}
			assert_int_equal(changed, h.state != (enum health_state)from);
			assert_int_equal(h.since_ms == 7, changed);
		}
	}
}

static void
test_health_usable_is_who_may_get_requests(void **state)
{
	static const bool usable[HEALTH_STATES] = { [HEALTH_JOINING] = true,
						    [HEALTH_READY] = true,
						    [HEALTH_EJECTED] = true /* its probe */ };
	struct health h;

	(void)state;
	for (int s = 0; s < HEALTH_STATES; s++) {
		h = worker_in((enum health_state)s);
		assert_int_equal(health_usable(&h), usable[s]);
	}
	h = worker_in(HEALTH_READY);
	(void)health_step(&h, HEALTH_EV_FAILING, 3);
	assert_int_equal(h.state, HEALTH_SUSPECT);
	assert_true(health_usable(&h)); /* its breakers will tell */
}

static void
test_health_operators_drain_is_not_undone_by_the_worker(void **state)
{
	struct health h = worker_in(HEALTH_READY);

	(void)state;
	assert_true(health_step(&h, HEALTH_EV_OPERATOR_DRAIN, 3));
	assert_false(health_step(&h, HEALTH_EV_UNDRAIN, 4)); /* it announces itself every second */
	assert_int_equal(h.state, HEALTH_DRAINING);
	assert_false(health_step(&h, HEALTH_EV_DRAIN, 5));
	assert_false(health_step(&h, HEALTH_EV_OPERATOR_UNDRAIN, 6)); /* its own word stands */
	assert_true(health_step(&h, HEALTH_EV_UNDRAIN, 7));
	assert_int_equal(h.state, HEALTH_READY);
}

static void
test_health_recovered_worker_joins_anew(void **state)
{
	struct health h = worker_in(HEALTH_EJECTED);

	(void)state;
	assert_true(health_step(&h, HEALTH_EV_READMIT, 9));
	assert_int_equal(h.state, HEALTH_JOINING);
	assert_true(health_step(&h, HEALTH_EV_RAMPED, 10));
	assert_int_equal(h.state, HEALTH_READY);
	assert_false(health_step(&h, HEALTH_EV_READMIT, 11)); /* it was not out */
	assert_int_equal(h.state, HEALTH_READY);
}

static void
test_health_what_happened_while_draining_shows_afterwards(void **state)
{
	struct health h = worker_in(HEALTH_DRAINING);

	(void)state;
	(void)health_step(&h, HEALTH_EV_EJECT, 3);
	(void)health_step(&h, HEALTH_EV_SILENT, 4);
	(void)health_step(&h, HEALTH_EV_UNDRAIN, 5);
	assert_int_equal(h.state, HEALTH_EJECTED);
	assert_false(health_usable(&h)); /* silent: not even a probe */
	(void)health_step(&h, HEALTH_EV_READMIT, 6);
	assert_int_equal(h.state, HEALTH_SUSPECT);
}

static void
test_health_texts_tell_state_and_reason(void **state)
{
	(void)state;
	for (int s = 0; s < HEALTH_STATES; s++) {
		struct health h = worker_in((enum health_state)s);

		assert_true(strlen(health_state_text(h.state)) > 3);
		assert_true(strlen(health_reason(&h)) > 3);
	}
}

static void
test_verdict_of_each_error(void **state)
{
	static const struct {
		enum im_rc rc;
		const char *reason;
		uint32_t retry_after_ms;
		bool opened;
		enum verdict verdict;
		enum again again;
		uint32_t pause_ms;
	} rows[] = {
		/* the caller's own */
		{ IM_EINVAL, "invalid_value", 0, true, VERDICT_NOTHING, AGAIN_NO, 0 },
		{ IM_EINVAL, "context_length_exceeded", 0, true, VERDICT_NOTHING, AGAIN_NO, 0 },
		{ IM_EAUTH, "", 0, true, VERDICT_NOTHING, AGAIN_NO, 0 },
		{ IM_EPERM, "", 0, true, VERDICT_NOTHING, AGAIN_NO, 0 },
		{ IM_ENOTFOUND, "model_not_found", 0, true, VERDICT_NOTHING, AGAIN_NO, 0 },
		{ IM_ETOOBIG, "request_too_large", 0, true, VERDICT_NOTHING, AGAIN_NO, 0 },
		{ IM_ECANCELED, "", 0, true, VERDICT_NOTHING, AGAIN_NO, 0 },
		/* no attempt */
		{ IM_EAGAIN, "queue_full", 1000, true, VERDICT_NOTHING, AGAIN_FULL, 0 },
		{ IM_EAGAIN, "backlog", 0, false, VERDICT_NOTHING, AGAIN_FULL, 0 },
		/* the link's */
		{ IM_EUNAVAILABLE, "link_lost", 0, true, VERDICT_NOTHING, AGAIN_MOVE, 0 },
		{ IM_EUNAVAILABLE, "", 0, true, VERDICT_NOTHING, AGAIN_MOVE, 0 },
		{ IM_EUNAVAILABLE, "draining", 0, false, VERDICT_NOTHING, AGAIN_MOVE, 0 },
		{ IM_EUNAVAILABLE, "worker_draining", 0, true, VERDICT_NOTHING, AGAIN_MOVE, 0 },
		{ IM_ENOMEM, "", 0, false, VERDICT_NOTHING, AGAIN_MOVE, 0 },
		{ IM_ENOTFOUND, "model_unloaded", 0, true, VERDICT_NOTHING, AGAIN_MOVE, 0 },
		/* asks for a pause */
		{ IM_ELIMIT, "rate_limit_exceeded", 7000, true, VERDICT_PAUSE, AGAIN_RETRY, 7000 },
		{ IM_ELIMIT, "", 0, true, VERDICT_PAUSE, AGAIN_RETRY, VERDICT_PAUSE_MS },
		{ IM_ELIMIT, "", UINT32_MAX, true, VERDICT_PAUSE, AGAIN_RETRY,
		  VERDICT_PAUSE_MAX_MS },
		{ IM_EUNAVAILABLE, "upstream_error", 3000, true, VERDICT_PAUSE, AGAIN_RETRY, 3000 },
		{ IM_EUNAVAILABLE, "upstream_error", 1000, true, VERDICT_PAUSE, AGAIN_RETRY, 1000 },
		/* its own */
		{ IM_ELIMIT, "insufficient_quota", 0, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
		{ IM_EUPSTREAM, "upstream_error", 0, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
		{ IM_EUPSTREAM, "upstream_error", 3000, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
		{ IM_EUNAVAILABLE, "upstream_error", 0, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
		{ IM_EDEADLINE, "upstream_timeout", 0, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
		{ IM_EIO, "", 0, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
		{ IM_ENOMEM, "", 0, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
		{ IM_EINTERNAL, "", 0, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
		{ IM_EPROTO, "", 0, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
		{ IM_ECORRUPT, "", 0, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
		{ IM_EMETHOD, "", 0, true, VERDICT_FAILED, AGAIN_RETRY, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct im_err err = { .rc = rows[i].rc, .retry_after_ms = rows[i].retry_after_ms };
		struct judgement j;

		(void)snprintf(err.reason, sizeof(err.reason), "%s", rows[i].reason);
		j = verdict_of_error(&err, rows[i].opened);
		if (j.verdict != rows[i].verdict || j.again != rows[i].again ||
		    j.pause_ms != rows[i].pause_ms) {
			fail_msg("row %zu (%s): verdict %d, again %d, pause %u", i,
				 im_rc_text(rows[i].rc), j.verdict, j.again, j.pause_ms);
		}
	}
}

static void
test_verdict_deadline_counts_only_after_long_silence(void **state)
{
	(void)state;
	assert_int_equal(verdict_of_deadline(0, 30000), VERDICT_NOTHING);
	assert_int_equal(verdict_of_deadline(29999, 30000), VERDICT_NOTHING);
	assert_int_equal(verdict_of_deadline(30000, 30000), VERDICT_FAILED);
}

static void
test_retry_budget_quiet_system_may_retry(void **state)
{
	struct retry_budget b;

	(void)state;
	retry_budget_init(&b, 20, 3);
	for (int i = 0; i < 3; i++) {
		assert_true(retry_budget_take(&b, 5000));
	}
	assert_false(retry_budget_take(&b, 5000));
	assert_false(retry_budget_take(&b, 14999));
	assert_true(retry_budget_take(&b, 15000)); /* the window is over */
}

static void
test_retry_budget_requests_pay_for_a_share_of_retries(void **state)
{
	struct retry_budget b;

	(void)state;
	retry_budget_init(&b, 20, 0);
	assert_false(retry_budget_take(&b, 0));
	for (int i = 0; i < 99; i++) {
		retry_budget_request(&b, 100);
	}
	for (int i = 0; i < 19; i++) { /* 19.8 tokens */
		assert_true(retry_budget_take(&b, 200));
	}
	assert_false(retry_budget_take(&b, 200));
	retry_budget_request(&b, 300);
	assert_true(retry_budget_take(&b, 300));
	assert_false(retry_budget_take(&b, 300));
}

static void
test_retry_budget_old_requests_pay_for_nothing(void **state)
{
	struct retry_budget b;

	(void)state;
	retry_budget_init(&b, 100, 0);
	for (int i = 0; i < 50; i++) {
		retry_budget_request(&b, 1000);
	}
	assert_true(retry_budget_take(&b, 10999));
	assert_false(retry_budget_take(&b, 11000));
	assert_false(retry_budget_take(&b, 1000000000));
}

static void
test_retry_budget_nothing_allowed_is_nothing_taken(void **state)
{
	struct retry_budget b;

	(void)state;
	retry_budget_init(&b, 0, 0);
	for (int i = 0; i < 100; i++) {
		retry_budget_request(&b, 0);
		assert_false(retry_budget_take(&b, 0));
	}
}

/* All workers fail: every request wants a retry, and every retry another one. */
static void
test_retry_budget_bounds_the_amplification_in_every_window(void **state)
{
	enum {
		MS = 60000
	};
	static uint32_t requests[MS], retries[MS];
	struct retry_budget b;
	struct prng rng;
	uint64_t in = 0, again = 0;

	(void)state;
	prng_seed(&rng, 3);
	retry_budget_init(&b, 20, 10);
	for (uint64_t ms = 0; ms < MS; ms++) {
		/* Quiet minutes and bursts. */
		for (uint32_t n = prng_below(&rng, ms / 5000 % 2 ? 40 : 2); n > 0; n--) {
			retry_budget_request(&b, ms);
			requests[ms]++;
		}
		while (retry_budget_take(&b, ms)) {
			retries[ms]++;
		}
		in += requests[ms];
		again += retries[ms];
		/* Parts of 1 s: what the oldest part held before may be forgotten already. */
		if (ms >= RETRY_BUDGET_WINDOW_MS) {
			in -= requests[ms - RETRY_BUDGET_WINDOW_MS];
			again -= retries[ms - RETRY_BUDGET_WINDOW_MS];
		}
		if (ms % 1000 == 999) {
			assert_true(again * 100 <= in * 20 + 1000UL);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_health_every_event_in_every_state),
		cmocka_unit_test(test_health_usable_is_who_may_get_requests),
		cmocka_unit_test(test_health_operators_drain_is_not_undone_by_the_worker),
		cmocka_unit_test(test_health_recovered_worker_joins_anew),
		cmocka_unit_test(test_health_what_happened_while_draining_shows_afterwards),
		cmocka_unit_test(test_health_texts_tell_state_and_reason),
		cmocka_unit_test(test_verdict_of_each_error),
		cmocka_unit_test(test_verdict_deadline_counts_only_after_long_silence),
		cmocka_unit_test(test_retry_budget_quiet_system_may_retry),
		cmocka_unit_test(test_retry_budget_requests_pay_for_a_share_of_retries),
		cmocka_unit_test(test_retry_budget_old_requests_pay_for_nothing),
		cmocka_unit_test(test_retry_budget_nothing_allowed_is_nothing_taken),
		cmocka_unit_test(test_retry_budget_bounds_the_amplification_in_every_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
