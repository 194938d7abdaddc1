/*
 * inference/local_pace.c - see local_pace.h.
 */
#include "inference/local_pace.h"

#include <stddef.h>

void
pace_took(struct pace *p, uint32_t tokens, uint32_t prompt_tokens, uint64_t us)
{
	uint64_t ns;

	if (prompt_tokens < PACE_TOKENS_MIN || prompt_tokens > tokens)
		return;
	ns = us >= UINT32_MAX / 1000 ? UINT32_MAX : us * 1000 / tokens;
	if (ns == 0)
		ns = 1;
	/* A neighbour on the same processors makes single steps slow: a quarter of each counts. */
	p->token_ns = p->token_ns == 0
			  ? (uint32_t)ns
			  : (uint32_t)((UINT64_C(3) * p->token_ns + ns) / 4 + (ns > p->token_ns));
}

uint32_t
pace_room(const struct pace *p, uint32_t answers)
{
	uint32_t most = p->batch_tokens > answers ? p->batch_tokens - answers : 0;
	uint64_t room;

	if (answers == 0)
		return most;
	/* Nothing is known of this machine yet: a quarter of a batch is a careful guess. */
	room = p->token_ns == 0 ? p->batch_tokens / 4 : UINT64_C(1000) * p->step_us / p->token_ns;
	if (room < PACE_TOKENS_MIN)
		room = PACE_TOKENS_MIN;
	return room < most ? (uint32_t)room : most;
}

static uint32_t
give(struct pace_prompt *p, uint32_t most)
{
	uint32_t n = p->left - p->take < most ? p->left - p->take : most;

	p->take += n;
	return n;
}

static struct pace_prompt *
eldest(struct pace_prompt *prompts, uint32_t count)
{
	struct pace_prompt *best = NULL;

	for (uint32_t i = 0; i < count; i++)
		if (best == NULL || prompts[i].age < best->age)
			best = &prompts[i];
	return best;
}

/* The prompt with the fewest tokens left, of those the eldest; NULL = nothing is left. */
static struct pace_prompt *
shortest(struct pace_prompt *prompts, uint32_t count)
{
	struct pace_prompt *best = NULL;

	for (uint32_t i = 0; i < count; i++) {
		struct pace_prompt *p = &prompts[i];
		uint32_t left = p->left - p->take;

		if (left == 0)
			continue;
		if (best == NULL || left < best->left - best->take ||
		    (left == best->left - best->take && p->age < best->age))
			best = p;
	}
	return best;
}

void
pace_share(struct pace_prompt *prompts, uint32_t count, uint32_t room, uint64_t turn)
{
	struct pace_prompt *p;

	for (uint32_t i = 0; i < count; i++)
		prompts[i].take = 0;
	if (turn % 2 == 0 && (p = eldest(prompts, count)) != NULL)
		room -= give(p, room);
	while (room > 0 && (p = shortest(prompts, count)) != NULL)
		room -= give(p, room);
}
