/*
 * router/limiter_test.c - buckets of our own, on virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "router/limiter_rig.h"

#define MINUTE 60000U

static void
test_limiter_requests_beyond_the_burst_wait_for_the_refill(void **state)
{
	struct limit_rule rules[] = { { LIMIT_GLOBAL, "", { rate(60, 3), none }, 0, NULL } };
	struct limit_verdict v;
	struct limit_hold hold;
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 1000), IM_OK);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(ask_for(&l, "t", "k", 9, 9, 1000, &hold, &v), LIMIT_OK);
		assert_int_equal(v.rates.requests.limit, 3);
		assert_int_equal(v.rates.requests.remaining, 2 - i);
		assert_int_equal(v.rates.requests.reset_ms, 1000 * (i + 1));
		assert_int_equal(v.rates.tokens.limit, 0);
		limiter_settle(&l, &hold, 50, 1000);
	}
	assert_int_equal(ask_for(&l, "t", "k", 9, 9, 1400, &hold, &v), LIMIT_EXCEEDED);
	assert_int_equal(hold.count, 0);
	assert_int_equal(v.kind, LIMIT_REQUESTS);
	assert_ptr_equal(v.rule, &rules[0]);
	assert_int_equal(v.retry_ms, 600);
	assert_int_equal(v.rates.requests.remaining, 0);
	assert_int_equal(knock(&l, "t", "k", 1999), LIMIT_EXCEEDED);
	assert_int_equal(knock(&l, "t", "k", 2000), LIMIT_OK);
	assert_int_equal(knock(&l, "t", "k", 2000), LIMIT_EXCEEDED);
	limiter_done(&l);
}

static void
test_limiter_odd_rates_lose_nothing_to_rounding(void **state)
{
	struct limit_rule rules[] = { { LIMIT_GLOBAL, "", { rate(7, 1), none }, 0, NULL } };
	struct limiter l;
	uint32_t admitted = 0;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 0), IM_OK);
	for (uint64_t ms = 0; ms < 100ULL * MINUTE; ms++) {
		admitted += knock(&l, "t", "k", ms) == LIMIT_OK;
	}
	/* With a burst of one the wait for a whole millisecond is lost each time, and nothing else. */
	assert_in_range(admitted, 699, 701);
	limiter_done(&l);
}

static void
test_limiter_clock_that_stands_or_jumps_far_is_harmless(void **state)
{
	struct limit_rule rules[] = {
		{ LIMIT_GLOBAL, "", { rate(LIMIT_RATE_MAX, LIMIT_RATE_MAX), none }, 0, NULL }
	};
	struct limit_verdict v;
	struct limit_hold hold;
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 0), IM_OK);
	assert_int_equal(knock(&l, "t", "k", 0), LIMIT_OK);
	assert_int_equal(ask_for(&l, "t", "k", 0, 0, UINT64_MAX / 2, &hold, &v), LIMIT_OK);
	assert_int_equal(v.rates.requests.remaining, LIMIT_RATE_MAX - 1);
	limiter_settle(&l, &hold, 0, 5); /* the clock went back: nothing is filled twice */
	assert_int_equal(ask_for(&l, "t", "k", 0, 0, UINT64_MAX / 2, &hold, &v), LIMIT_OK);
	assert_int_equal(v.rates.requests.remaining, LIMIT_RATE_MAX - 2);
	limiter_settle(&l, &hold, 0, UINT64_MAX / 2);
	limiter_done(&l);
}

static void
test_limiter_refused_request_costs_nothing_in_any_bucket(void **state)
{
	struct limit_rule rules[] = {
		{ LIMIT_GLOBAL, "", { rate(60, 10), rate(600, 1000) }, 0, NULL },
		{ LIMIT_TENANT, NULL, { none, rate(600, 500) }, 0, NULL },
		{ LIMIT_KEY, "k", { rate(60, 1), none }, 0, NULL },
	};
	struct limit_verdict v;
	struct limit_hold first, hold;
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 3, 7, 0), IM_OK);
	assert_int_equal(ask_for(&l, "t", "k", 100, 100, 0, &first, &v), LIMIT_OK);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(ask_for(&l, "t", "k", 100, 100, 0, &hold, &v), LIMIT_EXCEEDED);
		assert_ptr_equal(v.rule, &rules[2]);
		/* The tightest are told: of requests the key's, of tokens the tenant's. */
		assert_int_equal(v.rates.requests.remaining, 0);
		assert_int_equal(v.rates.tokens.limit, 500);
		assert_int_equal(v.rates.tokens.remaining, 300);
	}
	assert_int_equal(ask_for(&l, "t", "other", 100, 200, 0, &hold, &v), LIMIT_OK);
	assert_int_equal(v.rates.requests.remaining, 8);
	assert_int_equal(v.rates.tokens.remaining, 0);
	assert_int_equal(l.reservations, 2);
	assert_int_equal(l.reserved_tokens, 500);
	limiter_settle(&l, &first, 200, 0);
	limiter_settle(&l, &hold, 300, 0);
	assert_int_equal(l.reservations, 0);
	assert_int_equal(l.reserved_tokens, 0);
	limiter_done(&l);
}

static void
test_limiter_name_of_its_own_replaces_the_rule_for_each(void **state)
{
	struct limit_rule rules[] = {
		{ LIMIT_KEY, NULL, { rate(60, 1), none }, 0, NULL },
		{ LIMIT_KEY, "big", { rate(60, 3), none }, 0, NULL },
	};
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 2, 7, 0), IM_OK);
	assert_int_equal(knock(&l, "t", "a", 0), LIMIT_OK);
	assert_int_equal(knock(&l, "t", "a", 0), LIMIT_EXCEEDED);
	assert_int_equal(knock(&l, "t", "b", 0), LIMIT_OK);
	assert_int_equal(knock(&l, "t", "b", 0), LIMIT_EXCEEDED);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(knock(&l, "t", "big", 0), LIMIT_OK);
	}
	assert_int_equal(knock(&l, "t", "big", 0), LIMIT_EXCEEDED);
	assert_int_equal(rules[0].buckets, 2);
	assert_int_equal(rules[1].buckets, 1);
	limiter_done(&l);
}

static void
test_limiter_names_without_a_rule_are_free(void **state)
{
	struct limit_rule rules[] = { { LIMIT_TENANT, "acme", { rate(60, 1), none }, 0, NULL } };
	struct limit_verdict v;
	struct limit_hold hold;
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 0), IM_OK);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ask_for(&l, "other", "acme", 1, 1, 0, &hold, &v), LIMIT_OK);
		assert_int_equal(hold.count, 0);
		assert_int_equal(v.rates.requests.limit, 0);
	}
	assert_int_equal(l.reservations, 0);
	limiter_done(&l);
}

static void
test_limiter_settling_gives_back_or_leaves_a_debt(void **state)
{
	struct limit_rule rules[] = { { LIMIT_KEY, NULL, { none, rate(60, 100) }, 0, NULL } };
	struct limit_verdict v;
	struct limit_hold hold;
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 0), IM_OK);
	assert_int_equal(ask_for(&l, "t", "k", 20, 80, 0, &hold, &v), LIMIT_OK);
	assert_int_equal(v.rates.tokens.remaining, 0);
	limiter_settle(&l, &hold, 30, 0); /* used less: 70 are back */
	assert_int_equal(ask_for(&l, "t", "k", 20, 50, 0, &hold, &v), LIMIT_OK);
	limiter_settle(&l, &hold, 75, 0); /* more: 5 are owed */
	assert_int_equal(ask_for(&l, "t", "k", 0, 1, 5999, &hold, &v), LIMIT_EXCEEDED);
	assert_int_equal(v.retry_ms, 1);
	assert_int_equal(v.rates.tokens.remaining, 0);
	assert_int_equal(v.rates.tokens.reset_ms, 99001);
	assert_int_equal(ask_for(&l, "t", "k", 0, 1, 6000, &hold, &v), LIMIT_OK);
	limiter_settle(&l, &hold, 0, 6000);  /* cancelled before it began */
	limiter_settle(&l, &hold, 99, 6000); /* once is enough */
	assert_int_equal(ask_for(&l, "t", "k", 0, 1, 6000, &hold, &v), LIMIT_OK);
	limiter_settle(&l, &hold, 1, 6000);
	limiter_done(&l);
}

/* Found by the simulation: who fell back to an answer of its own after a shared one had failed paid for none. */
static void
test_limiter_answer_that_another_pays_for_leaves_a_hold_for_ones_own(void **state)
{
	struct limit_rule rules[] = { { LIMIT_KEY, NULL, { none, rate(60, 100) }, 0, NULL } };
	struct limit_hold first, shared, second;
	struct limit_verdict v;
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 0), IM_OK);
	assert_int_equal(ask_for(&l, "t", "k", 20, 40, 0, &first, &v), LIMIT_OK);
	limiter_pass(&l, &first, &shared);
	assert_int_equal(l.reservations, 2);
	assert_int_equal(l.reserved_tokens, 60);
	assert_int_equal(ask_for(&l, "t", "k", 20, 20, 0, &second, &v), LIMIT_OK);
	limiter_ease(&l, &second, 0); /* it joins: its 40 are back */
	assert_int_equal(l.reserved_tokens, 60);
	limiter_settle(&l, &shared, 0, 0); /* that one failed: 60 are back */
	limiter_settle(&l, &first, 70, 0);
	limiter_settle(&l, &second, 30, 0);
	assert_int_equal(l.reservations, 0);
	assert_int_equal(l.reserved_tokens, 0);
	assert_int_equal(ask_for(&l, "t", "k", 0, 1, 0, &first, &v), LIMIT_EXCEEDED);
	assert_int_equal(v.retry_ms, 1000); /* 100 were there, 100 are used */
	limiter_done(&l);
}

static void
test_limiter_undone_request_costs_nothing(void **state)
{
	struct limit_rule rules[] = {
		{ LIMIT_GLOBAL, "", { rate(60, 2), rate(60, 100) }, 0, NULL }
	};
	struct limit_verdict v;
	struct limit_hold hold;
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 0), IM_OK);
	assert_int_equal(ask_for(&l, "t", "k", 50, 50, 0, &hold, &v), LIMIT_OK);
	assert_int_equal(limiter_left(&rules[0], LIMIT_REQUESTS, 0), 1);
	assert_int_equal(limiter_left(&rules[0], LIMIT_TOKENS, 0), 0);
	limiter_undo(&l, &hold, 0);
	limiter_undo(&l, &hold, 0);
	assert_int_equal(limiter_left(&rules[0], LIMIT_REQUESTS, 0), 2);
	assert_int_equal(limiter_left(&rules[0], LIMIT_TOKENS, 0), 100);
	assert_int_equal(l.reservations, 0);
	limiter_done(&l);
}

static void
test_limiter_giving_back_late_never_overfills(void **state)
{
	struct limit_rule rules[] = { { LIMIT_KEY, NULL, { none, rate(60, 100) }, 0, NULL } };
	struct limit_verdict v;
	struct limit_hold hold;
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 0), IM_OK);
	assert_int_equal(ask_for(&l, "t", "k", 0, 100, 0, &hold, &v), LIMIT_OK);
	limiter_settle(&l, &hold, 0, 10ULL * MINUTE); /* time has filled the bucket meanwhile */
	assert_int_equal(ask_for(&l, "t", "k", 0, 100, 10ULL * MINUTE, &hold, &v), LIMIT_OK);
	limiter_settle(&l, &hold, 100, 10ULL * MINUTE);
	assert_int_equal(ask_for(&l, "t", "k", 0, 1, 10ULL * MINUTE, &hold, &v), LIMIT_EXCEEDED);
	limiter_done(&l);
}

static void
test_limiter_request_larger_than_the_bucket_is_told_so(void **state)
{
	struct limit_rule rules[] = {
		{ LIMIT_GLOBAL, "", { none, rate(1000, 1000) }, 0, NULL },
		{ LIMIT_KEY, NULL, { none, rate(6000, 100) }, 0, NULL },
	};
	struct limit_ask ask = { .key = "k", .tenant = "t", .prompt_tokens = 60 };
	struct limit_verdict v;
	struct limit_hold hold;
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 2, 7, 0), IM_OK);
	assert_int_equal(ask_for(&l, "t", "k", 60, 41, 0, &hold, &v), LIMIT_TOO_LARGE);
	assert_int_equal(v.asked, 101);
	assert_int_equal(v.most, 100);
	assert_ptr_equal(v.rule, &rules[1]);
	assert_int_equal(v.rates.tokens.remaining, 100);
	/* The same from a caller who stated nothing: no more than an eighth of the bucket is reserved for the answer. */
	ask.completion_tokens = 512;
	limiter_acquire(&l, &ask, 0, &hold, &v);
	assert_int_equal(v.result, LIMIT_OK);
	assert_int_equal(hold.tokens, 72);
	limiter_settle(&l, &hold, 72, 0);
	limiter_acquire(&l, &ask, 450, &hold, &v); /* so it need not wait for a full one */
	assert_int_equal(v.result, LIMIT_OK);
	limiter_settle(&l, &hold, 72, 450);
	ask.prompt_tokens = 99;
	limiter_acquire(&l, &ask, 60000, &hold, &v);
	assert_int_equal(v.result, LIMIT_OK);
	assert_int_equal(hold.tokens, 100);
	limiter_settle(&l, &hold, 0, 60000);
	/* A prompt alone that is too long. */
	ask.prompt_tokens = 101;
	limiter_acquire(&l, &ask, 0, &hold, &v);
	assert_int_equal(v.result, LIMIT_TOO_LARGE);
	/* No sum of strangers' numbers wraps around. */
	ask.stated = true;
	ask.prompt_tokens = UINT32_MAX;
	ask.completion_tokens = (uint64_t)UINT32_MAX * 128;
	limiter_acquire(&l, &ask, 0, &hold, &v);
	assert_int_equal(v.result, LIMIT_TOO_LARGE);
	limiter_done(&l);
}

static void
test_limiter_absurd_usage_leaves_a_debt_that_is_bounded(void **state)
{
	struct limit_rule rules[] = { { LIMIT_GLOBAL, "", { none, rate(1, 10) }, 0, NULL } };
	struct limit_verdict v;
	struct limit_hold hold[64];
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 0), IM_OK);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ask_for(&l, "t", "k", 0, 1, 0, &hold[i], &v), LIMIT_OK);
	}
	for (int i = 0; i < 10; i++) {
		limiter_settle(&l, &hold[i], UINT64_MAX, 0);
	}
	assert_int_equal(ask_for(&l, "t", "k", 0, 1, 0, &hold[0], &v), LIMIT_EXCEEDED);
	assert_int_equal(v.retry_ms, UINT32_MAX);
	limiter_done(&l);
}

static void
test_limiter_without_redis_allows_or_refuses_what_is_limited(void **state)
{
	struct limit_rule rules[] = { { LIMIT_KEY, "k", { rate(60, 1), none }, 0, NULL } };
	struct limit_verdict v;
	struct limit_hold hold;
	struct limiter l;

	(void)state;
	assert_int_equal(limiter_init(&l, rules, 1, 7, 0), IM_OK);
	limiter_set_mode(&l, LIMITER_REFUSE, 0);
	assert_int_equal(ask_for(&l, "t", "k", 0, 0, 0, &hold, &v), LIMIT_AWAY);
	assert_int_equal(ask_for(&l, "t", "free", 0, 0, 0, &hold, &v), LIMIT_OK);
	limiter_set_mode(&l, LIMITER_ALLOW, 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ask_for(&l, "t", "k", 0, 0, 0, &hold, &v), LIMIT_OK);
		assert_int_equal(hold.count, 0);
	}
	limiter_set_mode(&l, LIMITER_LOCAL, 0);
	assert_int_equal(knock(&l, "t", "k", 0), LIMIT_OK);
	assert_int_equal(knock(&l, "t", "k", 0), LIMIT_EXCEEDED);
	limiter_done(&l);
}

/* The bound of docs/routing.md: what was used is at most the burst, the refill, and what those who were under way when the last
 * one was admitted used beyond their reservations. */
static void
test_limiter_random_load_stays_within_the_stated_bound(void **state)
{
	enum {
		OPEN = 200,
		BURST = 3000,
		RATE = 9000,
		EXCESS = 40
	};
	struct {
		struct limit_hold hold;
		uint64_t used;
	} open[OPEN];
	struct prng p;

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct limit_rule rules[] = {
			{ LIMIT_GLOBAL, "", { rate(600, 50), rate(RATE, BURST) }, 0, NULL }
		};
		uint64_t now_ms = 0, used = 0, admitted = 0, refused = 0;
		struct limiter l;

		prng_seed(&p, seed);
		memset(open, 0, sizeof(open));
		assert_int_equal(limiter_init(&l, rules, 1, seed, 0), IM_OK);
		for (int step = 0; step < 20000; step++) {
			size_t at = prng_below(&p, OPEN);
			struct limit_verdict v;
			uint64_t under_way = 0;

			now_ms += prng_below(&p, 20);
			if (open[at].hold.count > 0) {
				limiter_settle(&l, &open[at].hold, open[at].used, now_ms);
				continue;
			}
			if (ask_for(&l, "t", "k", prng_below(&p, 50), prng_below(&p, 200), now_ms,
				    &open[at].hold, &v) == LIMIT_OK) {
				/* Some use much less, some a little more. */
				open[at].used =
				    prng_below(&p, (uint32_t)open[at].hold.tokens + EXCESS + 1);
				used += open[at].used;
				admitted++;
			} else {
				refused++;
			}
			for (size_t i = 0; i < OPEN; i++) {
				under_way += open[i].hold.count > 0;
			}
			assert_int_equal(l.reservations, under_way);
			assert_true(admitted <= 50 + 600 * now_ms / MINUTE);
			if (v.result == LIMIT_OK) {
				assert_true(used <=
					    BURST + RATE * now_ms / MINUTE + under_way * EXCESS);
			}
		}
		assert_true(admitted > 100 && refused > 100);
		for (size_t i = 0; i < OPEN; i++) {
			limiter_settle(&l, &open[i].hold, open[i].used, now_ms);
		}
		assert_int_equal(l.reservations, 0);
		assert_int_equal(l.reserved_tokens, 0);
		limiter_done(&l);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limiter_requests_beyond_the_burst_wait_for_the_refill),
		cmocka_unit_test(test_limiter_odd_rates_lose_nothing_to_rounding),
		cmocka_unit_test(test_limiter_clock_that_stands_or_jumps_far_is_harmless),
		cmocka_unit_test(test_limiter_refused_request_costs_nothing_in_any_bucket),
		cmocka_unit_test(test_limiter_name_of_its_own_replaces_the_rule_for_each),
		cmocka_unit_test(test_limiter_names_without_a_rule_are_free),
		cmocka_unit_test(test_limiter_settling_gives_back_or_leaves_a_debt),
		cmocka_unit_test(
		    test_limiter_answer_that_another_pays_for_leaves_a_hold_for_ones_own),
		cmocka_unit_test(test_limiter_undone_request_costs_nothing),
		cmocka_unit_test(test_limiter_giving_back_late_never_overfills),
		cmocka_unit_test(test_limiter_request_larger_than_the_bucket_is_told_so),
		cmocka_unit_test(test_limiter_absurd_usage_leaves_a_debt_that_is_bounded),
		cmocka_unit_test(test_limiter_without_redis_allows_or_refuses_what_is_limited),
		cmocka_unit_test(test_limiter_random_load_stays_within_the_stated_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
