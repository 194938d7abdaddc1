/*
 * inference/local_engine.h - the decode thread of the local backend: it alone touches llama.cpp's context. Jobs come in
 * through a locked inbox, pieces of answers go back to the loop in batches, one delivery a step.
 *
 *            loop                        |             decode thread
 *   submit ──▶ inbox ───────────────────▶|▶ waiting ──seat free──▶ seats: prompt, then a token a step ──▶ done
 *   frame, end ◀── deliver ◀── ready ◀───|◀── pieces of the step, and 'done'
 *   cancel, pause: flags of the job, seen between two steps (a long prompt is broken off)
 *
 * A job belongs to the engine from engine_submit() until it was delivered as done; only the loop frees it. So cancelling
 * never races with freeing: a cancelled job comes back as done, without anybody to tell.
 */
#ifndef INFERENCE_LOCAL_ENGINE_H
#define INFERENCE_LOCAL_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"
#include "inference/backend.h"
#include "inference/local_bias.h"
#include "inference/local_inputs.h"
#include "inference/local_logprobs.h"
#include "inference/local_model.h"
#include "inference/local_pace.h"
#include "inference/local_params.h"
#include "inference/local_prefix.h"
#include "inference/local_prompt.h"
#include "inference/local_text.h"

#define LOCAL_TENANT_MAX 256 /* bytes of a tenant's name */

struct llama_sampler;
struct llama_token_data;
struct resident;

enum finish {
	FINISH_NONE, /* not yet; or never, because it was cancelled or failed */
	FINISH_STOP,
	FINISH_LENGTH,
};

/* A piece of an answer in job.out: this, then 'len' bytes of text and 'logprobs_len' of JSON. */
struct piece {
	uint32_t choice;
	uint32_t len;
	uint32_t logprobs_len;
	bool first; /* of its choice: carries the role */
	enum finish finish;
};

/* The tokens of a prompt. */
struct token_run {
	int32_t *at;
	uint32_t count;
};

struct job {
	/* The loop's. */
	struct resident *owner;    /* the weights that answer it */
	const struct job_ops *ops; /* NULL = cancelled */
	void *user;
	struct list loop_node; /* in a list of what is being delivered */

	/* Made before engine_submit(), then read-only. */
	struct prompt prompt;
	struct local_params params;
	struct local_bias bias;
	char **stops;
	size_t stop_count;
	char *grammar;        /* that answers follow; NULL = none */
	uint64_t deadline_us; /* UINT64_MAX = none */
	char tenant[LOCAL_TENANT_MAX + 1];
	bool completion; /* goes on with 'inputs', and has no prompt; 'echo': it begins with them */
	bool echo;
	bool embedding;      /* vectors of 'inputs', and no prompt */
	uint32_t dimensions; /* of a vector */
	struct local_inputs inputs;

	/* Set by the loop, read by the engine. */
	atomic_bool cancelled;
	atomic_bool paused;

	/* The engine's. */
	struct list node; /* inbox, waiting or embedding; unlinked while all its choices sit */
	size_t next_input, vectors; /* of an embedding: how many were begun, and are there */
	struct token_run one;       /* the prompt of a chat */
	struct token_run
	    *runs; /* the prompts' tokens: 'one', or of a completion one for each input */
	size_t run_count;
	uint32_t started, finished; /* choices */
	struct buf stage;           /* pieces of this step; of an embedding vectors */
	struct list touched_node;
	bool begun; /* its turn came, or it ended before */
	bool ending;
	struct im_err err;
	bool failed;
	struct usage usage;

	/* Guarded by the engine's lock. */
	struct list ready_node;
	struct buf out;
	bool done;
};

/* What a sequence holds, also when nobody sits there. The engine's. */
struct past {
	int32_t *tokens; /* room for a whole context */
	uint32_t count;
	uint64_t used; /* the age of who sat there last */
	char tenant[LOCAL_TENANT_MAX + 1];
};

/* A sequence of the context and the choice that it generates. The engine's. */
struct seat {
	struct past past;
	struct job *job;                /* NULL = free */
	const struct token_run *prompt; /* of the job */
	uint32_t choice;
	uint64_t age;   /* the lower, the earlier it sat down */
	bool runs;      /* in this step: not paused */
	bool served;    /* got its token of this round */
	uint32_t fed;   /* tokens in the context, prompt and answer */
	bool answering; /* the prompt is fed */
	bool slid;      /* the oldest tokens were dropped */
	/* An elder one that is just feeding the same first 'leader_tokens': they are copied then. */
	bool follows;
	uint32_t leader, leader_tokens;
	uint64_t leader_age;
	uint32_t in_batch; /* tokens of this step */
	int32_t output;    /* index in the batch whose logits are ours; -1 = none */
	uint32_t generated;
	int32_t last; /* the token to feed next, once the prompt is fed */
	bool said;    /* the role went out */
	struct llama_sampler *sampler, *grammar; /* grammar: NULL = none */
	struct local_text text;
	struct logprobs logprobs;
};

/* Written by the engine, read by anybody. */
struct engine_stats {
	atomic_ullong steps, prompt_tokens, cached_tokens, generated_tokens;
	atomic_uint seated, waiting; /* choices that sit, jobs that did not begin */
};

struct engine {
	struct loop *loop;
	struct local_model *model;
	struct engine_stats stats;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list inbox; /* guarded by lock, as are the next four */
	struct list ready;
	bool wake;
	bool stopping;
	bool running; /* the thread was started */

	atomic_bool abort;     /* break the step off */
	atomic_bool abortable; /* it is a long one */

	struct loop_task deliver; /* job pieces → the loop */
	void (*on_piece)(struct job *job, struct buf *pieces);
	void (*on_done)(struct job *job); /* frees it */
	struct loop_task exited;

	/* The thread's. */
	pthread_t thread;
	struct list waiting;
	struct list embedding;     /* jobs that want vectors */
	struct embedder *embedder; /* NULL until the first of them */
	struct list touched;
	struct seat *seats;
	uint32_t seat_count;
	uint64_t next_age;
	uint64_t turn; /* of feeding prompts */
	struct pace pace;
	struct pace_prompt *prompts; /* room for one of each seat, as the next */
	struct prefix_view *views;
	struct llama_token_data *candidates; /* the whole vocabulary */
	struct llama_batch *batch;
};

/**
 * Start the thread over 'model', which stays the caller's and is not touched by others until the end. 'step_ms': how long a
 * step may take that feeds prompts beside answers under way. 'on_piece' and 'on_done' are called on the loop. IM_OK or IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc engine_start(struct engine *e, struct loop *loop,
				      struct local_model *model, uint32_t step_ms,
				      void (*on_piece)(struct job *, struct buf *),
				      void (*on_done)(struct job *), struct im_err *err);

/** Hand 'job' over. On the loop. */
void engine_submit(struct engine *e, struct job *job);

/** A flag of a job changed: look. On the loop. 'cancelled': break off what is under way if it is long. */
void engine_wake(struct engine *e, bool cancelled);

/** End all jobs as cancelled and end the thread; then 'exited' runs on the loop, maybe in that very thread: engine_join()
 *  comes after it, in another callback. On the loop. */
void engine_stop(struct engine *e, loop_fn exited, void *arg);

/** Wait for the thread's last instructions and free. A zeroed engine is fine. */
void engine_join(struct engine *e);

/** For llama.cpp: break the step off? 'engine' is one. */
bool engine_abort_step(void *engine);

/** A step of 'tokens' tokens begins, which is worth breaking off if it is a long one. */
void engine_step_begins(struct engine *e, uint32_t tokens);

/* local_embed.c: vectors. For the engine. */

/** How many numbers a vector of 'model' has; 0 = it gives none. Any thread. */
uint32_t embed_dimensions(const struct local_model *model);

/** There is something to compute. */
bool embed_busy(const struct engine *e);

/** One step for the jobs in e->embedding, if they have anything to compute. */
void embed_step(struct engine *e);

/** 'job' leaves. */
void embed_forget(struct engine *e, const struct job *job);
void embed_free(struct engine *e);

/* local_vectors.c: on the loop. The reader may cancel the job in any frame. */

/** Give whole vectors to the reader of 'job'. */
void vectors_give(struct job *job, const struct buf *vectors);

/** All were given. */
void vectors_finish(struct job *job);

/* local_job.c: on the loop. */

/** A job for 'req', which may go afterwards. IM_OK; IM_EINVAL with err->param: what the backend cannot do; IM_ENOMEM. */
IM_MUST_CHECK enum im_rc job_new(const struct local_model *model,
				 const struct generate_request *req, struct job **ret,
				 struct im_err *err);

/** Make the tokens of its prompts, and count them. IM_OK; IM_EINVAL: too long; IM_ENOMEM. On the decode thread. */
IM_MUST_CHECK enum im_rc job_tokenize(const struct local_model *model, struct job *job,
				      struct im_err *err);

/** Free one that the engine does not know (any more). NULL is fine. */
void job_free(struct job *job);

/* local_batch.c: what goes into a step. For the engine. */

/** A choice sits there, and its reader is not slow. */
bool seat_runnable(const struct seat *s);

/**
 * Fill e->batch. Rounds of answers, in which each that is under way gets its next token, in one step or several as local_pace.h has it,
 * alternate with steps of as much of the prompts as local_pace.h allows. They never share a step: llama.cpp would compute them one
 * after the other, and a prompt's first token with those of the answers. Returns whether it is prompts.
 */
bool batch_build(struct engine *e);

/** No answer waits for its token of this round. */
bool batch_round_over(const struct engine *e);

/* local_reuse.c: what sequences hold. For the engine. */

/** The prompt of a choice. */
const struct token_run *job_prompt(const struct job *job, uint32_t choice);

/** Where the next choice of 'job', whose tokens are known, is to sit. One seat at least is free. */
struct prefix_choice reuse_choose(struct engine *e, const struct job *job);

/** Somebody sat down there: use again what was chosen. */
void reuse_begin(struct engine *e, const struct prefix_choice *c);

/** True while the prompt of a seat waits for another one with the same beginning. Takes that over when it is there. */
bool reuse_waits(struct engine *e, uint32_t index);

/** The tokens of this step are in the context. */
void reuse_fed(struct engine *e, uint32_t index);

/** The context is full: drop the oldest tokens but the first ones. False: that is not configured. */
bool reuse_slide(struct engine *e, uint32_t index);

/** Empty the sequence. */
void reuse_forget(struct engine *e, uint32_t index);

/* local_sample.c: the draw. For the engine. */

/** Make what draws the tokens of choice 's', whose job is set. False with 's' as it was: 'err' says why. */
bool sample_begin(const struct engine *e, struct seat *s, struct im_err *err);

/** Free it. */
void sample_end(struct seat *s);

/** Draw from the logits of this step. False: no token fits the grammar, 'err' says so. */
bool sample_next(struct engine *e, struct seat *s, int32_t *ret_token, struct im_err *err);

/* local_seat.c: one choice on its sequence. For the engine. */

/** Seat the next choice of 'job'. False: 'err' says why not. */
bool seat_take(struct engine *e, const struct prefix_choice *c, struct job *job,
	       struct im_err *err);

/** The choice is over. The sequence keeps what it holds. */
void seat_leave(struct engine *e, uint32_t index, enum finish finish);

/** Sample from the logits of this step and take the token in. */
void seat_sample(struct engine *e, uint32_t index);

/** End 'job' with 'err' (NULL = well) as soon as its seats are empty. */
void job_end(struct engine *e, struct job *job, const struct im_err *err);

/** Something of 'job' is to be delivered after this step. */
void job_touch(struct engine *e, struct job *job);

#endif
