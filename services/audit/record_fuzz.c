/*
 * audit/record_fuzz.c - any bytes as an entry of the log: what is taken has one encoding.
 */
#include <stdlib.h>
#include <string.h>

#include "audit/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { .max_bytes = (size_t)1024 * 1024 };
	struct buf again = BUF_INIT(0);
	struct record r;

	if (record_decode(data, size, &arena, &r, NULL) == IM_OK) {
		if (!record_encode(&r, &again) || again.len != size ||
		    memcmp(again.data, data, size) != 0)
			abort();
	}
	buf_done(&again);
	arena_done(&arena);
	return 0;
}
