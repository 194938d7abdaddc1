/*
 * base/loop.h - a serial executor: at most one thread at a time runs the callbacks of one loop, so state that belongs to
 * a loop needs no lock. Every service lives on one loop; in the single-process mode all five live on the same one.
 *
 * Two kinds of thread run callbacks: the one in loop_run(), for descriptors and timers, and any thread that calls
 * loop_post(), for tasks: when the loop is idle the task runs right there, inside loop_post(), else the thread that holds
 * the loop runs it before it lets go. So a message that arrives on an nng thread costs no thread switch.
 *
 * "On the loop" in other headers means: inside one of its callbacks, or between loop_enter() and loop_leave().
 * Callbacks never block.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct loop;

typedef void (*loop_fn)(void *arg);

/* A callback to be run once. Embedded in its owner; zero-initialised, then fn and arg are set. */
struct loop_task {
	struct list node;
	loop_fn fn;
	void *arg;
	bool queued;
};

/* A callback at a point in time. Embedded in its owner; zero-initialised, then fn and arg are set. */
struct loop_timer {
	loop_fn fn;
	void *arg;
	uint64_t at_us;    /* CLOCK_MONOTONIC */
	uint32_t heap_pos; /* 0 = not armed */
};

/* A watched descriptor. Embedded in its owner; zero-initialised, then fn and arg are set. */
struct loop_fd {
	void (*fn)(void *arg,
		   uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP */
	void *arg;
	int fd;
	/* Set before it is added: it brings new work, and few such are served in a turn, behind all others. So a thousand clients
	 * that ask at once are not all let in before the first of their requests goes on, to find its memory cold at each step. */
	bool patient;
	bool apart;    /* for fds.c */
	uint32_t slot; /* 0 = not watched */
};

/** A new loop. Returns IM_OK, IM_ENOMEM or IM_EIO (no descriptors left). */
IM_MUST_CHECK enum im_rc loop_new(struct loop **ret_loop, struct im_err *err);

/** Nothing may be queued, armed or watched, and no thread inside; one that is about to return from loop_post() or
 *  loop_stop() is waited for, so the last task may be what lets another thread free the loop. NULL is fine. */
void loop_free(struct loop *loop);

/** Serve descriptors and timers until loop_stop(). One thread at a time. */
void loop_run(struct loop *loop);

/** Wait for descriptors by asking for them for up to 'max_us', as long as that is quicker than to sleep (loop_wait.h): for a loop that has a processor
 *  to itself. On the loop only. */
void loop_poll_busily(struct loop *loop, uint32_t max_us);

/** One piece of work more ('more') or less that other threads do for the loop: meanwhile it sleeps, they need the processors. Any thread. */
void loop_beside(struct loop *loop, bool more);

/** Make loop_run() return (the next one, if none runs). Any thread; async-signal-safe. */
void loop_stop(struct loop *loop);

/**
 * Run 'task' on the loop: at once in this thread if the loop is idle, else soon in the thread that holds it, in the order
 * of posting. Any thread, also on the loop: then it runs after the present callback returned, never inside it. A task
 * that is queued already stays queued once. 'task' must live until it ran or was cancelled.
 */
void loop_post(struct loop *loop, struct loop_task *task);

/** As loop_post(), but never run it in this thread: it goes to the thread that holds the loop, or wakes the one in
 *  loop_run(). For threads that have better to do. Not on the loop. */
void loop_hand(struct loop *loop, struct loop_task *task);

/** As loop_post(), but run it when nothing else is queued, just before the loop is let go: to write what a turn gathered
 *  with one system call. On the loop only. */
void loop_post_last(struct loop *loop, struct loop_task *task);

/** Forget a queued task. On the loop only. Does nothing if it is not queued. */
void loop_cancel(struct loop *loop, struct loop_task *task);

/** Become the thread that runs the loop; waits for its turn. For main() and tests, never from a callback. */
void loop_enter(struct loop *loop);

/** Run what was queued and let go. */
void loop_leave(struct loop *loop);

/** True if the calling thread is on the loop. For assertions. */
bool loop_is_held(struct loop *loop);

/** (Re)arm 'timer' to fire in 'delay_us'; one that is late by 20 ms, after what lies in descriptors. On the loop only. IM_ENOMEM: it is unarmed. */
IM_MUST_CHECK enum im_rc loop_timer_set(struct loop *loop, struct loop_timer *timer,
					uint64_t delay_us);

/** Disarm; does nothing if it is not armed. On the loop only. After it returns the callback does not run. */
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

bool loop_timer_armed(const struct loop_timer *timer);

/** Watch w->fd for 'events', level-triggered. On the loop only. IM_EIO or IM_ENOMEM: it is not watched. */
IM_MUST_CHECK enum im_rc loop_fd_add(struct loop *loop, struct loop_fd *w, uint32_t events);

/** Change what is watched; with EPOLLET changes alone are reported. On the loop only. */
void loop_fd_events(struct loop *loop, struct loop_fd *w, uint32_t events);

/** Stop watching; does nothing if it is not watched. On the loop only, before the descriptor is closed. After it returns
 *  the callback does not run. */
void loop_fd_del(struct loop *loop, struct loop_fd *w);

#endif
