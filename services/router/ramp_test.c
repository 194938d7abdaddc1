/*
 * router/ramp_test.c - a ramp's decisions, on virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "router/ramp.h"

/* 10 % every 30 s, at most 1 % errors, p99 of 500 ms, 100 requests. */
static const struct ramp_spec spec = { "v2", 10, 30000, 10000, 500, 100 };

static void
end_many(struct ramp *r, bool of_arm, unsigned well, unsigned failed, unsigned slow)
{
	for (unsigned i = 0; i < well; i++) {
		ramp_count(r, of_arm, false, 20000);
	}
	for (unsigned i = 0; i < failed; i++) {
		ramp_count(r, of_arm, true, 20000);
	}
	for (unsigned i = 0; i < slow; i++) {
		ramp_count(r, of_arm, false, 600000);
	}
}

static void
test_ramp_walks_to_all_and_is_done_after_a_step_there(void **state)
{
	struct ramp r;
	uint64_t now = 1000;

	(void)state;
	ramp_begin(&r, &spec, 10, now);
	for (unsigned percent = 20; percent <= 100; percent += 10) {
		end_many(&r, true, 200, 1, 1);
		assert_int_equal(ramp_step(&r, now + 29999), RAMP_DO_NOTHING);
		now += 30000;
		assert_int_equal(ramp_step(&r, now), RAMP_DO_STEP);
		assert_int_equal(r.percent, percent);
		assert_int_equal(r.arm.requests, 0);
	}
	end_many(&r, true, 100, 0, 0);
	assert_int_equal(ramp_step(&r, now + 30000), RAMP_DO_FINISH);
	assert_int_equal(r.state, RAMP_DONE);
	assert_int_equal(ramp_step(&r, now + 90000), RAMP_DO_NOTHING);
}

static void
test_ramp_with_too_few_requests_waits_and_says_so(void **state)
{
	struct ramp r;

	(void)state;
	ramp_begin(&r, &spec, 10, 0);
	end_many(&r, true, 99, 0, 0);
	end_many(&r, false, 1000, 0, 0);
	assert_int_equal(ramp_step(&r, 300000), RAMP_DO_NOTHING);
	assert_string_equal(r.reason, "waits for requests: 99 of at least 100 have ended");
	end_many(&r, true, 1, 0, 0);
	assert_int_equal(ramp_step(&r, 300001), RAMP_DO_STEP);
	assert_string_equal(r.reason, "");
}

static void
test_ramp_rolls_back_as_soon_as_the_rate_cannot_be_met(void **state)
{
	struct ramp r;

	(void)state;
	ramp_begin(&r, &spec, 10, 0);
	end_many(&r, true, 0, 1, 0); /* 1 of 100 is allowed */
	assert_int_equal(ramp_step(&r, 10), RAMP_DO_NOTHING);
	end_many(&r, true, 5, 1, 0);
	assert_int_equal(ramp_step(&r, 20), RAMP_DO_ROLL_BACK);
	assert_int_equal(r.state, RAMP_ROLLED_BACK);
	assert_non_null(strstr(r.reason, "2 of 7 requests to v2 failed"));
}

static void
test_ramp_rolls_back_on_p99(void **state)
{
	struct ramp r;

	(void)state;
	ramp_begin(&r, &spec, 10, 0);
	end_many(&r, true, 198, 0, 2); /* exactly one in a hundred: p99 is met */
	end_many(&r, false, 1000, 0, 0);
	assert_int_equal(ramp_step(&r, 10), RAMP_DO_NOTHING);
	end_many(&r, true, 0, 0, 1);
	assert_int_equal(ramp_step(&r, 20), RAMP_DO_ROLL_BACK);
	assert_non_null(strstr(r.reason, "p99 of v2 is "));
}

static void
test_ramp_without_p99_limit_does_not_mind_slow_ones(void **state)
{
	struct ramp_spec patient = spec;
	struct ramp r;

	(void)state;
	patient.max_p99_ms = 0;
	ramp_begin(&r, &patient, 10, 0);
	end_many(&r, true, 0, 0, 200);
	assert_int_equal(ramp_step(&r, 30000), RAMP_DO_STEP);
}

static void
test_ramp_waits_while_the_others_do_no_better(void **state)
{
	struct ramp r;

	(void)state;
	ramp_begin(&r, &spec, 10, 0);
	end_many(&r, true, 90, 10, 0);
	end_many(&r, false, 900, 100, 0);
	assert_int_equal(ramp_step(&r, 30000), RAMP_DO_NOTHING);
	assert_int_equal(r.state, RAMP_RUNNING);
	/* A new window has begun, in which the others have recovered. */
	end_many(&r, false, 1000, 0, 0);
	end_many(&r, true, 90, 10, 0);
	assert_int_equal(ramp_step(&r, 30001), RAMP_DO_ROLL_BACK);
}

static void
test_ramp_blames_the_arm_when_the_others_have_too_few(void **state)
{
	struct ramp r;

	(void)state;
	ramp_begin(&r, &spec, 100, 0);
	end_many(&r, false, 0, 99, 0);
	end_many(&r, true, 90, 10, 0);
	assert_int_equal(ramp_step(&r, 1), RAMP_DO_ROLL_BACK);
}

static void
test_ramp_weights_keep_the_shares_of_the_others(void **state)
{
	const struct route_arm arms[3] = { { "a", 30 }, { "v2", 5 }, { "b", 10 } };
	struct route_arm ret[3];

	(void)state;
	for (uint32_t percent = 0; percent <= 100; percent++) {
		assert_true(ramp_weights(arms, 3, 1, percent, ret));
		assert_int_equal(ret[1].weight, 100 * percent);
		assert_int_equal(ret[0].weight + ret[1].weight + ret[2].weight, ROUTE_WEIGHT_MAX);
		assert_true(ret[0].weight >= 3 * ret[2].weight &&
			    ret[0].weight <= 3 * ret[2].weight + 4);
	}
	assert_false(ramp_weights(&arms[1], 1, 0, 10, ret));
}

static void
test_ramp_aborted_counts_no_more(void **state)
{
	struct ramp r;

	(void)state;
	ramp_begin(&r, &spec, 10, 0);
	ramp_abort(&r, "enough");
	end_many(&r, true, 0, 100, 0);
	assert_int_equal(ramp_step(&r, 60000), RAMP_DO_NOTHING);
	assert_int_equal(r.state, RAMP_ABORTED);
	assert_int_equal(r.arm.requests, 0);
	assert_string_equal(r.reason, "enough");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ramp_walks_to_all_and_is_done_after_a_step_there),
		cmocka_unit_test(test_ramp_with_too_few_requests_waits_and_says_so),
		cmocka_unit_test(test_ramp_rolls_back_as_soon_as_the_rate_cannot_be_met),
		cmocka_unit_test(test_ramp_rolls_back_on_p99),
		cmocka_unit_test(test_ramp_without_p99_limit_does_not_mind_slow_ones),
		cmocka_unit_test(test_ramp_waits_while_the_others_do_no_better),
		cmocka_unit_test(test_ramp_blames_the_arm_when_the_others_have_too_few),
		cmocka_unit_test(test_ramp_weights_keep_the_shares_of_the_others),
		cmocka_unit_test(test_ramp_aborted_counts_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
