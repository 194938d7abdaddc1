/*
 * daemon/loop_rig.c - see loop_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/loop_rig.h"

#include "base/clock.h"

#define PATIENCE_US 20000000

struct watch {
	struct loop *loop;
	struct loop_timer poll;
	uint64_t until_us;
	bool (*done)(void *user);
	void *user;
};

static void
on_poll(void *arg)
{
	struct watch *w = arg;

	if (w->done(w->user)) {
		loop_stop(w->loop);
		return;
	}
	if (clock_mono_us() > w->until_us)
		fail_msg("nothing happened for 20 s");
	assert_int_equal(loop_timer_set(w->loop, &w->poll, 1000), IM_OK);
}

void
loop_rig_until(struct loop *loop, bool (*done)(void *user), void *user)
{
	struct watch w = {
		.loop = loop, .until_us = clock_mono_us() + PATIENCE_US, .done = done, .user = user
	};

	w.poll = (struct loop_timer){ .fn = on_poll, .arg = &w };
	loop_enter(loop);
	assert_int_equal(loop_timer_set(loop, &w.poll, 0), IM_OK);
	loop_leave(loop);
	loop_run(loop);
}
