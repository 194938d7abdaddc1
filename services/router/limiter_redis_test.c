/*
 * router/limiter_redis_test.c - limits that routers share, with a real redis-server: leases, the bound, and what happens when Redis
 * freezes, dies, refuses or forgets.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "daemon/redis_rig.h"
#include "router/limiter_redis.h"

#define GRAINS      ((int64_t)LIMIT_GRAINS)
#define PATIENCE_US 20000000

/* One router's limiter. */
struct side {
	struct limit_rule rule;
	struct limiter limiter;
	struct limiter_redis *redis;
	unsigned ups, downs;
	struct im_err why;
	bool stopped;
};

static struct loop *loop;
static struct redis_rig redis;

static int
setup(void **state)
{
	(void)state;
	assert_int_equal(loop_new(&loop, NULL), IM_OK);
	redis_rig_start(&redis, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	redis_rig_kill(&redis);
	loop_free(loop);
	return 0;
}

static void
changed(void *user, bool up, const struct im_err *why)
{
	struct side *s = user;

	s->ups += up;
	s->downs += !up;
	if (why != NULL) {
		s->why = *why;
	}
}

static void
side_start(struct side *s, const char *url, const char *password_file, enum limiter_mode away,
	   struct limit_rate requests, struct limit_rate tokens)
{
	struct limiter_redis_params params = { .loop = loop,
					       .limiter = &s->limiter,
					       .url = url,
					       .password_file = password_file,
					       .away = away,
					       .seed = 1,
					       .changed = changed,
					       .user = s };

	memset(s, 0, sizeof(*s));
	s->rule = (struct limit_rule){ LIMIT_GLOBAL, "", { requests, tokens }, 0, NULL };
	loop_enter(loop);
	assert_int_equal(limiter_init(&s->limiter, &s->rule, 1, 7, clock_mono_ms()), IM_OK);
	assert_int_equal(limiter_redis_start(&params, &s->redis, NULL), IM_OK);
	loop_leave(loop);
}

static void
stop_loop(void *arg)
{
	loop_stop(arg);
}

/* Tick, then serve the loop for a moment. */
static void
turn(struct side *a, struct side *b)
{
	struct loop_timer timer = { .fn = stop_loop, .arg = loop };
	struct side *sides[] = { a, b };

	loop_enter(loop);
	for (size_t i = 0; i < 2; i++) {
		if (sides[i] != NULL && sides[i]->redis != NULL) {
			limiter_sweep(&sides[i]->limiter, clock_mono_ms());
			limiter_redis_tick(sides[i]->redis);
		}
	}
	assert_int_equal(loop_timer_set(loop, &timer, 2000), IM_OK);
	loop_leave(loop);
	loop_run(loop);
}

#define WAIT(a, b, cond)                                                                           \
	for (uint64_t end_us_ = clock_mono_us() + PATIENCE_US; !(cond); turn(a, b)) {              \
		if (clock_mono_us() > end_us_) {                                                   \
			fail_msg("waited in vain for %s", #cond);                                  \
		}                                                                                  \
	}

static bool
is_up(const struct side *s)
{
	return limiter_redis_is_up(s->redis);
}

static enum limit_result
knock(struct side *s, uint64_t tokens)
{
	const struct limit_ask ask = {
		.key = "k", .tenant = "t", .prompt_tokens = tokens, .stated = true
	};
	struct limit_verdict v;
	struct limit_hold hold;

	loop_enter(loop);
	limiter_acquire(&s->limiter, &ask, clock_mono_ms(), &hold, &v);
	limiter_settle(&s->limiter, &hold, tokens, clock_mono_ms());
	limiter_redis_ask(s->redis);
	loop_leave(loop);
	return v.result;
}

static void
side_stopped(void *arg)
{
	((struct side *)arg)->stopped = true;
}

static void
side_stop(struct side *s)
{
	struct limiter_redis *r = s->redis;

	s->redis = NULL;
	loop_enter(loop);
	limiter_redis_stop(r, side_stopped, s);
	loop_leave(loop);
	WAIT(NULL, NULL, s->stopped);
	assert_true(list_empty(&s->limiter.due));
	limiter_done(&s->limiter);
}

static const struct limit_rate none = { 0, 0 };
static const struct limit_rate slow100 = { 1, 100 }; /* a lease is 5 */

static int64_t
level(const char *kind)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "HGET infermesh:limit:global level%s", kind);
	return redis_rig_ask(&redis, 0, command);
}

static void
test_redis_lease_is_taken_and_given_back(void **state)
{
	uint64_t answered, unanswered;
	struct side s;

	(void)state;
	side_start(&s, redis.url, NULL, LIMITER_REFUSE, slow100, slow100);
	assert_int_equal(knock(&s, 10), LIMIT_AWAY);
	WAIT(&s, NULL, is_up(&s));
	assert_int_equal(s.ups, 1);
	assert_int_equal(knock(&s, 10), LIMIT_OK);
	WAIT(&s, NULL, s.rule.own->bucket[LIMIT_TOKENS].held > 0);
	assert_int_equal(level("1"), 94 * GRAINS);
	assert_int_equal(level("2"), 85 * GRAINS);
	/* Not used again: it goes back, and what is left is what was used. */
	WAIT(&s, NULL, s.rule.own->bucket[LIMIT_REQUESTS].held == 0);
	WAIT(&s, NULL, s.rule.own->bucket[LIMIT_TOKENS].held == 0);
	assert_in_range(level("1"), 99 * GRAINS, 100 * GRAINS);
	assert_in_range(level("2"), 90 * GRAINS, 91 * GRAINS);
	/* The key goes when the buckets are full: at 1 a minute in some ten minutes, and a minute's grace. */
	assert_in_range(redis_rig_ask(&redis, 0, "PTTL infermesh:limit:global"), 600000, 700000);
	limiter_redis_counts(s.redis, &answered, &unanswered);
	assert_in_range(answered, 2, 10);
	assert_int_equal(unanswered, 0);
	side_stop(&s);
}

static void
test_redis_stop_gives_leases_back(void **state)
{
	struct side s;

	(void)state;
	side_start(&s, redis.url, NULL, LIMITER_LOCAL, slow100, none);
	WAIT(&s, NULL, is_up(&s));
	assert_int_equal(knock(&s, 0), LIMIT_OK);
	WAIT(&s, NULL, s.rule.own->bucket[LIMIT_REQUESTS].held > 0);
	side_stop(&s);
	assert_in_range(level("1"), 99 * GRAINS, 99 * GRAINS + 60000);
}

static void
test_redis_stop_does_not_wait_for_one_that_hangs(void **state)
{
	uint64_t begun_ms;
	struct side s;

	(void)state;
	side_start(&s, redis.url, NULL, LIMITER_LOCAL, slow100, none);
	WAIT(&s, NULL, is_up(&s));
	assert_int_equal(knock(&s, 0), LIMIT_OK);
	WAIT(&s, NULL, s.rule.own->bucket[LIMIT_REQUESTS].held > 0);
	redis_rig_freeze(&redis);
	begun_ms = clock_mono_ms();
	side_stop(&s);
	/* LIMITER_REDIS_ANSWER_MS; much later only if this host is busy, but not for ever. */
	assert_in_range(clock_mono_ms() - begun_ms, LIMITER_REDIS_ANSWER_MS - 1,
			PATIENCE_US / 1000);
	redis_rig_thaw(&redis);
}

/* A busy host, or a virtual machine that is moved: the answer lies there when we run again. */
static void
test_redis_is_not_blamed_for_a_pause_of_our_own(void **state)
{
	const struct timespec pause = { .tv_nsec = 2L * LIMITER_REDIS_ANSWER_MS * 1000000 };
	struct side s;

	(void)state;
	side_start(&s, redis.url, NULL, LIMITER_REFUSE, slow100, none);
	WAIT(&s, NULL, is_up(&s));
	redis_rig_freeze(&redis);
	assert_int_equal(knock(&s, 0), LIMIT_OK);
	turn(&s, NULL); /* asks */
	redis_rig_thaw(&redis);
	assert_int_equal(nanosleep(&pause, NULL), 0);
	WAIT(&s, NULL, s.rule.own->bucket[LIMIT_REQUESTS].held > 0);
	assert_int_equal(s.downs, 0);
	side_stop(&s);
}

static void
test_redis_two_routers_stay_within_the_stated_bound(void **state)
{
	enum {
		RATE = 60,
		BURST = 2000,
		LEASE = BURST / LIMIT_LEASE_SHARE,
		MOST = BURST + 2 * LEASE + LEASE,
		LEAST = BURST - 2 * LEASE,
	};
	uint64_t begun_ms = clock_mono_ms(), refill, used[2] = { 0 };
	const struct limit_rate rate = { RATE, BURST };
	struct side side[2];
	unsigned in_vain = 0;

	(void)state;
	side_start(&side[0], redis.url, NULL, LIMITER_REFUSE, rate, none);
	side_start(&side[1], redis.url, NULL, LIMITER_REFUSE, rate, none);
	WAIT(&side[0], &side[1], is_up(&side[0]) && is_up(&side[1]));
	/* As fast as they can, until for a long time nothing more is given. */
	while (in_vain < 200) {
		bool some = false;

		for (int i = 0; i < 100; i++) {
			for (size_t k = 0; k < 2; k++) {
				if (knock(&side[k], 0) == LIMIT_OK) {
					used[k]++;
					some = true;
				}
			}
		}
		in_vain = some ? 0 : in_vain + 1;
		turn(&side[0], &side[1]);
	}
	refill = RATE * (clock_mono_ms() - begun_ms) / 60000 + 1;
	assert_true(used[0] + used[1] <= MOST + refill);
	/* And nearly all of it could be used: what is missing lies in a lease at most. */
	assert_true(used[0] + used[1] >= LEAST);
	assert_true(used[0] > BURST / 10 && used[1] > BURST / 10);
	print_message("%" PRIu64 " of %d used\n", used[0] + used[1], BURST);
	side_stop(&side[0]);
	side_stop(&side[1]);
}

static void
test_redis_script_that_was_forgotten_is_sent_again(void **state)
{
	struct side s;

	(void)state;
	side_start(&s, redis.url, NULL, LIMITER_REFUSE, slow100, none);
	WAIT(&s, NULL, is_up(&s));
	(void)redis_rig_ask(&redis, 0, "SCRIPT FLUSH");
	assert_int_equal(knock(&s, 0), LIMIT_OK);
	WAIT(&s, NULL, s.rule.own->bucket[LIMIT_REQUESTS].held > 0);
	assert_int_equal(s.downs, 0);
	side_stop(&s);
}

/* With Redis, and a lease of requests. */
static void
side_lease(struct side *s, enum limiter_mode away, struct limit_rate requests)
{
	side_start(s, redis.url, NULL, away, requests, none);
	WAIT(s, NULL, is_up(s));
	assert_int_equal(knock(s, 0), LIMIT_OK);
	WAIT(s, NULL, s->rule.own->bucket[LIMIT_REQUESTS].held > 0);
}

/* How many of twenty requests are admitted; the others get what the setting says. */
static unsigned
twenty(struct side *s, enum limiter_mode away)
{
	enum limit_result otherwise = away == LIMITER_REFUSE ? LIMIT_AWAY : LIMIT_EXCEEDED;
	unsigned admitted = 0;

	for (int i = 0; i < 20; i++) {
		enum limit_result result = knock(s, 0);

		assert_true(result == LIMIT_OK || result == otherwise);
		admitted += result == LIMIT_OK;
	}
	return admitted;
}

/* Redis goes, by 'leave', and comes back, by 'come'. Nothing waits meanwhile, and the setting says what happens. */
static void
unplug(enum limiter_mode away, void (*leave)(struct redis_rig *), void (*come)(struct redis_rig *))
{
	const struct limit_rate rate = { 1, 3 };
	unsigned admitted;
	struct side s;

	side_lease(&s, away, rate);
	leave(&redis);
	WAIT(&s, NULL, !is_up(&s));
	assert_int_equal(s.downs, 1);
	assert_int_equal(s.limiter.mode, away);
	admitted = twenty(&s, away);
	if (away == LIMITER_LOCAL)
		/* What was left when Redis went, two of three; not the lease if that was on its way back by then, on a slow host. */
		assert_in_range(admitted, 1, 2);
	else
		assert_int_equal(admitted, away == LIMITER_ALLOW ? 20 : 0);
	come(&redis);
	WAIT(&s, NULL, is_up(&s));
	assert_int_equal(s.limiter.mode, LIMITER_SHARED);
	assert_int_equal(s.ups, 2);
	side_stop(&s);
}

static void
test_redis_frozen_limits_locally(void **state)
{
	(void)state;
	unplug(LIMITER_LOCAL, redis_rig_freeze, redis_rig_thaw);
}

static void
test_redis_frozen_refuses(void **state)
{
	(void)state;
	unplug(LIMITER_REFUSE, redis_rig_freeze, redis_rig_thaw);
}

static void
test_redis_frozen_allows(void **state)
{
	(void)state;
	unplug(LIMITER_ALLOW, redis_rig_freeze, redis_rig_thaw);
}

static void
test_redis_killed_limits_locally(void **state)
{
	(void)state;
	unplug(LIMITER_LOCAL, redis_rig_kill, redis_rig_up);
}

static void
test_redis_killed_refuses(void **state)
{
	(void)state;
	unplug(LIMITER_REFUSE, redis_rig_kill, redis_rig_up);
}

static void
test_redis_killed_allows(void **state)
{
	(void)state;
	unplug(LIMITER_ALLOW, redis_rig_kill, redis_rig_up);
}

static void
test_redis_frozen_with_a_question_under_way_is_given_up(void **state)
{
	uint64_t answered, unanswered;
	struct side s;

	(void)state;
	side_start(&s, redis.url, NULL, LIMITER_REFUSE, slow100, none);
	WAIT(&s, NULL, is_up(&s));
	redis_rig_freeze(&redis);
	/* On credit; the answer does not come. */
	assert_int_equal(knock(&s, 0), LIMIT_OK);
	WAIT(&s, NULL, !is_up(&s));
	limiter_redis_counts(s.redis, &answered, &unanswered);
	assert_int_equal(answered, 0);
	assert_int_equal(unanswered, 1);
	assert_non_null(strstr(s.why.text, "no answer within"));
	redis_rig_thaw(&redis);
	WAIT(&s, NULL, is_up(&s));
	side_stop(&s);
}

static void
test_redis_that_is_not_there_yet_is_found_later(void **state)
{
	struct redis_rig late;
	struct side s;
	char url[64];

	(void)state;
	redis_rig_reserve(&late);
	(void)snprintf(url, sizeof(url), "redis://localhost:%d/3", late.port);
	side_start(&s, url, NULL, LIMITER_REFUSE, slow100, none);
	for (int i = 0; i < 20; i++) {
		turn(&s, NULL);
		assert_int_equal(knock(&s, 0), LIMIT_AWAY);
	}
	redis_rig_up(&late);
	WAIT(&s, NULL, is_up(&s));
	assert_int_equal(knock(&s, 0), LIMIT_OK);
	WAIT(&s, NULL, s.rule.own->bucket[LIMIT_REQUESTS].held > 0);
	assert_int_equal(redis_rig_ask(&late, 3, "EXISTS infermesh:limit:global"), 1);
	assert_int_equal(redis_rig_ask(&late, 0, "EXISTS infermesh:limit:global"), 0);
	side_stop(&s);
	redis_rig_kill(&late);
}

static void
test_redis_wants_the_right_password(void **state)
{
	char path[] = "/tmp/infermesh-redis-XXXXXX";
	int fd = mkstemp(path);
	struct redis_rig locked;
	struct side s;

	(void)state;
	redis_rig_start(&locked, "secret");
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "wrong\n", 6), 6);
	side_start(&s, locked.url, path, LIMITER_REFUSE, slow100, none);
	for (int i = 0; i < 100; i++) {
		turn(&s, NULL);
		assert_false(is_up(&s));
	}
	/* The file is read again for each attempt. */
	assert_int_equal(pwrite(fd, "secret\n", 7, 0), 7);
	WAIT(&s, NULL, is_up(&s));
	side_stop(&s);
	(void)close(fd);
	(void)unlink(path);
	redis_rig_kill(&locked);
}

static void
test_redis_that_holds_something_else_there_is_left_alone(void **state)
{
	struct side s;

	(void)state;
	(void)redis_rig_ask(&redis, 0, "SET infermesh:limit:global 7");
	side_start(&s, redis.url, NULL, LIMITER_LOCAL, slow100, none);
	WAIT(&s, NULL, is_up(&s));
	assert_int_equal(knock(&s, 0), LIMIT_OK);
	WAIT(&s, NULL, s.downs > 0);
	assert_non_null(strstr(s.why.text, "WRONGTYPE"));
	assert_int_equal(redis_rig_ask(&redis, 0, "GET infermesh:limit:global"), 7);
	side_stop(&s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_redis_lease_is_taken_and_given_back),
		CASE(test_redis_stop_gives_leases_back),
		CASE(test_redis_stop_does_not_wait_for_one_that_hangs),
		CASE(test_redis_is_not_blamed_for_a_pause_of_our_own),
		CASE(test_redis_two_routers_stay_within_the_stated_bound),
		CASE(test_redis_script_that_was_forgotten_is_sent_again),
		CASE(test_redis_frozen_limits_locally),
		CASE(test_redis_frozen_refuses),
		CASE(test_redis_frozen_allows),
		CASE(test_redis_killed_limits_locally),
		CASE(test_redis_killed_refuses),
		CASE(test_redis_killed_allows),
		CASE(test_redis_frozen_with_a_question_under_way_is_given_up),
		CASE(test_redis_that_is_not_there_yet_is_found_later),
		CASE(test_redis_wants_the_right_password),
		CASE(test_redis_that_holds_something_else_there_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
