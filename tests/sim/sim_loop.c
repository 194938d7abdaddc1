/*
 * sim/sim_loop.c - see sim_loop.h. The functions of base/loop.h and base/clock.h are defined here, so that the linker does
 * not take the real ones.
 */
#include "sim_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/timers.h"

struct loop {
	struct timers timers;
	struct list tasks, last;
};

static struct loop the_loop;
static uint64_t now_us = SIM_START_US, event_count;
static struct prng bytes_rng;

void
sim_loop_begin(uint64_t seed)
{
	timers_done(&the_loop.timers);
	list_init(&the_loop.tasks);
	list_init(&the_loop.last);
	now_us = SIM_START_US;
	event_count = 0;
	prng_seed(&bytes_rng, seed ^ 0x62797465ULL);
}

void
sim_loop_done(void)
{
	timers_done(&the_loop.timers);
}

struct loop *
sim_loop(void)
{
	return &the_loop;
}

uint64_t
sim_now_us(void)
{
	return now_us;
}

uint64_t
sim_events(void)
{
	return event_count;
}

void
sim_loop_tasks(void)
{
	for (;;) {
		struct list *node = list_pop_front(&the_loop.tasks);
		struct loop_task *t;

		if (node == NULL) {
			node = list_pop_front(&the_loop.last);
		}
		if (node == NULL) {
			return;
		}
		t = CONTAINER_OF(node, struct loop_task, node);
		t->queued = false;
		t->fn(t->arg);
	}
}

bool
sim_loop_step(uint64_t until_us)
{
	struct loop_timer *t = timers_first(&the_loop.timers);

	if (t == NULL || t->at_us > until_us) {
		now_us = until_us > now_us ? until_us : now_us;
		return false;
	}
	now_us = t->at_us > now_us ? t->at_us : now_us;
	timers_remove(&the_loop.timers, t);
	event_count++;
	t->fn(t->arg);
	sim_loop_tasks();
	return true;
}

void
sim_at(struct loop_timer *t, uint64_t at_us)
{
	if (!timers_set(&the_loop.timers, t, at_us > now_us ? at_us : now_us)) {
		(void)fprintf(stderr, "infermesh-sim: no memory for a timer\n");
		abort();
	}
}

/* --- base/clock.h --- */

uint64_t
clock_mono_us(void)
{
	return now_us;
}

uint64_t
clock_mono_ms(void)
{
	return now_us / 1000;
}

uint64_t
clock_wall_us(void)
{
	return 1700000000000000ULL + now_us;
}

/* --- base/loop.h --- */

void
loop_post(struct loop *loop, struct loop_task *task)
{
	if (!task->queued) {
		task->queued = true;
		list_push_back(&loop->tasks, &task->node);
	}
}

/* There are no other threads. */
void
loop_hand(struct loop *loop, struct loop_task *task)
{
	loop_post(loop, task);
}

void
loop_post_last(struct loop *loop, struct loop_task *task)
{
	if (!task->queued) {
		task->queued = true;
		list_push_back(&loop->last, &task->node);
	}
}

void
loop_cancel(struct loop *loop, struct loop_task *task)
{
	(void)loop;
	if (task->queued) {
		task->queued = false;
		list_remove(&task->node);
	}
}

enum im_rc
loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t delay_us)
{
	(void)loop;
	sim_at(timer, now_us + delay_us);
	return IM_OK;
}

void
loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	if (timer->heap_pos != 0) {
		timers_remove(&loop->timers, timer);
	}
}

bool
loop_timer_armed(const struct loop_timer *timer)
{
	return timer->heap_pos != 0;
}

/* --- random_bytes() of base/hex.h, by the linker's --wrap --- */

void __wrap_random_bytes(void *out, size_t len); /* NOLINT(bugprone-reserved-identifier) */

void
__wrap_random_bytes(void *out, size_t len) /* NOLINT(bugprone-reserved-identifier) */
{
	uint8_t *at = out;

	while (len > 0) {
		uint64_t v = prng_next(&bytes_rng);
		size_t n = len < sizeof(v) ? len : sizeof(v);

		memcpy(at, &v, n);
		at += n;
		len -= n;
	}
}
