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
count_due(const struct engine *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->seat_count; i++)
		n += is_due(&e->seats[i]);
	return n;
}

static void
begin_round(struct engine *e)
{
	for (uint32_t i = 0; i < e->seat_count; i++)
		e->seats[i].served = false;
}

static void
add_answers(struct engine *e, uint32_t count)
{
	for (uint32_t i = 0; i < e->seat_count && count > 0; i++)
		if (is_due(&e->seats[i])) {
			add(e, i, e->seats[i].last, true);
			count--;
		}
}

static void
add_prompts(struct engine *e, uint32_t prompts, uint32_t answers)
{
	uint32_t next = 0;

	pace_share(e->prompts, prompts, pace_room(&e->pace, prompts, answers), e->turn++);
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
	uint32_t prompts = look(e), due = count_due(e);

	e->batch->n_tokens = 0;
	if (due == 0) {
		begin_round(e);
		due = count_due(e);
		if (prompts > 0) {
			add_prompts(e, prompts, due);
			return true;
		}
	}
	add_answers(e, pace_group(&e->pace, due));
	return false;
}

bool
batch_round_over(const struct engine *e)
{
	return count_due(e) == 0;
}
