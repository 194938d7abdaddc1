/*
 * inference/local_loader.h - a thread for what takes long about models: to read a manifest, to check, load and free weights. One task
 * after the other, in order. It knows no model.
 *
 * Threads: everything here is called on the loop.
 */
#ifndef INFERENCE_LOCAL_LOADER_H
#define INFERENCE_LOCAL_LOADER_H

#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/loop.h"

/* Embedded in what is worked on, which must live until 'done' has begun. Zero-initialised, then 'work' and 'done' are set. */
struct loader_task {
	struct list node;
	void (*work)(struct loader_task *t); /* on the loader's thread */
	struct loop_task done;               /* then this, on the loop */
};

struct loader {
	struct loop *loop;
	pthread_t thread;
	bool running; /* it was started */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list tasks; /* guarded by lock, as is the next */
	bool stopping;
};

/** Start the thread. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc loader_start(struct loader *l, struct loop *loop, struct im_err *err);

/** Queue 'task'. */
void loader_do(struct loader *l, struct loader_task *task);

/** End the thread, which has nothing to do any more, and wait for its last instructions. A zeroed one is fine. */
void loader_stop(struct loader *l);

#endif
