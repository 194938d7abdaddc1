/*
 * base/ranked.c - see ranked.h.
 */
#include "base/ranked.h"

#include "base/prng.h"

static uint32_t
count_of(const struct ranked_node *n)
{
	return n == NULL ? 0 : n->count;
}

static void
recount(struct ranked_node *n)
{
	n->count = 1 + count_of(n->left) + count_of(n->right);
}

static bool
is_before(const struct ranked_node *n, uint64_t key, uint64_t tie)
{
	return n->key < key || (n->key == key && n->tie < tie);
}

/* Where the tree points to 'n'. */
static struct ranked_node **
link_to(struct ranked *set, const struct ranked_node *n)
{
	if (n->parent == NULL)
		return &set->root;
	return n->parent->left == n ? &n->parent->left : &n->parent->right;
}

static void
replace(struct ranked *set, struct ranked_node *n, struct ranked_node *by)
{
	*link_to(set, n) = by;
	if (by != NULL)
		by->parent = n->parent;
}

/* 'n' takes the place of its parent, which becomes its child. */
static void
rotate_up(struct ranked *set, struct ranked_node *n)
{
	struct ranked_node *up = n->parent;
	bool from_left = up->left == n;
	struct ranked_node *inner = from_left ? n->right : n->left;

	replace(set, up, n);
	up->parent = n;
	if (from_left) {
		n->right = up;
		up->left = inner;
	} else {
		n->left = up;
		up->right = inner;
	}
	if (inner != NULL)
		inner->parent = up;
	recount(up);
	recount(n);
}

void
ranked_insert(struct ranked *set, struct ranked_node *n, uint64_t key, uint64_t tie)
{
	struct ranked_node **at = &set->root, *parent = NULL;
	uint64_t mixed = tie ^ set->salt;

	while (*at != NULL) {
		parent = *at;
		parent->count++;
		at = is_before(parent, key, tie) ? &parent->right : &parent->left;
	}
	*n = (struct ranked_node){ .parent = parent,
				   .key = key,
				   .tie = tie,
				   .weight = prng_splitmix(&mixed),
				   .count = 1 };
	*at = n;
	while (n->parent != NULL && n->weight > n->parent->weight)
		rotate_up(set, n);
}

void
ranked_remove(struct ranked *set, struct ranked_node *n)
{
	if (!ranked_linked(n))
		return;
	while (n->left != NULL && n->right != NULL)
		rotate_up(set, n->left->weight > n->right->weight ? n->left : n->right);
	replace(set, n, n->left != NULL ? n->left : n->right);
	for (struct ranked_node *up = n->parent; up != NULL; up = up->parent)
		up->count--;
	*n = (struct ranked_node){ 0 };
}

struct ranked_node *
ranked_first(const struct ranked *set)
{
	struct ranked_node *n = set->root;

	while (n != NULL && n->left != NULL)
		n = n->left;
	return n;
}

struct ranked_node *
ranked_next(const struct ranked_node *n)
{
	if (n->right != NULL) {
		for (n = n->right; n->left != NULL;)
			n = n->left;
		return (struct ranked_node *)n;
	}
	while (n->parent != NULL && n->parent->right == n)
		n = n->parent;
	return n->parent;
}

uint32_t
ranked_before(const struct ranked *set, uint64_t key, uint64_t tie)
{
	const struct ranked_node *n = set->root;
	uint32_t before = 0;

	while (n != NULL) {
		if (is_before(n, key, tie)) {
			before += 1 + count_of(n->left);
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return before;
}
