/*
 * cache/value.h - how a value is kept in every tier: compressed if that pays, with its key, its times, its labels and a
 * checksum. Pure bytes in, bytes out; it knows neither clocks nor tiers. What is not exactly such a frame, of the key that was
 * asked for, is IM_ECORRUPT: a miss that is counted, never an answer.
 *
 * Frame, version 1, little-endian:
 *
 *      0   4  magic "imcv"
 *      4   1  version, 1
 *      5   1  codec of the payload: 0 raw, 1 lz4 block
 *      6   2  reserved, 0
 *      8   4  length of the payload once unpacked
 *     12   2  length of the tenant's name
 *     14   2  length of the model's name
 *     16   8  created, microseconds since 1970
 *     24   8  expires, microseconds since 1970
 *     32  32  key
 *     64   8  XXH3-64 of everything from 72 on, its seed the XXH3-64 of bytes 0 to 63
 *     72      tenant, model, payload
 *
 * Tenant and model are there for people and for purging; the cache does not know what they mean.
 */
#ifndef CACHE_VALUE_H
#define CACHE_VALUE_H

#include "base/buf.h"
#include "wire/mesh.h"

#define VALUE_HEADER_BYTES 72
#define VALUE_LABEL_MAX    256  /* bytes of a tenant, of a model */
#define VALUE_LZ4_MIN      1024 /* shorter payloads are kept raw: lz4 gains little there */
#define VALUE_RAW_MAX      (1U << 30)
/* As much of a frame as holds all that value_head() reads. */
#define VALUE_HEAD_MAX (VALUE_HEADER_BYTES + 2 * VALUE_LABEL_MAX)

/* What a frame says besides its payload. Read from a frame: everything points into it. */
struct value_meta {
	const uint8_t *key; /* CACHE_KEY_BYTES */
	struct wire_bytes tenant, model;
	uint64_t created_us, expires_us; /* since 1970 */
	uint32_t raw_bytes; /* of the payload once unpacked; value_pack() sets it itself */
};

/* Which values are meant: all conditions that are set must hold; none set means every value. */
struct value_selector {
	bool has_key;
	uint8_t key[CACHE_KEY_BYTES];
	const char *tenant, *model; /* "" or NULL = any */
	uint64_t created_before_us; /* 0 = any */
};

/** Append the frame of the 'len' bytes at 'raw' to 'out'. IM_OK, IM_ETOOBIG (payload over 1 GiB, a label over
 *  VALUE_LABEL_MAX) or IM_ENOMEM; on failure 'out' is as before. */
IM_MUST_CHECK enum im_rc value_pack(const struct value_meta *meta, const uint8_t *raw, size_t len,
				    struct buf *out);

/** Read what the frame that begins with the 'len' bytes at 'packed' says of itself; VALUE_HEAD_MAX bytes of it suffice. No
 *  checksum is looked at: good for purging, never for an answer. IM_OK or IM_ECORRUPT. */
IM_MUST_CHECK enum im_rc value_head(const uint8_t *packed, size_t len, struct value_meta *ret);

/** As value_head() on the whole frame, and it must be whole, of 'key', and match its checksum. Unpacks nothing.
 *  IM_OK or IM_ECORRUPT. */
IM_MUST_CHECK enum im_rc value_check(const uint8_t key[CACHE_KEY_BYTES], const uint8_t *packed,
				     size_t len, struct value_meta *ret);

/**
 * Append the payload of the frame at 'packed' to 'out'. Nothing is believed: IM_ECORRUPT as value_check() says, or for a
 * payload that does not unpack; IM_ETOOBIG over 'max_raw_bytes' (before anything is allocated), IM_ENOMEM. On failure
 * 'out' and 'ret_meta' (NULL: not wanted) are as before.
 */
IM_MUST_CHECK enum im_rc value_unpack(const uint8_t key[CACHE_KEY_BYTES], const uint8_t *packed,
				      size_t len, size_t max_raw_bytes, struct value_meta *ret_meta,
				      struct buf *out);

/** Is a value of 'meta' among those that are meant? */
bool value_selected(const struct value_selector *sel, const struct value_meta *meta);

#endif
