/*
 * wire/wire_samples_model.h - samples of what operators ask of a worker; for wire_samples.c only.
 */
#ifndef WIRE_WIRE_SAMPLES_MODEL_H
#define WIRE_WIRE_SAMPLES_MODEL_H

#include "base/buf.h"

void model_states_sample(struct buf *out);
void change_model_sample(struct buf *out);
void model_changed_sample(struct buf *out);

#endif
