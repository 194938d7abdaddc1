/*
 * cache/value.h - how a value is kept: compressed if that pays, with its key inside and a checksum. Pure bytes in, bytes
 * out; it knows neither time nor tiers.
 *
 * Format 1, little-endian: version u8 (1), codec u8 (0 raw, 1 lz4 block), reserved u16 (0), raw length u32, checksum u64
 * (XXH3-64 of key ‖ raw bytes), key (32 bytes), payload.
 */
#ifndef CACHE_VALUE_H
#define CACHE_VALUE_H

#include "base/buf.h"
#include "wire/mesh.h"

#define VALUE_HEADER_BYTES 48
#define VALUE_LZ4_MIN      1024 /* shorter values are kept raw: lz4 gains nothing there */

/** Append the kept form of the 'len' bytes at 'raw' to 'out'. Returns IM_OK, IM_ETOOBIG (over 1 GiB) or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc value_pack(const uint8_t key[CACHE_KEY_BYTES], const uint8_t *raw,
				    size_t len, struct buf *out);

/**
 * Append the raw bytes of the kept form at 'packed' to 'out'. Nothing is believed: IM_ECORRUPT for another key, a bad
 * checksum or malformed bytes, IM_ETOOBIG over 'max_raw_bytes' (before anything is allocated), IM_ENOMEM. On failure
 * 'out' is as before.
 */
IM_MUST_CHECK enum im_rc value_unpack(const uint8_t key[CACHE_KEY_BYTES], const uint8_t *packed,
				      size_t len, size_t max_raw_bytes, struct buf *out);

#endif
