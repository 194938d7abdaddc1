/*
 * wire/wire_samples_model.c - samples of what operators ask of a worker.
 */
#include "wire/wire_samples_model.h"

#include "wire/model_admin.h"

void
model_states_sample(struct buf *out)
{
	const struct model_states s = {
		.model = { { "a", "ready", "checking", 43, "/m/a.gguf", "00ff", "q8_0", "cut", 1, 2,
			     3, 4 },
			   { .name = "b", .state = "unloaded" } },
		.count = 2,
	};

	model_states_encode(&s, out);
}

void
change_model_sample(struct buf *out)
{
	change_model_encode(&(struct change_model){ "a", MODEL_CHANGE_RELOAD }, out);
}

void
model_changed_sample(struct buf *out)
{
	model_changed_encode(&(struct model_changed){ "00", "ff" }, out);
}
