/*
 * audit/tlog.c - hashes and the compact range of the Merkle tree; see tlog.h. Proofs are in proof.c.
 */
#include "audit/tlog.h"

#include <string.h>

static const uint8_t leaf_prefix = 0x00;
static const uint8_t node_prefix = 0x01;

#define TOGETHER_BYTES 1024 /* up to which copying is cheaper than hashing in two parts */

void
tlog_leaf(struct hasher *h, const void *entry, size_t len, struct hash *ret)
{
	const struct hash_part parts[] = { { &leaf_prefix, 1 }, { entry, len } };
	uint8_t both[1 + TOGETHER_BYTES];
	const struct hash_part part = { both, 1 + len };

	if (len > TOGETHER_BYTES) {
		hasher_parts(h, parts, 2, ret);
		return;
	}
	both[0] = leaf_prefix;
	memcpy(both + 1, entry, len);
	hasher_parts(h, &part, 1, ret);
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

size_t
tlog_pieces_max(uint64_t count)
{
	size_t heights = 1;

	for (; count > 1; count >>= 1)
		heights++;
	return 2 * heights + 1; /* two of each height, and a leaf that was just put there */
}

size_t
tlog_pieces(struct hasher *h, uint64_t first, const struct hash *leaf, size_t count,
	    struct tlog_piece *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t end = first + i + 1;

		ret[n++] = (struct tlog_piece){ 0, leaf[i] };
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
