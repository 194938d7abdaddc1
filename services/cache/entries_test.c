/*
 * cache/entries_test.c - entries over an in-process link, in memory and with the real RocksDB: what a peer sees, also when the folder is damaged or
 * taken away.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/cache_rig.h"
#include "daemon/entry_client.h"
#include "wire/cache_admin.h"
#include "wire/entry.h"

#define PATIENCE 3000 /* attempts, each after PAUSE_MS: a machine may stand still meanwhile */
#define PAUSE_MS 20

static char dir[64], on_disk[200];
static struct arena arena;
static struct entry_answer answer;

static void
request(enum entry_op op, const char *key, const char *value, uint64_t ttl_ms, uint64_t version)
{
	const struct entry_ask a = { .op = op,
				     .ns = "test",
				     .key = { (const uint8_t *)key, strlen(key) },
				     .value = { (const uint8_t *)value,
						value != NULL ? strlen(value) : 0 },
				     .ttl_ms = ttl_ms,
				     .version = version };
	struct buf body = { 0 };

	arena_done(&arena);
	memset(&answer, 0, sizeof(answer));
	entry_ask_encode(&a, &body);
	cache_rig_ask(entry_method(op), &body);
	if (!peer.failed)
		assert_int_equal(
		    entry_answer_decode(peer.reply.data, peer.reply.len, &arena, &answer, NULL),
		    IM_OK);
}

/* It must be done, once the home is open. */
static void
must(enum entry_op op, const char *key, const char *value, uint64_t version)
{
	bool writes = op != ENTRY_GET && op != ENTRY_DELETE;

	request(op, key, value, writes ? 600000 : 0, version);
	for (unsigned n = 0; peer.failed && peer.err.rc == IM_EUNAVAILABLE && n < PATIENCE; n++) {
		cache_rig_pause(PAUSE_MS);
		request(op, key, value, writes ? 600000 : 0, version);
	}
	if (peer.failed)
		fail_msg("%s", peer.err.text);
}

static void
expect(const char *key, const char *value)
{
	must(ENTRY_GET, key, NULL, 0);
	assert_int_equal(answer.found, value != NULL);
	if (value != NULL) {
		assert_int_equal(answer.value.len, strlen(value));
		assert_memory_equal(answer.value.data, value, strlen(value));
		assert_true(answer.left_ms > 0 && answer.left_ms <= 600000);
	}
}

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/im-entries-XXXXXX");
	assert_non_null(mkdtemp(dir));
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): before there are threads */
	assert_int_equal(setenv("D", dir, 1), 0);
	(void)snprintf(on_disk, sizeof(on_disk), "l2_dir: '%s/l2', store_ms: 60s", dir);
	return 0;
}

/* A shell's command; its folder is $D. */
static void
run(const char *command)
{
	/* NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe): a test's own words */
	assert_int_equal(system(command), 0);
}

static int
teardown(void **state)
{
	(void)state;
	arena_done(&arena);
	run("rm -rf $D");
	return 0;
}

static void
test_entries_in_memory_say_that_they_are_not_durable(void **state)
{
	uint64_t version;

	(void)state;
	cache_rig_start("store_ms: 60s", "gateway");
	must(ENTRY_PUT, "k", "a", 0);
	assert_true(answer.done && !answer.found && !answer.durable);
	assert_string_equal(answer.home, "memory");
	must(ENTRY_APPEND, "k", "b", 0);
	expect("k", "ab");
	version = answer.version;
	must(ENTRY_COMPARE_AND_SET, "k", "c", version - 1);
	assert_false(answer.done);
	assert_int_equal(answer.version, version);
	must(ENTRY_COMPARE_AND_SET, "k", "c", version);
	assert_true(answer.done && answer.version > version);
	must(ENTRY_DELETE, "k", NULL, version);
	assert_false(answer.done);
	must(ENTRY_DELETE, "k", NULL, 0);
	assert_true(answer.done && answer.found && answer.version == 0);
	expect("k", NULL);
	cache_rig_stop();
}

static void
test_entries_are_refused_to_who_has_no_business_with_them(void **state)
{
	(void)state;
	cache_rig_start("", "client");
	for (unsigned op = 0; op < ENTRY_OPS; op++) {
		request((enum entry_op)op, "k", NULL, 0, 0);
		assert_true(peer.failed);
		assert_int_equal(peer.err.rc, IM_EPERM);
	}
	cache_rig_stop();
}

static void
test_entries_wrong_request_names_the_field(void **state)
{
	static const char long_key[ENTRY_KEY_MAX + 2] = { [0 ... ENTRY_KEY_MAX] = 'k' };
	char *large = calloc(1, 2000);
	struct entry_ask a = { .op = ENTRY_PUT, .ttl_ms = 1 };
	struct buf body = { 0 };

	(void)state;
	assert_non_null(large);
	memset(large, 'v', 1999);
	cache_rig_start("store_value_bytes: 1KiB, store_ms: 60s", "router");
	request(ENTRY_PUT, "", "v", 1, 0);
	assert_string_equal(peer.err.param, "key");
	request(ENTRY_PUT, long_key, "v", 1, 0);
	assert_string_equal(peer.err.param, "key");
	request(ENTRY_PUT, "k", "v", 0, 0);
	assert_string_equal(peer.err.param, "ttl_ms");
	request(ENTRY_PUT, "k", "v", ENTRY_TTL_MAX_MS + 1, 0);
	assert_string_equal(peer.err.param, "ttl_ms");
	request(ENTRY_GET, "k", NULL, 1, 0);
	assert_string_equal(peer.err.param, "ttl_ms");
	request(ENTRY_GET, "k", "v", 0, 0);
	assert_string_equal(peer.err.param, "value");
	request(ENTRY_APPEND, "k", "v", 1, 1);
	assert_string_equal(peer.err.param, "version");
	a.key = (struct wire_bytes){ (const uint8_t *)"k", 1 };
	a.ns = "Über";
	entry_ask_encode(&a, &body);
	cache_rig_ask(entry_method(ENTRY_PUT), &body);
	assert_string_equal(peer.err.param, "namespace");
	assert_int_equal(peer.err.rc, IM_EINVAL);
	request(ENTRY_PUT, "k", large, 1, 0);
	assert_int_equal(peer.err.rc, IM_ETOOBIG);
	large[1024] = '\0';
	must(ENTRY_PUT, "k", large, 0);
	request(ENTRY_APPEND, "k", "v", 1, 0);
	assert_true(peer.failed);
	assert_int_equal(peer.err.rc, IM_ETOOBIG);
	expect("k", large);
	free(large);
	cache_rig_stop();
}

static void
test_entries_on_disk_outlive_the_daemon_and_a_purge(void **state)
{
	uint64_t version;
	struct buf body = { 0 };

	(void)state;
	cache_rig_start(on_disk, "operator");
	must(ENTRY_PUT, "k", "a", 0);
	assert_true(answer.done && answer.durable);
	assert_string_equal(answer.home, "disk");
	must(ENTRY_APPEND, "k", "b", 0);
	version = answer.version;
	must(ENTRY_PUT, "gone", "x", 0);
	must(ENTRY_DELETE, "gone", NULL, 0);
	request(ENTRY_PUT, "short", "x", 1, 0);
	assert_false(peer.failed);
	cache_purge_encode(&(struct cache_purge){ 0 }, &body);
	cache_rig_ask(METHOD_CACHE_PURGE, &body);
	assert_false(peer.failed);
	cache_rig_stop();

	cache_rig_start(on_disk, "router");
	expect("k", "ab");
	assert_int_equal(answer.version, version);
	expect("gone", NULL);
	expect("short", NULL);
	must(ENTRY_COMPARE_AND_SET, "k", "c", version);
	assert_true(answer.done && answer.version > version);
	cache_rig_stop();
}

/* The answers beside them are a cache, which is emptied when it is damaged. */
static void
test_entries_stay_when_the_answers_are_damaged_and_emptied(void **state)
{
	(void)state;
	cache_rig_start(on_disk, "router");
	must(ENTRY_PUT, "k", "a", 0);
	cache_rig_stop();
	run("echo nonsense >$D/l2/CURRENT");
	cache_rig_start(on_disk, "router");
	expect("k", "a");
	cache_rig_stop();
}

static void
test_entries_that_are_damaged_are_an_error_and_stay_as_they_are(void **state)
{
	(void)state;
	cache_rig_start(on_disk, "router");
	must(ENTRY_PUT, "k", "a", 0);
	cache_rig_stop();
	run("cd $D/l2/store && cp CURRENT ../kept && echo nonsense >CURRENT");
	cache_rig_start(on_disk, "router");
	do
		request(ENTRY_GET, "k", NULL, 0, 0);
	while (strstr(peer.err.text, "being loaded") != NULL);
	assert_true(peer.failed);
	assert_int_equal(peer.err.rc, IM_EUNAVAILABLE);
	run("cd $D/l2/store && cp ../kept CURRENT");
	expect("k", "a"); /* it is tried again */
	cache_rig_stop();
}

/* RocksDB would go on writing into a folder without a name. */
static void
test_entries_in_a_folder_that_was_removed_are_not_acknowledged(void **state)
{
	(void)state;
	cache_rig_start(on_disk, "router");
	must(ENTRY_PUT, "k", "a", 0);
	run("mv $D/l2/store $D/elsewhere");
	request(ENTRY_PUT, "k", "b", 600000, 0);
	if (peer.failed)
		assert_int_equal(peer.err.rc, IM_EUNAVAILABLE);
	else /* a machine that stood still: another folder has been made meanwhile */
		run("test -e $D/l2/store/CURRENT");
	must(ENTRY_PUT, "other", "c", 0);
	assert_true(answer.durable);
	run("test -e $D/l2/store/CURRENT");
	cache_rig_stop();
}

static void
test_entries_are_refused_when_there_is_no_room_for_more(void **state)
{
	char *value = calloc(1, 200001), key[16];
	unsigned n = 0;

	(void)state;
	assert_non_null(value);
	memset(value, 'v', 200000);
	(void)strncat(on_disk, ", store_bytes: 1MiB", sizeof(on_disk) - strlen(on_disk) - 1);
	cache_rig_start(on_disk, "router");
	must(ENTRY_PUT, "k0", value, 0);
	do {
		(void)snprintf(key, sizeof(key), "k%u", ++n);
		request(ENTRY_PUT, key, value, 600000, 0);
	} while (!peer.failed);
	assert_int_equal(peer.err.rc, IM_ELIMIT);
	assert_string_equal(peer.err.reason, "store_full");
	assert_int_equal(n, 5);
	cache_rig_stop();
	cache_rig_start(on_disk, "router");
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "k%u", i);
		expect(key, value);
	}
	free(value);
	cache_rig_stop();
}

/* As another daemon does it. */

static struct {
	bool ended, failed;
	enum im_rc rc;
	struct entry_answer answer;
	char value[8];
} told;

static void
on_told(void *arg, const struct im_err *err, const struct entry_answer *a)
{
	(void)arg;
	told.ended = true;
	told.failed = err != NULL;
	if (err == NULL) {
		told.answer = *a;
		assert_true(a->value.len < sizeof(told.value));
		if (a->value.len > 0)
			memcpy(told.value, a->value.data, a->value.len);
	}
	loop_stop(peer.loop);
}

static enum im_rc
tell(struct entry_client *c, const struct entry_ask *a)
{
	struct im_err err;
	enum im_rc rc;

	memset(&told, 0, sizeof(told));
	loop_enter(peer.loop);
	rc = entry_client_ask(c, a, 60000, on_told, NULL, NULL, &err);
	loop_leave(peer.loop);
	while (rc == IM_OK && !told.ended)
		loop_run(peer.loop);
	return rc;
}

static void
test_entries_client_of_another_daemon_asks_and_is_answered(void **state)
{
	struct service_env env = { .single_process = true };
	struct entry_ask a = { .op = ENTRY_PUT,
			       .ns = "test",
			       .key = { (const uint8_t *)"k", 1 },
			       .value = { (const uint8_t *)"v", 1 },
			       .ttl_ms = 60000 };
	struct entry_client *c;
	struct entry_request *r;
	enum im_rc rc;

	(void)state;
	cache_rig_start("store_ms: 60s", "gateway");
	env.loop = peer.loop;
	env.net = peer.net;
	env.config = peer.config;
	loop_enter(peer.loop);
	assert_int_equal(entry_client_new(&env, &c, NULL), IM_OK);
	loop_leave(peer.loop);
	rc = tell(c, &a);
	for (unsigned n = 0; rc == IM_EUNAVAILABLE && n < PATIENCE;
	     n++) { /* until it is connected */
		cache_rig_pause(PAUSE_MS);
		rc = tell(c, &a);
	}
	assert_int_equal(rc, IM_OK);
	assert_true(!told.failed && told.answer.done);
	a = (struct entry_ask){ .op = ENTRY_GET, .ns = "test", .key = a.key };
	assert_int_equal(tell(c, &a), IM_OK);
	assert_true(told.answer.found);
	assert_string_equal(told.value, "v");
	a.ns = "";
	assert_int_equal(tell(c, &a), IM_EINVAL);
	a.ns = "test";
	told.ended = false;
	loop_enter(peer.loop);
	assert_int_equal(entry_client_ask(c, &a, 60000, on_told, NULL, &r, NULL), IM_OK);
	entry_client_cancel(r);
	assert_int_equal(entry_client_ask(c, &a, 60000, on_told, NULL, NULL, NULL), IM_OK);
	entry_client_free(c);
	loop_leave(peer.loop);
	assert_false(told.ended);
	cache_rig_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_entries_in_memory_say_that_they_are_not_durable, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_entries_are_refused_to_who_has_no_business_with_them, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entries_wrong_request_names_the_field, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_entries_on_disk_outlive_the_daemon_and_a_purge,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_entries_stay_when_the_answers_are_damaged_and_emptied, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_entries_that_are_damaged_are_an_error_and_stay_as_they_are, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    test_entries_in_a_folder_that_was_removed_are_not_acknowledged, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    test_entries_client_of_another_daemon_asks_and_is_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_entries_are_refused_when_there_is_no_room_for_more, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
