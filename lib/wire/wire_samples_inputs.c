/*
 * wire/wire_samples_inputs.c - samples of requests that are no chat, and of vectors.
 */
#include "wire/wire_samples_inputs.h"

#include "wire/generate.h"

void
generate_request_inputs_sample(struct buf *out)
{
	static uint32_t tokens[] = { 1, 300, 70000 };
	static struct input inputs[2] = { { .text = "a" }, { .tokens = tokens, .token_count = 3 } };

	generate_request_encode(&(struct generate_request){ .model = "demo",
							    .operation = OPERATION_EMBEDDING,
							    .inputs = inputs,
							    .input_count = 2,
							    .dimensions = { true, 64 },
							    .echo = true },
				out);
}

void
generate_frame_vectors_sample(struct buf *out)
{
	static const uint8_t vectors[16] = { 0, 0, 128, 63 };
	static struct delta deltas[1] = { { .embedding = { vectors, sizeof(vectors) } } };

	generate_frame_encode(
	    &(struct generate_frame){ .deltas = deltas, .delta_count = 1, .dimensions = 2 }, out);
}

void
generate_reply_vectors_sample(struct buf *out)
{
	static const uint8_t vectors[16] = { 0, 0, 128, 63 };
	static struct choice choices[1] = { { .embedding = { vectors, sizeof(vectors) } } };

	generate_reply_encode(
	    &(struct generate_reply){ .choices = choices, .choice_count = 1, .dimensions = 2 },
	    out);
}
