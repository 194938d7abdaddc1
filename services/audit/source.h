/*
 * audit/source.h - where a log is read from, by path: its folder, or whoever publishes that (the command line knows HTTP).
 * What is read is untrusted. Never writes.
 */
#ifndef AUDIT_SOURCE_H
#define AUDIT_SOURCE_H

#include "audit/checkpoint.h"
#include "audit/tile.h"

struct audit_source {
	/* Append the file 'path' ("checkpoint", "tile/0/000") to 'out'. IM_ENOTFOUND; IM_ETOOBIG: over 'max' bytes;
	 * IM_EIO, IM_EUNAVAILABLE; IM_ENOMEM. */
	enum im_rc (*read)(const struct audit_source *s, const char *path, size_t max,
			   struct buf *out, struct im_err *err);
	void *user;       /* the callback's */
	const char *name; /* for messages: the folder or the address */
	const char *
	    dir; /* the folder, which may have a write-ahead log too; NULL = only what is published can be read */
};

/** 'ret' reads from the folder 'dir', which it points to. */
void source_folder(struct audit_source *ret, const char *dir);

/** The hashes of one tile or the bytes of a bundle into 'out' (emptied first): the file itself, or for a partial one a later
 *  version cut to t->width. IM_ENOTFOUND, IM_ECORRUPT (wrong length), or as 'read'. */
IM_MUST_CHECK enum im_rc source_tile(const struct audit_source *s, const struct tile *t,
				     struct buf *out, struct im_err *err);

/** The checkpoint: its bytes into 'text' (emptied first), parsed into 'ret', checked against 'key' unless that is NULL. Errors as
 *  checkpoint_open() and 'read'. */
IM_MUST_CHECK enum im_rc source_checkpoint(const struct audit_source *s,
					   const struct note_verifier *key, struct buf *text,
					   struct checkpoint *ret, struct im_err *err);

/** The size that the checkpoint says, whoever signed it; 0 = a folder that has none yet. IM_ECORRUPT, IM_ENOTFOUND (not of a
 *  folder), or as 'read'. */
IM_MUST_CHECK enum im_rc source_published(const struct audit_source *s, uint64_t *ret,
					  struct im_err *err);

/** Is the file or folder 'name' there? Always false unless 's' is a folder. */
bool source_exists(const struct audit_source *s, const char *name);

/** Entry 'index' of a tree of 'size': '*ret_entry' points into 'bundle' (emptied first). IM_EINVAL unless index < size; else
 *  as source_tile(). Says nothing of whether it is the entry that the tree holds. */
IM_MUST_CHECK enum im_rc source_entry(const struct audit_source *s, uint64_t size, uint64_t index,
				      struct buf *bundle, const uint8_t **ret_entry,
				      size_t *ret_len, struct im_err *err);

/* Nodes of the tree of 'size' out of its tiles, for tlog_prove_inclusion() and its like; keeps the last tile. Free 'hashes'. */
struct source_nodes {
	const struct audit_source *source;
	struct hasher *hasher;
	uint64_t size;
	struct tile tile;
	struct buf hashes;
};

/** A tlog_read_fn; 'user' is the struct source_nodes. */
IM_MUST_CHECK enum im_rc source_node(void *user, unsigned height, uint64_t index, struct hash *ret,
				     struct im_err *err);

/** Root of the tree of the first 'size' leaves; size <= n->size. */
IM_MUST_CHECK enum im_rc source_root(struct source_nodes *n, uint64_t size, struct hash *ret,
				     struct im_err *err);

#endif
