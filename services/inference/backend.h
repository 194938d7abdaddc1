/*
 * inference/backend.h - the small interface that both backends (upstream, local) stand behind. One worker process has one
 * backend. A backend knows models and requests; it knows neither links nor routers.
 *
 * Threads: every function is called on the loop and every callback runs on the loop, never from inside a function of the
 * backend (a backend with threads of its own comes back with loop_post()).
 */
#ifndef INFERENCE_BACKEND_H
#define INFERENCE_BACKEND_H

#include "base/loop.h"
#include "daemon/config.h"
#include "daemon/metrics.h"
#include "wire/generate.h"
#include "wire/mesh.h"
#include "wire/model_admin.h"

struct backend;
struct job; /* one request that the backend works on */

struct job_ops {
	/* A piece of the answer. 'frame' is valid inside the callback only. The first frame of a choice carries its role (of an
	 * embedding there is none), a later one its finish_reason: the backend sees to that whatever its source does. */
	void (*frame)(void *user, const struct generate_frame *frame);
	/* The end, exactly once, unless job_cancel came first. err NULL = a whole answer. 'job' is gone afterwards. */
	void (*end)(void *user, const struct im_err *err, const struct usage *usage);
};

/* How a change of a model went. Strings are valid inside the callback only. */
struct backend_changed {
	enum model_change what;
	const char *model;
	const char *before, *after; /* SHA-256 of the weights, lower-case hex; "" = none */
};
typedef void (*backend_changed_fn)(void *user, const struct im_err *err,
				   const struct backend_changed *changed);

struct backend_ops {
	const char *name; /* upstream, local */
	bool reads_once;  /* 'req' of submit() is not looked at any more when that has returned */
	/* 'item' is the worker's entry of the configuration (NULL: the built-in demo worker). A model that cannot be had is an
	 * error here: it says which file and why. Loading may take seconds; it blocks. */
	enum im_rc (*start)(struct loop *loop, const struct config *item, struct backend **ret,
			    struct im_err *err);
	/* All jobs have ended or were cancelled. 'stopped' is called on the loop when no thread is left; 'b' is freed then. */
	void (*stop)(struct backend *b, loop_fn stopped, void *arg);
	/* What it serves and how much of it at once. Strings live as long as the backend. */
	const struct model_info *(*models)(const struct backend *b, size_t *ret_count);
	uint32_t (*capacity)(const struct backend *b);
	uint32_t (*queued)(const struct backend *b); /* accepted jobs that have not begun */
	/* Begin. 'req' stays valid until the job's end, or see 'reads_once'. IM_OK; IM_EAGAIN (queue full), IM_ENOTFOUND (model), IM_EINVAL (a
	 * parameter that this backend cannot honour, err->param), IM_ENOMEM: no callback follows. */
	enum im_rc (*submit)(struct backend *b, const struct generate_request *req,
			     uint32_t budget_ms, const char *traceparent, const struct job_ops *ops,
			     void *user, struct job **ret_job, struct im_err *err);
	/* Stop generating and free what it holds, soon; no callback follows, 'job' is gone. 'req' may be freed at once. */
	void (*cancel)(struct job *job);
	/* The reader is slow: make no more frames until resumed (those under way may still come). */
	void (*pause)(struct job *job, bool paused);
	void (*metrics)(const struct backend *b, struct metrics_page *page);
	/* Of operators. Both NULL: this backend loads no models. Strings of the list live until the next callback. 'done' is
	 * called exactly once, also when the backend is stopped; not at all when 'change' fails. */
	void (*list)(const struct backend *b, struct model_states *ret);
	enum im_rc (*change)(struct backend *b, enum model_change what, const char *model,
			     backend_changed_fn done, void *user, struct im_err *err);
};

extern const struct backend_ops backend_upstream;
extern const struct backend_ops backend_local; /* only in builds with llama.cpp */

#endif
