/*
 * inference/local_models.h - the models of a local worker: which are loaded, each with a context and a decode thread of its own; loading
 * one beside those that answer, putting it in the place of an older one, freeing that when its last request has ended. It
 * knows neither requests' contents nor links.
 *
 *   unloaded ──load──▶ (loader thread) ──▶ ready ──unload──▶ retired ──last job──▶ freed
 *                            │               ▲ │
 *                          failed            │ └──reload──▶ (loader thread) ──▶ the new one is ready, the old one retired
 *                                            └── or failed: the old one stays
 *
 * Threads: everything here is called on the loop.
 */
#ifndef INFERENCE_LOCAL_MODELS_H
#define INFERENCE_LOCAL_MODELS_H

#include "inference/local_engine.h"
#include "inference/local_loader.h"
#include "inference/local_spec.h"
#include "inference/local_watch.h"

#define MODELS_NAMES_MAX (CONFIG_MODELS_MAX + 64) /* with aliases */

/* Weights in memory and what decodes with them. */
struct resident {
	struct list node; /* in models.residents */
	struct local_models *owner;
	char name[GENERATE_MODEL_MAX + 1]; /* of the entry */
	struct local_model model;
	struct engine engine;
	char fingerprint[24];
	uint32_t jobs;      /* given to the engine and not back yet, cancelled ones too */
	uint32_t in_flight; /* of them: not cancelled */
	bool retired;       /* gets no more */
	bool ending;        /* its thread was told */
	bool counted;       /* in models.past */
	struct loader_task free;
};

/* A model's name and what became of it. */
struct model_entry {
	struct list node; /* in models.entries */
	char id[GENERATE_MODEL_MAX + 1];
	struct resident *now;   /* NULL = not loaded */
	struct local_spec spec; /* the latest one */
	bool busy;              /* something is under way */
	struct load_watch watch;
	struct im_err err; /* of the last attempt; rc IM_OK = it went well */
};

/* Sums over all weights, also those that are gone. */
struct models_sum {
	uint64_t steps, prompt_tokens, cached_tokens, generated_tokens;
	uint64_t freed;
	uint32_t seated, waiting;  /* choices that sit, jobs that did not begin */
	uint32_t loaded, retiring; /* weights */
};

struct local_models {
	struct loop *loop;
	const struct config *item;
	const char *manifest;             /* NULL = one model, 'params.file' */
	struct local_model_params params; /* that all have in common */
	uint32_t step_ms, capacity;       /* capacity 0 = as many as are decoded together */
	void (*on_piece)(struct job *job, struct buf *pieces);
	void (*on_done)(struct job *job);
	struct loader loader;
	struct list entries, residents;
	/* Those that are ready, and aliases of them. */
	struct model_info infos[MODELS_NAMES_MAX];
	struct model_entry *behind[MODELS_NAMES_MAX]; /* each of the infos */
	size_t info_count;
	struct models_sum past; /* of residents whose thread has ended: 'steps' to 'freed' */
	uint32_t under_way;     /* tasks of the loader */
	bool stopping;
	struct loader_task goodbye;
	loop_fn stopped;
	void *stopped_arg;
};

/**
 * Read the configuration. Without a manifest the one model is loaded before this returns, and what is wrong with it is the error; those
 * of a manifest are loaded later. 'm' must not move. On failure nothing is left.
 */
IM_MUST_CHECK enum im_rc models_start(struct local_models *m, struct loop *loop,
				      const struct config *item,
				      void (*on_piece)(struct job *, struct buf *),
				      void (*on_done)(struct job *), struct im_err *err);

/** End all jobs as cancelled and free everything; then 'stopped' runs on the loop. */
void models_stop(struct local_models *m, loop_fn stopped, void *arg);

/** What serves 'name', which may be an alias; NULL: nothing does, 'err' says so. */
struct resident *models_find(struct local_models *m, const char *name, struct im_err *err);

/** Give 'job', whose owner it is set as, to the engine of 'r'. */
void resident_submit(struct resident *r, struct job *job);

/** 'job' is cancelled. It comes back with on_done() all the same. */
void resident_cancel(struct resident *r, struct job *job);

/** The job is back: to be said in on_done(). 'cancelled': it had been. 'r' may be gone soon. */
void resident_done(struct resident *r, bool cancelled);

/** Requests that are decoded at once, of all models. */
uint32_t models_capacity(const struct local_models *m);

/** Accepted requests that have not begun. */
uint32_t models_queued(const struct local_models *m);

/** For the metrics page. */
struct models_sum models_sum(const struct local_models *m);

/** For operators. Strings live until the next callback. */
void models_list(const struct local_models *m, struct model_states *ret);

/**
 * Begin to load, unload, reload or verify 'name'. IM_OK: 'done' is called exactly once, later. IM_ENOTFOUND, IM_EEXIST (loaded
 * already), IM_EAGAIN (something is under way with it), IM_EUNAVAILABLE, IM_ENOMEM: it is not called.
 */
IM_MUST_CHECK enum im_rc models_change(struct local_models *m, enum model_change what,
				       const char *name, backend_changed_fn done, void *user,
				       struct im_err *err);

#endif
