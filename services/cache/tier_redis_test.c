/*
 * cache/tier_redis_test.c - Redis as a tier, with a real redis-server that is killed, frozen, full, slow, or replaced by a liar.
 * Whatever it does, a question is answered about when its time is up, never with something wrong, and it heals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/prng.h"
#include "cache/tier_redis.h"
#include "cache/tier_rig.h"
#include "daemon/redis_liar.h"
#include "daemon/redis_rig.h"

#define ANSWER_US   5000
#define QUEUE_BYTES 262144
#define TTL_MS      60000
/* What a test believes of this machine's scheduling: a question that is late by more than this waits for Redis. */
#define LATE_US 400000

static struct tier_rig rig;
static struct redis_rig redis;
static struct redis_liar *liar;
static char url[64];

static void
open_tier(const char *at, unsigned connections)
{
	const char *const urls[] = { at };
	const struct tier_redis_params params = { .urls = urls,
						  .url_count = 1,
						  .prefix = "t:",
						  .connections = connections,
						  .ttl_ms = TTL_MS,
						  .answer_us = ANSWER_US,
						  .queue_bytes = QUEUE_BYTES,
						  .max_value_bytes = 1 << 20 };

	loop_enter(rig.loop);
	assert_int_equal(tier_redis_new(rig.loop, &params, &rig.tier, NULL), IM_OK);
	loop_leave(rig.loop);
}

static int
setup(void **state)
{
	(void)state;
	redis_rig_start(&redis, NULL);
	tier_rig_open(&rig);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	tier_rig_close(&rig);
	redis_liar_stop(liar);
	liar = NULL;
	redis_rig_kill(&redis);
	return 0;
}

static void
open_ready(void)
{
	open_tier(redis.url, 2);
	tier_rig_until(&rig, "ready");
}

/* Through the proxy. */
static void
open_behind_liar(void)
{
	int port;

	liar = redis_liar_start(redis.port, &port);
	(void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d", port);
	open_tier(url, 2);
	tier_rig_until(&rig, "ready");
}

/* Until the answer to 'n' is 'want': a moment of a busy machine is a miss too. */
static void
expect(unsigned n, enum tier_result want)
{
	uint64_t end_us = clock_mono_us() + 20000000;

	while (tier_rig_get(&rig, n) != want) {
		assert_true(clock_mono_us() < end_us);
		tier_rig_run(&rig, 5);
	}
}

/* It is away in some way: each question is answered all the same, and none waits for it. */
static void
expect_away(void)
{
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(tier_rig_get(&rig, i), TIER_FAILED);
		assert_in_range(rig.took_us, 0, ANSWER_US + LATE_US);
		tier_rig_put(&rig, i, 100, TTL_MS);
	}
}

/* Whatever it was, it is over: until writes are taken, and found. */
static void
heal(void)
{
	uint64_t end_us = clock_mono_us() + 20000000;

	/* A write may be lost to what came before, so it is repeated. */
	while (strcmp(tier_rig_stats(&rig).state, "ready") != 0 ||
	       tier_rig_get(&rig, 1) != TIER_HIT) {
		assert_true(clock_mono_us() < end_us);
		tier_rig_put(&rig, 1, 100, TTL_MS);
		tier_rig_run(&rig, 10);
	}
}

static void
test_tier_redis_what_was_put_is_found_until_it_is_removed(void **state)
{
	(void)state;
	open_ready();
	assert_int_equal(tier_rig_get(&rig, 1), TIER_MISS);
	for (unsigned i = 0; i < 200; i++)
		tier_rig_put(&rig, i, (size_t)i * 5, TTL_MS);
	tier_rig_settle(&rig);
	for (unsigned i = 0; i < 200; i++)
		expect(i, TIER_HIT);
	tier_rig_remove(&rig, 7);
	tier_rig_settle(&rig);
	expect(7, TIER_MISS);
	expect(8, TIER_HIT);
	assert_int_equal(tier_rig_stats(&rig).stored, 200);
	assert_int_equal(tier_rig_stats(&rig).waiting_bytes, 0);
}

static void
test_tier_redis_one_connection_is_enough(void **state)
{
	(void)state;
	open_tier(redis.url, 1);
	tier_rig_until(&rig, "ready");
	tier_rig_put(&rig, 1, 100, TTL_MS);
	expect(1, TIER_HIT); /* behind the write, on the same connection */
}

static void
test_tier_redis_keeps_the_time_to_live(void **state)
{
	(void)state;
	open_ready();
	tier_rig_put(&rig, 1, 100, 50);
	tier_rig_put(&rig, 2, 100, TTL_MS);
	tier_rig_settle(&rig);
	expect(1, TIER_MISS);
	expect(2, TIER_HIT);
	assert_int_equal(redis_rig_ask(&redis, 0, "DBSIZE"), 1);
}

static void
test_tier_redis_killed_is_a_miss_and_heals(void **state)
{
	(void)state;
	open_ready();
	redis_rig_kill(&redis);
	tier_rig_until(&rig, "connecting");
	expect_away();
	assert_int_equal(tier_rig_stats(&rig).dropped, 50);
	redis_rig_up(&redis);
	tier_rig_until(&rig, "ready");
	tier_rig_put(&rig, 1, 100, TTL_MS);
	expect(1, TIER_HIT);
	assert_true(tier_rig_stats(&rig).reconnects >= 1);
}

static void
test_tier_redis_frozen_opens_the_breaker_and_heals(void **state)
{
	struct tier_stats s;

	(void)state;
	open_ready();
	tier_rig_put(&rig, 1, 100, TTL_MS);
	expect(1, TIER_HIT);
	redis_rig_freeze(&redis);
	expect_away();
	s = tier_rig_stats(&rig);
	assert_string_equal(s.state, "open");
	assert_in_range(s.timeouts, 5, 10); /* those that opened it, and probes; not fifty */
	/* What is asked now costs nothing at all. */
	assert_int_equal(tier_rig_get_many(&rig, 0, 10000), 0);
	assert_int_equal(tier_rig_stats(&rig).timeouts, s.timeouts);
	redis_rig_thaw(&redis);
	tier_rig_until(&rig, "ready");
	expect(1, TIER_HIT);
}

static void
test_tier_redis_slow_is_a_miss_within_the_timeout(void **state)
{
	(void)state;
	open_behind_liar();
	tier_rig_put(&rig, 1, 100, TTL_MS);
	expect(1, TIER_HIT);
	redis_liar_delay(liar, 60);
	expect_away();
	assert_string_equal(tier_rig_stats(&rig).state, "open");
	redis_liar_delay(liar, 0);
	tier_rig_until(&rig, "ready");
	expect(1, TIER_HIT);
}

static void
test_tier_redis_full_refuses_and_heals(void **state)
{
	struct tier_stats s;

	(void)state;
	open_ready();
	tier_rig_put(&rig, 1, 100, TTL_MS);
	tier_rig_settle(&rig);
	(void)redis_rig_ask(&redis, 0, "CONFIG SET maxmemory 1");
	for (unsigned i = 2; i < 20; i++)
		tier_rig_put(&rig, i, 100, TTL_MS);
	tier_rig_settle(&rig);
	s = tier_rig_stats(&rig);
	assert_string_equal(s.state, "refusing");
	assert_int_equal(s.dropped, 18);
	expect(1, TIER_HIT); /* what it has it gives */
	expect(2, TIER_MISS);
	(void)redis_rig_ask(&redis, 0, "CONFIG SET maxmemory 0");
	tier_rig_put(&rig, 2, 100, TTL_MS);
	tier_rig_settle(&rig);
	tier_rig_until(&rig, "ready");
	expect(2, TIER_HIT);
}

static void
test_tier_redis_what_waits_to_be_written_is_bounded(void **state)
{
	struct tier_stats s;

	(void)state;
	open_ready();
	redis_rig_freeze(&redis);
	for (unsigned i = 0; i < 1000; i++)
		tier_rig_put(&rig, i, 4000, TTL_MS);
	s = tier_rig_stats(&rig);
	assert_in_range(s.waiting_bytes, QUEUE_BYTES - 5000, QUEUE_BYTES);
	assert_int_equal(s.waiting + s.dropped, 1000);
	redis_rig_thaw(&redis);
	tier_rig_settle(&rig);
	assert_int_equal(tier_rig_stats(&rig).waiting_bytes, 0);
	tier_rig_put(&rig, 1, QUEUE_BYTES, TTL_MS); /* larger than the queue: never */
	assert_int_equal(tier_rig_stats(&rig).waiting, 0);
}

static void
test_tier_redis_garbage_is_a_miss_and_heals(void **state)
{
	static const char *const lies[] = {
		"garbage\r\n", "+OK\r\n+OK\r\n", "*1\r\n$1\r\na\r\n", "-ERR no\r\n",
		":7\r\n",      "$999999999\r\n", "-MOVED 1 h:1\r\n",  "*-1\r\n$-1\r\n"
	};

	(void)state;
	open_behind_liar();
	tier_rig_put(&rig, 1, 100, TTL_MS);
	expect(1, TIER_HIT);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		redis_liar_say(liar, lies[i], strlen(lies[i]));
		for (unsigned k = 0; k < 10; k++) {
			assert_int_not_equal(tier_rig_get(&rig, 1), TIER_HIT);
			assert_in_range(rig.took_us, 0, ANSWER_US + LATE_US);
			tier_rig_put(&rig, 1, 100, TTL_MS);
		}
		redis_liar_say(liar, NULL, 0);
		heal();
	}
}

static void
test_tier_redis_purge_takes_what_is_meant_alone(void **state)
{
	unsigned one = 11;

	(void)state;
	open_ready();
	for (unsigned i = 0; i < 300; i++)
		tier_rig_put(&rig, i, 50, TTL_MS);
	(void)redis_rig_ask(&redis, 0, "SET somebody:elses x");
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, &one), 1);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, &one), 0);
	assert_int_equal(tier_rig_purge(&rig, "t1", NULL, NULL), 100);
	assert_int_equal(tier_rig_purge(&rig, "t0", "m0", NULL), 20);
	expect(0, TIER_MISS);
	expect(1, TIER_MISS);
	expect(3, TIER_HIT);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, NULL), 300 - 1 - 100 - 20);
	assert_int_equal(redis_rig_ask(&redis, 0, "DBSIZE"), 1);
}

static void
test_tier_redis_purge_of_one_that_is_away_says_so(void **state)
{
	(void)state;
	open_ready();
	redis_rig_freeze(&redis);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, NULL), -1);
	redis_rig_thaw(&redis);
	redis_rig_kill(&redis);
	tier_rig_until(&rig, "connecting");
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, NULL), -1);
}

static void
test_tier_redis_stop_writes_what_waits(void **state)
{
	(void)state;
	open_ready();
	for (unsigned i = 0; i < 100; i++)
		tier_rig_put(&rig, i, 100, TTL_MS);
	tier_rig_stop(&rig);
	assert_int_equal(redis_rig_ask(&redis, 0, "DBSIZE"), 100);
}

static void
test_tier_redis_stop_does_not_wait_for_one_that_hangs(void **state)
{
	(void)state;
	open_ready();
	redis_rig_freeze(&redis);
	tier_rig_put(&rig, 1, 100, TTL_MS);
	tier_rig_stop(&rig); /* the rig's patience is the bound */
	redis_rig_thaw(&redis);
}

/* Killed, frozen and slow in turns, at random, with questions and writes all the time. */
static void
test_tier_redis_storm_has_no_wrong_answer(void **state)
{
	uint64_t seed = clock_wall_us();
	struct prng prng;
	unsigned hits = 0;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	prng_seed(&prng, seed);
	open_behind_liar();
	for (unsigned round = 0; round < 12; round++) {
		switch (prng_below(&prng, 4)) {
		case 0:
			redis_rig_kill(&redis);
			redis_rig_up(&redis);
			break;
		case 1:
			redis_liar_delay(liar, prng_below(&prng, 20));
			break;
		case 2:
			redis_liar_say(liar, "$3\r\nabc\r\n", 9);
			break;
		default:
			redis_liar_say(liar, NULL, 0);
			redis_liar_delay(liar, 0);
			break;
		}
		for (unsigned i = 0; i < 100; i++)
			tier_rig_put(&rig, prng_below(&prng, 200), prng_below(&prng, 2000), TTL_MS);
		hits += tier_rig_get_many(&rig, prng_below(&prng, 100), 100);
		tier_rig_run(&rig, 20);
	}
	rig.wrong = 0; /* "abc" is not a frame, as the chain finds out */
	redis_liar_say(liar, NULL, 0);
	redis_liar_delay(liar, 0);
	heal();
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_tier_redis_what_was_put_is_found_until_it_is_removed),
		T(test_tier_redis_one_connection_is_enough),
		T(test_tier_redis_keeps_the_time_to_live),
		T(test_tier_redis_killed_is_a_miss_and_heals),
		T(test_tier_redis_frozen_opens_the_breaker_and_heals),
		T(test_tier_redis_slow_is_a_miss_within_the_timeout),
		T(test_tier_redis_full_refuses_and_heals),
		T(test_tier_redis_what_waits_to_be_written_is_bounded),
		T(test_tier_redis_garbage_is_a_miss_and_heals),
		T(test_tier_redis_purge_takes_what_is_meant_alone),
		T(test_tier_redis_purge_of_one_that_is_away_says_so),
		T(test_tier_redis_stop_writes_what_waits),
		T(test_tier_redis_stop_does_not_wait_for_one_that_hangs),
		T(test_tier_redis_storm_has_no_wrong_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
