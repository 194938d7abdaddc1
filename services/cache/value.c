/*
 * cache/value.c - the kept form of a value; see value.h.
 */
#include "cache/value.h"

#include <lz4.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/le.h"

#define VERSION     1
#define CODEC_RAW   0
#define CODEC_LZ4   1
#define CHECKSUM_AT 64

static const uint8_t magic[4] = { 'i', 'm', 'c', 'v' };

/* In one go each: XXH3's streaming form costs more than a short value. */
static uint64_t
checksum(const uint8_t *frame, size_t len)
{
	return XXH3_64bits_withSeed(frame + VALUE_HEADER_BYTES, len - VALUE_HEADER_BYTES,
				    XXH3_64bits(frame, CHECKSUM_AT));
}

static void
header_put(uint8_t *at, const struct value_meta *meta, int codec, size_t raw_len)
{
	memcpy(at, magic, sizeof(magic));
	at[4] = VERSION;
	at[5] = (uint8_t)codec;
	put_le(at + 6, 0, 2);
	put_le(at + 8, raw_len, 4);
	put_le(at + 12, meta->tenant.len, 2);
	put_le(at + 14, meta->model.len, 2);
	put_le(at + 16, meta->created_us, 8);
	put_le(at + 24, meta->expires_us, 8);
	memcpy(at + 32, meta->key, CACHE_KEY_BYTES);
}

static uint8_t *
put_bytes(uint8_t *at, const void *data, size_t len)
{
	if (len > 0)
		memcpy(at, data, len);
	return at + len;
}

enum im_rc
value_pack(const struct value_meta *meta, const uint8_t *raw, size_t len, struct buf *out)
{
	int packed = 0;
	uint8_t *at, *end;

	if (len > VALUE_RAW_MAX || meta->tenant.len > VALUE_LABEL_MAX ||
	    meta->model.len > VALUE_LABEL_MAX)
		return IM_ETOOBIG;
	at = buf_reserve(out, VALUE_HEADER_BYTES + meta->tenant.len + meta->model.len + len);
	if (at == NULL)
		return IM_ENOMEM;
	end = put_bytes(at + VALUE_HEADER_BYTES, meta->tenant.data, meta->tenant.len);
	end = put_bytes(end, meta->model.data, meta->model.len);
	/* Into room for the raw bytes less an eighth: what does not fit there does not pay. */
	if (len >= VALUE_LZ4_MIN)
		packed = LZ4_compress_default((const char *)raw, (char *)end, (int)len,
					      (int)(len - len / 8));
	header_put(at, meta, packed > 0 ? CODEC_LZ4 : CODEC_RAW, len);
	end = packed > 0 ? end + packed : put_bytes(end, raw, len);
	put_le(at + CHECKSUM_AT, checksum(at, (size_t)(end - at)), 8);
	out->len += (size_t)(end - at);
	return IM_OK;
}

enum im_rc
value_head(const uint8_t *packed, size_t len, struct value_meta *ret)
{
	size_t tenant_len, model_len, raw_len;

	if (len < VALUE_HEADER_BYTES || memcmp(packed, magic, sizeof(magic)) != 0 ||
	    packed[4] != VERSION || packed[5] > CODEC_LZ4 || get_le(packed + 6, 2) != 0)
		return IM_ECORRUPT;
	raw_len = (size_t)get_le(packed + 8, 4);
	tenant_len = (size_t)get_le(packed + 12, 2);
	model_len = (size_t)get_le(packed + 14, 2);
	if (raw_len > VALUE_RAW_MAX || tenant_len > VALUE_LABEL_MAX ||
	    model_len > VALUE_LABEL_MAX || tenant_len + model_len > len - VALUE_HEADER_BYTES)
		return IM_ECORRUPT;
	*ret = (struct value_meta){
		.key = packed + 32,
		.tenant = { packed + VALUE_HEADER_BYTES, tenant_len },
		.model = { packed + VALUE_HEADER_BYTES + tenant_len, model_len },
		.created_us = get_le(packed + 16, 8),
		.expires_us = get_le(packed + 24, 8),
		.raw_bytes = (uint32_t)raw_len,
	};
	return IM_OK;
}

enum im_rc
value_check(const uint8_t key[CACHE_KEY_BYTES], const uint8_t *packed, size_t len,
	    struct value_meta *ret)
{
	struct value_meta meta;

	if (value_head(packed, len, &meta) != IM_OK ||
	    memcmp(meta.key, key, CACHE_KEY_BYTES) != 0 ||
	    checksum(packed, len) != get_le(packed + CHECKSUM_AT, 8))
		return IM_ECORRUPT;
	*ret = meta;
	return IM_OK;
}

static bool
payload_unpack(int codec, const uint8_t *payload, size_t len, uint8_t *raw, size_t raw_len)
{
	if (codec == CODEC_RAW) {
		if (len == raw_len)
			(void)put_bytes(raw, payload, len);
		return len == raw_len;
	}
	return len <= INT32_MAX && LZ4_decompress_safe((const char *)payload, (char *)raw, (int)len,
						       (int)raw_len) == (int)raw_len;
}

enum im_rc
value_unpack(const uint8_t key[CACHE_KEY_BYTES], const uint8_t *packed, size_t len,
	     size_t max_raw_bytes, struct value_meta *ret_meta, struct buf *out)
{
	struct value_meta meta;
	size_t head;
	uint8_t *at;

	if (value_check(key, packed, len, &meta) != IM_OK)
		return IM_ECORRUPT;
	if (meta.raw_bytes > max_raw_bytes)
		return IM_ETOOBIG;
	at = buf_reserve(out, meta.raw_bytes + 1); /* one more: a buffer of no bytes is no buffer */
	if (at == NULL)
		return IM_ENOMEM;
	head = VALUE_HEADER_BYTES + meta.tenant.len + meta.model.len;
	if (!payload_unpack(packed[5], packed + head, len - head, at, meta.raw_bytes))
		return IM_ECORRUPT;
	out->len += meta.raw_bytes;
	if (ret_meta != NULL)
		*ret_meta = meta;
	return IM_OK;
}

/* Is 'label' what is asked for? */
static bool
label_is(const struct wire_bytes *label, const char *wanted)
{
	return wanted == NULL || wanted[0] == '\0' ||
	       (strlen(wanted) == label->len && memcmp(wanted, label->data, label->len) == 0);
}

bool
value_selected(const struct value_selector *sel, const struct value_meta *meta)
{
	return (!sel->has_key || memcmp(sel->key, meta->key, CACHE_KEY_BYTES) == 0) &&
	       label_is(&meta->tenant, sel->tenant) && label_is(&meta->model, sel->model) &&
	       (sel->created_before_us == 0 || meta->created_us < sel->created_before_us);
}
