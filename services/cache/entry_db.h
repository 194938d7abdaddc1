/*
 * cache/entry_db.h - the RocksDB that entries are in, and its folder. What is written is there after a power cut; nothing is ever dropped or emptied
 * (docs/adr/0017-entries.md). Every call may wait for the disk.
 */
#ifndef CACHE_ENTRY_DB_H
#define CACHE_ENTRY_DB_H

#include "base/buf.h"
#include "cache/entry_map.h"

struct entry_db;

/** Not open yet. Its folder is "store" in 'parent', which is copied. IM_OK, IM_ENOMEM; IM_EUNAVAILABLE: no RocksDB here. */
IM_MUST_CHECK enum im_rc entry_db_new(const char *parent, struct entry_db **ret,
				      struct im_err *err);
/** Closes it first. */
void entry_db_free(struct entry_db *d);

/** Open it, making the folders if need be; '*ret' is all that has not expired, and what has is deleted. IM_OK; IM_EUNAVAILABLE: it stays
 *  closed. */
IM_MUST_CHECK enum im_rc entry_db_open(struct entry_db *d, const struct entry_map_params *params,
				       struct entry_map **ret, struct im_err *err);
void entry_db_close(struct entry_db *d);

/* While it is open: */

/** Make changes of entry_batch.h, all or none, and sync. IM_OK; IM_EUNAVAILABLE: not known. */
IM_MUST_CHECK enum im_rc entry_db_write(struct entry_db *d, const struct buf *changes,
					struct im_err *err);

/** Is its folder still the one that was opened? RocksDB goes on writing into one that was removed. IM_OK, IM_EUNAVAILABLE. */
IM_MUST_CHECK enum im_rc entry_db_check(const struct entry_db *d, struct im_err *err);

/** True: there is so little room on the disk that nothing may be written. */
bool entry_db_is_low(const struct entry_db *d);

#endif
