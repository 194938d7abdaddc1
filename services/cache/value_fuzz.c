/*
 * cache/value_fuzz.c - value_unpack() on arbitrary bytes; what was packed from them comes back, too.
 */
#include <string.h>

#include "cache/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a payload, then with one byte of the frame changed: never another payload. */
static void
round_trip(const uint8_t *data, size_t size)
{
	static const uint8_t key[CACHE_KEY_BYTES] = { 7 };
	struct value_meta meta = { .key = key };
	struct buf packed = { 0 }, out = { 0 };
	size_t at;

	if (value_pack(&meta, data, size, &packed) != IM_OK ||
	    value_unpack(key, packed.data, packed.len, size, NULL, &out) != IM_OK ||
	    out.len != size || (size > 0 && memcmp(out.data, data, size) != 0))
		__builtin_trap();
	buf_clear(&out);
	at = (size > 0 ? data[0] * 131U + data[size - 1] : 0U) % packed.len;
	packed.data[at] ^= 0x10;
	if (value_unpack(key, packed.data, packed.len, size, NULL, &out) != IM_ECORRUPT)
		__builtin_trap();
	buf_done(&packed);
	buf_done(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t key[CACHE_KEY_BYTES] = { 0 };
	struct value_meta meta;
	struct buf out = { 0 };

	if (value_head(data, size, &meta) == IM_OK) {
		memcpy(key, meta.key, sizeof(key));
		if (meta.tenant.len + meta.model.len + VALUE_HEADER_BYTES > size)
			__builtin_trap();
	}
	if (value_unpack(key, data, size, 1 << 20, NULL, &out) != IM_OK && out.len != 0)
		__builtin_trap();
	buf_done(&out);
	round_trip(data, size);
	return 0;
}
