/*
 * cache/value.c - the kept form of a value; see value.h.
 */
#include "cache/value.h"

#include <lz4.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define VERSION   1
#define CODEC_RAW 0
#define CODEC_LZ4 1
#define RAW_MAX   (1u << 30)

static void
put_le(uint8_t *out, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t
get_le(const uint8_t *in, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)in[i] << (8 * i);
	return v;
}

static uint64_t
checksum(const uint8_t key[CACHE_KEY_BYTES], const uint8_t *raw, size_t len)
{
	XXH3_state_t state;

	XXH3_INITSTATE(&state);
	(void)XXH3_64bits_reset(&state);
	(void)XXH3_64bits_update(&state, key, CACHE_KEY_BYTES);
	if (len > 0)
		(void)XXH3_64bits_update(&state, raw, len);
	return XXH3_64bits_digest(&state);
}

static void
header_put(uint8_t *at, const uint8_t key[CACHE_KEY_BYTES], int codec, const uint8_t *raw,
	   size_t len)
{
	at[0] = VERSION;
	at[1] = (uint8_t)codec;
	put_le(at + 2, 0, 2);
	put_le(at + 4, len, 4);
	put_le(at + 8, checksum(key, raw, len), 8);
	memcpy(at + 16, key, CACHE_KEY_BYTES);
}

enum im_rc
value_pack(const uint8_t key[CACHE_KEY_BYTES], const uint8_t *raw, size_t len, struct buf *out)
{
	size_t start = out->len;
	int packed = 0;
	uint8_t *at;

	if (len > RAW_MAX)
		return IM_ETOOBIG;
	at = buf_reserve(out, VALUE_HEADER_BYTES + len);
	if (at == NULL)
		return IM_ENOMEM;
	/* Into room for the raw bytes less an eighth: what does not fit there does not pay. */
	if (len >= VALUE_LZ4_MIN)
		packed = LZ4_compress_default((const char *)raw, (char *)at + VALUE_HEADER_BYTES,
					      (int)len, (int)(len - len / 8));
	header_put(at, key, packed > 0 ? CODEC_LZ4 : CODEC_RAW, raw, len);
	if (packed > 0) {
		out->len = start + VALUE_HEADER_BYTES + (size_t)packed;
		return IM_OK;
	}
	if (len > 0)
		memcpy(at + VALUE_HEADER_BYTES, raw, len);
	out->len = start + VALUE_HEADER_BYTES + len;
	return IM_OK;
}

static bool
payload_unpack(int codec, const uint8_t *payload, size_t len, uint8_t *raw, size_t raw_len)
{
	if (codec == CODEC_RAW) {
		if (len != raw_len)
			return false;
		if (len > 0)
			memcpy(raw, payload, len);
		return true;
	}
	return len <= INT32_MAX && LZ4_decompress_safe((const char *)payload, (char *)raw, (int)len,
						       (int)raw_len) == (int)raw_len;
}

enum im_rc
value_unpack(const uint8_t key[CACHE_KEY_BYTES], const uint8_t *packed, size_t len,
	     size_t max_raw_bytes, struct buf *out)
{
	size_t raw_len;
	uint8_t *at;

	if (len < VALUE_HEADER_BYTES || packed[0] != VERSION || packed[1] > CODEC_LZ4 ||
	    get_le(packed + 2, 2) != 0 || memcmp(packed + 16, key, CACHE_KEY_BYTES) != 0)
		return IM_ECORRUPT;
	raw_len = (size_t)get_le(packed + 4, 4);
	if (raw_len > max_raw_bytes || raw_len > RAW_MAX)
		return IM_ETOOBIG;
	at = buf_reserve(out, raw_len + 1); /* one more: a buffer of no bytes is no buffer */
	if (at == NULL)
		return IM_ENOMEM;
	if (!payload_unpack(packed[1], packed + VALUE_HEADER_BYTES, len - VALUE_HEADER_BYTES, at,
			    raw_len) ||
	    checksum(key, at, raw_len) != get_le(packed + 8, 8))
		return IM_ECORRUPT;
	out->len += raw_len;
	return IM_OK;
}
