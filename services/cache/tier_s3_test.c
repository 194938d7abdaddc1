/*
 * cache/tier_s3_test.c - an object store as a tier: what is kept, purged, swept, and that a store that fails is a miss. Signatures that a real
 * store checks: tests/mesh/test_cache_s3.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cache/s3_fake.h"
#include "cache/tier_rig.h"
#include "cache/tier_s3.h"

#define MIB         ((uint64_t)1 << 20)
#define QUEUE_BYTES ((size_t)256 * 1024)
#define TTL_S       3600
#define TTL_MS      3600000
#define NEVER_US    3600000000ULL
#define SOON_US     20000
#define ANSWER_US   10000000 /* a busy machine is no failure here */
#define SHORT_US    20000
#define PATIENCE_US 20000000

static struct tier_rig rig;
static struct s3_fake *fake;

static void
open_at(const char *url, uint32_t answer_us, uint64_t max_bytes, uint64_t sweep_us)
{
	const struct tier_s3_params params = {
		.s3 = { .url = url,
			.region = "eu-central-1",
			.credentials_env = "IM_TEST_S3",
			.connections = 16 },
		.ttl_ms = TTL_MS,
		.max_bytes = max_bytes,
		.answer_us = answer_us,
		.queue_bytes = QUEUE_BYTES,
		.max_value_bytes = MIB,
		.sweep_us = sweep_us,
	};
	struct im_err err;

	tier_rig_open(&rig);
	loop_enter(rig.loop);
	if (tier_s3_new(rig.loop, &params, &rig.tier, &err) != IM_OK)
		fail_msg("%s", err.text);
	loop_leave(rig.loop);
}

static void
open_tier(uint32_t answer_us)
{
	open_at(s3_fake_url(fake), answer_us, 64 * MIB, NEVER_US);
}

static int
setup(void **state)
{
	(void)state;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	if (setenv("IM_TEST_S3", S3_FAKE_CREDENTIALS, 1) != 0)
		return -1;
	fake = s3_fake_start();
	return fake == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	tier_rig_close(&rig);
	s3_fake_stop(fake);
	return 0;
}

static void
put_many(unsigned count, size_t bytes)
{
	for (unsigned i = 0; i < count; i++) {
		tier_rig_put(&rig, i, bytes, TTL_MS);
		if (i % 8 == 7)
			tier_rig_settle(&rig);
	}
	tier_rig_settle(&rig);
}

static void
test_tier_s3_what_was_put_is_found_until_its_time_is_over(void **state)
{
	(void)state;
	open_tier(ANSWER_US);
	assert_int_equal(tier_rig_get(&rig, 1), TIER_MISS);
	tier_rig_put(&rig, 1, 100, 30);
	tier_rig_put(&rig, 2, 100000, TTL_MS);
	tier_rig_settle(&rig);
	tier_rig_run(&rig, 40);
	assert_int_equal(tier_rig_get(&rig, 1), TIER_MISS);
	assert_int_equal(tier_rig_get(&rig, 2), TIER_HIT);
	tier_rig_remove(&rig, 2);
	tier_rig_settle(&rig);
	assert_int_equal(tier_rig_get(&rig, 2), TIER_MISS);
	assert_int_equal(tier_rig_stats(&rig).stored, 2);
	assert_int_equal(tier_rig_stats(&rig).errors, 0);
	assert_string_equal(tier_rig_stats(&rig).state, "ready");
}

static void
test_tier_s3_no_more_lookups_at_once_than_connections(void **state)
{
	(void)state;
	open_tier(ANSWER_US);
	put_many(40, 100);
	assert_int_equal(tier_rig_get_many(&rig, 0, 40), 16);
	assert_int_equal(tier_rig_get_many(&rig, 20, 16), 16);
}

static void
test_tier_s3_purge_takes_what_is_meant_alone_from_every_page(void **state)
{
	unsigned one = 11;

	(void)state;
	open_tier(ANSWER_US);
	put_many(300, 50);
	tier_rig_put(&rig, 300, 50,
		     TTL_MS); /* a purge comes behind what still waits to be written */
	assert_int_equal(tier_rig_purge(&rig, "t0", "m0", NULL), 21);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, &one), 1);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, &one), 0);
	assert_int_equal(tier_rig_purge(&rig, "t1", NULL, NULL), 100);
	assert_int_equal(tier_rig_get(&rig, 1), TIER_MISS);
	assert_int_equal(tier_rig_get(&rig, 3), TIER_HIT);
	assert_int_equal(s3_fake_objects(fake), 301 - 21 - 1 - 100);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, NULL), 301 - 21 - 1 - 100);
	assert_int_equal(s3_fake_objects(fake), 0);
}

static void
test_tier_s3_purge_of_a_store_that_fails_is_not_sure(void **state)
{
	static const enum s3_fake_mode modes[] = { S3_FAKE_BROKEN, S3_FAKE_NONSENSE,
						   S3_FAKE_ENDLESS };

	(void)state;
	open_tier(ANSWER_US);
	put_many(10, 50);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		s3_fake_mode(fake, modes[i]);
		assert_int_equal(tier_rig_purge(&rig, NULL, NULL, NULL), -1);
		assert_int_equal(tier_rig_purge(&rig, "t1", NULL, NULL), -1);
	}
	s3_fake_mode(fake, S3_FAKE_WELL);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, NULL), 10);
}

static void
test_tier_s3_what_waits_to_be_written_is_bounded(void **state)
{
	struct tier_stats s;

	(void)state;
	open_tier(ANSWER_US);
	s3_fake_mode(fake, S3_FAKE_HANG);
	for (unsigned i = 0; i < 100; i++) {
		tier_rig_put(&rig, i, 20000, TTL_MS);
		assert_in_range(tier_rig_stats(&rig).waiting_bytes, 0, QUEUE_BYTES);
	}
	assert_true(tier_rig_stats(&rig).dropped > 80);
	s3_fake_mode(fake, S3_FAKE_WELL);
	tier_rig_settle(&rig);
	s = tier_rig_stats(&rig);
	assert_int_equal(s.stored + s.dropped, 100);
	assert_int_equal(s.waiting_bytes, 0);
	assert_int_equal(s3_fake_objects(fake), s.stored);
}

/* Ask until the tier says 'state': each failure is a moment of its own only after a while. */
static void
until_asked(const char *says, enum tier_result result)
{
	uint64_t end_us = clock_mono_us() + PATIENCE_US;

	while (strcmp(tier_rig_stats(&rig).state, says) != 0) {
		assert_true(clock_mono_us() < end_us);
		assert_true(tier_rig_get(&rig, 1) == result || result == TIER_MISS);
		tier_rig_run(&rig, 2);
	}
}

static void
test_tier_s3_store_that_fails_is_a_miss_and_heals(void **state)
{
	static const struct {
		enum s3_fake_mode mode;
		const char *says;
	} cases[] = { { S3_FAKE_HANG, "open" },
		      { S3_FAKE_BROKEN, "failing" },
		      { S3_FAKE_ENDLESS, "away" } };

	(void)state;
	open_tier(SHORT_US);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s3_fake_mode(fake, cases[i].mode);
		until_asked(cases[i].says, TIER_FAILED);
		tier_rig_put(&rig, 1, 100, TTL_MS); /* nothing is sent to who does not answer */
		assert_int_equal(tier_rig_stats(&rig).waiting, 0);
		s3_fake_mode(fake, S3_FAKE_WELL);
		until_asked("ready", TIER_MISS);
	}
	assert_true(tier_rig_stats(&rig).timeouts > 0);
	assert_true(tier_rig_stats(&rig).errors > 0);
}

static void
test_tier_s3_bucket_that_is_not_there_is_refusing(void **state)
{
	char url[100];

	(void)state;
	(void)memccpy(url, s3_fake_url(fake), '\0', sizeof(url));
	strstr(url, "bucket")[0] = 's';
	open_at(url, SHORT_US, MIB, NEVER_US);
	until_asked("refusing", TIER_FAILED);
}

static void
test_tier_s3_nobody_listens_is_away(void **state)
{
	(void)state;
	open_at("http://127.0.0.1:1/bucket/p", SHORT_US, MIB, NEVER_US);
	until_asked("away", TIER_FAILED);
}

static void
until_swept(size_t objects)
{
	uint64_t end_us = clock_mono_us() + PATIENCE_US;

	while (s3_fake_objects(fake) != objects || tier_rig_stats(&rig).entries != objects) {
		assert_true(clock_mono_us() < end_us);
		tier_rig_run(&rig, 5);
	}
}

static void
test_tier_s3_sweep_takes_what_is_too_old(void **state)
{
	struct tier_stats s;

	(void)state;
	open_at(s3_fake_url(fake), ANSWER_US, 64 * MIB, SOON_US);
	put_many(150, 1000);
	until_swept(150);
	s3_fake_age(fake, TTL_S + 10);
	for (unsigned i = 200; i < 220; i++)
		tier_rig_put(&rig, i, 1000, TTL_MS);
	tier_rig_settle(&rig);
	until_swept(20);
	s = tier_rig_stats(&rig);
	assert_true(s.sized);
	assert_int_equal(s.expired, 150);
	assert_int_equal(s.evicted, 0);
	assert_int_equal(s.bytes, s3_fake_bytes(fake));
	assert_int_equal(tier_rig_get(&rig, 200), TIER_HIT);
}

static void
put_spread(unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		tier_rig_put(&rig, first + 2 * i, 10000, TTL_MS);
		if (i % 8 == 7)
			tier_rig_settle(&rig);
	}
	tier_rig_settle(&rig);
}

static void
test_tier_s3_sweep_takes_the_oldest_where_there_is_too_much(void **state)
{
	uint64_t end_us = clock_mono_us() + PATIENCE_US;

	(void)state;
	open_at(s3_fake_url(fake), ANSWER_US, MIB, SOON_US);
	/* Even numbers are old, odd ones new. A key begins with its number: they spread as hashes do. */
	put_spread(0, 100);
	s3_fake_age(fake, TTL_S / 2);
	put_spread(1, 60);
	while (s3_fake_bytes(fake) > MIB || tier_rig_stats(&rig).bytes > MIB) {
		assert_true(clock_mono_us() < end_us);
		tier_rig_run(&rig, 5);
	}
	/* Not much more than must go, and none that is new. */
	assert_in_range(s3_fake_bytes(fake), MIB * 5 / 8, MIB);
	assert_true(tier_rig_stats(&rig).evicted > 0);
	for (unsigned i = 1; i < 120; i += 2)
		assert_int_equal(tier_rig_get(&rig, i), TIER_HIT);
}

static void
test_tier_s3_is_stopped_while_the_store_hangs(void **state)
{
	(void)state;
	open_at(s3_fake_url(fake), SHORT_US, MIB, SOON_US);
	s3_fake_mode(fake, S3_FAKE_HANG);
	tier_rig_put(&rig, 1, 100, TTL_MS);
	assert_int_equal(tier_rig_get(&rig, 1), TIER_FAILED);
	tier_rig_run(&rig, 50); /* a sweep has begun */
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_tier_s3_what_was_put_is_found_until_its_time_is_over),
		T(test_tier_s3_no_more_lookups_at_once_than_connections),
		T(test_tier_s3_purge_takes_what_is_meant_alone_from_every_page),
		T(test_tier_s3_purge_of_a_store_that_fails_is_not_sure),
		T(test_tier_s3_what_waits_to_be_written_is_bounded),
		T(test_tier_s3_store_that_fails_is_a_miss_and_heals),
		T(test_tier_s3_bucket_that_is_not_there_is_refusing),
		T(test_tier_s3_nobody_listens_is_away),
		T(test_tier_s3_sweep_takes_what_is_too_old),
		T(test_tier_s3_sweep_takes_the_oldest_where_there_is_too_much),
		T(test_tier_s3_is_stopped_while_the_store_hangs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
