/*
 * inference/local_pace.c - see local_pace.h.
 */
#include "inference/local_pace.h"

#include <stddef.h>

#define LOOK_AGAIN 256 /* so seldom a step is done as it was not chosen, to see what it takes now */

/* A neighbour on the same processors makes single steps slow: a quarter of each counts. */
static uint32_t
blend(uint32_t known, uint32_t now)
{
	return known == 0 ? now : (uint32_t)((UINT64_C(3) * known + now) / 4 + (now > known));
}

void
pace_fed(struct pace *p, uint32_t tokens, uint64_t us)
{
	uint64_t ns;

	if (tokens < PACE_TOKENS_MIN)
		return;
	ns = us >= UINT32_MAX / 1000 ? UINT32_MAX : us * 1000 / tokens;
	p->token_ns = blend(p->token_ns, ns == 0 ? 1 : (uint32_t)ns);
}

void
pace_answered(struct pace *p, uint32_t answers, uint64_t us)
{
	uint32_t took = us >= UINT32_MAX ? UINT32_MAX : (uint32_t)us;
	uint32_t *known;

	if (answers == 0 || answers > PACE_ANSWERS)
		return;
	known = &p->answers_us[answers];
	if (p->answers_seen[answers] < PACE_SURE)
		p->answers_seen[answers]++;
	/* What was disturbed is measured again only if it is chosen; so what is quicker counts at once. */
	*known = took == 0 ? 1 : took < *known ? took : blend(*known, took);
}

uint32_t
pace_room(const struct pace *p, uint32_t prompts, uint32_t answers)
{
	uint64_t room, more;

	if (answers == 0)
		return p->batch_tokens;
	/* Nothing is known of this machine yet: a quarter of a batch is a careful guess. */
	room = p->token_ns == 0 ? p->batch_tokens / 4 : UINT64_C(1000) * p->step_us / p->token_ns;
	if (p->token_ns != 0 && prompts > 1) {
		more = room * (prompts - 1) / answers;
		room += more < (PACE_STRETCH - 1) * room ? more : (PACE_STRETCH - 1) * room;
	}
	if (room < PACE_TOKENS_MIN)
		room = PACE_TOKENS_MIN;
	return room < p->batch_tokens ? (uint32_t)room : p->batch_tokens;
}

uint32_t
pace_spare(const struct pace *p, uint32_t room)
{
	uint32_t spare = room / PACE_SPARE_PART;

	return spare < p->batch_tokens - room ? spare : p->batch_tokens - room;
}

/* The largest step of those that together give 'due' answers a token soonest. */
static uint32_t
quickest(const struct pace *p, uint32_t due)
{
	uint64_t sum_us[PACE_ANSWERS + 1] = { 0 };
	uint32_t largest[PACE_ANSWERS + 1] = { 0 };

	for (uint32_t n = 1; n <= due; n++) {
		sum_us[n] = UINT64_MAX;
		for (uint32_t one = 1; one <= n; one++) {
			uint32_t rest = largest[n - one];

			if (p->answers_us[one] == 0 ||
			    sum_us[n - one] + p->answers_us[one] >= sum_us[n])
				continue;
			sum_us[n] = sum_us[n - one] + p->answers_us[one];
			largest[n] = one > rest ? one : rest;
		}
	}
	/* Together is what is fair; to be left it must cost a tenth more. */
	return sum_us[due] < p->answers_us[due] - p->answers_us[due] / 10 ? largest[due] : due;
}

uint32_t
pace_group(struct pace *p, uint32_t due)
{
	uint32_t turn;

	if (due <= 1 || due > PACE_ANSWERS)
		return due;
	turn = p->groups++;
	if (p->answers_seen[1] < PACE_SURE || turn % LOOK_AGAIN == LOOK_AGAIN / 2)
		return 1;
	if (p->answers_seen[due] < PACE_SURE || turn % LOOK_AGAIN == 0)
		return due;
	return quickest(p, due);
}

/* Up to 'room', or all of it with some of 'spare'. Returns what is left of the room. */
static uint32_t
give(struct pace_prompt *p, uint32_t room, uint32_t spare)
{
	uint32_t wants = p->left - p->take, n = wants <= room + spare ? wants : room;

	p->take += n;
	return n < room ? room - n : 0;
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
pace_share(struct pace_prompt *prompts, uint32_t count, uint32_t room, uint32_t spare,
	   uint64_t turn)
{
	uint32_t left = room;
	struct pace_prompt *p;

	for (uint32_t i = 0; i < count; i++)
		prompts[i].take = 0;
	if (turn % 2 == 0 && (p = eldest(prompts, count)) != NULL)
		left = give(p, left, spare);
	while (left > 0 && (p = shortest(prompts, count)) != NULL) {
		if (p->left - p->take > left + spare && left <= room / 2)
			return; /* whole it costs less, in the next step */
		left = give(p, left, spare);
	}
}
