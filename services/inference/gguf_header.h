/*
 * inference/gguf_header.h - is this a whole GGUF file? Asked before llama.cpp sees it, because its own asserts end the
 * process and its messages name no remedy. Pure: bytes in, answer out; it knows neither files nor llama.cpp. It cannot say
 * whether the weights make sense: pin the file's SHA-256 for that.
 */
#ifndef INFERENCE_GGUF_HEADER_H
#define INFERENCE_GGUF_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define GGUF_TENSORS_MAX 65536
#define GGUF_KEYS_MAX    65536
#define GGUF_TYPES       43 /* of tensors; llama.cpp's enum ggml_type */

struct gguf_header {
	uint32_t version;
	uint64_t tensors, keys;
	uint64_t data_offset; /* of the weights in the file */
};

/* How many elements a block of a tensor type has, and how many bytes; {0, 0} = no such type. */
struct gguf_block {
	uint16_t elements, bytes;
};

extern const struct gguf_block gguf_blocks[GGUF_TYPES];

/**
 * Check the header of the 'len' bytes at 'data', which are the whole file and untrusted: magic, version 2 or 3, every
 * length inside the file, tensors of known types whose data lie inside the file, one file only (no split). Returns IM_OK,
 * or IM_ECORRUPT with cause and remedy (without the name of the file). Threads: reentrant; allocates nothing.
 * Source: ggml's docs/gguf.md.
 */
IM_MUST_CHECK enum im_rc gguf_header_check(const uint8_t *data, size_t len, struct gguf_header *ret,
					   struct im_err *err);

#endif
