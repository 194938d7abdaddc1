/*
 * router/pool_test.c - the tournament, the kinetic tournament of smooth.h and the ring, each against the plain way of doing the
 * same, over random changes.
 */
#include "router/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"

#define MEMBERS 50
#define STEPS   20000

/* What the pool should hold, as a plain table by place. */
struct plain {
	bool member[2 * MEMBERS];
	struct pool_load load[2 * MEMBERS];
};

static bool
is_ready(const struct plain *t, uint32_t i)
{
	const struct pool_load *l = &t->load[i];

	return t->member[i] && l->usable && l->weight > 0 && l->in_flight < l->capacity;
}

/* The cheapest in the long way: cross-multiplied, no rounding. */
static uint32_t
plain_cheapest(const struct plain *t)
{
	uint32_t best = POOL_NONE;

	for (uint32_t i = 0; i < 2 * MEMBERS; i++) {
		const struct pool_load *l = &t->load[i];
		uint64_t a, b;

		if (!is_ready(t, i))
			continue;
		if (best == POOL_NONE) {
			best = i;
			continue;
		}
		a = (l->in_flight + 1ULL) * t->load[best].weight;
		b = (t->load[best].in_flight + 1ULL) * l->weight;
		if (a < b || (a == b && l->last_pick < t->load[best].last_pick))
			best = i;
	}
	return best;
}

static void
check_pool(const struct pool *p, const struct plain *t, uint32_t from)
{
	uint64_t weight = 0, in_flight = 0;
	uint32_t ready = 0, usable = 0, next = POOL_NONE;

	for (uint32_t k = 0; k < p->places; k++) {
		uint32_t i = (from + k) % p->places;

		if (next == POOL_NONE && is_ready(t, i))
			next = i;
		ready += is_ready(t, i);
		if (t->member[i] && t->load[i].usable && t->load[i].weight > 0) {
			usable++;
			weight += t->load[i].weight;
			in_flight += t->load[i].in_flight;
		}
		assert_int_equal(p->seats[i].owner != NULL && pool_is_ready(p, i), is_ready(t, i));
	}
	assert_int_equal(p->ready_count, ready);
	assert_int_equal(p->usable_count, usable);
	assert_int_equal(p->usable_weight, weight);
	assert_int_equal(p->usable_in_flight, in_flight);
	assert_int_equal(pool_cheapest(p), plain_cheapest(t));
	assert_int_equal(pool_next_ready(p, from), next);
	for (uint32_t i = 0; i < ready; i++)
		assert_true(is_ready(t, p->ready[i]));
}

static struct pool_load
random_load(struct prng *prng, uint64_t *picks)
{
	static const uint32_t weights[] = { 0, 1, 7, 64, 6400, 640000 };

	return (struct pool_load){ .in_flight = prng_below(prng, 8),
				   .capacity = prng_below(prng, 8),
				   .weight = weights[prng_below(prng, 6)],
				   .last_pick = ++*picks,
				   .usable = prng_below(prng, 4) > 0 };
}

static void
test_pool_agrees_with_a_plain_table_whatever_happens(void **state)
{
	static int owner;
	static struct plain t;
	uint64_t picks = 0;
	struct pool p = { 0 };
	struct prng prng;

	(void)state;
	prng_seed(&prng, 3);
	for (int n = 0; n < STEPS; n++) {
		uint32_t i = prng_below(&prng, MEMBERS);

		if (p.members < MEMBERS && prng_below(&prng, 8) == 0) {
			i = pool_add(&p, &owner, i);
			assert_false(t.member[i]); /* a free place */
			t.member[i] = true;
			memset(&t.load[i], 0, sizeof(t.load[i]));
		} else if (i < p.places && t.member[i] && prng_below(&prng, 10) == 0) {
			pool_remove(&p, i);
			t.member[i] = false;
		} else if (i < p.places && t.member[i]) {
			t.load[i] = random_load(&prng, &picks);
			pool_set(&p, i, &t.load[i]);
		}
		if (p.places > 0)
			check_pool(&p, &t, prng_below(&prng, p.places));
	}
	pool_done(&p);
}

static void
test_pool_sample_shows_all_of_few_and_the_best_of_many(void **state)
{
	static int owners[100];
	struct pool p = { 0 };
	uint32_t places[16], n;
	bool best = false;

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(pool_add(&p, &owners[i], i), i);
		pool_set(&p, i,
			 &(struct pool_load){ .in_flight = i == 77 ? 1 : 5,
					      .capacity = 10,
					      .weight = 1,
					      .usable = i % 3 != 0 });
		if (i == 15) {
			/* All of them, those that are not usable included. */
			assert_int_equal(pool_sample(&p, places), 16);
			for (uint32_t k = 0; k < 16; k++)
				assert_int_equal(places[k], k);
		}
	}
	/* 128 places in 8 parts, of which the last one is empty. */
	n = pool_sample(&p, places);
	assert_int_equal(n, 7);
	for (uint32_t k = 0; k < n; k++) {
		assert_true(pool_is_ready(&p, places[k]));
		best = best || places[k] == 77;
	}
	assert_true(best);
	pool_done(&p);
}

/* nginx's own loop. */
struct peer {
	int64_t weight, current;
};

static uint32_t
nginx_pick(struct peer *peers, uint32_t count)
{
	int64_t total = 0;
	uint32_t best = SMOOTH_NONE;

	for (uint32_t i = 0; i < count; i++) {
		if (peers[i].weight == 0)
			continue;
		peers[i].current += peers[i].weight;
		total += peers[i].weight;
		if (best == SMOOTH_NONE || peers[i].current > peers[best].current)
			best = i;
	}
	if (best != SMOOTH_NONE)
		peers[best].current -= total;
	return best;
}

static void
test_smooth_agrees_with_nginx_whatever_happens(void **state)
{
	struct peer peers[64] = { 0 };
	struct smooth s = { 0 };
	struct prng prng;

	(void)state;
	prng_seed(&prng, 4);
	assert_true(smooth_grow(&s, 4));
	assert_int_equal(smooth_pick(&s), SMOOTH_NONE);
	for (int n = 0; n < 100000; n++) {
		uint32_t i = prng_below(&prng, s.places);

		if (n == 1000 || n == 20000)
			assert_true(smooth_grow(&s, s.places * 4));
		if (prng_below(&prng, 5) == 0) {
			/* Now many different weights, now few; some take no part. */
			peers[i].weight = prng_below(&prng, 3) == 0
					      ? 0
					      : 1 + prng_below(&prng, n % 2000 < 1000 ? 3 : 10000);
			smooth_set(&s, i, (uint32_t)peers[i].weight);
		}
		if (prng_below(&prng, 50) == 0 && peers[i].weight == 0) {
			peers[i].current = 0;
			smooth_forget(&s, i);
		}
		assert_int_equal(smooth_pick(&s), nginx_pick(peers, s.places));
	}
	smooth_done(&s);
}

static void
test_ring_gives_the_next_point_whatever_happens(void **state)
{
	static uint64_t points[64][RING_POINTS_MAX];
	static uint32_t count[64];
	struct ring r = { 0 };
	struct prng prng;

	(void)state;
	prng_seed(&prng, 5);
	assert_int_equal(ring_find(&r, 1), RING_NONE);
	for (int n = 0; n < 3000; n++) {
		uint32_t place = prng_below(&prng, 64), want = RING_NONE, point;
		uint64_t key = prng_next(&prng), best = UINT64_MAX;

		if (prng_below(&prng, 3) == 0) {
			ring_remove(&r, place);
			count[place] = 0;
		} else {
			uint64_t name = prng_next(&prng), seed = name;

			count[place] = prng_below(&prng, 40);
			assert_true(ring_set(&r, place, name, count[place]));
			for (uint32_t k = 0; k < count[place]; k++)
				points[place][k] = prng_splitmix(&seed);
		}
		/* The distance going up and round is what decides. */
		for (uint32_t i = 0; i < 64; i++)
			for (uint32_t k = 0; k < count[i]; k++)
				if (points[i][k] - key <= best) {
					best = points[i][k] - key;
					want = i;
				}
		point = ring_find(&r, key);
		if (want == RING_NONE) {
			assert_int_equal(point, RING_NONE);
			continue;
		}
		assert_int_equal(ring_place(&r, point), want);
		/* The one behind it is the home of a key just behind it. */
		assert_int_equal(ring_after(&r, point), ring_find(&r, key + best + 1));
	}
	ring_done(&r);
}

static void
test_ring_shares_keys_evenly(void **state)
{
	struct ring r = { 0 };
	uint32_t count[10] = { 0 };
	struct prng prng;

	(void)state;
	prng_seed(&prng, 6);
	for (uint32_t i = 0; i < 10; i++)
		assert_true(ring_set(&r, i, ring_hash((const char[]){ 'w', (char)('0' + i), 0 }),
				     i == 9 ? 64 : 16));
	for (int n = 0; n < 100000; n++)
		count[ring_place(&r, ring_find(&r, prng_next(&prng)))]++;
	/* 16 points: a standard deviation of a quarter. Four times the points, four times the share. */
	for (uint32_t i = 0; i < 9; i++)
		assert_in_range(count[i], 2500, 17500);
	assert_in_range(count[9], 20000, 45000);
	ring_done(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool_agrees_with_a_plain_table_whatever_happens),
		cmocka_unit_test(test_pool_sample_shows_all_of_few_and_the_best_of_many),
		cmocka_unit_test(test_smooth_agrees_with_nginx_whatever_happens),
		cmocka_unit_test(test_ring_gives_the_next_point_whatever_happens),
		cmocka_unit_test(test_ring_shares_keys_evenly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
