/*
 * audit/tlog.h - the Merkle tree of RFC 6962: leaf and node hashes, the compact range that grows a tree, and proofs.
 * Never touches a file; whoever has the nodes passes a function that reads them.
 */
#ifndef AUDIT_TLOG_H
#define AUDIT_TLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/hasher.h"
#include "base/err.h"

#define TLOG_HEIGHT_MAX 64 /* hashes of a proof, peaks of a range */

/** SHA256(0x00 ‖ entry). */
void tlog_leaf(struct hasher *h, const void *entry, size_t len, struct hash *ret);

/** The same of 'count' entries, and faster than one after the other. */
void tlog_leaves(struct hasher *h, const struct hash_part *entries, size_t count, struct hash *ret);

/** SHA256(0x01 ‖ left ‖ right). */
void tlog_node(struct hasher *h, const struct hash *left, const struct hash *right,
	       struct hash *ret);

bool tlog_equal(const struct hash *a, const struct hash *b);

/* A tree of 'size' leaves as its peaks: peak[k] is the root of the complete subtree of 2^k leaves where bit k of 'size' is
 * set. Zero-initialised is the empty tree. Plain data: copy it to try something. */
struct tlog_range {
	uint64_t size;
	struct hash peak[TLOG_HEIGHT_MAX];
};

/* Told of each complete subtree as it appears: 'index' counts the subtrees of that height. Height 0 is the leaf. */
typedef void (*tlog_node_fn)(void *user, unsigned height, uint64_t index, const struct hash *hash);

/** Add one leaf hash. 'fn' may be NULL. */
void tlog_range_add(struct tlog_range *r, struct hasher *h, const struct hash *leaf,
		    tlog_node_fn fn, void *user);

/* A complete subtree of 2^height leaves. */
struct tlog_piece {
	unsigned height;
	struct hash hash;
};

/** Room that tlog_pieces() needs for 'count' leaves. */
size_t tlog_pieces_max(uint64_t count);

/**
 * The complete subtrees, as large as they can be, that the 'count' leaves from number 'first' on make up, from left to right:
 * what can be computed of them without those before. Returns how many; 'ret' has room for tlog_pieces_max(count).
 */
size_t tlog_pieces(struct hasher *h, uint64_t first, const struct hash *leaf, size_t count,
		   struct tlog_piece *ret);

/** Add 'count' pieces from tlog_pieces() whose first leaf is number r->size: as adding the leaves, and cheap. */
void tlog_range_join(struct tlog_range *r, struct hasher *h, const struct tlog_piece *piece,
		     size_t count);

/** The root; SHA256("") of an empty tree. */
void tlog_range_root(const struct tlog_range *r, struct hasher *h, struct hash *ret);

/* Reads the root of the complete subtree number 'index' of 2^height leaves. */
typedef enum im_rc (*tlog_read_fn)(void *user, unsigned height, uint64_t index, struct hash *ret,
				   struct im_err *err);

struct tlog_proof {
	size_t count;
	struct hash hash[TLOG_HEIGHT_MAX]; /* from the leaf's end up to the root's */
};

/** Prove that leaf 'index' is in the tree of 'size'. IM_EINVAL unless index < size, or what 'read' returned. RFC 6962 §2.1.1. */
IM_MUST_CHECK enum im_rc tlog_prove_inclusion(struct hasher *h, uint64_t index, uint64_t size,
					      tlog_read_fn read, void *user, struct tlog_proof *ret,
					      struct im_err *err);

/** Prove that the tree of 'old' is a prefix of that of 'size'; empty for old 0 and old == size. RFC 6962 §2.1.2. */
IM_MUST_CHECK enum im_rc tlog_prove_consistency(struct hasher *h, uint64_t old, uint64_t size,
						tlog_read_fn read, void *user,
						struct tlog_proof *ret, struct im_err *err);

/** IM_OK or IM_ECORRUPT. RFC 9162 §2.1.3.2. */
IM_MUST_CHECK enum im_rc tlog_check_inclusion(struct hasher *h, const struct hash *leaf,
					      uint64_t index, uint64_t size,
					      const struct tlog_proof *proof,
					      const struct hash *root, struct im_err *err);

/** IM_OK or IM_ECORRUPT. RFC 9162 §2.1.4.2. */
IM_MUST_CHECK enum im_rc tlog_check_consistency(struct hasher *h, uint64_t old,
						const struct hash *old_root, uint64_t size,
						const struct hash *root,
						const struct tlog_proof *proof, struct im_err *err);

#endif
