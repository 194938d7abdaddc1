/*
 * base/ranked.h - an ordered set whose nodes know how many stand before them. The node lives in its element, so nothing is
 * allocated and anybody may leave from anywhere. A treap: a search tree by (key, tie) and at the same time a heap by a
 * number made from 'tie', which balances it as if the nodes had come in random order.
 *
 * Costs O(log n) expected, if nobody outside can guess the salt. Source: C. Aragon, R. Seidel, "Randomized search trees",
 * 1989; the counts of subtrees as in Cormen et al., "Introduction to Algorithms", chapter 14.
 */
#ifndef BASE_RANKED_H
#define BASE_RANKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised. */
struct ranked_node {
	struct ranked_node *parent, *left, *right;
	uint64_t key, tie, weight;
	uint32_t count; /* nodes of its subtree; 0 = not in a set */
};

/* Zero-initialised; 'salt' may be set while it is empty. */
struct ranked {
	struct ranked_node *root;
	uint64_t salt;
};

/** Put 'n', which is in no set, at its place: ascending by 'key', then by 'tie', which is unique in the set. */
void ranked_insert(struct ranked *set, struct ranked_node *n, uint64_t key, uint64_t tie);

/** Take it out. Nothing happens if it is in no set; it must not be in another one. */
void ranked_remove(struct ranked *set, struct ranked_node *n);

/** The first node, or NULL. */
struct ranked_node *ranked_first(const struct ranked *set);

/** The node behind 'n', or NULL. */
struct ranked_node *ranked_next(const struct ranked_node *n);

/** How many nodes stand before the place (key, tie). */
uint32_t ranked_before(const struct ranked *set, uint64_t key, uint64_t tie);

static inline uint32_t
ranked_count(const struct ranked *set)
{
	return set->root == NULL ? 0 : set->root->count;
}

static inline bool
ranked_linked(const struct ranked_node *n)
{
	return n->count > 0;
}

#endif
