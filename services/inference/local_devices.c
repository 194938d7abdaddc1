/*
 * inference/local_devices.c - see local_devices.h.
 */
#include "inference/local_devices.h"

#include <ggml-backend.h>
#include <llama.h>

#ifndef INFERMESH_LOCAL_GPU /* cmake/llama.cmake */
#	define INFERMESH_LOCAL_GPU ""
#endif

static struct gpu_found
count(enum ggml_backend_dev_type type)
{
	struct gpu_found found = { .built = INFERMESH_LOCAL_GPU };

	for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
		ggml_backend_dev_t device = ggml_backend_dev_get(i);
		size_t left, all;

		if (ggml_backend_dev_type(device) != type)
			continue;
		ggml_backend_dev_memory(device, &left, &all);
		found.devices++;
		found.memory_bytes += all;
	}
	return found;
}

struct gpu_found
local_devices(void)
{
	struct gpu_found found = count(GGML_BACKEND_DEVICE_TYPE_GPU);

	return found.devices > 0 ? found : count(GGML_BACKEND_DEVICE_TYPE_IGPU);
}

void
local_devices_use(const struct gpu_wish *wish, const struct gpu_found *found,
		  struct llama_model_params *params)
{
	static const enum llama_split_mode modes[] = {
		[GPU_SPLIT_NONE] = LLAMA_SPLIT_MODE_NONE,
		[GPU_SPLIT_LAYER] = LLAMA_SPLIT_MODE_LAYER,
		[GPU_SPLIT_ROW] = LLAMA_SPLIT_MODE_ROW,
		[GPU_SPLIT_TENSOR] = LLAMA_SPLIT_MODE_TENSOR,
	};

	params->n_gpu_layers = found->devices > 0 ? wish->layers : 0; /* negative: all, there too */
	if (found->devices == 0)
		return;
	params->split_mode = modes[wish->split];
	params->main_gpu = (int32_t)wish->main;
}
