/*
 * inference/local_fit.c - see local_fit.h.
 */
#include "inference/local_fit.h"

#define SMALL_PARAMETERS 50000000 /* one thread is enough */
#define SEQUENCES_MIN    4
#define SEQUENCES_MAX    32
#define PER_PROCESSOR                                                                              \
	4 /* decoding more together gains little: the multiplications are bound by the processor then */
#define KV_PART                                                                                    \
	8 /* of the memory: the model's weights, the page cache and the neighbours want the rest */

/* Threads of one step wait for each other by spinning, some hundred times a token. That pays for a large model; with a
 * small one, and neighbours on the same processors, it costs a thousand times what it brings. */
uint32_t
fit_threads(const struct local_fit *f)
{
	return f->processors < 1 || f->parameters < SMALL_PARAMETERS ? 1 : f->processors;
}

uint32_t
fit_sequences(const struct local_fit *f)
{
	uint64_t each = f->kv_bytes_per_token * f->context_tokens;
	uint64_t fits = each == 0 ? SEQUENCES_MAX : f->memory_bytes / KV_PART / each;
	uint64_t n = (uint64_t)f->processors * PER_PROCESSOR;

	if (n < SEQUENCES_MIN)
		n = SEQUENCES_MIN;
	if (n > SEQUENCES_MAX)
		n = SEQUENCES_MAX;
	if (n > fits)
		n = fits;
	return n < 1 ? 1 : (uint32_t)n;
}

/* Enough to be quick: more tokens in one multiplication gain nothing. Few enough that one step takes no seconds: only between
 * two steps does anybody come or leave. */
uint32_t
fit_batch_tokens(const struct local_fit *f, uint32_t sequences)
{
	uint32_t n = f->parameters < 1000000000 ? 512 : 128;

	return n > sequences ? n : sequences;
}
