/*
 * cache/chain_test.c - tiers in their order: memory above one that the test plays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cache/chain.h"
#include "cache/fake_tier.h"
#include "cache/tier_l1.h"

#define L1_TTL_MS   300000
#define FAKE_TTL_MS 9000000

static struct rig {
	struct loop *loop;
	struct chain chain;
	struct fake_tier below;
	bool stopped;
} rig;

/* What came back. */
static struct answer {
	struct chain_get get;
	unsigned times;
	bool hit;
	char tier[16], text[64];
	uint64_t age_ms;
} answer;

static int
setup(void **state)
{
	struct tier *l1;
	struct im_err err;

	(void)state;
	memset(&rig, 0, sizeof(rig));
	assert_int_equal(loop_new(&rig.loop, &err), IM_OK);
	loop_enter(rig.loop);
	chain_init(&rig.chain, rig.loop, 1000);
	assert_int_equal(tier_l1_new(rig.loop, 16 << 20, L1_TTL_MS, &l1, &err), IM_OK);
	chain_add(&rig.chain, l1);
	chain_add(&rig.chain, fake_tier_init(&rig.below, "below", FAKE_TTL_MS));
	return 0;
}

static void
on_stopped(void *arg)
{
	(void)arg;
	rig.stopped = true;
}

static int
teardown(void **state)
{
	(void)state;
	chain_stop(&rig.chain, on_stopped, NULL);
	assert_true(rig.stopped && rig.below.stopped);
	loop_leave(rig.loop);
	loop_free(rig.loop);
	fake_tier_done(&rig.below);
	return 0;
}

static void
on_done(struct chain_get *get, const struct chain_found *found)
{
	(void)get;
	answer.times++;
	answer.hit = found != NULL;
	if (found == NULL)
		return;
	(void)snprintf(answer.tier, sizeof(answer.tier), "%s", found->tier);
	(void)snprintf(answer.text, sizeof(answer.text), "%.*s", (int)found->len,
		       (const char *)found->payload);
	answer.age_ms = found->age_ms;
}

static bool
ask_within(uint8_t mark, uint32_t max_age_ms)
{
	memset(&answer, 0, sizeof(answer));
	answer.get.key[0] = mark;
	answer.get.max_age_ms = max_age_ms;
	answer.get.done = on_done;
	chain_lookup(&rig.chain, &answer.get);
	return answer.hit;
}

static bool
ask(uint8_t mark)
{
	return ask_within(mark, 0);
}

static bool
store(uint8_t mark, const char *text, uint32_t ttl_ms)
{
	const struct cache_store s = { .key = { mark },
				       .value = { (const uint8_t *)text, strlen(text) },
				       .ttl_ms = ttl_ms,
				       .tenant = "acme",
				       .model = "demo" };

	return chain_store(&rig.chain, &s);
}

/* A frame of 'mark' in the tier below, as if another daemon had put it there. */
static void
put_below(uint8_t mark, const char *text, int64_t age_ms, int64_t left_ms)
{
	const uint8_t key[CACHE_KEY_BYTES] = { mark };
	uint64_t now_us = clock_wall_us();
	const struct value_meta meta = { .key = key,
					 .created_us = now_us - (uint64_t)(age_ms * 1000),
					 .expires_us = now_us + (uint64_t)(left_ms * 1000) };

	buf_clear(&rig.below.value);
	assert_int_equal(value_pack(&meta, (const uint8_t *)text, strlen(text), &rig.below.value),
			 IM_OK);
}

static void
test_chain_store_goes_to_every_tier_for_its_own_time(void **state)
{
	struct value_meta meta;

	(void)state;
	assert_true(store(1, "one", 0));
	assert_int_equal(rig.below.puts, 1);
	assert_int_equal(rig.below.put_ttl_ms, FAKE_TTL_MS);
	assert_int_equal(value_head(rig.below.value.data, rig.below.value.len, &meta), IM_OK);
	assert_int_equal(meta.expires_us - meta.created_us, FAKE_TTL_MS * 1000ULL);
	assert_true(ask(1));
	assert_string_equal(answer.tier, "l1");
	assert_string_equal(answer.text, "one");
	assert_int_equal(rig.below.gets, 0); /* the nearest tier had it */
	assert_true(store(2, "two", 1234));
	assert_int_equal(rig.below.put_ttl_ms, 1234);
}

static void
test_chain_hit_below_fills_memory(void **state)
{
	(void)state;
	put_below(1, "one", 5000, 60000);
	assert_true(ask(1));
	assert_string_equal(answer.tier, "below");
	assert_true(answer.age_ms >= 5000);
	assert_true(ask(1));
	assert_string_equal(answer.tier, "l1");
	assert_true(answer.age_ms >= 5000); /* of the answer, not of the copy */
	assert_int_equal(rig.below.gets, 1);
}

static void
test_chain_expired_frame_is_a_miss(void **state)
{
	(void)state;
	put_below(1, "one", 5000, 0);
	assert_false(ask(1));
	assert_int_equal(answer.times, 1);
	assert_int_equal(rig.chain.tiers[1].n.misses, 1);
	assert_int_equal(rig.chain.tiers[1].n.corrupt, 0);
}

static void
test_chain_too_old_in_memory_is_looked_for_below(void **state)
{
	(void)state;
	put_below(1, "old", 5000, 60000);
	assert_true(ask(1)); /* now in memory */
	put_below(1, "new", 1000, 60000);
	assert_true(ask_within(1, 3000));
	assert_string_equal(answer.text, "new");
	assert_false(ask_within(1, 500));
	assert_true(ask(1));
	assert_string_equal(answer.text, "new"); /* it took the place of the old one */
}

static void
test_chain_corrupt_frame_is_counted_and_removed(void **state)
{
	(void)state;
	put_below(1, "one", 0, 60000);
	rig.below.value.data[rig.below.value.len - 1] ^= 1;
	assert_false(ask(1));
	assert_int_equal(rig.chain.tiers[1].n.corrupt, 1);
	assert_int_equal(rig.chain.tiers[1].n.misses, 0);
	assert_int_equal(rig.below.removes, 1);
}

static void
test_chain_frame_of_another_key_is_no_answer(void **state)
{
	(void)state;
	put_below(2, "two", 0, 60000);
	assert_false(ask(1));
	assert_int_equal(rig.chain.tiers[1].n.corrupt, 1);
}

static void
test_chain_tier_that_fails_is_a_miss(void **state)
{
	(void)state;
	rig.below.failing = true;
	assert_false(ask(1));
	assert_int_equal(answer.times, 1);
	assert_int_equal(rig.chain.tiers[1].n.failed, 1);
}

static void
test_chain_late_question_asks_memory_only(void **state)
{
	(void)state;
	put_below(1, "one", 0, 60000);
	memset(&answer, 0, sizeof(answer));
	answer.get.key[0] = 1;
	answer.get.deadline_us = 1;
	answer.get.done = on_done;
	chain_lookup(&rig.chain, &answer.get);
	assert_int_equal(answer.times, 1);
	assert_false(answer.hit);
	assert_int_equal(rig.below.gets, 0);
}

static void
test_chain_cancelled_question_is_not_answered(void **state)
{
	(void)state;
	rig.below.slow = true;
	assert_false(ask(1));
	assert_int_equal(answer.times, 0);
	chain_cancel(&answer.get);
	assert_int_equal(rig.below.cancels, 1);
	assert_int_equal(answer.times, 0);
}

static void
test_chain_too_large_or_misnamed_is_not_stored(void **state)
{
	static char large[1002], name[VALUE_LABEL_MAX + 2];
	struct cache_store s = { .key = { 1 },
				 .value = { (const uint8_t *)"x", 1 },
				 .tenant = name };

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	memset(name, 'n', sizeof(name) - 1);
	assert_false(store(1, large, 0));
	assert_true(store(1, large + 1, 0));
	assert_false(chain_store(&rig.chain, &s));
	s.tenant = name + 1;
	assert_true(chain_store(&rig.chain, &s));
	assert_int_equal(rig.below.puts, 2);
}

/* Purges. */

static unsigned purges_done;

static void
on_purge(struct chain_purge *purge)
{
	(void)purge;
	purges_done++;
}

/* Run what memory posts to itself: its purge comes in slices. */
static void
settle(void)
{
	loop_leave(rig.loop);
	loop_enter(rig.loop);
}

static void
test_chain_purge_ends_when_every_tier_has(void **state)
{
	struct chain_purge purge = { .sel = { .tenant = "acme" }, .done = on_purge };
	struct im_err err;

	(void)state;
	purges_done = 0;
	for (uint8_t i = 1; i < 10; i++)
		assert_true(store(i, "x", 0));
	chain_purge(&rig.chain, &purge);
	settle();
	assert_int_equal(purges_done, 0);
	(void)err_set(&err, IM_EUNAVAILABLE, "away");
	fake_tier_purged(&rig.below, 3, &err);
	assert_int_equal(purges_done, 1);
	assert_int_equal(purge.count, 2);
	assert_string_equal(purge.result[0].tier, "l1");
	assert_int_equal(purge.result[0].removed, 9);
	assert_int_equal(purge.result[0].err.rc, IM_OK);
	assert_int_equal(purge.result[1].removed, 3);
	assert_int_equal(purge.result[1].err.rc, IM_EUNAVAILABLE);
}

static void
test_chain_purge_spares_what_was_not_meant(void **state)
{
	struct chain_purge purge = { .sel = { .tenant = "other" }, .done = on_purge };

	(void)state;
	purges_done = 0;
	assert_true(store(1, "x", 0));
	chain_purge(&rig.chain, &purge);
	settle();
	fake_tier_purged(&rig.below, 0, NULL);
	assert_int_equal(purges_done, 1);
	assert_int_equal(purge.result[0].removed, 0);
	assert_true(ask(1));
	assert_string_equal(answer.tier, "l1");
}

static void
test_chain_purge_of_much_goes_in_slices_and_two_overlap(void **state)
{
	struct chain_purge old = { .sel = { .model = "demo" }, .done = on_purge };
	struct chain_purge all = { .done = on_purge };
	struct cache_store s = { .value = { (const uint8_t *)"x", 1 } };

	(void)state;
	purges_done = 0;
	for (uint32_t i = 0; i < 5000; i++) {
		s.model = i % 2 == 0 ? "demo" : "other";
		memcpy(s.key, &i, sizeof(i));
		assert_true(chain_store(&rig.chain, &s));
	}
	chain_purge(&rig.chain, &old);
	fake_tier_purged(&rig.below, 0, NULL);
	chain_purge(&rig.chain, &all);
	fake_tier_purged(&rig.below, 0, NULL);
	settle();
	assert_int_equal(purges_done, 2);
	assert_int_equal(old.result[0].removed, 2500);
	assert_int_equal(all.result[0].removed, 2500);
}

/* The hit was found before the purge and comes back after it: it is an answer, and is not kept. */
static void
test_chain_hit_that_a_purge_overtook_fills_nothing(void **state)
{
	struct chain_purge purge = { .done = on_purge };

	(void)state;
	put_below(1, "one", 0, 60000);
	rig.below.slow = true;
	assert_false(ask(1));
	chain_purge(&rig.chain, &purge);
	settle();
	fake_tier_purged(&rig.below, 1, NULL);
	fake_tier_answer(&rig.below);
	assert_true(answer.hit);
	rig.below.slow = false;
	buf_clear(&rig.below.value);
	assert_false(ask(1));
}

int
main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_chain_store_goes_to_every_tier_for_its_own_time),
		CASE(test_chain_hit_below_fills_memory),
		CASE(test_chain_expired_frame_is_a_miss),
		CASE(test_chain_too_old_in_memory_is_looked_for_below),
		CASE(test_chain_corrupt_frame_is_counted_and_removed),
		CASE(test_chain_frame_of_another_key_is_no_answer),
		CASE(test_chain_tier_that_fails_is_a_miss),
		CASE(test_chain_late_question_asks_memory_only),
		CASE(test_chain_cancelled_question_is_not_answered),
		CASE(test_chain_too_large_or_misnamed_is_not_stored),
		CASE(test_chain_purge_ends_when_every_tier_has),
		CASE(test_chain_purge_spares_what_was_not_meant),
		CASE(test_chain_purge_of_much_goes_in_slices_and_two_overlap),
		CASE(test_chain_hit_that_a_purge_overtook_fills_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
