/*
 * inference/gguf_header_fuzz.c - no file makes the check read outside it, and what it accepts lies inside the file.
 */
#include <stdlib.h>

#include "inference/gguf_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gguf_header h;
	struct im_err err;

	if (gguf_header_check(data, size, &h, &err) == IM_OK) {
		if (h.data_offset > size || h.tensors == 0)
			abort();
	} else if (err.text[0] == '\0') {
		abort();
	}
	return 0;
}
