/*
 * router/answer_value_fuzz.c - any bytes as a cached answer: refused, or an answer that can be digested and gathered.
 */
#include <stdlib.h>

#include "router/answer.h"
#include "router/answer_hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct generate_frame frame;
	struct usage usage;
	struct arena arena;

	arena_init(&arena, 32 * size + 65536);
	if (router_answer_value_decode(data, size, &arena, &frame, &usage, NULL) == IM_OK) {
		struct answer_hash *h = answer_hash_new();
		struct answer *a = router_answer_new(4096);
		uint8_t digest[SHA256_BYTES];

		if (h == NULL || a == NULL) {
			abort();
		}
		if (answer_hash_add(h, &frame, NULL) == IM_OK && !answer_hash_final(h, digest)) {
			abort();
		}
		if (router_answer_add(a, &frame, NULL) == IM_OK && !router_answer_is_whole(a)) {
			abort(); /* the decoder lets whole answers through only */
		}
		answer_hash_free(h);
		router_answer_free(a);
	}
	arena_done(&arena);
	return 0;
}
