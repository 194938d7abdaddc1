/*
 * inference/local_file.h - a model's file is found, decrypted if it is encrypted, and checked, before llama.cpp sees it. Everything here
 * blocks.
 */
#ifndef INFERENCE_LOCAL_FILE_H
#define INFERENCE_LOCAL_FILE_H

#include <stdio.h>

#include "inference/local_model.h"

/**
 * '*ret' is the GGUF file in plain, at its beginning, whole and with the SHA-256 that params->sha256 asks for; fclose() it. Fills in
 * m->path, created, digest, sealed and locked. IM_ENOTFOUND, IM_EIO, IM_ECORRUPT, IM_EINVAL (another SHA-256, another
 * key), IM_EPERM (others may read the key), IM_ENOMEM, IM_ECANCELED: the text names the file and what to do.
 */
IM_MUST_CHECK enum im_rc local_file_open(const struct local_model_params *params,
					 struct local_model *m, FILE **ret, struct im_err *err);

/** IM_ECANCELED, and its text: the watch said so. */
enum im_rc local_file_given_up(struct im_err *err);

#endif
