/*
 * inference/gpu.h - what a manifest asks of GPUs, and whether this program and this machine can do it. Pure; it knows no llama.cpp.
 */
#ifndef INFERENCE_GPU_H
#define INFERENCE_GPU_H

#include <stdint.h>

#include "base/err.h"

#define GPU_LAYERS_ALL (-1) /* all, where there is a GPU; else none */

/* How a model lies on several GPUs. */
enum gpu_split {
	GPU_SPLIT_LAYER,  /* each has some of the layers */
	GPU_SPLIT_NONE,   /* on one */
	GPU_SPLIT_ROW,    /* and their matrices are cut, where the backend can */
	GPU_SPLIT_TENSOR, /* all compute each layer together; few architectures */
};

struct gpu_wish {
	int32_t layers; /* that lie on GPUs, or GPU_LAYERS_ALL */
	enum gpu_split split;
	uint32_t main; /* the GPU that has the model with GPU_SPLIT_NONE; from 0 */
};

struct gpu_found {
	const char *built; /* what the program was built for: "cuda", "vulkan", or "" */
	uint32_t devices;
	uint64_t memory_bytes; /* of all of them */
};

/** "none", "layer", "row" or "tensor"; anything else is "layer". */
enum gpu_split gpu_split_parse(const char *text);

/**
 * Can 'wish' be done? What the manifest leaves open always can. IM_OK; IM_EUNAVAILABLE with cause and remedy: built without, none
 * in this machine, or not so many.
 */
IM_MUST_CHECK enum im_rc gpu_check(const struct gpu_wish *wish, const struct gpu_found *found,
				   struct im_err *err);

/** Layers of a model with 'model_layers' that will lie on GPUs; the part behind the last layer counts as one more. */
uint32_t gpu_layers(const struct gpu_wish *wish, const struct gpu_found *found,
		    uint32_t model_layers);

/** Of 'bytes' that all layers take together: what stays in the machine's own memory. */
uint64_t gpu_host_bytes(const struct gpu_wish *wish, const struct gpu_found *found,
			uint32_t model_layers, uint64_t bytes);

#endif
