/*
 * audit/wal_frame.h - one frame of the write-ahead log: the unit that one fdatasync makes durable. Bytes only; files are
 * wal.h's business. docs/audit-log.md has the layout byte by byte.
 */
#ifndef AUDIT_WAL_FRAME_H
#define AUDIT_WAL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/bytes.h"
#include "audit/hasher.h"
#include "base/buf.h"
#include "base/err.h"

#define WAL_MAGIC          "IMWALFR1"
#define WAL_HEADER_BYTES   44
#define WAL_TRAILER_BYTES  4 /* payload CRC */
#define WAL_RECORDS_MAX    (UINT32_C(1) << 27)
#define WAL_CHECKPOINT_MAX 16384
#define WAL_SECTOR_BYTES   512

struct wal_frame {
	uint64_t generation;    /* of its segment: epoch << 32 | number */
	uint64_t first;         /* index of its first record */
	uint32_t count;         /* >= 1 */
	const uint8_t *records; /* as in an entry bundle: uint16 big-endian length ‖ entry */
	size_t records_len;
	struct hash root;       /* of the tree of first + count entries */
	const char *checkpoint; /* signed note of that tree */
	size_t checkpoint_len;
	struct bytes *
	    home; /* that a frame which was read lies in: who takes a reference keeps it; else NULL */
};

/** CRC-32C (Castagnoli), continuing from 'crc'; begin with 0. */
uint32_t wal_crc32c(uint32_t crc, const void *data, size_t len);
/** The same for processors that have no instruction for it; apart, so that it is tested everywhere. */
uint32_t wal_crc32c_by_table(uint32_t crc, const void *data, size_t len);

/** Bytes that the frame takes. */
size_t wal_frame_bytes(const struct wal_frame *f);

/** Append the frame. False when the buffer failed. */
bool wal_frame_put(struct buf *out, const struct wal_frame *f);

/** Give the whole frame at 'frame', 'total' bytes that wal_frame_get() took, another generation where it lies. Its payload is not read again:
 *  the checksum goes on vouching for what was read. */
void wal_frame_renumber(uint8_t *frame, size_t total, uint64_t generation);

/**
 * Look at the untrusted first WAL_HEADER_BYTES of a frame. False if they are not a header. 'ret_total' is the length of
 * the whole frame, bounded by WAL_RECORDS_MAX and WAL_CHECKPOINT_MAX; 'ret' has no pointers yet.
 */
bool wal_header_get(const uint8_t *data, struct wal_frame *ret, size_t *ret_total);

/** Decode the frame of 'len' bytes; 'ret' points into 'data'. IM_EPROTO. The root is not recomputed here. */
IM_MUST_CHECK enum im_rc wal_frame_get(const uint8_t *data, size_t len, struct wal_frame *ret,
				       struct im_err *err);

#endif
