/*
 * cache/entries_redis_test.c - entries in a real redis-server: random operations against the same done in a map, and a Redis that is frozen, killed,
 * full, or holds something else. An error is an error, never an answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cache/cache_rig.h"
#include "cache/entry_map.h"
#include "cache/entry_redis_reply.h"
#include "daemon/redis_rig.h"
#include "wire/cache_admin.h"

#define SEED     20261123
#define TTL_MS   600000
#define PATIENCE 3000 /* attempts, each after PAUSE_MS: a machine may stand still meanwhile */
#define PAUSE_MS 20
#define STEPS    3000
#define VALUE    400

static struct redis_rig redis;
static struct arena arena;
static struct entry_answer answer;

static void
request(const struct entry_ask *a)
{
	struct buf body = { 0 };

	arena_done(&arena);
	memset(&answer, 0, sizeof(answer));
	entry_ask_encode(a, &body);
	cache_rig_ask(entry_method(a->op), &body);
	if (!peer.failed)
		assert_int_equal(
		    entry_answer_decode(peer.reply.data, peer.reply.len, &arena, &answer, NULL),
		    IM_OK);
}

static struct entry_ask
ask_of(enum entry_op op, const char *key, const char *value)
{
	return (struct entry_ask){ .op = op,
				   .ns = "test",
				   .key = { (const uint8_t *)key, strlen(key) },
				   .value = { (const uint8_t *)value,
					      value != NULL ? strlen(value) : 0 },
				   .ttl_ms = value != NULL ? TTL_MS : 0 };
}

/* Redis did not answer, or is not reached: where the machine stands still for a second that may happen at any time. */
static bool
is_away(void)
{
	return peer.failed && (peer.err.rc == IM_EUNAVAILABLE || peer.err.rc == IM_EDEADLINE) &&
	       strstr(peer.err.text, "no entry") == NULL;
}

/* Ask until Redis is reached. */
static void
reach(const struct entry_ask *a)
{
	request(a);
	for (unsigned n = 0; is_away() && n < PATIENCE; n++) {
		cache_rig_pause(PAUSE_MS);
		request(a);
	}
}

static void
must(enum entry_op op, const char *key, const char *value)
{
	const struct entry_ask a = ask_of(op, key, value);

	reach(&a);
	if (peer.failed)
		fail_msg("%s", peer.err.text);
}

static void
start(const char *more)
{
	char config[200];

	(void)snprintf(config, sizeof(config), "redis: '%s', %s", redis.url, more);
	cache_rig_start(config, "operator");
	must(ENTRY_DELETE, "first", NULL);
}

static int
setup(void **state)
{
	(void)state;
	memset(&redis, 0, sizeof(redis));
	redis_rig_start(&redis, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_done(&arena);
	redis_rig_kill(&redis);
	return 0;
}

/* The map is the model: entry_map_test.c shows that it is right. Their versions differ: 'theirs' of each name. */
static struct entry_map *map;
static uint64_t theirs[10], map_us;

/* Something to do with name number 'n', told to the map and to Redis: each its own version. */
static void
choose(struct prng *p, unsigned n, const char *key, const char *value, struct entry_ask *ret_map,
       struct entry_ask *ret_redis)
{
	const struct entry_ask get = { .op = ENTRY_GET,
				       .ns = "test",
				       .key = { (const uint8_t *)key, 1 } };
	unsigned how = prng_below(p, 3);
	struct entry_ask a = get;
	struct entry_done done;

	a.op = (enum entry_op)prng_below(p, ENTRY_OPS);
	if (a.op != ENTRY_GET && a.op != ENTRY_DELETE) {
		a.ttl_ms = TTL_MS;
		a.value = (struct wire_bytes){ (const uint8_t *)value, prng_below(p, VALUE) };
	}
	*ret_map = *ret_redis = a;
	if (a.op != ENTRY_COMPARE_AND_SET && a.op != ENTRY_DELETE)
		return;
	assert_int_equal(entry_map_do(map, &get, map_us, &done, NULL), IM_OK);
	if (how == 0 || done.entry == NULL)
		return;
	ret_map->version = done.entry->version + (how == 2); /* 2: one that is not there */
	ret_redis->version = theirs[n] + (how == 2);
}

static void
compare(unsigned n, enum entry_op op, const struct entry_done *done)
{
	const struct entry *e = done->entry;

	assert_string_equal(answer.home, "redis");
	assert_true(answer.durable);
	assert_int_equal(answer.found, done->found);
	assert_int_equal(answer.done, done->done);
	assert_int_equal(answer.version != 0, e != NULL);
	if (e == NULL)
		return;
	if (done->changed)
		assert_true(answer.version > theirs[n]);
	else
		assert_int_equal(answer.version, theirs[n]);
	theirs[n] = answer.version;
	assert_in_range(answer.left_ms, 1, TTL_MS);
	assert_int_equal(answer.value.len, op == ENTRY_GET ? e->len : 0);
	if (answer.value.len > 0)
		assert_memory_equal(answer.value.data, e->value, e->len);
}

/* False: Redis was away in between, and what it did last is not known. */
static bool
walk(struct prng *p)
{
	char key[8], value[VALUE];
	struct entry_done done;

	memset(value, 'v', sizeof(value));
	for (map_us = 1; map_us <= STEPS; map_us++) {
		unsigned n = prng_below(p, 10);
		struct entry_ask to_map, to_redis;
		enum im_rc rc;

		(void)snprintf(key, sizeof(key), "%u", n);
		value[0] = (char)('a' + (char)prng_below(p, 26));
		choose(p, n, key, value, &to_map, &to_redis);
		rc = entry_map_do(map, &to_map, map_us, &done, NULL);
		request(&to_redis);
		if (is_away())
			return false;
		assert_int_equal(peer.failed ? peer.err.rc : IM_OK, rc);
		if (rc == IM_OK)
			compare(n, to_map.op, &done);
	}
	return true;
}

static void
test_entries_in_redis_random_operations_do_what_the_map_does(void **state)
{
	const struct entry_map_params params = { (size_t)1 << 20, 1024, SEED };
	bool whole = false;
	struct prng p;

	(void)state;
	print_message("seed %d\n", SEED);
	start("store_ms: 60s, store_value_bytes: 1KiB");
	for (unsigned attempt = 0; attempt < 20 && !whole; attempt++) {
		must(ENTRY_DELETE, "first", NULL); /* it is back */
		(void)redis_rig_ask(&redis, 0, "FLUSHALL");
		memset(theirs, 0, sizeof(theirs));
		prng_seed(&p, SEED);
		assert_int_equal(entry_map_new(&params, &map, NULL), IM_OK);
		whole = walk(&p);
		entry_map_free(map);
	}
	assert_true(whole);
	cache_rig_stop();
}

static void
test_entries_in_redis_outlive_the_daemon_and_a_purge_and_expire(void **state)
{
	struct entry_ask a = ask_of(ENTRY_PUT, "short", "v");
	struct buf body = { 0 };

	(void)state;
	start("store_ms: 60s");
	must(ENTRY_PUT, "k", "v");
	cache_purge_encode(&(struct cache_purge){ 0 }, &body);
	cache_rig_ask(METHOD_CACHE_PURGE, &body);
	cache_rig_stop();
	start("store_ms: 60s");
	must(ENTRY_GET, "k", NULL);
	assert_true(answer.found);
	a.ttl_ms = 1;
	reach(&a);
	assert_false(peer.failed);
	do
		must(ENTRY_GET, "short", NULL);
	while (answer.found);
	cache_rig_stop();
}

static void
test_entries_in_redis_that_is_frozen_or_dead_are_an_error_in_time(void **state)
{
	struct entry_ask a = ask_of(ENTRY_PUT, "k", "w");

	(void)state;
	start("store_ms: 200ms");
	must(ENTRY_PUT, "k", "v");
	redis_rig_freeze(&redis);
	for (unsigned i = 0; i < 20; i++) {
		request(&a);
		assert_true(peer.failed);
		assert_true(peer.err.rc == IM_EDEADLINE || peer.err.rc == IM_EUNAVAILABLE);
	}
	redis_rig_thaw(&redis);
	must(ENTRY_PUT, "k", "x");
	redis_rig_kill(&redis);
	request(&a);
	assert_true(peer.failed);
	redis_rig_up(&redis);
	must(ENTRY_PUT, "k", "y");
	must(ENTRY_GET, "k", NULL);
	assert_int_equal(answer.value.len, 1);
	assert_memory_equal(answer.value.data, "y", 1);
	cache_rig_stop();
}

static void
test_entries_in_redis_that_is_full_or_foreign_are_refused(void **state)
{
	struct entry_ask a = ask_of(ENTRY_PUT, "k", "v");

	(void)state;
	start("store_ms: 60s");
	must(ENTRY_PUT, "k", "v");
	(void)redis_rig_ask(&redis, 0, "CONFIG SET maxmemory 1");
	reach(&a);
	assert_true(peer.failed);
	assert_int_equal(peer.err.rc, IM_ELIMIT);
	assert_string_equal(peer.err.reason, "store_full");
	must(ENTRY_GET, "k", NULL);
	assert_true(answer.found);
	(void)redis_rig_ask(&redis, 0, "CONFIG SET maxmemory 0");
	(void)redis_rig_ask(&redis, 0, "SET infermesh:cache:entry:test:k nonsense");
	reach(&a);
	assert_true(peer.failed);
	assert_int_equal(peer.err.rc, IM_EUNAVAILABLE);
	assert_non_null(strstr(peer.err.text, "no entry"));
	cache_rig_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_entries_in_redis_random_operations_do_what_the_map_does, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_entries_in_redis_outlive_the_daemon_and_a_purge_and_expire, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    test_entries_in_redis_that_is_frozen_or_dead_are_an_error_in_time, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    test_entries_in_redis_that_is_full_or_foreign_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
