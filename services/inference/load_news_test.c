/*
 * inference/load_news_test.c - when a router is told how busy its worker is, with no link and no clock.
 */
#include "inference/load_news.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NOW_US 1000000000ULL

/* Of 'all' requests, of which 'own' are the hearer's. */
static struct load
load_of(uint32_t all, uint32_t own, uint32_t capacity)
{
	return (struct load){ .in_flight = all, .own = own, .has_own = true, .capacity = capacity };
}

static uint64_t
due(const struct load_news *n, struct load load, uint64_t now_us)
{
	return load_news_due_us(n, &load, 0, now_us);
}

static void
send(struct load_news *n, struct load load, uint64_t now_us)
{
	assert_int_equal(due(n, load, now_us), 0);
	load_news_sent(n, &load, now_us);
	assert_int_equal(due(n, load_of(999, 0, 1000), now_us), LOAD_NEWS_NONE);
	load_news_answered(n);
}

static void
test_load_news_routers_own_requests_are_none(void **state)
{
	struct load_news n = { 0 };

	(void)state;
	for (uint32_t i = 0; i <= 8; i++)
		assert_int_equal(due(&n, load_of(i, i, 8), NOW_US), LOAD_NEWS_NONE);
	/* Nonsense is not less than none. */
	assert_int_equal(due(&n, load_of(1, 2, 8), NOW_US), LOAD_NEWS_NONE);
}

static void
test_load_news_few_requests_are_told_each_many_by_eighths(void **state)
{
	struct load_news n = { 0 };

	(void)state;
	for (uint32_t i = 1; i < 8; i++)
		send(&n, load_of(i, 0, 100), NOW_US + (uint64_t)i * LOAD_NEWS_US);
	assert_int_equal(due(&n, load_of(8, 0, 100), 2 * NOW_US), LOAD_NEWS_NONE);
	send(&n, load_of(9, 0, 100), 2 * NOW_US);
	send(&n, load_of(60, 0, 100), 2 * NOW_US);
	assert_int_equal(due(&n, load_of(68, 0, 100), 2 * NOW_US), LOAD_NEWS_NONE);
	assert_int_equal(due(&n, load_of(53, 0, 100), 2 * NOW_US), LOAD_NEWS_NONE);
	assert_int_equal(due(&n, load_of(69, 0, 100), 2 * NOW_US), 0);
	assert_int_equal(due(&n, load_of(52, 0, 100), 2 * NOW_US), 0);
}

static void
test_load_news_last_place_is_news_however_many_there_are(void **state)
{
	struct load_news n = { .others = 99 };

	(void)state;
	assert_int_equal(due(&n, load_of(100, 0, 100), NOW_US), 0);
	assert_int_equal(due(&n, load_of(101, 1, 101), NOW_US), 0);
	assert_int_equal(due(&n, load_of(100, 0, 101), NOW_US), LOAD_NEWS_NONE);
	n.others = 100;
	assert_int_equal(due(&n, load_of(99, 0, 100), NOW_US), 0);
	/* Told with the end of a request is told. */
	load_news_told(&n, &(struct load){ .in_flight = 90, .queued = 9, .capacity = 100 });
	assert_int_equal(due(&n, load_of(99, 0, 100), NOW_US), LOAD_NEWS_NONE);
}

static void
test_load_news_wait_when_they_come_too_often(void **state)
{
	struct load_news n = { 0 };
	uint64_t sent = 0;

	(void)state;
	for (uint32_t i = 0; i < LOAD_NEWS_BURST; i++)
		send(&n, load_of(i % 2 == 0, 0, 4), NOW_US);
	assert_int_equal(due(&n, load_of(1, 0, 4), NOW_US), LOAD_NEWS_US);
	assert_int_equal(due(&n, load_of(1, 0, 4), NOW_US + 20000), LOAD_NEWS_US - 20000);
	/* In ten seconds no more than the burst and one each 50 ms. */
	for (uint64_t us = NOW_US; us < NOW_US + 10000000; us += 1000) {
		struct load load = load_of(n.others == 0, 0, 4);

		if (due(&n, load, us) == 0) {
			send(&n, load, us);
			sent++;
		}
	}
	assert_int_equal(sent, 10000000 / LOAD_NEWS_US - 1);
}

static void
test_load_news_of_room_wait_while_the_place_is_offered_to_another(void **state)
{
	struct load_news n = { .others = 4 };
	struct load load = load_of(3, 0, 4), none = load_of(0, 0, 4), full = load_of(5, 0, 4);

	(void)state;
	assert_int_equal(load_news_due_us(&n, &load, NOW_US + 700, NOW_US), 700);
	assert_int_equal(load_news_due_us(&n, &none, NOW_US + 700, NOW_US), 700);
	assert_int_equal(load_news_due_us(&n, &load, NOW_US + 700, NOW_US + 700), 0);
	assert_int_equal(load_news_due_us(&n, &full, NOW_US + 700, NOW_US), 0);
}

static void
test_load_news_crossed_are_those_not_read_that_say_more(void **state)
{
	struct load_news n = { 0 };
	struct load none = load_of(0, 0, 4), one = load_of(1, 0, 4), own = load_of(1, 1, 4);

	(void)state;
	assert_false(load_news_crossed(&n, &one)); /* nothing was sent */
	load_news_sent(&n, &one, NOW_US);
	assert_true(load_news_crossed(&n, &one));
	assert_false(load_news_crossed(&n, &none)); /* it has ended meanwhile */
	assert_false(load_news_crossed(&n, &own));
	load_news_answered(&n);
	assert_false(load_news_crossed(&n, &one));
	load_news_sent(&n, &none, NOW_US);
	assert_false(load_news_crossed(&n, &none));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load_news_routers_own_requests_are_none),
		cmocka_unit_test(test_load_news_few_requests_are_told_each_many_by_eighths),
		cmocka_unit_test(test_load_news_last_place_is_news_however_many_there_are),
		cmocka_unit_test(test_load_news_wait_when_they_come_too_often),
		cmocka_unit_test(test_load_news_of_room_wait_while_the_place_is_offered_to_another),
		cmocka_unit_test(test_load_news_crossed_are_those_not_read_that_say_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
