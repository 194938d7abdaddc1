/*
 * inference/local_fit.h - what the local backend does when the configuration leaves it the choice: threads, sequences and the
 * size of a step that fit the machine and the model. Pure: what the machine has is an argument.
 */
#ifndef INFERENCE_LOCAL_FIT_H
#define INFERENCE_LOCAL_FIT_H

#include <stdint.h>

struct local_fit {
	uint32_t processors; /* that this process may use */
	uint64_t memory_bytes;
	uint64_t parameters;
	uint64_t kv_bytes_per_token; /* of one sequence, all layers */
	uint32_t context_tokens;     /* of one sequence */
};

/** Threads that decode. */
uint32_t fit_threads(const struct local_fit *f);

/** Sequences decoded together, 1 to 32. */
uint32_t fit_sequences(const struct local_fit *f);

/** Tokens of one step, for 'sequences' of them. */
uint32_t fit_batch_tokens(const struct local_fit *f, uint32_t sequences);

#endif
