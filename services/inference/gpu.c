/*
 * inference/gpu.c - see gpu.h.
 */
#include "inference/gpu.h"

#include <string.h>

enum gpu_split
gpu_split_parse(const char *text)
{
	if (text != NULL && strcmp(text, "none") == 0)
		return GPU_SPLIT_NONE;
	if (text != NULL && strcmp(text, "row") == 0)
		return GPU_SPLIT_ROW;
	if (text != NULL && strcmp(text, "tensor") == 0)
		return GPU_SPLIT_TENSOR;
	return GPU_SPLIT_LAYER;
}

/* The key that asks for a GPU; NULL: none does. */
static const char *
asks_for(const struct gpu_wish *wish)
{
	if (wish->layers == 0)
		return NULL;
	if (wish->layers > 0)
		return "gpu_layers";
	if (wish->main > 0)
		return "main_gpu";
	if (wish->split != GPU_SPLIT_LAYER)
		return "split_mode";
	return NULL;
}

enum im_rc
gpu_check(const struct gpu_wish *wish, const struct gpu_found *found, struct im_err *err)
{
	const char *key = asks_for(wish);

	if (key == NULL || (found->devices > 0 && wish->main < found->devices))
		return IM_OK;
	if (found->devices > 0)
		return err_set(err, IM_EUNAVAILABLE,
			       "models[].main_gpu is %u, and this machine has %u, counted from 0",
			       wish->main, found->devices);
	if (found->built[0] == '\0')
		return err_set(
		    err, IM_EUNAVAILABLE,
		    "models[].%s asks for a GPU, and this program was built without: build it with "
		    "-DINFERMESH_LOCAL_GPU=cuda or vulkan, or leave the key out",
		    key);
	return err_set(
	    err, IM_EUNAVAILABLE,
	    "models[].%s asks for a GPU, and %s finds none in this machine: look at its driver, or leave the "
	    "key out",
	    key, found->built);
}

uint32_t
gpu_layers(const struct gpu_wish *wish, const struct gpu_found *found, uint32_t model_layers)
{
	if (found->devices == 0)
		return 0;
	if (wish->layers == GPU_LAYERS_ALL || (uint32_t)wish->layers > model_layers + 1)
		return model_layers + 1;
	return (uint32_t)wish->layers;
}

uint64_t
gpu_host_bytes(const struct gpu_wish *wish, const struct gpu_found *found, uint32_t model_layers,
	       uint64_t bytes)
{
	uint32_t all = model_layers + 1;

	return bytes / all * (all - gpu_layers(wish, found, model_layers));
}
