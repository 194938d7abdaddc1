/*
 * inference/worker_rig.h - for tests: a worker with a backend that does as it is told (fake_backend.h), and a router that it joins over
 * an in-process link. Never part of a daemon.
 */
#ifndef INFERENCE_WORKER_RIG_H
#define INFERENCE_WORKER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inference/fake_backend.h"
#include "inference/worker.h"

#define WINDOW_BYTES 1024

/* Another router that the worker has, to be told things only. */
struct second_router {
	struct endpoint *listener;
	struct link *link;
	unsigned announced, reported;
	unsigned after;   /* so many reports to the first one came before what it heard last */
	struct load load; /* the last one that it was told */
	struct served *unanswered;
	bool silent; /* keeps one report in 'unanswered' */
};

/* The router: on the same loop as the worker; the test's thread runs the loop. */
struct router {
	struct loop *loop;
	struct config *config;
	struct net *net;
	struct endpoint *listener;
	struct link *link;
	struct host *host;
	struct loop_timer alarm;
	unsigned announced, goaways, reported;
	struct load load; /* the last one that was announced or reported */
	struct second_router second;
	char announcement[512]; /* the last one, written down */
	bool draining;
	bool closed;
};
extern struct router router;

/* One Inference/Generate, as the router sees it. */
struct ask {
	struct call *call;
	struct buf text;
	size_t held_bytes; /* not granted yet */
	struct generate_end end;
	struct im_err err;
	unsigned frames;
	bool withhold;
	bool ended, failed;
};

/* Run the loop until 'condition' holds. */
#define RUN_UNTIL(condition)                                                                       \
	do {                                                                                       \
		loop_enter(router.loop);                                                           \
		assert_int_equal(loop_timer_set(router.loop, &router.alarm, 20000000), IM_OK);     \
		loop_leave(router.loop);                                                           \
		while (!(condition))                                                               \
			loop_run(router.loop);                                                     \
		loop_enter(router.loop);                                                           \
		loop_timer_cancel(router.loop, &router.alarm);                                     \
		loop_leave(router.loop);                                                           \
	} while (0)

#define ON_LOOP(statement)                                                                         \
	do {                                                                                       \
		loop_enter(router.loop);                                                           \
		statement;                                                                         \
		loop_leave(router.loop);                                                           \
	} while (0)

/** A worker that has announced itself; and its end. For cmocka. */
int worker_rig_setup(void **state);
int worker_rig_setup_two_routers(void **state);
int worker_rig_teardown(void **state);

/** Stop the worker. */
void stop_host(void);

/** Answer the report that the second router has kept. */
void answer_second(void);

/** Call 'method' of the worker. 'a' is zeroed and outlives the call. */
void ask_raw(struct ask *a, const char *method, const void *body, size_t len);

/** Ask for an answer and wait until the backend has it. */
struct job *ask(struct ask *a, const char *model);

/** The same as the second router. */
struct job *ask_second(struct ask *a, const char *model);

#endif
