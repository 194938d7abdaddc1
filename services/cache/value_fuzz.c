/*
 * cache/value_fuzz.c - value_unpack() on arbitrary bytes; the key inside is taken from the input, so that the rest is reached.
 */
#include <string.h>

#include "cache/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t key[CACHE_KEY_BYTES] = { 0 };
	struct buf out = { 0 };

	if (size >= VALUE_HEADER_BYTES)
		memcpy(key, data + 16, sizeof(key));
	if (value_unpack(key, data, size, 1 << 20, &out) != IM_OK && out.len != 0)
		__builtin_trap();
	buf_done(&out);
	return 0;
}
