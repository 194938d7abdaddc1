/*
 * wire/wire_samples_inputs.h - samples of requests that are no chat, and of vectors; for wire_samples.c only.
 */
#ifndef WIRE_WIRE_SAMPLES_INPUTS_H
#define WIRE_WIRE_SAMPLES_INPUTS_H

#include "base/buf.h"

void generate_request_inputs_sample(struct buf *out);
void generate_frame_vectors_sample(struct buf *out);
void generate_reply_vectors_sample(struct buf *out);

#endif
