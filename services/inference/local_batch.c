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

/* A prompt is to be fed in this step. */
static bool
wants_feeding(const struct seat *s)
{
	return s->runs && !s->answering;
}

uint32_t
batch_build(struct engine *e)
{
	uint32_t prompts = 0, next = 0, answers;

	e->batch->n_tokens = 0;
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
		else if (s->runs)
			add(e, i, s->last, true);
	}
	answers = (uint32_t)e->batch->n_tokens;
	pace_share(e->prompts, prompts, pace_room(&e->pace, answers), e->turn++);
	for (uint32_t i = 0; i < e->seat_count; i++)
		if (wants_feeding(&e->seats[i]))
			feed_prompt(e, i, e->prompts[next++].take);
	return (uint32_t)e->batch->n_tokens - answers;
}
