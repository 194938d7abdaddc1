/*
 * router/policy_test.c - every policy as the decisions that it takes, over pools that are written down.
 */
#include "router/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MEMBERS_MAX 16

/* A pool whose members are what a test says. Places are 0, 1, 2, … */
struct field {
	struct pool pool;
	struct pool_load load[MEMBERS_MAX];
	uint32_t count;
	uint64_t picks;
	struct prng prng;
};

static void
change(struct field *f, uint32_t i)
{
	pool_set(&f->pool, i, &f->load[i]);
}

static void
field_init(struct field *f, const uint32_t *weights, uint32_t count, uint32_t capacity)
{
	static int owners[MEMBERS_MAX];

	memset(f, 0, sizeof(*f));
	prng_seed(&f->prng, 1);
	for (f->count = 0; f->count < count; f->count++) {
		char name[] = { 'w', (char)('a' + f->count), '\0' };

		assert_int_equal(pool_add(&f->pool, &owners[f->count], ring_hash(name)), f->count);
		f->load[f->count] =
		    (struct pool_load){ .capacity = capacity,
					.weight = weights[f->count] * POOL_WEIGHT_ONE,
					.usable = true };
		change(f, f->count);
	}
}

/* Pick and take. */
static uint32_t
pick(struct field *f, enum policy policy, uint64_t prefix, enum pick_reason *ret_reason)
{
	uint32_t i = policy_pick(policy, &f->pool, prefix, &f->prng, ret_reason);

	if (i != POOL_NONE) {
		f->load[i].in_flight++;
		f->load[i].last_pick = ++f->picks;
		change(f, i);
	}
	return i;
}

static void
free_one(struct field *f, uint32_t i)
{
	f->load[i].in_flight--;
	change(f, i);
}

static void
test_policy_names_are_found(void **state)
{
	(void)state;
	for (int i = 0; i < POLICY_COUNT; i++)
		assert_int_equal(policy_find(policy_text((enum policy)i)), i);
	assert_int_equal(policy_find("least-connections"), POLICY_COUNT);
	assert_string_equal(policy_text(POLICY_COUNT), "?");
	assert_string_equal(pick_reason_text(PICK_REASON_COUNT), "?");
}

static void
test_policy_nobody_ready_picks_nobody(void **state)
{
	static const uint32_t weights[] = { 1, 1 };
	enum pick_reason why;
	struct field f;

	(void)state;
	field_init(&f, weights, 2, 1);
	for (uint32_t i = 0; i < 2; i++) {
		f.load[i].usable = i == 0;
		f.load[i].in_flight = i == 0; /* one is full, the other not usable */
		change(&f, i);
	}
	for (int i = 0; i < POLICY_COUNT; i++) {
		assert_int_equal(pick(&f, (enum policy)i, 7, &why), POOL_NONE);
		assert_int_equal(why, PICK_NOBODY);
	}
	pool_done(&f.pool);
	/* Nor from a pool that nobody ever joined. */
	assert_int_equal(policy_pick(POLICY_LEAST_CONNECTIONS, &f.pool, 0, &f.prng, &why),
			 POOL_NONE);
}

static void
test_least_connections_lower_cost_wins(void **state)
{
	static const struct {
		uint32_t in_flight[2], weight[2];
		uint64_t last_pick[2];
		uint32_t want;
	} rows[] = {
		{ { 0, 1 }, { 1, 1 }, { 0, 0 }, 0 },
		{ { 3, 2 }, { 1, 1 }, { 0, 9 }, 1 },
		{ { 1, 1 }, { 1, 1 }, { 5, 6 }, 0 }, /* a tie: the one picked longer ago */
		{ { 1, 1 }, { 1, 1 }, { 6, 5 }, 1 },
		{ { 3, 1 }, { 2, 1 }, { 6, 5 }, 1 }, /* 4/2 = 2/1: a tie too */
		{ { 2, 1 }, { 2, 1 }, { 6, 5 }, 0 }, /* 3/2 < 2/1 */
		{ { 0, 0 }, { 1, 3 }, { 0, 7 }, 1 }, /* idle workers: the weight counts too */
		{ { 2, 6 }, { 3, 7 }, { 2, 1 }, 1 }, /* 3/3 = 7/7 */
		{ { 999, 1999 }, { 4999, 9999 }, { 0, 1 }, 1 }, /* 1000/4999 > 2000/9999 by 2e-6 */
		{ { 999999, 0 }, { 1, 1 }, { 0, 0 }, 1 },
	};
	enum pick_reason why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct field f;

		field_init(&f, rows[i].weight, 2, UINT32_MAX);
		for (uint32_t k = 0; k < 2; k++) {
			f.load[k].in_flight = rows[i].in_flight[k];
			f.load[k].last_pick = rows[i].last_pick[k];
			change(&f, k);
		}
		assert_int_equal(pick(&f, POLICY_LEAST_CONNECTIONS, 0, &why), rows[i].want);
		assert_int_equal(why, PICK_CHEAPEST);
		pool_done(&f.pool);
	}
}

static void
test_least_connections_equal_workers_share_evenly(void **state)
{
	static const uint32_t weights[] = { 1, 1, 1 };
	enum pick_reason why;
	struct field f;

	(void)state;
	field_init(&f, weights, 3, 10);
	for (int n = 0; n < 30; n++)
		(void)pick(&f, POLICY_LEAST_CONNECTIONS, 0, &why);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(f.load[i].in_flight, 10);
	/* Capacity is never passed. */
	assert_int_equal(pick(&f, POLICY_LEAST_CONNECTIONS, 0, &why), POOL_NONE);
	free_one(&f, 1);
	assert_int_equal(pick(&f, POLICY_LEAST_CONNECTIONS, 0, &why), 1);
	pool_done(&f.pool);
}

static void
test_least_connections_sequential_requests_visit_all(void **state)
{
	static const uint32_t weights[] = { 1, 1, 1, 1 };
	enum pick_reason why;
	struct field f;

	(void)state;
	field_init(&f, weights, 4, 4);
	for (uint32_t n = 0; n < 12; n++) {
		uint32_t i = pick(&f, POLICY_LEAST_CONNECTIONS, 0, &why);

		assert_int_equal(i, n % 4); /* never always the first */
		free_one(&f, i);
	}
	pool_done(&f.pool);
}

static void
test_least_connections_load_follows_weights(void **state)
{
	static const uint32_t weights[] = { 100, 200, 700 };
	enum pick_reason why;
	struct field f;

	(void)state;
	field_init(&f, weights, 3, 1000);
	for (int n = 0; n < 1000; n++)
		(void)pick(&f, POLICY_LEAST_CONNECTIONS, 0, &why);
	for (uint32_t i = 0; i < 3; i++)
		assert_in_range(f.load[i].in_flight, weights[i] - 1, weights[i] + 1);
	pool_done(&f.pool);
}

static void
test_round_robin_takes_turns_and_skips_who_cannot(void **state)
{
	static const uint32_t weights[] = { 1, 9, 1, 1, 1 };
	static const uint32_t want[] = { 0, 1, 2, 3, 4, 0, 1 };
	static const uint32_t want_without[] = { 3, 4, 1, 3, 4, 1 };
	enum pick_reason why;
	struct field f;

	(void)state;
	field_init(&f, weights, 5, 3);
	for (size_t n = 0; n < sizeof(want) / sizeof(want[0]); n++) {
		assert_int_equal(pick(&f, POLICY_ROUND_ROBIN, 0, &why), want[n]);
		assert_int_equal(why, PICK_TURN);
	}
	/* 2 is not usable any more, 0 is full. */
	f.load[2].usable = false;
	f.load[0].in_flight = 3;
	change(&f, 2);
	change(&f, 0);
	for (size_t n = 0; n < sizeof(want_without) / sizeof(want_without[0]); n++) {
		uint32_t i = pick(&f, POLICY_ROUND_ROBIN, 0, &why);

		assert_int_equal(i, want_without[n]);
		free_one(&f, i);
	}
	f.load[2].usable = true;
	change(&f, 2);
	assert_int_equal(pick(&f, POLICY_ROUND_ROBIN, 0, &why), 2);
	pool_done(&f.pool);
}

static void
test_smooth_weighted_gives_the_sequence_of_nginx(void **state)
{
	static const uint32_t weights[] = { 5, 1, 1 };
	static const uint32_t want[] = { 0, 0, 1, 0, 2, 0, 0 };
	enum pick_reason why;
	struct field f;

	(void)state;
	field_init(&f, weights, 3, 100);
	for (int n = 0; n < 21; n++) {
		assert_int_equal(pick(&f, POLICY_SMOOTH_WEIGHTED_ROUND_ROBIN, 0, &why),
				 want[n % 7]);
		assert_int_equal(why, PICK_TURN);
	}
	assert_int_equal(f.load[0].in_flight, 15);
	pool_done(&f.pool);
}

static void
test_power_of_two_never_takes_the_dearest_and_spreads(void **state)
{
	static const uint32_t weights[] = { 1, 1, 1, 1 };
	uint32_t count[4] = { 0 };
	enum pick_reason why;
	struct field f;

	(void)state;
	field_init(&f, weights, 4, 100);
	f.load[2].in_flight = 50;
	change(&f, 2);
	for (int n = 0; n < 3000; n++) {
		uint32_t i = pick(&f, POLICY_POWER_OF_TWO, 0, &why);

		assert_int_equal(why, PICK_OF_TWO);
		count[i]++;
		free_one(&f, i);
	}
	assert_int_equal(count[2], 0); /* whoever is drawn with it is cheaper */
	for (uint32_t i = 0; i < 4; i++)
		if (i != 2)
			assert_in_range(count[i], 900, 1100);
	/* One that is left is taken without a draw. */
	for (uint32_t i = 0; i < 3; i++) {
		f.load[i].usable = false;
		change(&f, i);
	}
	assert_int_equal(pick(&f, POLICY_POWER_OF_TWO, 0, &why), 3);
	assert_int_equal(why, PICK_ONLY);
	pool_done(&f.pool);
}

static void
test_power_of_two_same_seed_same_picks(void **state)
{
	static const uint32_t weights[] = { 1, 1, 1, 1, 1, 1, 1, 1 };
	enum pick_reason why;
	struct field a, b;

	(void)state;
	field_init(&a, weights, 8, 100);
	field_init(&b, weights, 8, 100);
	for (int n = 0; n < 100; n++)
		assert_int_equal(pick(&a, POLICY_POWER_OF_TWO, 0, &why),
				 pick(&b, POLICY_POWER_OF_TWO, 0, &why));
	pool_done(&a.pool);
	pool_done(&b.pool);
}

/* A well-mixed hash of a number, never 0. */
static uint64_t
prefix_no(uint64_t n)
{
	return prng_splitmix(&n) | 1;
}

static void
test_prefix_affinity_same_prefix_same_worker(void **state)
{
	static const uint32_t weights[] = { 100, 100, 100, 100 };
	uint32_t homes = 0;
	enum pick_reason why;
	struct field f;

	(void)state;
	field_init(&f, weights, 4, 100);
	for (uint64_t n = 0; n < 100; n++) {
		uint32_t first = pick(&f, POLICY_PREFIX_AFFINITY, prefix_no(n), &why), second;

		assert_int_equal(why, PICK_HOME);
		assert_in_range(first, 0, 3);
		free_one(&f, first);
		second = pick(&f, POLICY_PREFIX_AFFINITY, prefix_no(n), &why);
		assert_int_equal(first, second);
		free_one(&f, second);
		homes |= 1U << (first & 3);
	}
	assert_int_equal(homes, 0xf);
	/* No conversation, no home. */
	(void)pick(&f, POLICY_PREFIX_AFFINITY, 0, &why);
	assert_int_equal(why, PICK_NO_HOME);
	pool_done(&f.pool);
}

static void
test_prefix_affinity_home_too_busy_goes_to_the_cheapest(void **state)
{
	static const uint32_t weights[] = { 100, 100, 100, 100 };
	enum pick_reason why;
	struct field f;
	uint32_t home;

	(void)state;
	field_init(&f, weights, 4, 1000);
	home = pick(&f, POLICY_PREFIX_AFFINITY, prefix_no(1), &why);
	/* One conversation asks all the time: its home never has more than 1.25 times the mean, rounded up. */
	for (uint32_t total = 2; total <= 400; total++) {
		uint32_t i = pick(&f, POLICY_PREFIX_AFFINITY, prefix_no(1), &why);

		assert_true(why == PICK_HOME ? i == home : i != home && why == PICK_HOME_BUSY);
		assert_true(f.load[home].in_flight <= (5 * total + 15) / 16);
	}
	assert_int_equal(f.load[home].in_flight, 125);
	/* The others have shared the rest. */
	for (uint32_t i = 0; i < 4; i++)
		if (i != home)
			assert_in_range(f.load[i].in_flight, 91, 92);
	pool_done(&f.pool);
}

static void
test_prefix_affinity_bound_follows_weights(void **state)
{
	static const uint32_t weights[] = { 300, 100 };
	enum pick_reason why;
	struct field f;
	uint64_t n = 0;

	(void)state;
	field_init(&f, weights, 2, 1000);
	for (uint32_t home = 0; home < 2; home++) {
		uint32_t bound = home == 0 ? 94 : 32; /* 1.25 * 100 * 3/4 and 1/4, rounded up */

		while (policy_pick(POLICY_PREFIX_AFFINITY, &f.pool, prefix_no(n), &f.prng, &why) !=
		       home)
			n++;
		f.load[home].in_flight = bound - 1;
		f.load[!home].in_flight = 100 - bound;
		change(&f, 0);
		change(&f, 1);
		(void)policy_pick(POLICY_PREFIX_AFFINITY, &f.pool, prefix_no(n), &f.prng, &why);
		assert_int_equal(why, PICK_HOME);
		f.load[home].in_flight++;
		f.load[!home].in_flight--;
		change(&f, 0);
		change(&f, 1);
		(void)policy_pick(POLICY_PREFIX_AFFINITY, &f.pool, prefix_no(n), &f.prng, &why);
		assert_int_equal(why, PICK_HOME_BUSY);
		f.load[0].in_flight = f.load[1].in_flight = 0;
		change(&f, 0);
		change(&f, 1);
	}
	pool_done(&f.pool);
}

static void
test_prefix_affinity_home_away_moves_only_its_own(void **state)
{
	static const uint32_t weights[] = { 100, 100, 100, 100, 100 };
	uint32_t home[200], moved = 0;
	enum pick_reason why;
	struct field f;

	(void)state;
	field_init(&f, weights, 5, 100);
	for (uint32_t n = 0; n < 200; n++)
		home[n] = policy_pick(POLICY_PREFIX_AFFINITY, &f.pool, prefix_no(n), &f.prng, &why);
	f.load[3].usable = false;
	change(&f, 3);
	for (uint32_t n = 0; n < 200; n++) {
		uint32_t i =
		    policy_pick(POLICY_PREFIX_AFFINITY, &f.pool, prefix_no(n), &f.prng, &why);

		if (home[n] != 3) {
			assert_int_equal(i, home[n]);
			continue;
		}
		assert_int_equal(why, PICK_NEXT_HOME);
		/* Its conversations stay together elsewhere … */
		assert_int_equal(
		    policy_pick(POLICY_PREFIX_AFFINITY, &f.pool, prefix_no(n), &f.prng, &why), i);
		moved++;
	}
	assert_in_range(moved, 10, 100);
	/* … and come home. */
	f.load[3].usable = true;
	change(&f, 3);
	for (uint32_t n = 0; n < 200; n++)
		assert_int_equal(
		    policy_pick(POLICY_PREFIX_AFFINITY, &f.pool, prefix_no(n), &f.prng, &why),
		    home[n]);
	pool_done(&f.pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_names_are_found),
		cmocka_unit_test(test_policy_nobody_ready_picks_nobody),
		cmocka_unit_test(test_least_connections_lower_cost_wins),
		cmocka_unit_test(test_least_connections_equal_workers_share_evenly),
		cmocka_unit_test(test_least_connections_sequential_requests_visit_all),
		cmocka_unit_test(test_least_connections_load_follows_weights),
		cmocka_unit_test(test_round_robin_takes_turns_and_skips_who_cannot),
		cmocka_unit_test(test_smooth_weighted_gives_the_sequence_of_nginx),
		cmocka_unit_test(test_power_of_two_never_takes_the_dearest_and_spreads),
		cmocka_unit_test(test_power_of_two_same_seed_same_picks),
		cmocka_unit_test(test_prefix_affinity_same_prefix_same_worker),
		cmocka_unit_test(test_prefix_affinity_home_too_busy_goes_to_the_cheapest),
		cmocka_unit_test(test_prefix_affinity_bound_follows_weights),
		cmocka_unit_test(test_prefix_affinity_home_away_moves_only_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
