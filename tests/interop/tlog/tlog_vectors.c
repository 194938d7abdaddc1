/*
 * tests/interop/tlog/tlog_vectors.c - writes what this log's code makes of known entries, for verifiers that others wrote:
 * every proof of every tree of up to 300 leaves, Tessera's test log, and a log over the boundaries of tiles. Checks nothing
 * itself.
 *
 * usage: tlog-vectors FOLDER
 *   FOLDER/proofs        one a line: "r SIZE ROOT", "i SIZE INDEX HASHES", "c SIZE OLD HASHES"; hashes in hex, one string
 *   FOLDER/testdata      a log folder; published at each size from 1 to 15
 *   FOLDER/leaves        a log folder of "leaf 0", "leaf 1", …; published at each size of 'leaf_sizes'
 *   FOLDER/…-checkpoints/SIZE   each checkpoint that such a folder had
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/checkpoint.h"
#include "audit/store.h"
#include "base/hex.h"

#define PROOFS_MAX 300
#define SKEY                                                                                       \
	"PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"

static const char *const tessera_words[] = { "one",    "two",   "three",    "four",    "five",
					     "six",    "seven", "eit",      "nain",    "ten",
					     "ileven", "twelf", "threeten", "fourten", "fivten" };
static const uint64_t leaf_sizes[] = { 1, 2, 255, 256, 257, 511, 512, 65535, 65536, 65537, 70000 };

static void
die(const char *what, const struct im_err *err)
{
	(void)fprintf(stderr, "tlog-vectors: %s: %s\n", what, err != NULL ? err->text : "failed");
	exit(1);
}

/* The nodes of a tree of PROOFS_MAX leaves. */
struct nodes {
	struct hash at[10][PROOFS_MAX]; /* by height, then number */
};

static void
keep_node(void *user, unsigned height, uint64_t index, const struct hash *hash)
{
	struct nodes *n = user;

	n->at[height][index] = *hash;
}

static enum im_rc
read_node(void *user, unsigned height, uint64_t index, struct hash *ret, struct im_err *err)
{
	const struct nodes *n = user;

	(void)err;
	*ret = n->at[height][index];
	return IM_OK;
}

static void
put_proof(FILE *f, char kind, uint64_t size, uint64_t n, const struct tlog_proof *p)
{
	char hex[2 * HASH_BYTES + 1];

	(void)fprintf(f, "%c %" PRIu64 " %" PRIu64 " ", kind, size, n);
	for (size_t i = 0; i < p->count; i++) {
		hex_encode(p->hash[i].b, HASH_BYTES, hex);
		(void)fputs(hex, f);
	}
	(void)fputc('\n', f);
}

static void
put_proofs_of(FILE *f, struct hasher *h, struct nodes *nodes, const struct tlog_range *range)
{
	char hex[2 * HASH_BYTES + 1];
	uint64_t size = range->size;
	struct tlog_proof p;
	struct im_err err;
	struct hash root;

	tlog_range_root(range, h, &root);
	hex_encode(root.b, HASH_BYTES, hex);
	(void)fprintf(f, "r %" PRIu64 " %s\n", size, hex);
	for (uint64_t i = 0; i < size; i++) {
		if (tlog_prove_inclusion(h, i, size, read_node, nodes, &p, &err) != IM_OK)
			die("inclusion", &err);
		put_proof(f, 'i', size, i, &p);
	}
	for (uint64_t old = 1; old <= size; old++) {
		if (tlog_prove_consistency(h, old, size, read_node, nodes, &p, &err) != IM_OK)
			die("consistency", &err);
		put_proof(f, 'c', size, old, &p);
	}
}

static void
put_proofs(struct hasher *h, const char *dir)
{
	struct nodes *nodes = calloc(1, sizeof(*nodes));
	struct tlog_range range = { 0 };
	char path[DISK_PATH_MAX], entry[32];
	FILE *f;

	if (nodes == NULL || disk_path(path, dir, "proofs", NULL) != IM_OK ||
	    (f = fopen(path, "we")) == NULL)
		die("proofs", NULL);
	for (unsigned i = 0; i < PROOFS_MAX; i++) {
		struct hash leaf;
		int len = snprintf(entry, sizeof(entry), "leaf %u", i);

		tlog_leaf(h, entry, (size_t)len, &leaf);
		tlog_range_add(&range, h, &leaf, keep_node, nodes);
		put_proofs_of(f, h, nodes, &range);
	}
	if (fclose(f) != 0)
		die(path, NULL);
	free(nodes);
}

/* A log folder that grows. */
struct grower {
	struct hasher *h;
	struct store store;
	struct tlog_range range;
	struct note_signer signer;
	const char *const *words; /* NULL = "leaf N" */
	char checkpoints[DISK_PATH_MAX];
};

static void
grower_open(struct grower *g, struct hasher *h, const char *out, const char *name)
{
	char dir[DISK_PATH_MAX], kept[64];
	struct im_err err = { 0 };

	*g = (struct grower){ .h = h };
	(void)snprintf(kept, sizeof(kept), "%s-checkpoints", name);
	if (disk_path(dir, out, name, &err) != IM_OK ||
	    disk_path(g->checkpoints, out, kept, &err) != IM_OK ||
	    disk_mkdirs(&disk_posix, dir, &err) != IM_OK ||
	    disk_mkdirs(&disk_posix, g->checkpoints, &err) != IM_OK ||
	    store_open(&g->store, &disk_posix, dir, 0, NULL, &err) != IM_OK ||
	    note_signer_parse(SKEY, &g->signer, &err) != IM_OK)
		die(out, &err);
}

static void
grower_done(struct grower *g)
{
	store_done(&g->store);
	note_signer_done(&g->signer);
}

/* Add entries up to 'size' and publish. */
static void
grow_to(struct grower *g, uint64_t size)
{
	struct chunk c = { .first = g->range.size, .count = (uint32_t)(size - g->range.size) };
	struct buf records = { 0 }, checkpoint = { 0 };
	struct im_err err = { 0 };
	char entry[32], path[DISK_PATH_MAX];

	c.leaf = calloc(c.count, sizeof(*c.leaf));
	if (c.leaf == NULL)
		die("memory", NULL);
	for (uint32_t i = 0; i < c.count; i++) {
		int len = g->words != NULL
			      ? snprintf(entry, sizeof(entry), "%s", g->words[c.first + i])
			      : snprintf(entry, sizeof(entry), "leaf %" PRIu64, c.first + i);

		if (!bundle_put(&records, entry, (size_t)len))
			die("memory", NULL);
		tlog_leaf(g->h, entry, (size_t)len, &c.leaf[i]);
		tlog_range_add(&g->range, g->h, &c.leaf[i], NULL, NULL);
	}
	c.records = records.data;
	c.records_len = records.len;
	tlog_range_root(&g->range, g->h, &c.root);
	(void)snprintf(entry, sizeof(entry), "%" PRIu64, size);
	if (checkpoint_sign(&g->signer, size, &c.root, &checkpoint, &err) != IM_OK ||
	    store_add(&g->store, &c, &err) != IM_OK ||
	    store_publish(&g->store, buf_cstr(&checkpoint), checkpoint.len, &err) != IM_OK ||
	    disk_path(path, g->checkpoints, entry, &err) != IM_OK ||
	    disk_replace(&disk_posix, path, checkpoint.data, checkpoint.len, &err) != IM_OK)
		die(g->checkpoints, &err);
	free(c.leaf);
	buf_done(&records);
	buf_done(&checkpoint);
}

static void
make_testdata(struct hasher *h, const char *out)
{
	struct grower g;

	grower_open(&g, h, out, "testdata");
	g.words = tessera_words;
	for (uint64_t n = 1; n <= sizeof(tessera_words) / sizeof(tessera_words[0]); n++)
		grow_to(&g, n);
	grower_done(&g);
}

static void
make_leaves(struct hasher *h, const char *out)
{
	struct grower g;

	grower_open(&g, h, out, "leaves");
	for (size_t i = 0; i < sizeof(leaf_sizes) / sizeof(leaf_sizes[0]); i++)
		grow_to(&g, leaf_sizes[i]);
	grower_done(&g);
}

int
main(int argc, char **argv)
{
	struct hasher h;
	struct im_err err;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: tlog-vectors FOLDER\n");
		return 2;
	}
	if (hasher_init(&h, &err) != IM_OK || disk_mkdirs(&disk_posix, argv[1], &err) != IM_OK)
		die(argv[1], &err);
	put_proofs(&h, argv[1]);
	make_testdata(&h, argv[1]);
	make_leaves(&h, argv[1]);
	hasher_done(&h);
	return 0;
}
