/*
 * cache/cache_rig.c - see cache_rig.h.
 */
#include "cache/cache_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/cache.h"

#define ALARM_US 120000000 /* a sync may wait for others' */
#define STILL_MS 600000    /* a machine that stands still for a while cuts no link */

struct cache_rig peer;

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
	fail_msg("the cache did not answer within 2 minutes");
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
	assert_int_equal(loop_timer_set(peer.loop, &peer.alarm, ALARM_US), IM_OK);
	loop_leave(peer.loop);
	while (!*done)
		loop_run(peer.loop);
	loop_enter(peer.loop);
	loop_timer_cancel(peer.loop, &peer.alarm);
	loop_leave(peer.loop);
}

void
cache_rig_start(const char *cache, const char *role)
{
	char yaml[1024];
	static const struct endpoint_ops ops = { .up = on_up };
	const struct net_params params = { .role = role, .name = "test", .heartbeat_ms = STILL_MS };
	struct im_err err;
	bool up = false;

	(void)snprintf(yaml, sizeof(yaml),
		       "mesh: {heartbeat_ms: %dms}\n"
		       "cache: {bytes: 1MiB, entry_bytes: 64KiB, ttl_ms: 5s, listen: "
		       "'ipc:///tmp/im-cache-test-%d.ipc'%s%s}\n",
		       STILL_MS, (int)getpid(), cache[0] != '\0' ? ", " : "", cache);
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
}

void
cache_rig_stop(void)
{
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
}

void
cache_rig_ask(const char *method, struct buf *body)
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

static void
on_pause(void *arg)
{
	*(bool *)arg = true;
	loop_stop(peer.loop);
}

void
cache_rig_pause(unsigned ms)
{
	bool over = false;
	struct loop_timer timer = { .fn = on_pause, .arg = &over };

	loop_enter(peer.loop);
	assert_int_equal(loop_timer_set(peer.loop, &timer, ms * 1000ULL), IM_OK);
	loop_leave(peer.loop);
	run_until(&over);
}
