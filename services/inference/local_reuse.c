/*
 * inference/local_reuse.c - what sequences hold, and using it again (local_prefix.h says what); the window of a stream that outgrows
 * its context. On the decode thread; see local_engine.h.
 */
#include <string.h>

#include <llama.h>

#include "inference/local_engine.h"

#define SLIDE_PART                                                                                 \
	4 /* of what is not kept, so much is dropped at a time: moving the rest costs about a step */

static llama_memory_t
memory(const struct engine *e)
{
	return llama_get_memory(e->model->context);
}

/* How much of the prompt the sequence 'i' holds; nothing of another tenant's. The last token is always decoded: its logits are the
 * first that are needed. */
static uint32_t
held_of(const struct engine *e, uint32_t i, const struct job *job, const struct token_run *prompt)
{
	const struct past *past = &e->seats[i].past;

	if (!e->model->reuse || strcmp(past->tenant, job->tenant) != 0)
		return 0;
	return prefix_common(past->tokens, past->count, prompt->at, prompt->count - 1);
}

void
reuse_forget(struct engine *e, uint32_t index)
{
	e->seats[index].past.count = 0;
	(void)llama_memory_seq_rm(memory(e), (llama_seq_id)index, -1, -1);
}

struct prefix_choice
reuse_choose(struct engine *e, const struct job *job)
{
	const struct token_run *prompt = job_prompt(job, job->started);

	for (uint32_t i = 0; i < e->seat_count; i++)
		e->views[i] = (struct prefix_view){
			.free = e->seats[i].job == NULL,
			.held = e->seats[i].past.count,
			.common = held_of(e, i, job, prompt),
			.used = e->seats[i].past.used,
		};
	return prefix_choose(e->views, e->seat_count, e->model->context_tokens);
}

/* Begin the sequence 'index' with the first 'common' tokens of 'donor'. */
static void
take_over(struct engine *e, uint32_t index, uint32_t donor, uint32_t common)
{
	struct seat *s = &e->seats[index];
	struct past *past = &s->past;
	uint32_t before = s->fed;

	if (donor != index) {
		llama_memory_seq_cp(memory(e), (llama_seq_id)donor, (llama_seq_id)index, -1, -1);
		memcpy(past->tokens, e->seats[donor].past.tokens, common * sizeof(*past->tokens));
	}
	past->count = common;
	/* A model with a sliding window may have let go of the beginning. */
	if (common == 0 ||
	    !llama_memory_seq_rm(memory(e), (llama_seq_id)index, (llama_pos)common, -1) ||
	    llama_memory_seq_pos_min(memory(e), (llama_seq_id)index) != 0)
		reuse_forget(e, index);
	s->fed = past->count;
	if (s->choice % s->job->params.choices_each == 0) /* the first of its prompt */
		s->job->usage.cached_tokens += s->fed - before;
}

/* Somebody is just feeding the same beginning: it will be there soon. Only elder ones are waited for, so nobody waits in a ring. */
static void
find_leader(struct engine *e, uint32_t index)
{
	struct seat *s = &e->seats[index];
	uint32_t best = s->fed + prefix_copy_min(e->model->context_tokens);

	for (uint32_t i = 0; i < e->seat_count; i++) {
		const struct seat *o = &e->seats[i];
		uint32_t common;

		if (i == index || o->job == NULL || o->answering ||
		    strcmp(o->past.tenant, s->past.tenant) != 0)
			continue;
		common = prefix_common(o->prompt->at, o->prompt->count, s->prompt->at,
				       s->prompt->count - 1);
		if (common < best || common <= o->fed)
			continue;
		best = common;
		s->follows = true;
		s->leader = i;
		s->leader_age = o->age;
		s->leader_tokens = common;
	}
}

void
reuse_begin(struct engine *e, const struct prefix_choice *c)
{
	struct seat *s = &e->seats[c->seat];

	memcpy(s->past.tenant, s->job->tenant, sizeof(s->past.tenant));
	take_over(e, c->seat, c->donor, c->common);
	if (e->model->reuse)
		find_leader(e, c->seat);
	atomic_fetch_add(&e->stats.cached_tokens, s->fed);
}

bool
reuse_waits(struct engine *e, uint32_t index)
{
	struct seat *s = &e->seats[index];
	const struct seat *o = &e->seats[s->leader];
	uint32_t before = s->fed, common;

	if (!s->follows)
		return false;
	if (o->job != NULL && o->age == s->leader_age && !o->answering &&
	    o->fed < s->leader_tokens && seat_runnable(o))
		return true;
	s->follows = false;
	common = held_of(e, s->leader, s->job, s->prompt);
	if (common < before + prefix_copy_min(e->model->context_tokens))
		return false;
	take_over(e, index, s->leader, common);
	if (s->fed > before)
		atomic_fetch_add(&e->stats.cached_tokens, s->fed - before);
	return false;
}

void
reuse_fed(struct engine *e, uint32_t index)
{
	struct seat *s = &e->seats[index];
	const int32_t *tokens = s->answering ? &s->last : s->prompt->at + s->fed;

	if (!s->slid) {
		memcpy(s->past.tokens + s->fed, tokens, s->in_batch * sizeof(*tokens));
		s->past.count = s->fed + s->in_batch;
	}
	s->fed += s->in_batch;
	s->answering = s->answering || s->fed == s->prompt->count;
}

bool
reuse_slide(struct engine *e, uint32_t index)
{
	struct seat *s = &e->seats[index];
	uint32_t keep = e->model->sinks, drop;
	llama_pos from;

	if (keep == 0)
		return false;
	drop = (s->fed - keep) / SLIDE_PART + 1;
	from = (llama_pos)(keep + drop);
	if (!llama_memory_seq_rm(memory(e), (llama_seq_id)index, (llama_pos)keep, from))
		return false;
	llama_memory_seq_add(memory(e), (llama_seq_id)index, from, -1, -(llama_pos)drop);
	s->fed -= drop;
	s->slid = true;
	s->past.count =
	    0; /* what is left was computed beside what is gone: it is nobody's beginning */
	return true;
}
