/*
 * router/limiter_lease_test.c - buckets that several routers share, on virtual time, with the truth in a struct here in place of
 * Redis (limiter_redis_test.c shows that the real script does the same).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "router/limiter.h"

#define MINUTE 60000U
#define GRAINS ((int64_t)LIMIT_GRAINS)

static const struct limit_rate none = { 0, 0 };

/* What limiter_redis.c keeps in Redis for one entry. */
struct truth {
	int64_t level[LIMIT_KINDS];
	uint64_t at_ms;
};

static int64_t
full(const struct limit_rate *rate)
{
	return rate->burst * GRAINS;
}

static void
truth_init(struct truth *t, const struct limit_rule *rule)
{
	*t = (struct truth){ { full(&rule->rate[0]), full(&rule->rate[1]) }, 0 };
}

/* As the script. */
static void
truth_ask(struct truth *t, const struct limit_entry *e, uint64_t now_ms,
	  int64_t granted[LIMIT_KINDS], int64_t level[LIMIT_KINDS])
{
	uint64_t passed_ms = now_ms > t->at_ms ? now_ms - t->at_ms : 0;

	t->at_ms += passed_ms;
	for (int kind = 0; kind < LIMIT_KINDS; kind++) {
		const struct limit_rate *rate = &e->rule->rate[kind];
		const struct limit_question *q = &e->question[kind];
		int64_t there = t->level[kind] + (int64_t)(passed_ms * rate->per_minute);

		there = (there < full(rate) ? there : full(rate)) + q->back;
		there = there < full(rate) ? there : full(rate);
		granted[kind] = q->want < there ? q->want : there;
		granted[kind] = granted[kind] > 0 ? granted[kind] : 0;
		t->level[kind] = level[kind] = there - granted[kind];
	}
}

/* Ask and be answered at once, as often as there is something to ask. Returns how often. */
static uint32_t
exchange(struct limiter *l, struct truth *t, uint64_t now_ms)
{
	int64_t granted[LIMIT_KINDS], level[LIMIT_KINDS];
	struct limit_entry *e;
	uint32_t count = 0;

	while ((e = limiter_ask(l)) != NULL) {
		truth_ask(t, e, now_ms, granted, level);
		limiter_answered(l, e, granted, level, now_ms);
		count++;
	}
	return count;
}

static enum limit_result
ask_for(struct limiter *l, uint64_t tokens, uint64_t now_ms, struct limit_hold *hold)
{
	const struct limit_ask ask = {
		.key = "k", .tenant = "t", .prompt_tokens = tokens, .stated = true
	};
	struct limit_verdict v;

	limiter_acquire(l, &ask, now_ms, hold, &v);
	return v.result;
}

static enum limit_result
knock(struct limiter *l, uint64_t now_ms)
{
	struct limit_hold hold;
	enum limit_result result = ask_for(l, 0, now_ms, &hold);

	limiter_settle(l, &hold, 0, now_ms);
	return result;
}

static void
start(struct limiter *l, struct limit_rule *rule)
{
	assert_int_equal(limiter_init(l, rule, 1, 7, 0), IM_OK);
	limiter_set_mode(l, LIMITER_SHARED, 0);
}

static void
test_lease_first_request_goes_on_credit_and_brings_a_lease(void **state)
{
	struct limit_rule rule = { LIMIT_GLOBAL, "", { { 6000, 100 }, none }, 0, NULL };
	struct truth truth;
	struct limiter l;

	(void)state;
	truth_init(&truth, &rule);
	start(&l, &rule);
	assert_int_equal(knock(&l, 0), LIMIT_OK);
	assert_false(list_empty(&l.due));
	assert_int_equal(exchange(&l, &truth, 0), 1);
	/* One was used, five are the lease. */
	assert_int_equal(truth.level[LIMIT_REQUESTS], 94 * GRAINS);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(knock(&l, 0), LIMIT_OK);
		assert_true(list_empty(&l.due));
	}
	assert_int_equal(knock(&l, 0), LIMIT_OK); /* two are left: time for more */
	assert_int_equal(exchange(&l, &truth, 0), 1);
	assert_int_equal(truth.level[LIMIT_REQUESTS], 91 * GRAINS);
	limiter_done(&l);
}

static void
test_lease_credit_ends_at_one_lease_until_the_answer(void **state)
{
	struct limit_rule rule = { LIMIT_GLOBAL, "", { { 6000, 100 }, none }, 0, NULL };
	struct truth truth;
	struct limiter l;

	(void)state;
	truth_init(&truth, &rule);
	start(&l, &rule);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(knock(&l, 0), LIMIT_OK);
	}
	assert_int_equal(knock(&l, 0), LIMIT_EXCEEDED);
	assert_int_equal(exchange(&l, &truth, 1), 1);
	assert_int_equal(knock(&l, 1), LIMIT_OK);
	limiter_done(&l);
}

static void
test_lease_one_request_larger_than_a_lease_is_not_starved(void **state)
{
	struct limit_rule rule = { LIMIT_GLOBAL, "", { none, { 6000, 1000 } }, 0, NULL };
	struct limit_hold hold;
	struct truth truth;
	struct limiter l;

	(void)state;
	truth_init(&truth, &rule);
	start(&l, &rule);
	for (int i = 0; i < 2; i++) { /* a lease is 50 */
		assert_int_equal(ask_for(&l, 450, 0, &hold), LIMIT_OK);
		limiter_settle(&l, &hold, 450, 0);
		(void)exchange(&l, &truth, 0);
	}
	assert_int_equal(ask_for(&l, 450, 0, &hold), LIMIT_EXCEEDED);
	(void)exchange(&l, &truth, 0);
	/* What was missing comes with time: 350 and what the lease holds of it already. */
	assert_int_equal(ask_for(&l, 450, 3499, &hold), LIMIT_EXCEEDED);
	assert_int_equal(ask_for(&l, 450, 3500, &hold), LIMIT_OK);
	limiter_settle(&l, &hold, 450, 3500);
	limiter_done(&l);
}

static void
test_lease_unused_goes_back_after_its_time(void **state)
{
	struct limit_rule rule = { LIMIT_KEY, NULL, { { 1, 100 }, { 1, 1000 } }, 0, NULL };
	struct limit_hold hold;
	struct truth truth;
	struct limiter l;

	(void)state;
	truth_init(&truth, &rule);
	start(&l, &rule);
	assert_int_equal(ask_for(&l, 10, 0, &hold), LIMIT_OK);
	limiter_settle(&l, &hold, 0, 0);
	assert_int_equal(exchange(&l, &truth, 0), 1);
	assert_int_equal(truth.level[LIMIT_REQUESTS], 94 * GRAINS);
	assert_int_equal(truth.level[LIMIT_TOKENS], 950 * GRAINS);
	limiter_sweep(&l, LIMIT_LEASE_MS - 1);
	assert_int_equal(exchange(&l, &truth, LIMIT_LEASE_MS - 1), 0);
	limiter_sweep(&l, LIMIT_LEASE_MS);
	assert_int_equal(exchange(&l, &truth, LIMIT_LEASE_MS), 1);
	assert_int_equal(truth.level[LIMIT_REQUESTS], 99 * GRAINS + LIMIT_LEASE_MS);
	assert_int_equal(truth.level[LIMIT_TOKENS], 1000 * GRAINS);
	assert_int_equal(l.count, 1);
	limiter_sweep(&l, 2ULL * MINUTE);
	assert_int_equal(l.count, 0); /* and it is forgotten when it is full */
	limiter_done(&l);
}

static void
test_lease_in_use_is_renewed_not_returned(void **state)
{
	struct limit_rule rule = { LIMIT_GLOBAL, "", { { 60, 100 }, none }, 0, NULL };
	struct truth truth;
	struct limiter l;
	uint32_t asked = 0;

	(void)state;
	truth_init(&truth, &rule);
	start(&l, &rule);
	for (uint64_t ms = 0; ms < 20000; ms += 100) { /* one request a second */
		if (ms % 1000 == 0) {
			assert_int_equal(knock(&l, ms), LIMIT_OK);
		}
		limiter_sweep(&l, ms);
		asked += exchange(&l, &truth, ms);
	}
	assert_in_range(asked, 20, 41);
	limiter_return_leases(&l, 20000);
	assert_int_equal(exchange(&l, &truth, 20000), 1);
	assert_int_equal(truth.level[LIMIT_REQUESTS], 100 * GRAINS);
	limiter_done(&l);
}

static void
test_lease_debt_of_a_settlement_is_told(void **state)
{
	struct limit_rule rule = { LIMIT_GLOBAL, "", { none, { 1, 1000 } }, 0, NULL };
	struct limit_hold hold;
	struct truth truth;
	struct limiter l;

	(void)state;
	truth_init(&truth, &rule);
	start(&l, &rule);
	assert_int_equal(ask_for(&l, 10, 0, &hold), LIMIT_OK);
	(void)exchange(&l, &truth, 0);
	limiter_settle(&l, &hold, 1510, 0); /* 1500 more than reserved */
	(void)exchange(&l, &truth, 0);
	assert_int_equal(truth.level[LIMIT_TOKENS], -510 * GRAINS);
	assert_int_equal(ask_for(&l, 1, 0, &hold), LIMIT_EXCEEDED);
	limiter_done(&l);
}

static void
test_lease_answer_that_never_comes_is_counted_against_us(void **state)
{
	struct limit_rule rule = { LIMIT_GLOBAL, "", { { 1, 100 }, none }, 0, NULL };
	int64_t granted[LIMIT_KINDS], level[LIMIT_KINDS];
	struct limit_entry *e;
	struct truth truth;
	struct limiter l;

	(void)state;
	truth_init(&truth, &rule);
	start(&l, &rule);
	assert_int_equal(knock(&l, 0), LIMIT_OK);
	e = limiter_ask(&l);
	assert_non_null(e);
	assert_null(limiter_ask(&l));
	truth_ask(&truth, e, 0, granted, level); /* it was counted, but we do not hear of it */
	limiter_unanswered(&l, e);
	limiter_sweep(&l, 0);
	assert_int_equal(exchange(&l, &truth, 0), 1);
	/* Counted twice, and the lease of the lost answer is lost; never the other way round. */
	assert_true(truth.level[LIMIT_REQUESTS] <= (100 - 2 - 5) * GRAINS);
	limiter_done(&l);
}

static void
test_lease_mode_change_keeps_what_is_known_and_refunds_nothing_foreign(void **state)
{
	struct limit_rule rule = { LIMIT_GLOBAL, "", { none, { 1, 1000 } }, 0, NULL };
	struct limit_hold hold, late;
	struct truth truth;
	struct limiter l;

	(void)state;
	truth_init(&truth, &rule);
	start(&l, &rule);
	truth.level[LIMIT_TOKENS] = 400 * GRAINS; /* others were here */
	assert_int_equal(ask_for(&l, 100, 0, &hold), LIMIT_OK);
	(void)exchange(&l, &truth, 0);
	limiter_set_mode(&l, LIMITER_LOCAL, 0);
	assert_int_equal(ask_for(&l, 301, 0, &late), LIMIT_EXCEEDED);
	assert_int_equal(ask_for(&l, 300, 0, &late), LIMIT_OK);
	limiter_settle(&l, &hold, 0, 0); /* reserved from Redis: nothing of it comes back here */
	assert_int_equal(ask_for(&l, 1, 0, &hold), LIMIT_EXCEEDED);
	limiter_set_mode(&l, LIMITER_SHARED, 0);
	limiter_settle(&l, &late, 0, 0);
	assert_int_equal(exchange(&l, &truth, 0), 0);
	assert_int_equal(l.reservations, 0);
	limiter_done(&l);
}

#define ROUTERS 4

/* One router of the storm: its question takes a while to get there and back. */
struct storm_router {
	struct limiter l;
	struct limit_entry *question;
	uint64_t there_ms, back_ms;
	bool counted;
	int64_t granted[LIMIT_KINDS], level[LIMIT_KINDS];
	struct limit_hold open[8];
};

static void
storm_talk(struct storm_router *r, struct truth *truth, struct prng *p, uint64_t now_ms)
{
	if (r->question == NULL) {
		r->question = limiter_ask(&r->l);
		r->there_ms = now_ms + prng_below(p, 30);
		r->back_ms = r->there_ms + prng_below(p, 30);
		r->counted = false;
	}
	if (r->question != NULL && !r->counted && now_ms >= r->there_ms) {
		truth_ask(truth, r->question, now_ms, r->granted, r->level);
		r->counted = true;
	}
	if (r->question != NULL && now_ms >= r->back_ms) {
		limiter_answered(&r->l, r->question, r->granted, r->level, now_ms);
		r->question = NULL;
	}
}

/* The bound of docs/routing.md for R routers: beyond burst and refill at most R leases (taken before, used now) and R - 1
 * times what one may give on credit, which is a lease or one request. And the limit can be used: little of it is lost. */
static void
test_lease_several_routers_stay_within_the_stated_bound(void **state)
{
	enum {
		RATE = 60000,
		BURST = 2000,
		LARGEST = 150,
		LEASE = BURST / LIMIT_LEASE_SHARE,
		SLACK = BURST + ROUTERS * LEASE + (ROUTERS - 1) * LARGEST,
	};
	static struct storm_router routers[ROUTERS];
	struct prng p;

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct limit_rule rule[ROUTERS];
		uint64_t now_ms = 0, used = 0;
		struct truth truth;

		prng_seed(&p, seed);
		memset(routers, 0, sizeof(routers));
		for (size_t i = 0; i < ROUTERS; i++) {
			rule[i] = (struct limit_rule){
				LIMIT_GLOBAL, "", { none, { RATE, BURST } }, 0, NULL
			};
			start(&routers[i].l, &rule[i]);
		}
		truth_init(&truth, &rule[0]);
		while (now_ms < 20000) {
			struct storm_router *r = &routers[prng_below(&p, ROUTERS)];
			struct limit_hold *hold = &r->open[prng_below(&p, 8)];
			uint64_t most = SLACK + RATE * now_ms / MINUTE;

			now_ms += prng_below(&p, 20) == 0;
			if (hold->count == 0) {
				(void)ask_for(&r->l, 1 + prng_below(&p, LARGEST), now_ms, hold);
				used += hold->tokens; /* all of it is used, in the end */
			} else {
				limiter_settle(&r->l, hold, hold->tokens, now_ms);
			}
			assert_true(used <= most);
			for (size_t i = 0; i < ROUTERS; i++) {
				storm_talk(&routers[i], &truth, &p, now_ms);
				limiter_sweep(&routers[i].l, now_ms);
			}
		}
		assert_true(used >= (BURST + RATE * now_ms / MINUTE) * 9 / 10);
		for (size_t i = 0; i < ROUTERS; i++) {
			for (size_t k = 0; k < 8; k++) {
				limiter_settle(&routers[i].l, &routers[i].open[k], 0, now_ms);
			}
			if (routers[i].question != NULL) {
				limiter_unanswered(&routers[i].l, routers[i].question);
			}
			assert_int_equal(routers[i].l.reservations, 0);
			limiter_done(&routers[i].l);
		}
	}
}

/* Not from our script: somebody else writes in that Redis. */
static void
test_lease_answer_beyond_what_was_asked_gives_no_more(void **state)
{
	static const int64_t answers[][2] = { { INT64_MAX, INT64_MAX },
					      { INT64_MAX, INT64_MIN },
					      { 0, INT64_MIN } };
	struct limit_rule rule = { LIMIT_GLOBAL, "", { { 6000, 100 }, none }, 0, NULL };

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const int64_t granted[LIMIT_KINDS] = { answers[i][0], answers[i][0] };
		const int64_t level[LIMIT_KINDS] = { answers[i][1], answers[i][1] };
		struct limit_entry *e;
		struct limiter l;
		uint32_t passed = 0;

		start(&l, &rule);
		assert_int_equal(knock(&l, 0), LIMIT_OK);
		for (uint64_t now_ms = 1; now_ms < 4; now_ms++) {
			e = limiter_ask(&l);
			if (e != NULL) {
				assert_true(e->question[0].want <= full(&rule.rate[0]));
				limiter_answered(&l, e, granted, level, now_ms);
			}
			(void)limiter_left(&rule, LIMIT_REQUESTS, now_ms);
			while (passed < 1000 && knock(&l, now_ms) == LIMIT_OK) {
				passed++;
			}
		}
		assert_true(passed < 1000);
		limiter_done(&l);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease_first_request_goes_on_credit_and_brings_a_lease),
		cmocka_unit_test(test_lease_credit_ends_at_one_lease_until_the_answer),
		cmocka_unit_test(test_lease_one_request_larger_than_a_lease_is_not_starved),
		cmocka_unit_test(test_lease_unused_goes_back_after_its_time),
		cmocka_unit_test(test_lease_in_use_is_renewed_not_returned),
		cmocka_unit_test(test_lease_debt_of_a_settlement_is_told),
		cmocka_unit_test(test_lease_answer_that_never_comes_is_counted_against_us),
		cmocka_unit_test(
		    test_lease_mode_change_keeps_what_is_known_and_refunds_nothing_foreign),
		cmocka_unit_test(test_lease_answer_beyond_what_was_asked_gives_no_more),
		cmocka_unit_test(test_lease_several_routers_stay_within_the_stated_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
