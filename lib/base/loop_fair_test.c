/*
 * base/loop_fair_test.c - the serial executor with more tasks than one turn runs: nothing starves, nothing is left.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"

static struct loop *
new_loop(void)
{
	struct loop *l = NULL;
	struct im_err err;

	assert_int_equal(loop_new(&l, &err), IM_OK);
	return l;
}

/* Two ends of a link inside the process that always have something to say to each other. */
struct chatter {
	struct loop *loop;
	struct loop_task task;
	struct loop_timer begin, timer;
	struct loop_fd fd;
	uint64_t turns, until_us;
	bool heard; /* the descriptor */
};

static void
chatter_turn(void *arg)
{
	struct chatter *c = arg;

	if (++c->turns % 1024 == 0 && clock_mono_us() > c->until_us)
		fail_msg("tasks that post each other let no timer and no descriptor in");
	loop_post(c->loop, &c->task);
}

static void
chatter_readable(void *arg, uint32_t events)
{
	struct chatter *c = arg;

	(void)events;
	c->heard = true;
	loop_fd_del(c->loop, &c->fd);
}

static void
chatter_timer(void *arg)
{
	struct chatter *c = arg;

	if (!c->heard) {
		assert_int_equal(loop_timer_set(c->loop, &c->timer, 1000), IM_OK);
		return;
	}
	loop_cancel(c->loop, &c->task);
	loop_stop(c->loop);
}

static void
test_loop_tasks_without_end_starve_neither_timers_nor_descriptors(void **state)
{
	struct chatter c = { .loop = new_loop(), .until_us = clock_mono_us() + 20000000 };
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	c.task = (struct loop_task){ .fn = chatter_turn, .arg = &c };
	c.timer = (struct loop_timer){ .fn = chatter_timer, .arg = &c };
	c.fd = (struct loop_fd){ .fn = chatter_readable, .arg = &c, .fd = pipes[0] };
	loop_enter(c.loop);
	assert_int_equal(loop_fd_add(c.loop, &c.fd, EPOLLIN), IM_OK);
	assert_int_equal(loop_timer_set(c.loop, &c.timer, 1000), IM_OK);
	c.begin = (struct loop_timer){ .fn = chatter_turn, .arg = &c };
	assert_int_equal(loop_timer_set(c.loop, &c.begin, 0),
			 IM_OK); /* by the thread in loop_run() */
	loop_leave(c.loop);
	loop_run(c.loop);
	loop_free(c.loop);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

#define MANY 2000

static void
count_task(void *arg)
{
	++*(unsigned *)arg;
}

struct many {
	struct loop *loop;
	struct loop_task tasks[MANY];
	unsigned ran;
};

static void
post_many_and_stop(void *arg)
{
	struct many *m = arg;

	for (size_t i = 0; i < MANY; i++) {
		m->tasks[i] = (struct loop_task){ .fn = count_task, .arg = &m->ran };
		loop_post(m->loop, &m->tasks[i]);
	}
	loop_stop(m->loop);
}

static void
test_loop_stopped_runs_what_was_posted_before(void **state)
{
	static struct many m;
	struct loop_timer timer = { .fn = post_many_and_stop, .arg = &m };

	(void)state;
	m.loop = new_loop();
	loop_enter(m.loop);
	assert_int_equal(loop_timer_set(m.loop, &timer, 0), IM_OK);
	loop_leave(m.loop);
	loop_run(m.loop);
	assert_int_equal(m.ran, MANY);
	loop_free(m.loop);
}

#define CLIENTS 100
#define LOUD    200 /* more than are served in one turn */

/* Clients that all ask at once, and what answers them: a pipe through which each request goes. */
struct service {
	struct loop *loop;
	struct loop_fd clients[CLIENTS], work;
	int pipes[CLIENTS][2], work_pipe[2];
	unsigned begun, ended, most; /* under way at once */
};

static void
client_asks(void *arg, uint32_t events)
{
	struct service *s = arg;

	(void)events;
	for (size_t i = 0; i < CLIENTS; i++) {
		char byte;

		if (s->clients[i].slot == 0 || read(s->pipes[i][0], &byte, 1) != 1)
			continue;
		loop_fd_del(s->loop, &s->clients[i]);
		assert_int_equal(write(s->work_pipe[1], "x", 1), 1);
		if (++s->begun - s->ended > s->most)
			s->most = s->begun - s->ended;
		return;
	}
}

static void
work_is_done(void *arg, uint32_t events)
{
	struct service *s = arg;
	char bytes[CLIENTS];
	ssize_t n = read(s->work_pipe[0], bytes, sizeof(bytes));

	(void)events;
	assert_true(n > 0);
	s->ended += (unsigned)n;
	if (s->ended == CLIENTS)
		loop_stop(s->loop);
}

static void
test_loop_new_work_waits_behind_what_is_under_way(void **state)
{
	static struct service s;

	(void)state;
	s.loop = new_loop();
	assert_int_equal(pipe2(s.work_pipe, O_CLOEXEC | O_NONBLOCK), 0);
	s.work = (struct loop_fd){ .fn = work_is_done, .arg = &s, .fd = s.work_pipe[0] };
	loop_enter(s.loop);
	assert_int_equal(loop_fd_add(s.loop, &s.work, EPOLLIN), IM_OK);
	for (size_t i = 0; i < CLIENTS; i++) {
		assert_int_equal(pipe2(s.pipes[i], O_CLOEXEC | O_NONBLOCK), 0);
		assert_int_equal(write(s.pipes[i][1], "x", 1), 1);
		s.clients[i] = (struct loop_fd){
			.fn = client_asks, .arg = &s, .fd = s.pipes[i][0], .patient = true
		};
		assert_int_equal(loop_fd_add(s.loop, &s.clients[i], EPOLLIN), IM_OK);
	}
	loop_leave(s.loop);
	loop_run(s.loop);
	assert_int_equal(s.ended, CLIENTS);
	assert_in_range(s.most, 1, CLIENTS / 4);
	loop_enter(s.loop);
	loop_fd_del(s.loop, &s.work);
	loop_leave(s.loop);
	loop_free(s.loop);
	for (size_t i = 0; i < CLIENTS; i++) {
		(void)close(s.pipes[i][0]);
		(void)close(s.pipes[i][1]);
	}
	(void)close(s.work_pipe[0]);
	(void)close(s.work_pipe[1]);
}

/* One that has always something to say, and one that waits. */
struct talker {
	struct loop *loop;
	struct loop_fd loud[LOUD], patient;
	unsigned turns;
	bool heard;
};

static void
loud_speaks(void *arg, uint32_t events)
{
	struct talker *t = arg;

	(void)events;
	if (++t->turns > 100000)
		fail_msg("a patient descriptor is never served");
}

static void
patient_speaks(void *arg, uint32_t events)
{
	struct talker *t = arg;

	(void)events;
	t->heard = true;
	loop_stop(t->loop);
}

static void
test_loop_patient_descriptor_is_served_beside_many_that_never_rest(void **state)
{
	struct talker t = { .loop = new_loop() };
	int pipes[2], dups[LOUD];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	loop_enter(t.loop);
	for (size_t i = 0; i < LOUD; i++) {
		dups[i] = fcntl(pipes[0], F_DUPFD_CLOEXEC, 0);
		t.loud[i] = (struct loop_fd){ .fn = loud_speaks, .arg = &t, .fd = dups[i] };
		assert_int_equal(loop_fd_add(t.loop, &t.loud[i], EPOLLIN), IM_OK);
	}
	t.patient =
	    (struct loop_fd){ .fn = patient_speaks, .arg = &t, .fd = pipes[0], .patient = true };
	assert_int_equal(loop_fd_add(t.loop, &t.patient, EPOLLIN), IM_OK);
	loop_leave(t.loop);
	loop_run(t.loop);
	assert_true(t.heard);
	loop_enter(t.loop);
	for (size_t i = 0; i < LOUD; i++) {
		loop_fd_del(t.loop, &t.loud[i]);
		(void)close(dups[i]);
	}
	loop_fd_del(t.loop, &t.patient);
	loop_leave(t.loop);
	loop_free(t.loop);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

/* Patient descriptors, first few, then many, then few: wherever they are watched, each is heard, and behind the others. */
#define CROWD 40

struct crowd {
	struct loop *loop;
	struct loop_fd fd[CROWD], plain;
	int pipes[CROWD][2], plain_pipe[2];
	unsigned heard, plain_heard_at;
};

static void
one_speaks(void *arg, uint32_t events)
{
	struct crowd *c = arg;

	assert_int_equal(events & EPOLLIN, EPOLLIN);
	for (size_t i = 0; i < CROWD; i++) {
		char byte;

		if (read(c->pipes[i][0], &byte, 1) == 1) {
			c->heard++;
			break;
		}
	}
	loop_stop(c->loop); /* after this turn */
}

static void
plain_speaks(void *arg, uint32_t events)
{
	struct crowd *c = arg;
	char byte;

	(void)events;
	assert_int_equal(read(c->plain_pipe[0], &byte, 1), 1);
	c->plain_heard_at = c->heard;
}

/* Each of [from, to) says something, and so does the one that is not patient. */
static void
hear(struct crowd *c, size_t from, size_t to)
{
	c->heard = 0;
	c->plain_heard_at = CROWD;
	for (size_t i = from; i < to; i++)
		assert_int_equal(write(c->pipes[i][1], "x", 1), 1);
	assert_int_equal(write(c->plain_pipe[1], "x", 1), 1);
	while (c->heard < to - from) {
		unsigned before = c->heard;

		loop_run(c->loop);
		assert_in_range(c->heard - before, 1, 16);
	}
	assert_int_equal(c->heard, to - from);
	assert_int_equal(c->plain_heard_at, 0);
}

static void
watch(struct crowd *c, size_t from, size_t to)
{
	loop_enter(c->loop);
	for (size_t i = from; i < to; i++) {
		c->fd[i] = (struct loop_fd){
			.fn = one_speaks, .arg = c, .fd = c->pipes[i][0], .patient = true
		};
		assert_int_equal(loop_fd_add(c->loop, &c->fd[i], 0), IM_OK);
		loop_fd_events(c->loop, &c->fd[i], EPOLLIN);
	}
	loop_leave(c->loop);
}

static void
leave(struct crowd *c, size_t from, size_t to)
{
	loop_enter(c->loop);
	for (size_t i = from; i < to; i++)
		loop_fd_del(c->loop, &c->fd[i]);
	loop_leave(c->loop);
}

static void
test_loop_patient_descriptors_few_or_many_are_heard_behind_the_others(void **state)
{
	static struct crowd c;

	(void)state;
	c.loop = new_loop();
	assert_int_equal(pipe2(c.plain_pipe, O_CLOEXEC | O_NONBLOCK), 0);
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(pipe2(c.pipes[i], O_CLOEXEC | O_NONBLOCK), 0);
	watch(&c, 0, 5);
	c.plain = (struct loop_fd){ .fn = plain_speaks, .arg = &c, .fd = c.plain_pipe[0] };
	loop_enter(c.loop);
	assert_int_equal(loop_fd_add(c.loop, &c.plain, EPOLLIN), IM_OK);
	loop_leave(c.loop);
	hear(&c, 0, 5);
	watch(&c, 5, CROWD);
	hear(&c, 0, CROWD);
	leave(&c, 3, CROWD);
	hear(&c, 0, 3);
	watch(&c, 3, CROWD);
	hear(&c, 0, CROWD);
	leave(&c, 0, CROWD);
	loop_enter(c.loop);
	loop_fd_del(c.loop, &c.plain);
	loop_leave(c.loop);
	loop_free(c.loop);
	for (size_t i = 0; i < CROWD; i++) {
		(void)close(c.pipes[i][0]);
		(void)close(c.pipes[i][1]);
	}
	(void)close(c.plain_pipe[0]);
	(void)close(c.plain_pipe[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_tasks_without_end_starve_neither_timers_nor_descriptors),
		cmocka_unit_test(test_loop_stopped_runs_what_was_posted_before),
		cmocka_unit_test(test_loop_new_work_waits_behind_what_is_under_way),
		cmocka_unit_test(
		    test_loop_patient_descriptor_is_served_beside_many_that_never_rest),
		cmocka_unit_test(
		    test_loop_patient_descriptors_few_or_many_are_heard_behind_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
