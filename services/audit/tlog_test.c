/*
 * audit/tlog_test.c - the tree against known answers and against a second, recursive implementation of RFC 6962 here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/disk.h"
#include "audit/tile.h"
#include "audit/tlog.h"
#include "base/hex.h"
#include "base/json.h"

#define SIZE_MAX_TESTED 300

static struct hasher h;

static int
setup(void **state)
{
	(void)state;
	return hasher_init(&h, NULL) == IM_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	hasher_done(&h);
	return 0;
}

static void
assert_hex(const struct hash *hash, const char *hex)
{
	char text[2 * HASH_BYTES + 1];

	hex_encode(hash->b, HASH_BYTES, text);
	assert_string_equal(text, hex);
}

static void
assert_b64(const struct hash *hash, const char *b64, size_t len)
{
	char text[BASE64_LEN(HASH_BYTES) + 1];

	base64_encode(hash->b, HASH_BYTES, text);
	assert_int_equal(strlen(text), len);
	assert_memory_equal(text, b64, len);
}

/* The definition, word for word: MTH of leaves [lo, hi). */
static void
mth(const struct hash *leaf, size_t lo, size_t hi, struct hash *ret)
{
	struct hash left, right;
	size_t k = 1;

	if (hi - lo == 0) {
		hasher_parts(&h, NULL, 0, ret);
		return;
	}
	if (hi - lo == 1) {
		*ret = leaf[lo];
		return;
	}
	while (k * 2 < hi - lo)
		k *= 2;
	mth(leaf, lo, lo + k, &left);
	mth(leaf, lo + k, hi, &right);
	tlog_node(&h, &left, &right, ret);
}

/* Root that an inclusion proof leads to, from the top down: independent of the walk in proof.c. */
static bool
root_from(const struct hash *leaf, uint64_t m, uint64_t n, const struct hash *proof, size_t count,
	  struct hash *ret)
{
	struct hash sub;
	uint64_t k = 1;

	if (n == 1) {
		*ret = *leaf;
		return count == 0;
	}
	if (count == 0)
		return false;
	while (k * 2 < n)
		k *= 2;
	if (m < k) {
		if (!root_from(leaf, m, k, proof, count - 1, &sub))
			return false;
		tlog_node(&h, &sub, &proof[count - 1], ret);
	} else {
		if (!root_from(leaf, m - k, n - k, proof, count - 1, &sub))
			return false;
		tlog_node(&h, &proof[count - 1], &sub, ret);
	}
	return true;
}

static struct hash leaves[SIZE_MAX_TESTED];
static struct hash nodes[10][SIZE_MAX_TESTED];

static void
keep_node(void *user, unsigned height, uint64_t index, const struct hash *hash)
{
	(void)user;
	nodes[height][index] = *hash;
}

static enum im_rc
read_node(void *user, unsigned height, uint64_t index, struct hash *ret, struct im_err *err)
{
	const uint64_t *size = user;

	(void)err;
	/* A proof may only use nodes that are complete in the tree it is about. */
	assert_true((index + 1) << height <= *size);
	*ret = nodes[height][index];
	return IM_OK;
}

static void
fill_leaves(void)
{
	struct tlog_range r = { 0 };

	for (uint32_t i = 0; i < SIZE_MAX_TESTED; i++) {
		tlog_leaf(&h, &i, sizeof(i), &leaves[i]);
		tlog_range_add(&r, &h, &leaves[i], keep_node, NULL);
	}
}

static void
test_tlog_known_hashes_match(void **state)
{
	static const char *const entries[] = { "",
					       "00",
					       "10",
					       "2021",
					       "3031",
					       "40414243",
					       "5051525354555657",
					       "606162636465666768696a6b6c6d6e6f" };
	struct tlog_range r = { 0 };
	struct hash a, b, hash;

	(void)state;
	tlog_leaf(&h, "", 0, &hash);
	assert_hex(&hash, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
	tlog_leaf(&h, "L123456", 7, &hash);
	assert_hex(&hash, "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
	{
		static const uint8_t node[] = "\x01N123N456";
		const struct hash_part part = { node, 9 };

		hasher_parts(
		    &h, &part, 1,
		    &hash); /* children that are no hashes: only the prefix is ours to check */
		assert_hex(&hash,
			   "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb");
	}
	tlog_range_root(&r, &h, &hash);
	assert_hex(&hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	for (size_t i = 0; i < 8; i++) {
		uint8_t raw[16];

		assert_true(hex_decode(entries[i], raw, strlen(entries[i]) / 2));
		tlog_leaf(&h, raw, strlen(entries[i]) / 2, &a);
		tlog_range_add(&r, &h, &a, NULL, NULL);
		if (i == 2) {
			tlog_range_root(&r, &h, &b);
			assert_hex(
			    &b, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
		}
	}
	tlog_range_root(&r, &h, &b);
	assert_hex(&b, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
}

static struct json_span
vector(const struct buf *text, const char *name)
{
	struct json_span whole = { (const char *)text->data, text->len }, value;

	assert_true(json_member(whole, name, &value));
	return value;
}

static void
test_tlog_tessera_roots_and_proofs_match(void **state)
{
	static const char *const words[] = { "one",    "two",   "three",    "four",    "five",
					     "six",    "seven", "eit",      "nain",    "ten",
					     "ileven", "twelf", "threeten", "fourten", "fivten" };
	struct buf text = { 0 };
	struct tlog_range r = { 0 };
	struct json_iter roots, hashes;
	struct json_span name, value;
	struct tlog_proof proof;
	uint64_t size = 15;
	struct hash root;
	size_t i;

	(void)state;
	assert_int_equal(disk_read("tests/vectors/tlog-kat.json", 65536, &text, NULL), IM_OK);
	assert_true(json_iter_init(&roots, vector(&text, "roots")));
	assert_true(json_iter_init(&hashes, vector(&text, "leafhashes")));
	for (i = 0; i <= 15; i++) {
		assert_true(json_iter_next(&roots, &name, &value));
		tlog_range_root(&r, &h, &root);
		assert_b64(&root, value.at + 1, value.len - 2);
		if (i == 15)
			break;
		tlog_leaf(&h, words[i], strlen(words[i]), &leaves[i]);
		assert_true(json_iter_next(&hashes, &name, &value));
		assert_b64(&leaves[i], value.at + 1, value.len - 2);
		tlog_range_add(&r, &h, &leaves[i], keep_node, NULL);
	}
	assert_int_equal(tlog_prove_inclusion(&h, 5, 15, read_node, &size, &proof, NULL), IM_OK);
	assert_true(json_iter_init(&hashes, vector(&text, "incl_5_15")));
	for (i = 0; json_iter_next(&hashes, &name, &value); i++)
		assert_b64(&proof.hash[i], value.at + 1, value.len - 2);
	assert_int_equal(i, proof.count);
	assert_int_equal(tlog_prove_consistency(&h, 3, 15, read_node, &size, &proof, NULL), IM_OK);
	assert_true(json_iter_init(&hashes, vector(&text, "cons_3_15")));
	for (i = 0; json_iter_next(&hashes, &name, &value); i++)
		assert_b64(&proof.hash[i], value.at + 1, value.len - 2);
	assert_int_equal(i, proof.count);
	buf_done(&text);
}

static void
test_tlog_range_of_every_size_has_the_recursive_root(void **state)
{
	struct tlog_range r = { 0 };
	struct hash want, got;

	(void)state;
	fill_leaves();
	for (size_t size = 0; size <= SIZE_MAX_TESTED; size++) {
		mth(leaves, 0, size, &want);
		tlog_range_root(&r, &h, &got);
		assert_memory_equal(&want, &got, sizeof(want));
		if (size < SIZE_MAX_TESTED)
			tlog_range_add(&r, &h, &leaves[size], NULL, NULL);
	}
}

/* Wherever a run of leaves begins and ends: joined to the tree before it, it makes the tree that one leaf after the other makes. */
static void
test_tlog_pieces_of_any_run_join_to_the_same_tree(void **state)
{
	struct tlog_piece piece[32];
	struct tlog_range before = { 0 };

	(void)state;
	fill_leaves();
	for (size_t first = 0; first < 80; first++) {
		struct tlog_range one_by_one = before;

		for (size_t count = 1; first + count <= 220; count++) {
			struct tlog_range joined = before;
			size_t n;

			assert_in_range(tlog_pieces_max(count), 1, 32);
			n = tlog_pieces(&h, first, &leaves[first], count, piece);
			assert_in_range(n, 1, tlog_pieces_max(count) - 1);
			tlog_range_join(&joined, &h, piece, n);
			tlog_range_add(&one_by_one, &h, &leaves[first + count - 1], NULL, NULL);
			assert_int_equal(joined.size, one_by_one.size);
			for (unsigned k = 0; k < TLOG_HEIGHT_MAX; k++)
				if ((joined.size >> k & 1) != 0)
					assert_memory_equal(&joined.peak[k], &one_by_one.peak[k],
							    HASH_BYTES);
		}
		tlog_range_add(&before, &h, &leaves[first], NULL, NULL);
	}
}

static void
test_tlog_every_inclusion_proof_verifies_and_no_other_leaf(void **state)
{
	struct hash root, got;
	struct tlog_proof p;
	unsigned long proofs = 0;

	(void)state;
	fill_leaves();
	for (uint64_t size = 1; size <= SIZE_MAX_TESTED; size++) {
		mth(leaves, 0, size, &root);
		for (uint64_t i = 0; i < size; i++) {
			assert_int_equal(
			    tlog_prove_inclusion(&h, i, size, read_node, &size, &p, NULL), IM_OK);
			assert_true(root_from(&leaves[i], i, size, p.hash, p.count, &got));
			assert_memory_equal(&root, &got, sizeof(root));
			assert_int_equal(
			    tlog_check_inclusion(&h, &leaves[i], i, size, &p, &root, NULL), IM_OK);
			assert_int_equal(tlog_check_inclusion(&h,
							      &leaves[(i + 1) % SIZE_MAX_TESTED], i,
							      size, &p, &root, NULL),
					 IM_ECORRUPT);
			if (p.count > 0) {
				p.count--;
				assert_int_equal(
				    tlog_check_inclusion(&h, &leaves[i], i, size, &p, &root, NULL),
				    IM_ECORRUPT);
				p.count++;
				p.hash[i % p.count].b[0] ^= 1;
				assert_int_equal(
				    tlog_check_inclusion(&h, &leaves[i], i, size, &p, &root, NULL),
				    IM_ECORRUPT);
			}
			proofs++;
		}
		assert_int_equal(tlog_prove_inclusion(&h, size, size, read_node, &size, &p, NULL),
				 IM_EINVAL);
	}
	print_message("%lu inclusion proofs\n", proofs);
}

static void
test_tlog_every_consistency_proof_verifies_and_no_fork(void **state)
{
	struct hash root, old_root, other;
	struct tlog_proof p;
	unsigned long proofs = 0;

	(void)state;
	fill_leaves();
	for (uint64_t size = 1; size <= SIZE_MAX_TESTED; size++) {
		mth(leaves, 0, size, &root);
		for (uint64_t old = 0; old <= size; old++) {
			mth(leaves, 0, old, &old_root);
			assert_int_equal(
			    tlog_prove_consistency(&h, old, size, read_node, &size, &p, NULL),
			    IM_OK);
			assert_int_equal(
			    tlog_check_consistency(&h, old, &old_root, size, &root, &p, NULL),
			    IM_OK);
			proofs++;
			if (old == 0)
				continue;
			other = old_root;
			other.b[31] ^= 1;
			assert_int_equal(
			    tlog_check_consistency(&h, old, &other, size, &root, &p, NULL),
			    IM_ECORRUPT);
			if (p.count > 0) {
				p.hash[p.count - 1].b[7] ^= 0x80;
				assert_int_equal(tlog_check_consistency(&h, old, &old_root, size,
									&root, &p, NULL),
						 IM_ECORRUPT);
			}
		}
		assert_int_equal(
		    tlog_prove_consistency(&h, size + 1, size, read_node, &size, &p, NULL),
		    IM_EINVAL);
	}
	print_message("%lu consistency proofs\n", proofs);
}

static void
test_tlog_large_roots_and_tile_counts_match(void **state)
{
	struct tile_edge *e = calloc(1, sizeof(*e));
	struct hash leaf, root;

	(void)state;
	assert_non_null(e);
	for (unsigned i = 0; i < 70000; i++) {
		char text[32];

		tlog_leaf(&h, text, (size_t)snprintf(text, sizeof(text), "leaf %u", i), &leaf);
		tile_edge_add(e, &h, &leaf, NULL, NULL);
		if (i + 1 == 256) {
			tlog_range_root(&e->range, &h, &root);
			assert_b64(&root, "z17/2xHQknou31Ow5zx4N/ZZQU4AU32l2Q61xMSf8nQ=", 44);
			assert_int_equal(e->level[0].count, 0);
			assert_int_equal(e->level[1].count, 1);
			assert_memory_equal(&e->level[1].hash[0], &root, sizeof(root));
		}
		if (i + 1 == 65536) {
			tlog_range_root(&e->range, &h, &root);
			assert_int_equal(e->level[0].count + e->level[1].count, 0);
			assert_memory_equal(&e->level[2].hash[0], &root, sizeof(root));
		}
	}
	tlog_range_root(&e->range, &h, &root);
	assert_b64(&root, "2gUy/3su5W9AZxEPyWTp8ntZWflSe//z+lAap1hN6vM=", 44);
	assert_int_equal(e->level[0].n, 273);
	assert_int_equal(e->level[0].count, 112);
	assert_int_equal(e->level[1].n, 1);
	assert_int_equal(e->level[1].count, 17);
	assert_int_equal(e->level[2].count, 1);
	free(e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tlog_known_hashes_match),
		cmocka_unit_test(test_tlog_tessera_roots_and_proofs_match),
		cmocka_unit_test(test_tlog_range_of_every_size_has_the_recursive_root),
		cmocka_unit_test(test_tlog_pieces_of_any_run_join_to_the_same_tree),
		cmocka_unit_test(test_tlog_every_inclusion_proof_verifies_and_no_other_leaf),
		cmocka_unit_test(test_tlog_every_consistency_proof_verifies_and_no_fork),
		cmocka_unit_test(test_tlog_large_roots_and_tile_counts_match),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
