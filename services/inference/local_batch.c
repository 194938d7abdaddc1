/*
 * inference/local_batch.c - what goes into a step; see local_engine.h. On the decode thread.
 */
#include <llama.h>

#include "inference/local_engine.h"

bool
seat_runnable(const struct seat *s)
{
	return s->job != NULL && !atomic_load(&s->job->paused);
}

static void
add(struct engine *e, uint32_t index, llama_token token, bool output)
{
	struct llama_batch *b = e->batch;
	struct seat *s = &e->seats[index];
	int32_t at = b->n_tokens++;

	b->token[at] = token;
	b->pos[at] = (llama_pos)(s->fed + s->in_batch);
	b->n_seq_id[at] = 1;
	b->seq_id[at][0] = (llama_seq_id)index;
	b->logits[at] = output ? 1 : 0;
	s->in_batch++;
	if (output)
		s->output = at;
}

static void
feed_prompt(struct engine *e, uint32_t index, uint32_t count)
{
	struct seat *s = &e->seats[index];

	while (count-- > 0) {
		uint32_t at = s->fed + s->in_batch;

		add(e, index, s->prompt->at[at], at + 1 == s->prompt->count);
	}
}

/* A prompt is to be fed. */
static bool
wants_feeding(const struct seat *s)
{
	return s->runs && !s->answering;
}

/* An answer that waits for its token of this round. */
static bool
is_due(const struct seat *s)
{
	return s->runs && s->answering && !s->served;
}

static uint32_t
first_due(const struct engine *e)
{
	uint32_t i = 0;

	while (i < e->seat_count && !is_due(&e->seats[i]))
		i++;
	return i;
}

/* From 'first' on, without a gap: llama.cpp computes only sequences that follow each other together, and the others in a step of
 * their own. */
static uint32_t
count_due(const struct engine *e, uint32_t first)
{
	uint32_t n = 0;

	while (first + n < e->seat_count && is_due(&e->seats[first + n]))
		n++;
	return n;
}

static void
begin_round(struct engine *e)
{
	for (uint32_t i = 0; i < e->seat_count; i++)
		e->seats[i].served = false;
}

static uint32_t
count_answers(const struct engine *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->seat_count; i++)
		n += e->seats[i].runs && e->seats[i].answering;
	return n;
}

static void
add_answers(struct engine *e)
{
	uint32_t first = first_due(e), count = pace_group(&e->pace, count_due(e, first));

	for (uint32_t i = first; i < first + count; i++)
		add(e, i, e->seats[i].last, true);
}

static void
add_prompts(struct engine *e, uint32_t prompts)
{
	uint32_t room = pace_room(&e->pace, prompts, count_answers(e)), next = 0;

	pace_share(e->prompts, prompts, room, pace_spare(&e->pace, room), e->turn++);
	for (uint32_t i = 0; i < e->seat_count; i++)
		if (wants_feeding(&e->seats[i]))
			feed_prompt(e, i, e->prompts[next++].take);
}

/* See who is to be in the next steps. Returns how many prompts there are, in e->prompts. */
static uint32_t
look(struct engine *e)
{
	uint32_t prompts = 0;

	for (uint32_t i = 0; i < e->seat_count; i++) {
		struct seat *s = &e->seats[i];

		s->output = -1;
		s->in_batch = 0;
		s->runs = seat_runnable(s) && /* the loop may change it while we are here */
			  !reuse_waits(e, i);
		if (wants_feeding(s))
			e->prompts[prompts++] =
			    (struct pace_prompt){ .age = s->age,
						  .left = s->prompt->count - s->fed };
	}
	return prompts;
}

bool
batch_build(struct engine *e)
{
	uint32_t prompts = look(e);

	e->batch->n_tokens = 0;
	if (batch_round_over(e)) {
		begin_round(e);
		if (prompts > 0) {
			add_prompts(e, prompts);
			return true;
		}
	}
	add_answers(e);
	return false;
}

bool
batch_round_over(const struct engine *e)
{
	return first_due(e) == e->seat_count;
}
