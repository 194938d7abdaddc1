/*
 * audit/store.h - the public side of the log folder: tiles, entry bundles and the checkpoint file, written from records that
 * the write-ahead log holds already. Never holds the only copy of anything; may lag behind.
 */
#ifndef AUDIT_STORE_H
#define AUDIT_STORE_H

#include "audit/bytes.h"
#include "audit/disk.h"
#include "audit/tile.h"
#include "base/list.h"

#define STORE_CHECKPOINT_MAX 16384 /* bytes of a checkpoint file that we read */

/* Records that became durable together: one write-ahead frame. On the heap, handed on from the log to the store. */
struct chunk {
	struct list node;
	uint64_t first;
	uint32_t count;
	uint8_t *records; /* as in a bundle */
	size_t records_len;
	struct bytes *home; /* that the records lie in; NULL = they are a block of their own */
	struct hash *leaf;  /* 'count' of them */
	struct hash root;
	char *checkpoint; /* signed, NUL-terminated */
	size_t checkpoint_len;
};

void chunk_free(struct chunk *c);

/** Memory that it takes, about. */
size_t chunk_bytes(const struct chunk *c);

/* A full tile or bundle that waits to be written. */
struct store_file {
	struct list node;
	struct tile tile;
	size_t len;
	uint8_t data[];
};

/* On one thread at a time. */
struct store {
	const struct disk_ops *ops;
	char dir[DISK_PATH_MAX];
	struct hasher hasher;
	struct tile_edge edge; /* of all entries that were added */
	struct buf bundle;     /* entries after the last full bundle */
	struct list full;      /* full tiles and bundles that are not written yet */
	uint64_t published;    /* size in the checkpoint file */
	struct tile written[TILE_LEVELS +
			    1]; /* partial tiles on disk, so that they are not written twice */
};

/** Open the log folder's public side at 'size', the checkpoint's, 0 for a new log: reads the right edge and checks it
 *  against 'root' (unless size is 0). IM_ENOTFOUND (a tile is missing), IM_ECORRUPT, IM_EIO, IM_ENOMEM. On failure store_done() is still
 *  fine. */
IM_MUST_CHECK enum im_rc store_open(struct store *s, const struct disk_ops *ops, const char *dir,
				    uint64_t size, const struct hash *root, struct im_err *err);
void store_done(struct store *s);

/** 'to' becomes what 'from' was; 'from' is closed. */
void store_move(struct store *to, struct store *from);

/** Take in the records of 'c' that it does not have yet. IM_ENOMEM: call again later with the same chunk. IM_ECORRUPT:
 *  the tree does not have the root that 'c' says: our bug or broken memory. */
IM_MUST_CHECK enum im_rc store_add(struct store *s, const struct chunk *c, struct im_err *err);

/** Write the full tiles and bundles that are waiting. IM_EUNAVAILABLE: call again later; IM_EIO: never again. */
IM_MUST_CHECK enum im_rc store_flush(struct store *s, struct im_err *err);

/** Make the checkpoint file say 'text', the checkpoint of all that was added, after all that it implies is durable. As
 *  store_flush(). */
IM_MUST_CHECK enum im_rc store_publish(struct store *s, const char *text, size_t len,
				       struct im_err *err);

/** Index of the first entry whose bundle is there in a shard of 'size', that of the checkpoint; those before it were pruned.
 *  The last bundle, if it is a partial one, can be gone only if the shard is 'closed'. IM_EINVAL (a path is too long). */
IM_MUST_CHECK enum im_rc store_first(const char *dir, uint64_t size, bool closed, uint64_t *ret,
				     struct im_err *err);

/**
 * Delete the bundles in the shard 'dir' of the entries from '*first' on, at most 'max' of them, and none of an entry from
 * 'min_index' on; '*first' moves along. A partial bundle goes only if 'min_index' is no multiple of TILE_WIDTH. One after the
 * other, each made durable: a power cut never leaves a hole. IM_EUNAVAILABLE: call again later; IM_EIO: never again.
 */
IM_MUST_CHECK enum im_rc store_prune(const struct disk_ops *ops, const char *dir, uint64_t *first,
				     uint64_t min_index, unsigned max, struct im_err *err);

/** source_tile() of the folder 'dir'. */
IM_MUST_CHECK enum im_rc store_read_tile(const char *dir, const struct tile *t, struct buf *out,
					 struct im_err *err);

#endif
