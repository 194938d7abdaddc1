/*
 * cache/entry_batch.h - the bytes that entries are on disk, and the changes of them that go there together. Pure.
 *
 * A name's value there: its expiry (u64 little-endian, microseconds since 1970) and entry_record.h.
 */
#ifndef CACHE_ENTRY_BATCH_H
#define CACHE_ENTRY_BATCH_H

#include "base/buf.h"
#include "cache/entry_map.h"

#define ENTRY_KEPT_EXPIRY 8 /* bytes before the record */

struct entry_change {
	bool put; /* else delete */
	struct wire_bytes name, kept;
};

/** Gather a change; check buf_ok() for both. */
void entry_batch_put(struct buf *changes, const struct entry *e);
void entry_batch_delete(struct buf *changes, const uint8_t *name, size_t len);
/** Bytes that a put takes there. */
size_t entry_batch_put_bytes(size_t name_len, size_t value_len);

/** The change at 'at', first 0; '*ret' points into 'changes'. Returns where the next one is; 0: there are no more. */
size_t entry_batch_at(const struct buf *changes, size_t at, struct entry_change *ret);

/** Read what is kept under 'name'; both may be anything. False: it is no entry. '*ret_value' points into 'kept'. */
bool entry_kept_read(const uint8_t *name, size_t name_len, const uint8_t *kept, size_t len,
		     uint64_t *ret_expires_us, uint64_t *ret_version, struct wire_bytes *ret_value);

#endif
