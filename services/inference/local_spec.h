/*
 * inference/local_spec.h - what the configuration or the manifest says of one model. Reads the manifest anew each time, so that an
 * operator can change it. May block on the disk.
 */
#ifndef INFERENCE_LOCAL_SPEC_H
#define INFERENCE_LOCAL_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/config.h"
#include "inference/gpu.h"
#include "wire/generate.h"

#define SPEC_PATH_MAX 4096

struct local_spec {
	char name[GENERATE_MODEL_MAX + 1];
	char file[SPEC_PATH_MAX];     /* "" = the bundled demo model */
	char key_file[SPEC_PATH_MAX]; /* "" = the file is not encrypted */
	char sha256[65];              /* "" = any */
	char chat_template[64];       /* "" = the file's */
	char quantisation[32];
	uint32_t context_tokens; /* 0 = as the worker says */
	struct gpu_wish gpu;
	bool load; /* at the start */
};

/** A number of the worker's entry; NULL: the schema's default. */
uint32_t spec_setting(const struct config *item, const char *path);

/** Number 'i' of 'manifest', which config_load_manifest() read. IM_OK; IM_EINVAL: a path that is too long. */
IM_MUST_CHECK enum im_rc spec_at(const struct config *manifest, size_t i, struct local_spec *ret,
				 struct im_err *err);

/** The model 'name' of the manifest 'path'. IM_OK; IM_ENOTFOUND, naming the file; IM_EINVAL, IM_EIO, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc spec_find(const char *path, const char *name, struct local_spec *ret,
				   struct im_err *err);

#endif
