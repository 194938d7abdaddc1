/*
 * inference/local_prefix.c - see local_prefix.h.
 */
#include "inference/local_prefix.h"

#include <assert.h>
#include <stddef.h>

#define COPY_MIN 32
#define COPY_PART                                                                                  \
	32 /* of a context: about where decoding takes as long as copying, with a small model and a long context */
#define LITTLE_PART 8 /* of a context */

uint32_t
prefix_common(const int32_t *a, uint32_t a_count, const int32_t *b, uint32_t b_count)
{
	uint32_t most = a_count < b_count ? a_count : b_count, n = 0;

	while (n < most && a[n] == b[n])
		n++;
	return n;
}

uint32_t
prefix_copy_min(uint32_t context_tokens)
{
	uint32_t n = context_tokens / COPY_PART;

	return n > COPY_MIN ? n : COPY_MIN;
}

static bool
goes_on(const struct prefix_view *v)
{
	return v->free && v->common > 0 && v->common >= v->held - v->common;
}

/* How many busy ones it would join, at no great loss. */
static unsigned
joins(const struct prefix_view *views, uint32_t count, uint32_t i, uint32_t context_tokens)
{
	if (views[i].held > context_tokens / LITTLE_PART)
		return 0;
	return (unsigned)(i > 0 && !views[i - 1].free) + (i + 1 < count && !views[i + 1].free);
}

/* Empty ones first, then by age. */
static bool
better_victim(const struct prefix_view *a, const struct prefix_view *b)
{
	if ((a->held == 0) != (b->held == 0))
		return a->held == 0;
	return a->used < b->used;
}

static const struct prefix_view *
choose_victim(const struct prefix_view *views, uint32_t count, uint32_t context_tokens)
{
	const struct prefix_view *best = NULL;
	unsigned most = 0;

	for (uint32_t i = 0; i < count; i++) {
		unsigned n = joins(views, count, i, context_tokens);

		if (!views[i].free)
			continue;
		if (best == NULL || n > most || (n == most && better_victim(&views[i], best))) {
			best = &views[i];
			most = n;
		}
	}
	return best;
}

struct prefix_choice
prefix_choose(const struct prefix_view *views, uint32_t count, uint32_t context_tokens)
{
	const struct prefix_view *own = NULL, *donor = NULL;
	const struct prefix_view *victim = choose_victim(views, count, context_tokens);
	uint32_t have;

	for (uint32_t i = 0; i < count; i++) {
		const struct prefix_view *v = &views[i];

		if (goes_on(v) && (own == NULL || v->common > own->common))
			own = v;
		if (v->common > 0 && (donor == NULL || v->common > donor->common))
			donor = v;
	}
	assert(victim != NULL);
	if (own == NULL)
		own = victim;
	have = own->common;
	if (donor != NULL && donor->common >= have + prefix_copy_min(context_tokens))
		return (struct prefix_choice){ (uint32_t)(victim - views),
					       (uint32_t)(donor - views), donor->common };
	return (struct prefix_choice){ (uint32_t)(own - views), (uint32_t)(own - views), have };
}
