/*
 * inference/local_devices.h - the GPUs that llama.cpp sees, and what a manifest asks of them in its words.
 */
#ifndef INFERENCE_LOCAL_DEVICES_H
#define INFERENCE_LOCAL_DEVICES_H

#include "inference/gpu.h"

struct llama_model_params;

/** What llama.cpp will use: graphics cards, or without any what is built into the processor. Threads: any. */
struct gpu_found local_devices(void);

/** 'wish', which gpu_check() passed. */
void local_devices_use(const struct gpu_wish *wish, const struct gpu_found *found,
		       struct llama_model_params *params);

#endif
