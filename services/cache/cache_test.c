/*
 * cache/cache_test.c - the service over an in-process link: what a router sees.
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
#include "cache/cache.h"
#include "wire/cache_admin.h"

/* A peer on the same loop as the service. The test thread runs the loop itself. */
static struct peer {
	struct loop *loop;
	struct config *config;
	struct net *net;
	struct endpoint *dialer;
	struct link *link;
	struct host *host;
	bool ended, failed, closed;
	struct im_err err;
	struct buf reply;
	struct loop_timer alarm;
} peer;

static void
on_up(void *user, struct link *link)
{
	(void)user;
	peer.link = link;
	loop_stop(peer.loop);
}

static void
on_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	(void)user;
	(void)call;
	peer.ended = true;
	peer.failed = err != NULL;
	if (err != NULL)
		peer.err = *err;
	buf_clear(&peer.reply);
	(void)buf_append(&peer.reply, body, len);
	loop_stop(peer.loop);
}

static void
on_alarm(void *arg)
{
	(void)arg;
	fail_msg("the cache did not answer within 10 s");
}

static void
on_closed(void *arg)
{
	(void)arg;
	peer.closed = true;
	loop_stop(peer.loop);
}

static void
run_until(const bool *done)
{
	loop_enter(peer.loop);
	assert_int_equal(loop_timer_set(peer.loop, &peer.alarm, 10000000), IM_OK);
	loop_leave(peer.loop);
	while (!*done)
		loop_run(peer.loop);
	loop_enter(peer.loop);
	loop_timer_cancel(peer.loop, &peer.alarm);
	loop_leave(peer.loop);
}

static int
setup(void **state)
{
	char yaml[256];
	static const struct endpoint_ops ops = { .up = on_up };
	const struct net_params params = { .role = "router", .name = "test" };
	struct im_err err;
	bool up = false;

	(void)state;
	(void)snprintf(yaml, sizeof(yaml),
		       "cache: {bytes: 1MiB, entry_bytes: 64KiB, ttl_ms: 5s, listen: "
		       "'ipc:///tmp/im-cache-test-%d.ipc'}\n",
		       (int)getpid());
	memset(&peer, 0, sizeof(peer));
	peer.alarm.fn = on_alarm;
	assert_int_equal(loop_new(&peer.loop, &err), IM_OK);
	assert_int_equal(config_parse("test.yaml", yaml, strlen(yaml), &peer.config, &err), IM_OK);
	loop_enter(peer.loop);
	assert_int_equal(host_start(peer.loop, peer.config, NULL, &cache_service, "cache", true,
				    NULL, &peer.host, &err),
			 IM_OK);
	assert_int_equal(net_new(peer.loop, &params, &peer.net, &err), IM_OK);
	assert_int_equal(net_dial(peer.net, "inproc://cache", &ops, NULL, &peer.dialer, &err),
			 IM_OK);
	loop_leave(peer.loop);
	while (!up) {
		loop_run(peer.loop);
		up = peer.link != NULL;
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	loop_enter(peer.loop);
	net_close(peer.net, on_closed, NULL);
	loop_leave(peer.loop);
	run_until(&peer.closed);
	net_free(peer.net);
	peer.closed = false;
	loop_enter(peer.loop);
	host_stop(peer.host, on_closed, NULL);
	loop_leave(peer.loop);
	run_until(&peer.closed);
	config_free(peer.config);
	buf_done(&peer.reply);
	loop_free(peer.loop);
	return 0;
}

static void
ask(const char *method, struct buf *body)
{
	static const struct call_ops ops = { .end = on_end };
	const struct call_request req = { .method = method,
					  .body = body->data,
					  .body_len = body->len };
	struct call *call;

	peer.ended = false;
	loop_enter(peer.loop);
	assert_int_equal(call_start(peer.link, &req, &ops, NULL, &call, NULL), IM_OK);
	loop_leave(peer.loop);
	run_until(&peer.ended);
	buf_done(body);
}

static bool
store(uint8_t mark, const char *value, size_t len)
{
	struct cache_store s = { { mark }, { (const uint8_t *)value, len }, 0, "acme", "demo" };
	struct buf body = { 0 };
	bool stored = false;

	cache_store_encode(&s, &body);
	ask(METHOD_CACHE_STORE, &body);
	assert_false(peer.failed);
	assert_int_equal(cache_stored_decode(peer.reply.data, peer.reply.len, &stored, NULL),
			 IM_OK);
	return stored;
}

static bool
lookup(uint8_t mark, struct arena *arena, struct cache_found *ret)
{
	struct cache_lookup l = { { mark }, 0 };
	struct buf body = { 0 };

	cache_lookup_encode(&l, &body);
	ask(METHOD_CACHE_LOOKUP, &body);
	assert_false(peer.failed);
	assert_int_equal(cache_found_decode(peer.reply.data, peer.reply.len, arena, ret, NULL),
			 IM_OK);
	return ret->hit;
}

static void
test_cache_stored_value_is_found_with_its_tier(void **state)
{
	struct arena arena = { 0 };
	struct cache_found f;

	(void)state;
	assert_false(lookup(1, &arena, &f));
	assert_true(store(1, "answer", 6));
	assert_true(lookup(1, &arena, &f));
	assert_int_equal(f.value.len, 6);
	assert_memory_equal(f.value.data, "answer", 6);
	assert_string_equal(f.tier, "l1");
	assert_false(lookup(2, &arena, &f));
	arena_done(&arena);
}

static void
test_cache_value_over_the_entry_limit_is_not_stored(void **state)
{
	char *large = calloc(1, 65537);
	struct arena arena = { 0 };
	struct cache_found f;

	(void)state;
	assert_non_null(large);
	assert_false(store(1, large, 65537));
	assert_false(lookup(1, &arena, &f));
	assert_true(store(1, large, 65536));
	free(large);
	arena_done(&arena);
}

static void
test_cache_key_of_wrong_length_is_an_error(void **state)
{
	struct buf body = { 0 };

	(void)state;
	(void)buf_append(&body, "\x0a\x01k", 3);
	ask(METHOD_CACHE_LOOKUP, &body);
	assert_true(peer.failed);
	assert_int_equal(peer.err.rc, IM_EINVAL);
}

/* Fields of a later version are skipped; a frame full of them would take some fifty times its size to decode. */
static void
test_cache_request_full_of_unknown_fields_is_refused(void **state)
{
	static const struct {
		const char *method;
		unsigned fields;
		enum im_rc rc;
	} cases[] = { { METHOD_CACHE_LOOKUP, 100, IM_OK },
		      { METHOD_CACHE_STORE, 100, IM_OK },
		      { METHOD_CACHE_LOOKUP, 1000000, IM_ENOMEM },
		      { METHOD_CACHE_STORE, 1000000, IM_ENOMEM } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cache_lookup l = { { 1 }, 0 };
		struct buf body = { 0 };

		cache_lookup_encode(&l, &body); /* a store without a value looks the same */
		for (unsigned k = 0; k < cases[i].fields; k++)
			(void)buf_append(&body, "\x78\x01", 2); /* 15: 1 */
		ask(cases[i].method, &body);
		assert_int_equal(peer.failed ? peer.err.rc : IM_OK, cases[i].rc);
	}
	assert_true(store(1, "still", 5));
}

static void
test_cache_unknown_method_is_an_error(void **state)
{
	struct buf body = { 0 };

	(void)state;
	ask("Cache/Burn", &body);
	assert_true(peer.failed);
	assert_int_equal(peer.err.rc, IM_EMETHOD);
}

static void
test_cache_stats_count_what_happened(void **state)
{
	struct arena arena = { 0 };
	struct buf body = { 0 };
	struct cache_found f;
	struct cache_stats s;

	(void)state;
	assert_true(store(1, "a", 1));
	assert_true(lookup(1, &arena, &f));
	assert_false(lookup(2, &arena, &f));
	ask(METHOD_CACHE_STATS, &body);
	assert_int_equal(cache_stats_decode(peer.reply.data, peer.reply.len, &s, NULL), IM_OK);
	assert_int_equal(s.entries, 1);
	assert_int_equal(s.hits, 1);
	assert_int_equal(s.misses, 1);
	assert_int_equal(s.stored, 1);
	assert_int_equal(s.max_bytes, 1 << 20);
	arena_done(&arena);
}

/* What an operator may do, nobody else may: this peer is a router. */
static void
test_cache_methods_of_operators_are_refused_to_others(void **state)
{
	static const char *const methods[] = { METHOD_CACHE_TIERS, METHOD_CACHE_GET,
					       METHOD_CACHE_PURGE };

	(void)state;
	assert_true(store(1, "kept", 4));
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		struct buf body = { 0 };

		ask(methods[i], &body);
		assert_true(peer.failed);
		assert_int_equal(peer.err.rc, IM_EPERM);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cache_stored_value_is_found_with_its_tier,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_value_over_the_entry_limit_is_not_stored,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_key_of_wrong_length_is_an_error, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
		    test_cache_request_full_of_unknown_fields_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_unknown_method_is_an_error, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_cache_stats_count_what_happened, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
		    test_cache_methods_of_operators_are_refused_to_others, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
