/*
 * inference/vectors_fuzz.c - any bytes as an upstream's vectors: refused, or whole frames of finite numbers.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "inference/vectors.h"
#include "wire/float32.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
parse(const uint8_t *data, size_t size, const struct vectors_want *want)
{
	struct vectors v = { 0 };
	struct im_err err = { 0 };
	struct generate_frame frame;
	struct delta delta;
	size_t numbers = 0;
	enum im_rc rc = vectors_parse((const char *)data, size, want, &v, &err);

	if (rc != IM_OK && err.text[0] == '\0')
		abort();
	while (rc == IM_OK && vectors_next(&v, &delta, &frame)) {
		for (size_t i = 0; i < delta.embedding.len; i += FLOAT32_BYTES, numbers++)
			if (!isfinite(float32_get(delta.embedding.data + i)))
				abort();
	}
	if (rc == IM_OK && numbers != want->inputs * v.dimensions)
		abort();
	vectors_done(&v);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse(data, size, &(struct vectors_want){ .inputs = 1 });
	parse(data, size, &(struct vectors_want){ .inputs = 2, .dimensions = 2 });
	return 0;
}
