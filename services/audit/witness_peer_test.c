/*
 * audit/witness_peer_test.c - when a witness is asked, and what its answers mean, on virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/witness_peer.h"

static bool
due(const struct witness_peer *p, uint64_t target, uint64_t now_ms)
{
	uint64_t wait_ms;

	return witness_peer_due(p, target, now_ms, &wait_ms);
}

static void
ask(struct witness_peer *p, uint64_t target, uint64_t now_ms, struct witness_answer a)
{
	assert_true(due(p, target, now_ms));
	witness_peer_asked(p, target);
	assert_false(due(p, target, now_ms));
	witness_peer_answered(p, &a, now_ms, 0);
}

static void
test_peer_that_cosigns_is_asked_when_there_is_more(void **state)
{
	struct witness_peer p = { 0 };

	(void)state;
	assert_false(due(&p, 0, 5));
	ask(&p, 10, 5, (struct witness_answer){ .cosigned = true, .status = 200 });
	assert_int_equal(p.state, WITNESS_PEER_FINE);
	assert_int_equal(p.size, 10);
	assert_false(due(&p, 10, 1000000));
	assert_true(due(&p, 11, 5));
}

static void
test_peer_that_names_its_size_is_asked_again_at_once(void **state)
{
	struct witness_peer p = { 0 };

	(void)state;
	ask(&p, 10, 5, (struct witness_answer){ .status = 409, .has_size = true, .size = 7 });
	assert_int_equal(p.size, 7);
	assert_int_equal(p.failures, 0);
	ask(&p, 10, 5, (struct witness_answer){ .cosigned = true, .status = 200 });
	assert_int_equal(p.cosigned, 10);
}

/* One that names another size each time cannot keep us busy. */
static void
test_peer_that_names_sizes_for_ever_is_left_alone(void **state)
{
	struct witness_peer p = { 0 };

	(void)state;
	for (uint64_t i = 1; i <= WITNESS_PEER_CONFLICTS; i++)
		ask(&p, 10, 5,
		    (struct witness_answer){ .status = 409, .has_size = true, .size = i });
	ask(&p, 10, 5, (struct witness_answer){ .status = 409, .has_size = true, .size = 9 });
	assert_int_equal(p.state, WITNESS_PEER_SILENT);
	assert_false(due(&p, 10, 5));
	/* Nor one that names the size that it was asked with. */
	p = (struct witness_peer){ .size = 4 };
	ask(&p, 10, 5, (struct witness_answer){ .status = 409, .has_size = true, .size = 4 });
	assert_int_equal(p.state, WITNESS_PEER_SILENT);
}

static void
test_peer_that_has_more_than_there_is_says_rolled_back(void **state)
{
	struct witness_peer p = { .size = 10, .cosigned = 10 };

	(void)state;
	ask(&p, 12, 5, (struct witness_answer){ .status = 409, .has_size = true, .size = 13 });
	assert_int_equal(p.state, WITNESS_PEER_AHEAD);
	assert_int_equal(p.size, 10);
	assert_false(due(&p, 12, 5));
}

static void
test_peer_answers_mean_what_the_protocol_says(void **state)
{
	static const struct {
		int status;
		enum witness_peer_state want;
	} cases[] = {
		{ 0, WITNESS_PEER_SILENT },    { 200, WITNESS_PEER_SILENT },
		{ 400, WITNESS_PEER_SILENT },  { 403, WITNESS_PEER_REFUSED },
		{ 404, WITNESS_PEER_REFUSED }, { 409, WITNESS_PEER_FORK },
		{ 422, WITNESS_PEER_FORK },    { 429, WITNESS_PEER_SILENT },
		{ 500, WITNESS_PEER_SILENT },  { 503, WITNESS_PEER_SILENT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct witness_peer p = { 0 };

		ask(&p, 12, 5, (struct witness_answer){ .status = cases[i].status });
		assert_int_equal(p.state, cases[i].want);
		assert_int_equal(p.cosigned, 0);
	}
}

static void
test_peer_that_fails_is_asked_ever_less_often(void **state)
{
	struct witness_peer p = { 0 };
	uint64_t now_ms = 5, wait_ms, last_ms = 0;

	(void)state;
	for (int i = 0; i < 40; i++) {
		ask(&p, 12, now_ms, (struct witness_answer){ .status = 503 });
		assert_false(witness_peer_due(&p, 12, now_ms, &wait_ms));
		assert_true(wait_ms >= last_ms && wait_ms <= WITNESS_PEER_PAUSE_MAX_MS);
		last_ms = wait_ms;
		now_ms += wait_ms;
	}
	assert_int_equal(last_ms, WITNESS_PEER_PAUSE_MAX_MS);
	/* By chance up to half as long. */
	witness_peer_asked(&p, 12);
	witness_peer_answered(&p, &(struct witness_answer){ .status = 503 }, now_ms, 1);
	(void)witness_peer_due(&p, 12, now_ms, &wait_ms);
	assert_int_equal(wait_ms, WITNESS_PEER_PAUSE_MAX_MS / 2);
	now_ms += wait_ms;
	ask(&p, 12, now_ms, (struct witness_answer){ .cosigned = true, .status = 200 });
	assert_int_equal(p.failures, 0);
	assert_true(due(&p, 13, now_ms));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer_that_cosigns_is_asked_when_there_is_more),
		cmocka_unit_test(test_peer_that_names_its_size_is_asked_again_at_once),
		cmocka_unit_test(test_peer_that_names_sizes_for_ever_is_left_alone),
		cmocka_unit_test(test_peer_that_has_more_than_there_is_says_rolled_back),
		cmocka_unit_test(test_peer_answers_mean_what_the_protocol_says),
		cmocka_unit_test(test_peer_that_fails_is_asked_ever_less_often),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
