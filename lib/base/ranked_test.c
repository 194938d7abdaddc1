/*
 * base/ranked_test.c - the ordered set against a sorted array, in random orders of coming and leaving.
 */
#include "base/ranked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/prng.h"

#define NODES 300

struct thing {
	struct ranked_node node;
	uint64_t key;
	bool in;
};

static int
by_place(const void *a, const void *b)
{
	const struct thing *x = *(const struct thing *const *)a,
			   *y = *(const struct thing *const *)b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* Every subtree counts itself and no child weighs more than its parent. Returns its height. */
static uint32_t
check_tree(const struct ranked_node *n)
{
	uint32_t left, right;

	if (n == NULL)
		return 0;
	left = check_tree(n->left);
	right = check_tree(n->right);
	assert_int_equal(n->count, 1 + (n->left == NULL ? 0 : n->left->count) +
				       (n->right == NULL ? 0 : n->right->count));
	for (const struct ranked_node *child = n->left; child != NULL;
	     child = child == n->left ? n->right : NULL) {
		assert_ptr_equal(child->parent, n);
		assert_true(child->weight <= n->weight);
	}
	return 1 + (left > right ? left : right);
}

static void
check_order(const struct ranked *set, struct thing *things)
{
	struct thing *sorted[NODES];
	struct ranked_node *n = ranked_first(set);
	uint32_t count = 0;

	for (size_t i = 0; i < NODES; i++) {
		if (things[i].in)
			sorted[count++] = &things[i];
	}
	qsort(sorted, count, sizeof(struct thing *), by_place);
	assert_int_equal(ranked_count(set), count);
	for (uint32_t i = 0; i < count; i++) {
		assert_non_null(n);
		assert_ptr_equal(CONTAINER_OF(n, struct thing, node), sorted[i]);
		assert_int_equal(ranked_before(set, n->key, n->tie), i);
		n = ranked_next(n);
	}
	assert_null(n);
	assert_int_equal(ranked_before(set, UINT64_MAX, UINT64_MAX), count);
	assert_int_equal(ranked_before(set, 0, 0), 0);
}

static void
test_ranked_random_comings_and_leavings_keep_order_and_ranks(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct thing things[NODES] = { 0 };
		struct ranked set = { .salt = seed };
		struct prng p;

		prng_seed(&p, seed);
		for (int step = 0; step < 1500; step++) {
			size_t i = prng_below(&p, NODES);

			if (things[i].in) {
				ranked_remove(&set, &things[i].node);
				assert_false(ranked_linked(&things[i].node));
			} else {
				things[i].key = prng_below(&p, 40); /* many are equal */
				ranked_insert(&set, &things[i].node, things[i].key, i + 1);
			}
			things[i].in = !things[i].in;
			(void)check_tree(set.root);
			if (step % 25 == 0)
				check_order(&set, things);
		}
	}
}

static void
test_ranked_removal_of_a_stranger_does_nothing(void **state)
{
	struct ranked set = { 0 };
	struct ranked_node in = { 0 }, out = { 0 };

	(void)state;
	ranked_insert(&set, &in, 5, 1);
	ranked_remove(&set, &out);
	assert_int_equal(ranked_count(&set), 1);
	ranked_remove(&set, &in);
	ranked_remove(&set, &in);
	assert_int_equal(ranked_count(&set), 0);
	assert_null(ranked_first(&set));
}

static void
test_ranked_ascending_keys_stay_shallow(void **state)
{
	static struct ranked_node nodes[100000];
	struct ranked set = { .salt = 7 };

	(void)state;
	for (size_t i = 0; i < 100000; i++)
		ranked_insert(&set, &nodes[i], i, i + 1);
	/* A random search tree of n nodes is about 2 ln n deep on average: 23; this one is always the same. */
	assert_in_range(check_tree(set.root), 17, 60);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranked_random_comings_and_leavings_keep_order_and_ranks),
		cmocka_unit_test(test_ranked_removal_of_a_stranger_does_nothing),
		cmocka_unit_test(test_ranked_ascending_keys_stay_shallow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
