/*
 * cache/tier_redis_cluster_test.c - a real cluster of Redis, 3 primaries and 3 replicas, as a tier: every key is found where it is, also
 * while it moves, and when a primary dies its replica takes over without anybody waiting for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/hex.h"
#include "cache/redis_slots.h"
#include "cache/tier_redis.h"
#include "cache/tier_rig.h"
#include "daemon/redis_rig.h"

#define NODES     6
#define KEYS      300
#define ANSWER_US 5000
#define LATE_US   400000
#define TTL_MS    600000

static struct redis_rig node[NODES];
static struct tier_rig rig;

static const char *const cluster_args[] = {
	"--cluster-enabled",
	"yes",
	"--cluster-node-timeout",
	"2000",
	"--cluster-replica-validity-factor",
	"0", /* a replica takes over however late this machine is */
	"--repl-diskless-sync-delay",
	"0",
	"--cluster-require-full-coverage",
	"no",
	NULL
};

/* The first line that a shell command prints. */
static void
shell(char *ret, size_t size, const char *format, ...)
{
	char command[1024];
	va_list ap;
	FILE *out;

	va_start(ap, format);
	(void)vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	out = popen(command, "r"); /* NOLINT(cert-env33-c): a test's own words */
	assert_non_null(out);
	if (fgets(ret, (int)size, out) == NULL)
		ret[0] = '\0';
	ret[strcspn(ret, "\r\n")] = '\0';
	while (fgetc(out) != EOF)
		continue;
	if (pclose(out) != 0)
		fail_msg("%s failed: %s", command, ret);
}

static void
wait_for_cluster(void)
{
	uint64_t end_us = clock_mono_us() + 30000000;
	char state[64];

	for (int i = 0; i < NODES; i++) {
		do {
			assert_true(clock_mono_us() < end_us);
			(void)usleep(50000);
			shell(
			    state, sizeof(state),
			    "{ redis-cli -p %d cluster info; redis-cli -p %d info replication; } | "
			    "grep -cE 'cluster_state:ok|role:master|master_link_status:up' || true",
			    node[i].port, node[i].port);
		} while (strcmp(state, "2") != 0);
	}
}

static int
start_cluster(void **state)
{
	char addresses[256] = "", line[256];
	size_t len = 0;

	(void)state;
	for (int i = 0; i < NODES; i++) {
		/* The bus listens 10,000 above. */
		do
			redis_rig_reserve(&node[i]);
		while (node[i].port > 55000);
		(void)snprintf(node[i].dir, sizeof(node[i].dir), "/tmp/im-cluster-XXXXXX");
		assert_non_null(mkdtemp(node[i].dir));
		node[i].more = cluster_args;
		redis_rig_up(&node[i]);
		len += (size_t)snprintf(addresses + len, sizeof(addresses) - len, " 127.0.0.1:%d",
					node[i].port);
	}
	shell(line, sizeof(line), "redis-cli --cluster create%s --cluster-replicas 1 --cluster-yes",
	      addresses);
	wait_for_cluster();
	return 0;
}

static int
stop_cluster(void **state)
{
	char line[64];

	(void)state;
	for (int i = 0; i < NODES; i++) {
		redis_rig_kill(&node[i]);
		if (node[i].dir[0] != '\0')
			shell(line, sizeof(line), "rm -r %s", node[i].dir);
	}
	return 0;
}

static int
setup(void **state)
{
	/* One node tells of the others. */
	const char *urls[] = { node[5].url };
	const struct tier_redis_params params = { .urls = urls,
						  .url_count = 1,
						  .prefix = "t:",
						  .connections = 2,
						  .ttl_ms = TTL_MS,
						  .answer_us = ANSWER_US,
						  .queue_bytes = 1 << 20,
						  .max_value_bytes = 1 << 16 };

	(void)state;
	tier_rig_open(&rig);
	loop_enter(rig.loop);
	assert_int_equal(tier_redis_new(rig.loop, &params, &rig.tier, NULL), IM_OK);
	loop_leave(rig.loop);
	tier_rig_until(&rig, "ready");
	for (unsigned i = 0; i < KEYS; i++)
		tier_rig_put(&rig, i, 100, TTL_MS);
	tier_rig_settle(&rig);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)tier_rig_purge(&rig, NULL, NULL, NULL);
	tier_rig_close(&rig);
	return 0;
}

/* Until all of them are found. */
static void
expect_all(void)
{
	uint64_t end_us = clock_mono_us() + 20000000;

	while (tier_rig_get_many(&rig, 0, KEYS) != KEYS) {
		assert_true(clock_mono_us() < end_us);
		tier_rig_run(&rig, 20);
	}
}

static void
test_tier_cluster_every_key_is_found_where_it_is(void **state)
{
	(void)state;
	expect_all();
	for (int i = 0; i < 3; i++)
		assert_in_range(redis_rig_ask(&node[i], 0, "DBSIZE"), KEYS / 6, KEYS / 2);
	assert_int_equal(tier_rig_stats(&rig).errors, 0);
}

static void
test_tier_cluster_purge_reaches_every_node(void **state)
{
	(void)state;
	assert_int_equal(tier_rig_purge(&rig, "t2", NULL, NULL), KEYS / 3);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, NULL), KEYS - KEYS / 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(redis_rig_ask(&node[i], 0, "DBSIZE"), 0);
}

/* The text of key number 'n', and who has it. */
static unsigned
place_of(unsigned n, char ret_key[80], uint16_t *ret_slot)
{
	uint8_t key[CACHE_KEY_BYTES];
	char command[128];

	memset(key, 0x5a, sizeof(key));
	memcpy(key, &n, sizeof(n));
	memcpy(ret_key, "t:", 3);
	hex_encode(key, sizeof(key), ret_key + 2);
	*ret_slot = redis_slot(ret_key, strlen(ret_key));
	(void)snprintf(command, sizeof(command), "CLUSTER COUNTKEYSINSLOT %u", *ret_slot);
	for (unsigned i = 0; i < 3; i++)
		if (redis_rig_ask(&node[i], 0, command) > 0)
			return i;
	fail_msg("nobody has key %u", n);
	return 0;
}

static void
test_tier_cluster_slot_that_moves_is_followed(void **state)
{
	char key[80], from_id[64], to_id[64], line[128];
	uint16_t slot;
	unsigned from = place_of(7, key, &slot), to = (from + 1) % 3;

	(void)state;
	shell(from_id, sizeof(from_id), "redis-cli -p %d cluster myid", node[from].port);
	shell(to_id, sizeof(to_id), "redis-cli -p %d cluster myid", node[to].port);
	shell(line, sizeof(line), "redis-cli -p %d cluster setslot %u importing %s", node[to].port,
	      slot, from_id);
	shell(line, sizeof(line), "redis-cli -p %d cluster setslot %u migrating %s",
	      node[from].port, slot, to_id);
	shell(line, sizeof(line), "redis-cli -p %d migrate 127.0.0.1 %d %s 0 5000", node[from].port,
	      node[to].port, key);
	assert_string_equal(line, "OK");
	/* ASK: it is there, but the slot is still here. */
	expect_all();
	tier_rig_remove(&rig, 7);
	tier_rig_settle(&rig);
	tier_rig_put(&rig, 7, 100, TTL_MS);
	tier_rig_settle(&rig);
	expect_all();
	/* MOVED. */
	for (int i = 0; i < 3; i++)
		shell(line, sizeof(line), "redis-cli -p %d cluster setslot %u node %s",
		      node[(to + (unsigned)i) % 3].port, slot, to_id);
	expect_all();
	tier_rig_put(&rig, 7, 200, TTL_MS);
	tier_rig_settle(&rig);
	expect_all();
	assert_string_equal(tier_rig_stats(&rig).state, "ready");
}

static void
test_tier_cluster_primary_killed_its_share_misses_and_its_replica_takes_over(void **state)
{
	unsigned found = 0;

	(void)state;
	expect_all();
	redis_rig_kill(&node[1]);
	tier_rig_until(&rig, "partial");
	for (int i = 0; i < 20; i++) {
		found += tier_rig_get_many(&rig, 0, KEYS);
		assert_in_range(rig.took_us, 0, ANSWER_US + LATE_US);
	}
	assert_in_range(found, 1, 20 * KEYS); /* the others' share, at least in part */
	assert_int_equal(tier_rig_purge(&rig, "t0", NULL, NULL), -1);
	tier_rig_until(&rig, "ready");
	for (unsigned i = 0; i < KEYS; i++)
		tier_rig_put(&rig, i, 100, TTL_MS);
	tier_rig_settle(&rig);
	expect_all();
	redis_rig_up(&node[1]);
	wait_for_cluster();
	expect_all();
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_tier_cluster_every_key_is_found_where_it_is),
		T(test_tier_cluster_purge_reaches_every_node),
		T(test_tier_cluster_slot_that_moves_is_followed),
		T(test_tier_cluster_primary_killed_its_share_misses_and_its_replica_takes_over),
	};

	return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
