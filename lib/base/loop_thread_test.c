/*
 * base/loop_thread_test.c - the serial executor with many threads: nothing is lost, nothing runs twice or at once.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/loop.h"

static struct loop *
new_loop(void)
{
	struct loop *l = NULL;
	struct im_err err;

	assert_int_equal(loop_new(&l, &err), IM_OK);
	return l;
}

/* A timer that keeps loop_run() coming in between. */
struct ticker {
	struct loop *loop;
	struct loop_timer timer;
};

static void
tick(void *arg)
{
	struct ticker *t = arg;

	if (loop_timer_set(t->loop, &t->timer, 50) != IM_OK)
		abort();
}

static void
ticker_start(struct ticker *t, struct loop *l)
{
	*t = (struct ticker){ .loop = l, .timer = { .fn = tick, .arg = t } };
	loop_enter(l);
	tick(t);
	loop_leave(l);
}

static void
ticker_stop(struct ticker *t)
{
	loop_enter(t->loop);
	loop_timer_cancel(t->loop, &t->timer);
	loop_leave(t->loop);
}

#define POSTERS        4
#define POSTS_A_THREAD 25000

struct poster {
	struct loop *loop;
	uint64_t ran; /* only on the loop: no atomic, so that tsan sees a second thread */
	struct counted *tasks;
	unsigned next; /* the order in which they must run */
	pthread_t thread;
	uint64_t *total;
	atomic_bool *busy; /* a second thread on the loop would see it set */
};

struct counted {
	struct loop_task task;
	struct poster *poster;
	unsigned number;
};

static void
counted_run(void *arg)
{
	struct counted *c = arg;
	struct poster *p = c->poster;

	if (atomic_exchange(p->busy, true))
		abort(); /* two threads on one loop */
	if (c->number != p->next++)
		abort(); /* not in the order of posting */
	p->ran++;
	if (++*p->total == (uint64_t)POSTERS * POSTS_A_THREAD)
		loop_stop(p->loop);
	atomic_store(p->busy, false);
}

static void *
post_all(void *arg)
{
	struct poster *p = arg;

	for (unsigned i = 0; i < POSTS_A_THREAD; i++) {
		struct counted *c = &p->tasks[i];

		*c = (struct counted){ .task = { .fn = counted_run, .arg = c },
				       .poster = p,
				       .number = i };
		loop_post(p->loop, &c->task);
	}
	return NULL;
}

static void *
stop_it(void *loop)
{
	loop_stop(loop);
	return NULL;
}

/* Whoever stops a loop is not to be joined before it is freed: the sanitizers say if loop_stop() was still at work on it. */
static void
test_loop_freed_once_it_was_stopped_is_left_alone(void **state)
{
	(void)state;
	for (int i = 0; i < 500; i++) {
		struct loop *l = new_loop();
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, stop_it, l), 0);
		loop_run(l);
		loop_free(l);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
}

static void
test_loop_posts_from_many_threads_all_run_once_in_order(void **state)
{
	static struct poster posters[POSTERS];
	struct loop *l = new_loop();
	struct ticker ticker;
	atomic_bool busy = false;
	uint64_t total = 0;

	(void)state;
	ticker_start(&ticker, l);
	for (unsigned i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){ .loop = l, .total = &total, .busy = &busy };
		posters[i].tasks = calloc(POSTS_A_THREAD, sizeof(*posters[i].tasks));
		assert_non_null(posters[i].tasks);
		assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]),
				 0);
	}
	loop_run(l); /* until the last of them ran: a lost one hangs here, and ctest says so */
	for (unsigned i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
	ticker_stop(&ticker);
	assert_int_equal(total, POSTERS * POSTS_A_THREAD);
	for (unsigned i = 0; i < POSTERS; i++) {
		assert_int_equal(posters[i].ran, POSTS_A_THREAD);
		free(posters[i].tasks);
	}
	loop_free(l);
}

static void
test_loop_posts_without_loop_run_are_never_left_behind(void **state)
{
	static struct poster posters[POSTERS];
	struct loop *l = new_loop();
	atomic_bool busy = false;
	uint64_t total = 0;

	(void)state;
	for (unsigned i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){ .loop = l, .total = &total, .busy = &busy };
		posters[i].tasks = calloc(POSTS_A_THREAD, sizeof(*posters[i].tasks));
		assert_non_null(posters[i].tasks);
		assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]),
				 0);
	}
	/* This thread takes its turns in between. */
	for (unsigned i = 0; i < 2000; i++) {
		loop_enter(l);
		assert_true(loop_is_held(l));
		loop_leave(l);
	}
	for (unsigned i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
	/* Nobody is inside any more, so nothing may be queued. */
	assert_int_equal(total, POSTERS * POSTS_A_THREAD);
	for (unsigned i = 0; i < POSTERS; i++)
		free(posters[i].tasks);
	loop_free(l);
}

/* One at a time: the next post comes only when the last one ran, so each has to be seen on its own. */
struct pingpong {
	struct loop *loop;
	struct loop_task task;
	atomic_uint done;
	unsigned rounds;
};

static void
pong(void *arg)
{
	struct pingpong *p = arg;

	atomic_fetch_add(&p->done, 1);
}

static void *
ping(void *arg)
{
	struct pingpong *p = arg;

	for (unsigned i = 0; i < p->rounds; i++) {
		loop_post(p->loop, &p->task);
		while (atomic_load(&p->done) <= i)
			(void)sched_yield();
	}
	loop_stop(p->loop);
	return NULL;
}

static void
test_loop_single_posts_are_each_seen(void **state)
{
	struct loop *l = new_loop();
	struct ticker ticker;
	struct pingpong p = { .loop = l, .rounds = 20000, .task = { .fn = pong, .arg = &p } };
	pthread_t thread;

	(void)state;
	ticker_start(&ticker, l);
	assert_int_equal(pthread_create(&thread, NULL, ping, &p), 0);
	loop_run(l);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(atomic_load(&p.done), p.rounds);
	ticker_stop(&ticker);
	loop_free(l);
}

/* A timer that another thread sets while loop_run() sleeps until a far one. */
struct far {
	struct loop *loop;
	struct loop_timer later, soon;
	unsigned fired;
};

static void
far_fire(void *arg)
{
	struct far *f = arg;

	f->fired++;
	loop_stop(f->loop);
}

static void
far_set(void *arg)
{
	struct far *f = arg;

	if (loop_timer_set(f->loop, &f->soon, 1000) != IM_OK)
		abort();
}

static void *
far_thread(void *arg)
{
	struct far *f = arg;
	struct loop_task task = { .fn = far_set, .arg = f };

	loop_post(f->loop, &task);
	loop_enter(
	    f->loop); /* 'task' is on this stack: it has run once this thread had the loop and left it */
	loop_leave(f->loop);
	return NULL;
}

static void
test_loop_timer_set_by_another_thread_wakes_the_sleeper(void **state)
{
	struct far f = { .loop = new_loop() };
	pthread_t thread;

	(void)state;
	f.later.fn = f.soon.fn = far_fire;
	f.later.arg = f.soon.arg = &f;
	loop_enter(f.loop);
	assert_int_equal(loop_timer_set(f.loop, &f.later, 3600ULL * 1000 * 1000), IM_OK);
	loop_leave(f.loop);
	assert_int_equal(pthread_create(&thread, NULL, far_thread, &f), 0);
	loop_run(f.loop); /* would sleep for an hour */
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(f.fired, 1);
	loop_enter(f.loop);
	assert_true(loop_timer_armed(&f.later));
	loop_timer_cancel(f.loop, &f.later);
	loop_leave(f.loop);
	loop_free(f.loop);
}

#define HANDED 3000

struct handed {
	struct loop *loop;
	struct loop_task task;
	pthread_t runner; /* who may run the task */
	atomic_uint ran;
};

static void
handed_run(void *arg)
{
	struct handed *h = arg;

	if (!pthread_equal(pthread_self(), h->runner))
		abort();
	if (atomic_fetch_add(&h->ran, 1) + 1 == HANDED)
		loop_stop(h->loop);
}

/* One at a time: each finds the loop asleep, or just falling asleep. */
static void *
hand_all(void *arg)
{
	struct handed *h = arg;

	for (unsigned i = 0; i < HANDED; i++) {
		loop_hand(h->loop, &h->task);
		while (atomic_load(&h->ran) == i)
			(void)sched_yield();
	}
	return NULL;
}

static void
test_loop_task_handed_over_runs_in_the_thread_of_loop_run(void **state)
{
	struct handed h = { .loop = new_loop(), .runner = pthread_self() };
	pthread_t thread;

	(void)state;
	h.task = (struct loop_task){ .fn = handed_run, .arg = &h };
	assert_int_equal(pthread_create(&thread, NULL, hand_all, &h), 0);
	loop_run(h.loop);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(atomic_load(&h.ran), HANDED);
	loop_free(h.loop);
}

static void *
hand_once(void *arg)
{
	struct handed *h = arg;

	loop_hand(h->loop, &h->task);
	return NULL;
}

static void
test_loop_task_handed_to_a_busy_loop_runs_before_it_is_let_go(void **state)
{
	struct handed h = { .loop = new_loop(), .runner = pthread_self() };
	pthread_t thread;

	(void)state;
	h.task = (struct loop_task){ .fn = handed_run, .arg = &h };
	loop_enter(h.loop);
	assert_int_equal(pthread_create(&thread, NULL, hand_once, &h), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(atomic_load(&h.ran), 0);
	loop_leave(h.loop);
	assert_int_equal(atomic_load(&h.ran), 1);
	loop_free(h.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_freed_once_it_was_stopped_is_left_alone),
		cmocka_unit_test(test_loop_posts_from_many_threads_all_run_once_in_order),
		cmocka_unit_test(test_loop_posts_without_loop_run_are_never_left_behind),
		cmocka_unit_test(test_loop_single_posts_are_each_seen),
		cmocka_unit_test(test_loop_task_handed_over_runs_in_the_thread_of_loop_run),
		cmocka_unit_test(test_loop_task_handed_to_a_busy_loop_runs_before_it_is_let_go),
		cmocka_unit_test(test_loop_timer_set_by_another_thread_wakes_the_sleeper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
