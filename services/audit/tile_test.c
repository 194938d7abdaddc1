/*
 * audit/tile_test.c - tile paths, widths, bundles, and the right edge put together again from tiles.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/tile.h"
#include "base/hex.h"

static void
check_path(int level, uint64_t n, unsigned width, const char *want)
{
	struct tile t = { level, width, n }, back;
	char path[TILE_PATH_MAX];

	tile_path(&t, path);
	assert_string_equal(path, want);
	assert_true(tile_path_parse(want, &back));
	assert_int_equal(back.level, level);
	assert_int_equal(back.n, n);
	assert_int_equal(back.width, width);
}

static void
test_tile_path_of_known_tiles_both_ways(void **state)
{
	(void)state;
	check_path(0, 0, 256, "tile/0/000");
	check_path(0, 1234067, 256, "tile/0/x001/x234/067");
	check_path(2, 1000, 1, "tile/2/x001/000.p/1");
	check_path(TILE_ENTRIES, 273, 112, "tile/entries/273.p/112");
	check_path(63, 999, 255, "tile/63/999.p/255");
	check_path(7, UINT64_MAX, 9, "tile/7/x018/x446/x744/x073/x709/x551/615.p/9");
}

static void
test_tile_path_with_another_spelling_is_refused(void **state)
{
	static const char *const bad[] = { "",
					   "tile",
					   "tile/0",
					   "tile/0/",
					   "tile/0/0",
					   "tile/0/0000",
					   "tile/00/000",
					   "tile/64/000",
					   "tile/-1/000",
					   "tile/0/x000/000",
					   "tile/0/x001",
					   "tile/0/001/000",
					   "tile/0/x001/x000",
					   "tile/0/000.p",
					   "tile/0/000.p/",
					   "tile/0/000.p/0",
					   "tile/0/000.p/256",
					   "tile/0/000.p/01",
					   "tile/0/000.p/1/",
					   "tile/0/000/",
					   "/tile/0/000",
					   "tile/entries/00a",
					   "tile/entries",
					   "tile/data/000",
					   "tile/0/x018/x446/x744/x073/x709/x551/616",
					   "tile/0/x001/x018/x446/x744/x073/x709/x551/616",
					   "tile/0/+01",
					   "tile/ 0/000" };
	struct tile t;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (tile_path_parse(bad[i], &t))
			fail_msg("'%s' was taken", bad[i]);
}

static void
test_tile_width_of_size_70000_is_as_specified(void **state)
{
	(void)state;
	assert_int_equal(tile_width(70000, 0, 272), 256);
	assert_int_equal(tile_width(70000, 0, 273), 112);
	assert_int_equal(tile_width(70000, 0, 274), 0);
	assert_int_equal(tile_width(70000, 1, 0), 256);
	assert_int_equal(tile_width(70000, 1, 1), 17);
	assert_int_equal(tile_width(70000, 2, 0), 1);
	assert_int_equal(tile_width(70000, 3, 0), 0);
	assert_int_equal(tile_width(70000, TILE_ENTRIES, 273), 112);
	assert_int_equal(tile_width(256, 0, 0), 256);
	assert_int_equal(tile_width(256, 0, 1), 0);
	assert_int_equal(tile_width(65536, 1, 0), 256);
	assert_int_equal(tile_width(65536, 2, 0), 1);
	assert_int_equal(tile_width(UINT64_MAX, 8, 0), 0);
}

static void
test_bundle_golden_bytes_and_every_truncation(void **state)
{
	static const uint8_t golden[] = { 0,   3, 'o', 'n', 'e', 0,   3,   't', 'w',
					  'o', 0, 5,   't', 'h', 'r', 'e', 'e' };
	struct buf b = { 0 };

	(void)state;
	assert_true(bundle_put(&b, "one", 3) && bundle_put(&b, "two", 3) &&
		    bundle_put(&b, "three", 5));
	assert_int_equal(b.len, sizeof(golden));
	assert_memory_equal(b.data, golden, sizeof(golden));
	assert_true(bundle_check(golden, sizeof(golden), 3));
	assert_false(bundle_check(golden, sizeof(golden), 2));
	assert_false(bundle_check(golden, sizeof(golden), 4));
	for (size_t len = 0; len < sizeof(golden); len++) {
		uint8_t *exact =
		    malloc(len + 1); /* on the heap, so that reading past it is noticed */

		assert_non_null(exact);
		memcpy(exact, golden, len);
		assert_false(bundle_check(exact, len, 3));
		free(exact);
	}
	buf_done(&b);
}

struct disk {
	struct {
		struct tile tile;
		struct hash hash[TILE_WIDTH];
	} full[600];
	unsigned count;
	struct tile_edge edge;
};

static void
keep_full(void *user, int level, uint64_t n, const struct hash *hash)
{
	struct disk *d = user;

	d->full[d->count].tile = (struct tile){ level, TILE_WIDTH, n };
	memcpy(d->full[d->count++].hash, hash, TILE_BYTES);
}

static enum im_rc
read_kept(void *user, const struct tile *t, struct hash *ret, struct im_err *err)
{
	struct disk *d = user;

	(void)err;
	for (unsigned i = 0; i < d->count; i++)
		if (d->full[i].tile.level == t->level && d->full[i].tile.n == t->n) {
			memcpy(ret, d->full[i].hash, t->width * sizeof(*ret));
			return IM_OK;
		}
	assert_int_equal(d->edge.level[t->level].n, t->n);
	assert_true(t->width <= d->edge.level[t->level].count);
	memcpy(ret, d->edge.level[t->level].hash, t->width * sizeof(*ret));
	return IM_OK;
}

static void
test_edge_loaded_at_any_size_goes_on_as_the_one_that_grew(void **state)
{
	static const uint64_t sizes[] = { 1,   2,     255,   256,   257,   511,
					  512, 65535, 65536, 65537, 66000, 70000 };
	struct disk *d = calloc(1, sizeof(*d));
	struct tile_edge *e = calloc(1, sizeof(*e));
	struct hasher h;
	struct hash leaf;

	(void)state;
	assert_non_null(d);
	assert_non_null(e);
	assert_int_equal(hasher_init(&h, NULL), IM_OK);
	for (uint64_t i = 0, at = 0; i < 70001; i++) {
		tlog_leaf(&h, &i, sizeof(i), &leaf);
		if (at < sizeof(sizes) / sizeof(sizes[0]) && i == sizes[at]) {
			struct hash want, got;

			assert_int_equal(tile_edge_load(e, &h, i, read_kept, d, NULL), IM_OK);
			tlog_range_root(&d->edge.range, &h, &want);
			tlog_range_root(&e->range, &h, &got);
			assert_memory_equal(&want, &got, sizeof(want));
			for (int l = 0; l < TILE_LEVELS; l++) {
				assert_int_equal(e->level[l].n, d->edge.level[l].n);
				assert_int_equal(e->level[l].count, d->edge.level[l].count);
			}
			at++;
		}
		tile_edge_add(&d->edge, &h, &leaf, keep_full, d);
	}
	hasher_done(&h);
	free(e);
	free(d);
}

static void
test_bundle_leaves_of_whole_and_cut_bundles_are_those_of_its_entries(void **state)
{
	static uint8_t entry[300];
	struct hash want[200], got[200];
	struct buf b = BUF_INIT(0);
	struct hasher h;

	(void)state;
	assert_int_equal(hasher_init(&h, NULL), IM_OK);
	assert_int_equal(bundle_leaves(&h, NULL, 0, 0, NULL), 0);
	for (size_t n = 0; n < 200; n++) {
		size_t len = n * 7 % sizeof(entry);

		memset(entry, (int)n, len);
		assert_true(bundle_put(&b, entry, len));
		tlog_leaf(&h, entry, len, &want[n]);
		memset(got, 0, sizeof(got));
		assert_int_equal(bundle_leaves(&h, b.data, b.len, 200, got), n + 1);
		assert_memory_equal(got, want, (n + 1) * sizeof(*want));
		memset(got, 0, sizeof(got));
		assert_int_equal(bundle_leaves(&h, b.data, b.len, n, got), n);
		assert_memory_equal(got, want, n * sizeof(*want));
		assert_int_equal(bundle_leaves(&h, b.data, b.len - 1, n + 1, got), n);
	}
	buf_done(&b);
	hasher_done(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tile_path_of_known_tiles_both_ways),
		cmocka_unit_test(test_tile_path_with_another_spelling_is_refused),
		cmocka_unit_test(test_tile_width_of_size_70000_is_as_specified),
		cmocka_unit_test(test_bundle_golden_bytes_and_every_truncation),
		cmocka_unit_test(
		    test_bundle_leaves_of_whole_and_cut_bundles_are_those_of_its_entries),
		cmocka_unit_test(test_edge_loaded_at_any_size_goes_on_as_the_one_that_grew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
