/*
 * wire/model_admin.h - what an operator asks of a worker: its models, to load, unload, reload or verify one.
 * proto/infermesh/v1/inference.proto holds the meaning of each member. Ownership and errors as wire.h says.
 */
#ifndef WIRE_MODEL_ADMIN_H
#define WIRE_MODEL_ADMIN_H

#include "wire/generate.h"

#define METHOD_MODELS       "Inference/Models" /* the request is empty */
#define METHOD_CHANGE_MODEL "Inference/ChangeModel"
#define MODEL_STATES_MAX    64

enum model_change {
	MODEL_CHANGE_LOAD = 1,
	MODEL_CHANGE_UNLOAD,
	MODEL_CHANGE_RELOAD,
	MODEL_CHANGE_VERIFY,
};

struct model_state {
	const char *name, *state, *doing;
	uint32_t percent;
	const char *file, *digest, *quantisation, *error;
	uint32_t context_tokens, sequences, running, retiring;
};
struct model_states {
	struct model_state model[MODEL_STATES_MAX];
	size_t count;
};
void model_states_encode(const struct model_states *s, struct buf *out);
IM_MUST_CHECK enum im_rc model_states_decode(const uint8_t *buf, size_t len, struct arena *arena,
					     struct model_states *ret, struct im_err *err);

struct change_model {
	const char *model; /* 1 to GENERATE_MODEL_MAX bytes, else IM_EINVAL */
	enum model_change change;
};
void change_model_encode(const struct change_model *c, struct buf *out);
IM_MUST_CHECK enum im_rc change_model_decode(const uint8_t *buf, size_t len, struct arena *arena,
					     struct change_model *ret, struct im_err *err);

struct model_changed {
	const char *before, *after;
};
void model_changed_encode(const struct model_changed *c, struct buf *out);
IM_MUST_CHECK enum im_rc model_changed_decode(const uint8_t *buf, size_t len, struct arena *arena,
					      struct model_changed *ret, struct im_err *err);

#endif
