/*
 * base/loop_test.c - the serial executor: order, cancelling from inside, timers, descriptors.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"

/* What a callback did, in order. */
struct trace {
	struct loop *loop;
	char did[256];
	size_t len;
};

struct step {
	struct loop_task task;
	struct loop_timer timer;
	struct trace *trace;
	char name;
	struct step *other; /* whom it posts, cancels or arms */
};

static void
note(struct trace *t, char name)
{
	assert_true(loop_is_held(t->loop));
	assert_true(t->len + 1 < sizeof(t->did));
	t->did[t->len++] = name;
	t->did[t->len] = '\0';
}

static void
step_note(void *arg)
{
	struct step *s = arg;

	note(s->trace, s->name);
}

static void
step_post(void *arg)
{
	struct step *s = arg;

	note(s->trace, s->name);
	loop_post(s->trace->loop, &s->other->task);
	note(s->trace, '.'); /* before the other one: never inside */
}

static void
step_post_last(void *arg)
{
	struct step *s = arg;

	note(s->trace, s->name);
	loop_post_last(s->trace->loop, &s->other->task);
}

static void
step_cancel(void *arg)
{
	struct step *s = arg;

	note(s->trace, s->name);
	loop_cancel(s->trace->loop, &s->other->task);
	loop_timer_cancel(s->trace->loop, &s->other->timer);
}

static void
step_stop(void *arg)
{
	struct step *s = arg;

	note(s->trace, s->name);
	loop_stop(s->trace->loop);
}

static struct step
step(struct trace *t, char name, loop_fn fn, struct step *other)
{
	return (struct step){ .trace = t,
			      .name = name,
			      .other = other,
			      .task = { .fn = fn },
			      .timer = { .fn = fn } };
}

/* A step holds pointers to itself: set where it stays. */
#define STEP(var, t, name, fn, other)                                                              \
	struct step var = step((t), (name), (fn), (other));                                        \
	var.task.arg = var.timer.arg = &var

static struct loop *
new_loop(void)
{
	struct loop *l = NULL;
	struct im_err err;

	assert_int_equal(loop_new(&l, &err), IM_OK);
	return l;
}

static void
arm(struct loop *l, struct step *s, uint64_t delay_us)
{
	assert_int_equal(loop_timer_set(l, &s->timer, delay_us), IM_OK);
}

static void
test_loop_post_idle_runs_at_once_in_this_thread(void **state)
{
	struct trace t = { .loop = new_loop() };
	STEP(a, &t, 'a', step_note, NULL);

	(void)state;
	assert_false(loop_is_held(t.loop));
	loop_post(t.loop, &a.task);
	assert_string_equal(t.did, "a");
	assert_false(loop_is_held(t.loop));
	loop_post(t.loop, &a.task);
	assert_string_equal(t.did, "aa");
	loop_free(t.loop);
}

static void
test_loop_post_on_the_loop_runs_afterwards_in_order(void **state)
{
	struct trace t = { .loop = new_loop() };
	STEP(c, &t, 'c', step_note, NULL);
	STEP(b, &t, 'b', step_note, NULL);
	STEP(a, &t, 'a', step_post, &c);

	(void)state;
	loop_enter(t.loop);
	loop_post(t.loop, &a.task);
	loop_post(t.loop, &b.task);
	loop_post(t.loop, &a.task); /* queued already: once */
	assert_string_equal(t.did, "");
	loop_leave(t.loop);
	assert_string_equal(t.did, "a.bc");
	loop_free(t.loop);
}

static void
test_loop_post_last_runs_after_all_posts(void **state)
{
	struct trace t = { .loop = new_loop() };
	STEP(z, &t, 'z', step_note, NULL);
	STEP(c, &t, 'c', step_note, NULL);
	STEP(b, &t, 'b', step_post, &c);
	STEP(a, &t, 'a', step_post_last, &z);
	STEP(y, &t, 'y', step_post, &a); /* a last task that posts again */

	(void)state;
	loop_enter(t.loop);
	loop_post(t.loop, &a.task);
	loop_post(t.loop, &b.task);
	loop_leave(t.loop);
	assert_string_equal(t.did, "ab.cz");
	loop_enter(t.loop);
	loop_post_last(t.loop, &y.task);
	loop_leave(t.loop);
	assert_string_equal(t.did, "ab.czy.az");
	loop_free(t.loop);
}

static void
test_loop_cancel_inside_a_callback_takes_tasks_out(void **state)
{
	struct trace t = { .loop = new_loop() };
	STEP(c, &t, 'c', step_note, NULL);
	STEP(b, &t, 'b', step_note, NULL);
	STEP(a, &t, 'a', step_cancel, &b);
	STEP(d, &t, 'd', step_cancel, &d); /* itself, while it runs */

	(void)state;
	loop_enter(t.loop);
	loop_post(t.loop, &a.task);
	loop_post(t.loop, &b.task);
	loop_post(t.loop, &c.task);
	loop_post(t.loop, &d.task);
	loop_leave(t.loop);
	assert_string_equal(t.did, "acd");
	loop_enter(t.loop);
	loop_post_last(t.loop, &b.task);
	loop_post(t.loop, &a.task);
	loop_leave(t.loop);
	assert_string_equal(t.did, "acda");
	loop_post(t.loop, &b.task); /* usable again, and the count of what is queued is right */
	assert_string_equal(t.did, "acdab");
	loop_free(t.loop);
}

static void
test_loop_post_between_two_loops_never_nests(void **state)
{
	struct trace t1 = { .loop = new_loop() }, t2 = { .loop = new_loop() };
	STEP(back, &t1, 'k', step_note, NULL);
	STEP(far, &t2, 'f', step_note, NULL);

	(void)state;
	loop_enter(t1.loop);
	loop_post(t2.loop, &far.task); /* idle: runs here, while this thread holds the first */
	assert_string_equal(t2.did, "f");
	assert_true(loop_is_held(t1.loop));
	loop_post(t1.loop, &back.task);
	assert_string_equal(t1.did, "");
	loop_leave(t1.loop);
	assert_string_equal(t1.did, "k");
	loop_free(t1.loop);
	loop_free(t2.loop);
}

static void
test_loop_timers_fire_in_order_and_not_early(void **state)
{
	struct trace t = { .loop = new_loop() };
	STEP(a, &t, 'a', step_note, NULL);
	STEP(b, &t, 'b', step_note, NULL);
	STEP(c, &t, 'c', step_note, NULL);
	STEP(d, &t, 'd', step_stop, NULL);
	uint64_t from_us;

	(void)state;
	loop_enter(t.loop);
	from_us = clock_mono_us();
	arm(t.loop, &d, 9000);
	arm(t.loop, &b, 4000);
	arm(t.loop, &a, 8000);
	arm(t.loop, &c, 6000);
	arm(t.loop, &a, 1000); /* set again: moved */
	assert_true(loop_timer_armed(&a.timer));
	loop_leave(t.loop);
	loop_run(t.loop);
	assert_true(clock_mono_us() - from_us >= 9000);
	assert_string_equal(t.did, "abcd");
	assert_false(loop_timer_armed(&a.timer));
	loop_free(t.loop);
}

static void
test_loop_timer_cancelled_by_another_does_not_fire(void **state)
{
	struct trace t = { .loop = new_loop() };
	STEP(b, &t, 'b', step_note, NULL);
	STEP(a, &t, 'a', step_cancel, &b);
	STEP(c, &t, 'c', step_stop, NULL);

	(void)state;
	loop_enter(t.loop);
	arm(t.loop, &a, 0);
	arm(t.loop, &b, 1);
	arm(t.loop, &c, 2);
	while (clock_mono_us() <= c.timer.at_us) { /* so that all three are due in one turn */
	}
	loop_leave(t.loop);
	loop_run(t.loop);
	assert_string_equal(t.did, "ac");
	loop_free(t.loop);
}

#define MANY 500

static void
test_loop_timers_many_with_random_cancels_keep_their_order(void **state)
{
	static struct step steps[MANY];
	struct trace t = { .loop = new_loop() };
	uint64_t last_us = 0;
	unsigned armed = 0, seed = 7;

	(void)state;
	loop_enter(t.loop);
	for (unsigned i = 0; i < MANY; i++) {
		steps[i] = step(&t, 'x', step_note, NULL);
		steps[i].timer.arg = &steps[i];
		seed = seed * 1664525 + 1013904223;
		arm(t.loop, &steps[i], 1000000 + (seed >> 8) % 1000000);
	}
	for (unsigned i = 0; i < MANY; i++) {
		seed = seed * 1664525 + 1013904223;
		if (seed >> 31)
			loop_timer_cancel(t.loop, &steps[(seed >> 8) % MANY].timer);
		else
			arm(t.loop, &steps[(seed >> 8) % MANY], 1000000 + seed % 1000000);
	}
	/* The earliest is always at the root of the heap: take them off one by one. */
	for (;;) {
		struct step *first = NULL;

		for (unsigned i = 0; i < MANY; i++)
			if (steps[i].timer.heap_pos == 1)
				first = &steps[i];
		if (first == NULL)
			break;
		assert_true(first->timer.at_us >= last_us);
		last_us = first->timer.at_us;
		loop_timer_cancel(t.loop, &first->timer);
		armed++;
	}
	for (unsigned i = 0; i < MANY; i++)
		assert_false(loop_timer_armed(&steps[i].timer));
	assert_true(armed > MANY / 4 && armed < MANY);
	loop_leave(t.loop);
	loop_free(t.loop);
}

/* Descriptors. */

struct pipe_end {
	struct loop_fd w;
	struct trace *trace;
	struct pipe_end *other; /* whom it stops watching and replaces */
	int out;
};

static void
pipe_take(void *arg, uint32_t events)
{
	struct pipe_end *p = arg;
	char byte;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(p->w.fd, &byte, 1), 1);
	note(p->trace, byte);
	if (byte == 'q')
		loop_stop(p->trace->loop);
}

static struct pipe_end *survivor;

/* Stops watching itself and the other, whose event may stand in the same batch, and closes its descriptor; a new pipe
 * takes the same number. */
static void
pipe_replace(void *arg, uint32_t events)
{
	struct pipe_end *p = arg;

	pipe_take(arg, events);
	loop_fd_del(p->trace->loop, &p->w);
	loop_fd_del(p->trace->loop, &p->other->w);
	loop_fd_del(p->trace->loop, &p->other->w);
	assert_int_equal(close(p->other->w.fd), 0);
	assert_int_equal(close(p->other->out), 0);
	survivor = p;
}

static void
pipe_open(struct pipe_end *p, struct trace *t, void (*fn)(void *, uint32_t))
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	*p = (struct pipe_end){ .trace = t,
				.out = fds[1],
				.w = { .fn = fn, .arg = p, .fd = fds[0] } };
	assert_int_equal(loop_fd_add(t->loop, &p->w, EPOLLIN), IM_OK);
}

static void
pipe_close(struct pipe_end *p)
{
	loop_fd_del(p->trace->loop, &p->w);
	assert_int_equal(close(p->w.fd), 0);
	assert_int_equal(close(p->out), 0);
}

/* A busy host, or a virtual machine that is moved: a time limit does not run out while what it waits for lies there. */
static void
test_loop_timer_that_is_late_comes_after_what_lies_in_descriptors(void **state)
{
	const struct timespec pause = { .tv_nsec = 60000000 };
	struct trace t = { .loop = new_loop() };
	STEP(s, &t, 's', step_stop, NULL);
	struct pipe_end p[150]; /* more than one turn serves */
	const size_t n = sizeof(p) / sizeof(p[0]);

	(void)state;
	loop_enter(t.loop);
	arm(t.loop, &s, 5000);
	for (size_t i = 0; i < n; i++) {
		pipe_open(&p[i], &t, pipe_take);
		assert_int_equal(write(p[i].out, "a", 1), 1);
	}
	assert_int_equal(nanosleep(&pause, NULL), 0);
	loop_leave(t.loop);
	loop_run(t.loop);
	assert_int_equal(strspn(t.did, "a"), n);
	assert_string_equal(t.did + n, "s");
	loop_enter(t.loop);
	for (size_t i = 0; i < n; i++)
		pipe_close(&p[i]);
	loop_leave(t.loop);
	loop_free(t.loop);
}

static void
test_loop_fd_events_come_while_watched(void **state)
{
	struct trace t = { .loop = new_loop() };
	struct pipe_end p;

	(void)state;
	loop_enter(t.loop);
	pipe_open(&p, &t, pipe_take);
	loop_leave(t.loop);
	assert_int_equal(write(p.out, "abq", 3), 3); /* level-triggered: one byte a turn */
	loop_run(t.loop);
	assert_string_equal(t.did, "abq");
	loop_enter(t.loop);
	loop_fd_events(t.loop, &p.w, 0);
	assert_int_equal(write(p.out, "q", 1), 1);
	{
		STEP(s, &t, 's', step_stop, NULL);
		arm(t.loop, &s, 2000);
		loop_leave(t.loop);
		loop_run(t.loop);
	}
	assert_string_equal(t.did, "abqs"); /* not asked for, not told */
	loop_enter(t.loop);
	loop_fd_events(t.loop, &p.w, EPOLLIN);
	loop_leave(t.loop);
	loop_run(t.loop);
	assert_string_equal(t.did, "abqsq");
	loop_enter(t.loop);
	pipe_close(&p);
	loop_leave(t.loop);
	loop_free(t.loop);
}

static void
test_loop_fd_deleted_inside_a_callback_gets_no_event(void **state)
{
	struct trace t = { .loop = new_loop() };
	struct pipe_end a, b, c;

	(void)state;
	loop_enter(t.loop);
	pipe_open(&a, &t, pipe_replace);
	pipe_open(&b, &t, pipe_replace);
	a.other = &b;
	b.other = &a;
	loop_leave(t.loop);
	/* Both are readable in one batch: whichever comes first takes the other out. */
	assert_int_equal(write(a.out, "q", 1), 1);
	assert_int_equal(write(b.out, "q", 1), 1);
	loop_run(t.loop);
	assert_string_equal(t.did, "q");
	assert_true(a.w.slot == 0 && b.w.slot == 0);
	loop_enter(t.loop);
	pipe_open(&c, &t, pipe_take); /* on the number that was closed */
	loop_leave(t.loop);
	assert_int_equal(write(c.out, "q", 1), 1);
	loop_run(t.loop);
	assert_string_equal(t.did, "qq");
	loop_enter(t.loop);
	pipe_close(&c);
	loop_leave(t.loop);
	assert_non_null(survivor); /* the one whose callback ran is still open */
	assert_true(close(survivor->out) == 0 && close(survivor->w.fd) == 0);
	loop_free(t.loop);
}

static void
test_loop_stop_before_run_makes_it_return(void **state)
{
	struct loop *l = new_loop();

	(void)state;
	loop_stop(l);
	loop_run(l);
	loop_free(l);
	loop_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_post_idle_runs_at_once_in_this_thread),
		cmocka_unit_test(test_loop_post_on_the_loop_runs_afterwards_in_order),
		cmocka_unit_test(test_loop_post_last_runs_after_all_posts),
		cmocka_unit_test(test_loop_cancel_inside_a_callback_takes_tasks_out),
		cmocka_unit_test(test_loop_post_between_two_loops_never_nests),
		cmocka_unit_test(test_loop_timers_fire_in_order_and_not_early),
		cmocka_unit_test(test_loop_timer_cancelled_by_another_does_not_fire),
		cmocka_unit_test(test_loop_timers_many_with_random_cancels_keep_their_order),
		cmocka_unit_test(test_loop_timer_that_is_late_comes_after_what_lies_in_descriptors),
		cmocka_unit_test(test_loop_fd_events_come_while_watched),
		cmocka_unit_test(test_loop_fd_deleted_inside_a_callback_gets_no_event),
		cmocka_unit_test(test_loop_stop_before_run_makes_it_return),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
