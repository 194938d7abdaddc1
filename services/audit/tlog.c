/*
 * audit/tlog.c - hashes and the compact range of the Merkle tree; see tlog.h. Proofs are in proof.c.
 */
#include "audit/tlog.h"

#include <string.h>

static const uint8_t leaf_prefix = 0x00;
static const uint8_t node_prefix = 0x01;

void
tlog_leaf(struct hasher *h, const void *entry, size_t len, struct hash *ret)
{
	const struct hash_part parts[] = { { &leaf_prefix, 1 }, { entry, len } };

	hasher_parts(h, parts, 2, ret);
}

void
tlog_node(struct hasher *h, const struct hash *left, const struct hash *right, struct hash *ret)
{
	uint8_t both[1 + 2 * HASH_BYTES];
	const struct hash_part part = { both, sizeof(both) };

	both[0] = node_prefix;
	memcpy(both + 1, left->b, HASH_BYTES);
	memcpy(both + 1 + HASH_BYTES, right->b, HASH_BYTES);
	hasher_parts(h, &part, 1, ret);
}

bool
tlog_equal(const struct hash *a, const struct hash *b)
{
	return memcmp(a->b, b->b, HASH_BYTES) == 0;
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
