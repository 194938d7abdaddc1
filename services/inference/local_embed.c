/*
 * inference/local_embed.c - vectors of texts; see local_engine.h. On the decode thread.
 *
 * A context of its own, made when the first request comes, computes them: many inputs in a step, a long one over several. What
 * llama.cpp gives for each token is pooled here as the model's file says, so that a step is no larger for a long input. At most one
 * input is fed in part at any time. Steps alternate with those of answers and take no longer than local_pace.h allows. A model without
 * a memory of tokens before (BERT) takes each input in one step, however long.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "inference/local_engine.h"
#include "wire/float32.h"

#define SLOTS          64 /* inputs of one step */
#define STEP_TOKENS    512U
#define LOGITS_NUMBERS 16777216U /* llama.cpp keeps the whole vocabulary for each token of a step */

/* An input whose tokens are being fed. */
struct feeding {
	struct job *job; /* NULL = none */
	int32_t *tokens;
	uint32_t count, fed;
	llama_seq_id seq;
};

/* A run of tokens of one input in this step. */
struct slot {
	struct job *job;
	int32_t first;  /* index in the batch */
	uint32_t count; /* tokens */
	uint32_t all;   /* tokens of the input */
	llama_seq_id seq;
	bool begins, ends;
};

struct embedder {
	struct llama_context *context;
	struct llama_batch batch;
	uint32_t room; /* tokens of a step, as many as are good */
	uint32_t
	    capacity; /* tokens of a step at most: not less than 'room'; 'whole': nor than a context has */
	bool whole; /* an input is fed in one step */
	enum llama_pooling_type pooling;
	struct feeding open; /* fed in part by steps before */
	struct slot slots[SLOTS];
	uint32_t slot_count;
	uint32_t dimensions;
	double *sum; /* of the input that is being pooled */
};

/* As the model's file says; mean if it does not. */
static enum llama_pooling_type
pooling_of(const struct llama_model *llama)
{
	char arch[64] = "", key[96], value[16];
	long pooling;

	if (llama_model_meta_val_str(llama, "general.architecture", arch, sizeof(arch)) < 0)
		return LLAMA_POOLING_TYPE_MEAN;
	(void)snprintf(key, sizeof(key), "%s.pooling_type", arch);
	if (llama_model_meta_val_str(llama, key, value, sizeof(value)) < 0)
		return LLAMA_POOLING_TYPE_MEAN;
	pooling = strtol(value, NULL, 10);
	return pooling == LLAMA_POOLING_TYPE_NONE ? LLAMA_POOLING_TYPE_MEAN
						  : (enum llama_pooling_type)pooling;
}

uint32_t
embed_dimensions(const struct local_model *model)
{
	enum llama_pooling_type pooling = pooling_of(model->llama);

	if (pooling != LLAMA_POOLING_TYPE_MEAN && pooling != LLAMA_POOLING_TYPE_CLS &&
	    pooling != LLAMA_POOLING_TYPE_LAST)
		return 0;
	return (uint32_t)llama_model_n_embd_out(model->llama);
}

/* A context in which all sequences share one buffer: short inputs take little of it, a long one may take all. */
static bool
make_context(struct engine *e, struct embedder *em)
{
	struct llama_context_params cp = llama_context_default_params();
	struct local_model *model = e->model;

	cp.n_ctx = model->context_tokens + em->room;
	cp.n_batch = cp.n_ubatch = cp.n_outputs_max = em->capacity;
	cp.n_seq_max = SLOTS;
	cp.kv_unified = true;
	cp.embeddings = true;
	cp.pooling_type = LLAMA_POOLING_TYPE_NONE;
	cp.n_threads = llama_n_threads(model->context);
	cp.n_threads_batch = llama_n_threads_batch(model->context);
	cp.flash_attn_type =
	    model->exact ? LLAMA_FLASH_ATTN_TYPE_DISABLED : LLAMA_FLASH_ATTN_TYPE_AUTO;
	cp.no_perf = true;
	em->context = llama_init_from_model(model->llama, cp);
	if (em->context == NULL)
		return false;
	llama_attach_threadpool(em->context, model->threads, model->threads);
	llama_set_abort_callback(em->context, engine_abort_step, e);
	return true;
}

static bool
make_embedder(struct engine *e)
{
	struct embedder *em = calloc(1, sizeof(*em));
	uint32_t most = LOGITS_NUMBERS / (uint32_t)llama_vocab_n_tokens(e->model->vocab);

	if (em == NULL)
		return false;
	e->embedder = em;
	em->pooling = pooling_of(e->model->llama);
	em->dimensions = embed_dimensions(e->model);
	em->room = e->model->batch_tokens < STEP_TOKENS ? e->model->batch_tokens : STEP_TOKENS;
	if (em->room > most)
		em->room = most > PACE_TOKENS_MIN ? most : PACE_TOKENS_MIN;
	em->whole = e->model->vectors_only;
	/* llama.cpp ends the process when there is less room than sequences. */
	em->capacity = em->room > SLOTS ? em->room : SLOTS;
	if (em->whole && em->capacity < e->model->context_tokens)
		em->capacity = e->model->context_tokens;
	em->sum = calloc((size_t)em->dimensions + 1, sizeof(*em->sum));
	em->batch = llama_batch_init((int32_t)em->capacity, 0, 1);
	if (em->sum != NULL && em->batch.token != NULL && make_context(e, em))
		return true;
	embed_free(e);
	return false;
}

void
embed_free(struct engine *e)
{
	struct embedder *em = e->embedder;

	if (em == NULL)
		return;
	free(em->open.tokens);
	llama_free(em->context);
	if (em->batch.token != NULL)
		llama_batch_free(em->batch);
	free(em->sum);
	free(em);
	e->embedder = NULL;
}

static bool
wants_turn(const struct job *job)
{
	return !job->ending && job->next_input < job->inputs.count && !atomic_load(&job->paused);
}

bool
embed_busy(const struct engine *e)
{
	if (e->embedder != NULL && e->embedder->open.job != NULL)
		return true;
	LIST_FOREACH (&e->embedding, job, struct job, node)
		if (wants_turn(job))
			return true;
	return false;
}

/* Nothing of 'seq' stays. */
static void
clear_seq(const struct embedder *em, llama_seq_id seq)
{
	(void)llama_memory_seq_rm(llama_get_memory(em->context), seq, -1, -1);
}

void
embed_forget(struct engine *e, const struct job *job)
{
	struct embedder *em = e->embedder;

	if (em == NULL || em->open.job != job)
		return;
	clear_seq(em, em->open.seq);
	free(em->open.tokens);
	em->open = (struct feeding){ 0 };
}

/* The next input of the job that waits longest; it goes to the end of the line then. False: there is none. */
static bool
next_input(struct engine *e, llama_seq_id seq, struct feeding *ret)
{
	struct im_err err;

	LIST_FOREACH_SAFE (&e->embedding, job, struct job, node) {
		struct feeding f = { .job = job, .seq = seq };

		if (!wants_turn(job))
			continue;
		if (inputs_tokens(e->model, &job->inputs, job->next_input, false,
				  e->model->context_tokens, &f.tokens, &f.count, &err) != IM_OK) {
			job_end(e, job, &err);
			continue;
		}
		job->next_input++;
		list_remove(&job->node);
		list_push_back(&e->embedding, &job->node);
		*ret = f;
		return true;
	}
	return false;
}

/* It is not for this step: the first of the next one. */
static void
put_back(struct engine *e, struct feeding *f)
{
	f->job->next_input--;
	list_remove(&f->job->node);
	list_push_front(&e->embedding, &f->job->node);
	free(f->tokens);
}

/* Put as much of 'f' into the step as there is room. */
static void
feed(struct embedder *em, struct feeding *f, uint32_t room)
{
	struct llama_batch *b = &em->batch;
	struct slot *s = &em->slots[em->slot_count++];
	uint32_t left = f->count - f->fed, space = room - (uint32_t)b->n_tokens;

	*s = (struct slot){ .job = f->job,
			    .first = b->n_tokens,
			    .count = left < space ? left : space,
			    .all = f->count,
			    .seq = f->seq,
			    .begins = f->fed == 0 };
	s->ends = s->count == left;
	for (uint32_t i = 0; i < s->count; i++, f->fed++) {
		int32_t at = b->n_tokens++;

		b->token[at] = f->tokens[f->fed];
		b->pos[at] = (llama_pos)f->fed;
		b->n_seq_id[at] = 1;
		b->seq_id[at][0] = f->seq;
		b->logits[at] = 1;
	}
}

/* Fill the step. '*ret_last' is the input that it feeds in part, if there is one. */
static void
build(struct engine *e, uint32_t room, struct feeding *ret_last)
{
	struct embedder *em = e->embedder;
	llama_seq_id seq = em->open.seq;
	struct feeding f = em->open;

	em->batch.n_tokens = 0;
	em->slot_count = 0;
	*ret_last = (struct feeding){ 0 };
	while ((uint32_t)em->batch.n_tokens < room && em->slot_count < SLOTS) {
		if (f.job == NULL && !next_input(e, seq, &f))
			return;
		if (em->whole && em->batch.n_tokens > 0 &&
		    f.count > room - (uint32_t)em->batch.n_tokens) {
			put_back(e, &f);
			return;
		}
		feed(em, &f, em->whole ? em->capacity : room);
		if (f.fed < f.count) {
			*ret_last = f;
			return;
		}
		if (f.tokens != em->open.tokens) /* that one is freed when the step went well */
			free(f.tokens);
		f.job = NULL;
		seq = (seq + 1) % SLOTS;
	}
}

static void
add_token(struct embedder *em, int32_t index)
{
	const float *numbers = llama_get_embeddings_ith(em->context, index);

	for (uint32_t i = 0; numbers != NULL && i < em->dimensions; i++)
		em->sum[i] += (double)numbers[i];
}

/* The vector of an input, of length 1, as llama-server gives it. */
static void
put_vector(const struct embedder *em, struct buf *out)
{
	double norm = 0;
	uint8_t *to = buf_reserve(out, em->dimensions * FLOAT32_BYTES);

	for (uint32_t i = 0; i < em->dimensions; i++)
		norm += em->sum[i] * em->sum[i];
	norm = norm > 0 ? 1 / sqrt(norm) : 0;
	for (uint32_t i = 0; to != NULL && i < em->dimensions; i++)
		float32_put(to + i * FLOAT32_BYTES, (float)(em->sum[i] * norm));
	if (to != NULL)
		out->len += em->dimensions * FLOAT32_BYTES;
}

/* The mean's divisor falls out when the vector is given the length 1. */
static void
pool(struct embedder *em, const struct slot *s)
{
	int32_t last = s->first + (int32_t)s->count - 1;

	if (s->begins)
		memset(em->sum, 0, em->dimensions * sizeof(*em->sum));
	switch (em->pooling) {
	case LLAMA_POOLING_TYPE_CLS:
		if (s->begins)
			add_token(em, s->first);
		break;
	case LLAMA_POOLING_TYPE_LAST:
		if (s->ends)
			add_token(em, last);
		break;
	default:
		for (int32_t at = s->first; at <= last; at++)
			add_token(em, at);
		break;
	}
}

static void
take_slot(struct engine *e, const struct slot *s)
{
	struct embedder *em = e->embedder;
	struct job *job = s->job;

	pool(em, s);
	if (!s->ends)
		return;
	clear_seq(em, s->seq);
	put_vector(em, &job->stage);
	job->usage.prompt_tokens += s->all;
	job_touch(e, job);
	if (++job->vectors == job->inputs.count)
		job_end(e, job, NULL);
}

/* The step was broken off or failed: what it began begins again, what went on goes on where it was. */
static void
undo(struct engine *e, struct feeding *last)
{
	struct embedder *em = e->embedder;
	llama_memory_t memory = llama_get_memory(em->context);

	for (uint32_t i = 0; i < em->slot_count; i++) {
		const struct slot *s = &em->slots[i];

		if (s->begins) {
			clear_seq(em, s->seq);
			s->job->next_input--;
		} else if (!llama_memory_seq_rm(memory, s->seq, (llama_pos)em->open.fed, -1)) {
			clear_seq(em, s->seq); /* a model that cannot be cut back reads it again */
			em->open.fed = 0;
		}
	}
	if (last->tokens != em->open.tokens)
		free(last->tokens);
}

static void
fail(struct engine *e, int code)
{
	struct embedder *em = e->embedder;
	struct im_err err;

	(void)err_reason(&err, IM_EINTERNAL, "decode_failed",
			 "llama.cpp could not compute vectors (code %d); send shorter texts", code);
	for (uint32_t i = 0; i < em->slot_count; i++)
		job_end(e, em->slots[i].job, &err);
}

static uint32_t
answers_under_way(const struct engine *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->seat_count; i++)
		n += seat_runnable(&e->seats[i]);
	return n;
}

void
embed_step(struct engine *e)
{
	struct feeding last;
	struct embedder *em;
	struct im_err err;
	uint32_t room;
	int rc;

	if (!embed_busy(e))
		return;
	if (e->embedder == NULL && !make_embedder(e)) {
		(void)err_set(
		    &err, IM_ENOMEM,
		    "no memory for vectors of up to %u tokens; lower workers[].max_context_length",
		    e->model->context_tokens);
		LIST_FOREACH (&e->embedding, job, struct job, node)
			job_end(e, job, &err);
		return;
	}
	em = e->embedder;
	room = pace_room(&e->pace, 0, answers_under_way(e));
	build(e, room < em->room ? room : em->room, &last);
	if (em->batch.n_tokens == 0)
		return;
	engine_step_begins(e, (uint32_t)em->batch.n_tokens);
	rc = llama_decode(em->context, em->batch);
	if (rc != 0) {
		undo(e, &last);
		if (rc != 2) /* 2: broken off for a cancelled job; the others do the step again */
			fail(e, rc);
		return;
	}
	atomic_fetch_add(&e->stats.prompt_tokens, (uint32_t)em->batch.n_tokens);
	for (uint32_t i = 0; i < em->slot_count; i++)
		take_slot(e, &em->slots[i]);
	if (last.tokens != em->open.tokens)
		free(em->open.tokens);
	em->open = last;
}
