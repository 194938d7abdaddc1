/*
 * daemon/redis_link_test.c - a connection that comes back, to a real redis-server and to one that lies.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "daemon/loop_rig.h"
#include "daemon/redis_liar.h"
#include "daemon/redis_link.h"
#include "daemon/redis_rig.h"

#define REPLY_BYTES 4096

static struct loop *loop;
static struct redis_rig redis;
static struct redis_liar *liar;

static struct {
	struct redis_link *link;
	struct api_key password;
	unsigned ups, downs, fails, answers, given_up;
	struct im_err why;
	int type; /* of the last reply */
	long long number;
	size_t len;
} peer;

static void
changed(void *user, bool up, const struct im_err *why)
{
	(void)user;
	peer.ups += up;
	peer.downs += !up;
	if (why != NULL)
		peer.why = *why;
}

static void
failed(void *user, const struct im_err *why)
{
	(void)user;
	peer.fails++;
	peer.why = *why;
}

static void
open_link(int port, int db, const char *password_file)
{
	const struct redis_link_params params = { .loop = loop,
						  .host = "127.0.0.1",
						  .port = port,
						  .db = db,
						  .password = &peer.password,
						  .reply_bytes = REPLY_BYTES,
						  .seed = 1,
						  .changed = changed,
						  .failed = failed };

	memset(&peer, 0, sizeof(peer));
	assert_int_equal(api_key_init(&peer.password, password_file, NULL, NULL), IM_OK);
	loop_enter(loop);
	assert_int_equal(redis_link_new(&params, &peer.link, NULL), IM_OK);
	loop_leave(loop);
}

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
	loop_enter(loop);
	redis_link_free(peer.link);
	loop_leave(loop);
	peer.link = NULL;
	api_key_done(&peer.password);
	redis_liar_stop(liar);
	liar = NULL;
	redis_rig_kill(&redis);
	loop_free(loop);
	return 0;
}

static void
on_answer(void *arg, const redisReply *reply)
{
	(void)arg;
	if (reply == NULL) {
		peer.given_up++;
		return;
	}
	peer.answers++;
	peer.type = reply->type;
	peer.number = reply->integer;
	peer.len = reply->str != NULL ? reply->len : 0;
}

/* False: not up. */
static bool
ask(const char *a, const char *b, const char *c)
{
	const char *argv[] = { a, b, c };
	char *command = NULL;
	int len = redisFormatCommandArgv(&command, c != NULL ? 3 : b != NULL ? 2 : 1, argv, NULL);
	bool sent;

	assert_true(len > 0);
	loop_enter(loop);
	sent = redis_link_send(peer.link, on_answer, NULL, command, (size_t)len);
	loop_leave(loop);
	redisFreeCommand(command);
	return sent;
}

static bool
is_up(void *user)
{
	(void)user;
	return redis_link_is_up(peer.link);
}

static bool
is_down(void *user)
{
	(void)user;
	return peer.downs > 0 && !redis_link_is_up(peer.link);
}

static bool
has_failed_twice(void *user)
{
	(void)user;
	return peer.fails >= 2;
}

static bool
is_refused_twice(void *user)
{
	return has_failed_twice(user) && strstr(peer.why.text, "refuses us") != NULL;
}

static bool
all_given_up(void *user)
{
	return peer.given_up + peer.answers >= *(unsigned *)user;
}

static void
wait_for(bool (*done)(void *), unsigned n)
{
	loop_rig_until(loop, done, &n);
}

static void
test_redis_link_answers_in_order(void **state)
{
	(void)state;
	open_link(redis.port, 0, NULL);
	assert_false(ask("PING", NULL, NULL));
	wait_for(is_up, 0);
	for (int i = 0; i < 1000; i++)
		assert_true(ask("INCR", "n", NULL));
	wait_for(all_given_up, 1000);
	assert_int_equal(peer.answers, 1000);
	assert_int_equal(peer.number, 1000);
	assert_int_equal(peer.ups, 1);
	assert_int_equal(redis_link_pending(peer.link), 0);
}

static void
test_redis_link_server_killed_and_back_is_used_again(void **state)
{
	(void)state;
	open_link(redis.port, 0, NULL);
	wait_for(is_up, 0);
	redis_rig_kill(&redis);
	wait_for(is_down, 0);
	assert_false(ask("PING", NULL, NULL));
	redis_rig_up(&redis);
	wait_for(is_up, 0);
	assert_true(ask("INCR", "n", NULL));
	wait_for(all_given_up, 1);
	assert_int_equal(peer.answers, 1);
	assert_int_equal(redis_link_ups(peer.link), 2);
}

static void
test_redis_link_frozen_server_gives_up_what_is_due(void **state)
{
	(void)state;
	open_link(redis.port, 0, NULL);
	wait_for(is_up, 0);
	redis_rig_freeze(&redis);
	for (int i = 0; i < 3; i++)
		assert_true(ask("INCR", "n", NULL));
	wait_for(is_down, 0);
	assert_int_equal(peer.given_up, 3);
	assert_non_null(strstr(peer.why.text, "no answer"));
	redis_rig_thaw(&redis);
	wait_for(is_up, 0);
}

/* Of a host that stood still as a whole: the answer has not come yet when we run again. */
static void
test_redis_link_is_not_lost_by_a_pause_of_our_own(void **state)
{
	const struct timespec pause = { .tv_sec = 1, .tv_nsec = 300000000 };

	(void)state;
	open_link(redis.port, 0, NULL);
	wait_for(is_up, 0);
	redis_rig_freeze(&redis);
	assert_true(ask("GET", "k", NULL));
	assert_int_equal(nanosleep(&pause, NULL), 0);
	redis_rig_thaw(&redis);
	wait_for(all_given_up, 1);
	assert_int_equal(peer.answers, 1);
	assert_int_equal(peer.downs, 0);
}

static void
test_redis_link_idle_and_frozen_server_is_noticed(void **state)
{
	(void)state;
	open_link(redis.port, 0, NULL);
	wait_for(is_up, 0);
	redis_rig_freeze(&redis);
	wait_for(is_down, 0);
	redis_rig_thaw(&redis);
}

static void
test_redis_link_database_is_selected(void **state)
{
	(void)state;
	open_link(redis.port, 3, NULL);
	wait_for(is_up, 0);
	assert_true(ask("SET", "k", "41"));
	wait_for(all_given_up, 1);
	assert_int_equal(redis_rig_ask(&redis, 3, "GET k"), 41);
	assert_int_equal(redis_rig_ask(&redis, 0, "EXISTS k"), 0);
}

static void
test_redis_link_wrong_password_is_told(void **state)
{
	char path[] = "/tmp/redis-link-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "wrong\n", 6), 6);
	(void)close(fd);
	open_link(redis.port, 0, path);
	wait_for(is_refused_twice, 0);
	(void)unlink(path);
}

/* What a server may send by mistake, or on purpose. Each ends the connection, never the process, and it comes back. */
static void
test_redis_link_garbage_ends_the_connection_alone(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} lies[] = {
#define LIE(s) { s, sizeof(s) - 1 }
		LIE("garbage\r\n"),
		LIE("\0\0\0\0\0\0\0\0"),
		LIE("HTTP/1.1 400 Bad Request\r\n\r\n"),
		LIE("*2147483647\r\n"),
		LIE("*-7\r\n"),
		LIE("*1000\r\n"), /* 8000 bytes of room */
		LIE("$99999999999999999999\r\n"),
		LIE("$-5\r\n"),
		LIE("+one\r\n+two that nobody asked for\r\n"),
		LIE(":1\r\n:2\r\n:3\r\n:4\r\n:5\r\n"),
		LIE("$1\r\na\r\n*1\r\n$1\r\nb\r\n"),
		LIE("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"),
		LIE("%1\r\n+a\r\n+b\r\n"),
		LIE(">2\r\n+a\r\n+b\r\n"),
	};
	int port;

	(void)state;
	liar = redis_liar_start(redis.port, &port);
	open_link(port, 0, NULL);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		wait_for(is_up, 0);
		redis_liar_say(liar, lies[i].bytes, lies[i].len);
		peer.downs = 0;
		assert_true(ask("INCR", "n", NULL));
		wait_for(is_down, 0);
		redis_liar_say(liar, NULL, 0);
	}
	wait_for(is_up, 0);
}

static void
test_redis_link_endless_text_is_cut_off(void **state)
{
	static char large[3 * REPLY_BYTES + 64];
	int head = snprintf(large, sizeof(large), "$999999999\r\n"), port;

	(void)state;
	memset(large + head, 'x', sizeof(large) - (size_t)head);
	liar = redis_liar_start(redis.port, &port);
	open_link(port, 0, NULL);
	wait_for(is_up, 0);
	redis_liar_say(liar, large, sizeof(large));
	assert_true(ask("GET", "k", NULL));
	wait_for(is_down, 0);
	assert_int_equal(peer.given_up, 1);
	assert_non_null(strstr(peer.why.text, "larger than it may be"));
}

static void
test_redis_link_reply_of_the_limit_passes_and_above_it_does_not(void **state)
{
	static char value[REPLY_BYTES + 1];

	(void)state;
	memset(value, 'x', REPLY_BYTES);
	value[3000] = '\0';
	open_link(redis.port, 0, NULL);
	wait_for(is_up, 0);
	assert_true(ask("SET", "k", value));
	assert_true(ask("GET", "k", NULL));
	wait_for(all_given_up, 2);
	assert_int_equal(peer.len, 3000);
	value[3000] = 'x';
	assert_true(ask("SET", "k", value));
	assert_true(ask("GET", "k", NULL));
	wait_for(all_given_up, 4);
	assert_int_equal(peer.given_up, 1);
}

static void
test_redis_link_nobody_there_is_tried_ever_less_often(void **state)
{
	uint64_t since_us = clock_mono_us();

	(void)state;
	redis_rig_kill(&redis);
	open_link(redis.port, 0, NULL);
	while (peer.fails < 4)
		wait_for(has_failed_twice, 0);
	assert_non_null(strstr(peer.why.text, "cannot connect"));
	assert_true(clock_mono_us() - since_us >= UINT64_C(3) * 50000);
	assert_int_equal(peer.downs, 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_redis_link_answers_in_order),
		T(test_redis_link_server_killed_and_back_is_used_again),
		T(test_redis_link_frozen_server_gives_up_what_is_due),
		T(test_redis_link_is_not_lost_by_a_pause_of_our_own),
		T(test_redis_link_idle_and_frozen_server_is_noticed),
		T(test_redis_link_database_is_selected),
		T(test_redis_link_wrong_password_is_told),
		T(test_redis_link_garbage_ends_the_connection_alone),
		T(test_redis_link_endless_text_is_cut_off),
		T(test_redis_link_reply_of_the_limit_passes_and_above_it_does_not),
		T(test_redis_link_nobody_there_is_tried_ever_less_often),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
