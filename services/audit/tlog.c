/*
 * audit/tlog.c - hashes and the compact range of the Merkle tree; see tlog.h. Proofs are in proof.c.
 */
#include "audit/tlog.h"

#include <string.h>

#define LEAF_PREFIX    0x00
#define NODE_PREFIX    0x01
#define SUBTREE_HEIGHT 8 /* of what is hashed level by level */

void
tlog_leaf(struct hasher *h, const void *entry, size_t len, struct hash *ret)
{
	const struct hash_part message = { entry, len };

	hasher_prefixed(h, LEAF_PREFIX, &message, 1, ret);
}

void
tlog_leaves(struct hasher *h, const struct hash_part *entries, size_t count, struct hash *ret)
{
	hasher_prefixed(h, LEAF_PREFIX, entries, count, ret);
}

void
tlog_node(struct hasher *h, const struct hash *left, const struct hash *right, struct hash *ret)
{
	const struct hash both[] = { *left, *right };
	const struct hash_part message = { both, sizeof(both) };

	hasher_prefixed(h, NODE_PREFIX, &message, 1, ret);
}

/* ret[i] = the node over child[2 i] and child[2 i + 1]. */
static void
nodes(struct hasher *h, const struct hash *child, size_t count, struct hash *ret)
{
	struct hash_part both[1 << (SUBTREE_HEIGHT - 1)];

	for (size_t i = 0; i < count; i++)
		both[i] = (struct hash_part){ &child[2 * i], 2 * sizeof(*child) };
	hasher_prefixed(h, NODE_PREFIX, both, count, ret);
}

/* The root of 2^height leaves, at most SUBTREE_HEIGHT. Its levels take turns in two places. */
static void
subtree(struct hasher *h, const struct hash *leaf, unsigned height, struct hash *ret)
{
	struct hash level[2][1 << (SUBTREE_HEIGHT - 1)];
	const struct hash *below = leaf;

	for (unsigned k = height; k > 0; k--) {
		struct hash *above = level[k & 1];

		nodes(h, below, (size_t)1 << (k - 1), above);
		below = above;
	}
	*ret = *below;
}

bool
tlog_equal(const struct hash *a, const struct hash *b)
{
	return memcmp(a->b, b->b, HASH_BYTES) == 0;
}

size_t
tlog_pieces_max(uint64_t count)
{
	size_t heights = 1;

	for (; count > 1; count >>= 1)
		heights++;
	return 2 * heights + 1; /* two of each height, and a leaf that was just put there */
}

/* The largest complete subtree that begins with leaf 'at' and has at most 'left' leaves, and is not too large to be hashed at once. */
static unsigned
subtree_height(uint64_t at, size_t left)
{
	unsigned height = 0;

	while (height < SUBTREE_HEIGHT && (at >> height & 1) == 0 && left >> (height + 1) != 0)
		height++;
	return height;
}

size_t
tlog_pieces(struct hasher *h, uint64_t first, const struct hash *leaf, size_t count,
	    struct tlog_piece *ret)
{
	uint64_t end = first;
	size_t n = 0;

	while (end < first + count) {
		unsigned height = subtree_height(end, (size_t)(first + count - end));

		ret[n].height = height;
		subtree(h, leaf + (end - first), height, &ret[n++].hash);
		end += UINT64_C(1) << height;
		/* While the last two have one height and end where their parent ends they are its children. */
		while (n >= 2 && ret[n - 2].height == ret[n - 1].height &&
		       (end >> ret[n - 1].height & 1) == 0) {
			struct tlog_piece *left = &ret[n - 2];

			tlog_node(h, &left->hash, &ret[n - 1].hash, &left->hash);
			left->height++;
			n--;
		}
	}
	return n;
}

void
tlog_range_join(struct tlog_range *r, struct hasher *h, const struct tlog_piece *piece,
		size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct hash node = piece[i].hash;
		unsigned height = piece[i].height;

		while ((r->size >> height & 1) != 0)
			tlog_node(h, &r->peak[height++], &node, &node);
		r->peak[height] = node;
		r->size += UINT64_C(1) << piece[i].height;
	}
}

void
tlog_range_add(struct tlog_range *r, struct hasher *h, const struct hash *leaf, tlog_node_fn fn,
	       void *user)
{
	struct hash node = *leaf;
	unsigned height = 0;

	if (fn != NULL)
		fn(user, 0, r->size, &node);
	/* Like adding one to a binary number: each set bit from the right is a peak that the new node completes. */
	while ((r->size >> height & 1) != 0) {
		tlog_node(h, &r->peak[height], &node, &node);
		height++;
		if (fn != NULL)
			fn(user, height, r->size >> height, &node);
	}
	r->peak[height] = node;
	r->size++;
}

void
tlog_range_root(const struct tlog_range *r, struct hasher *h, struct hash *ret)
{
	struct hash root;
	bool first = true;

	for (unsigned k = 0; k < TLOG_HEIGHT_MAX; k++) {
		if ((r->size >> k & 1) == 0)
			continue;
		if (first)
			root = r->peak[k];
		else
			tlog_node(h, &r->peak[k], &root, &root);
		first = false;
	}
	if (first)
		hasher_parts(h, NULL, 0, &root);
	*ret = root;
}
