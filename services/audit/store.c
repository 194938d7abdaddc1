/*
 * audit/store.c - writing tiles, bundles and the checkpoint file; see store.h.
 *
 * Order: full tiles and bundles, then partial ones, each synced before it gets its name; then the folders; then the
 * checkpoint. So a checkpoint that can be read never names a tile that cannot.
 */
#include "audit/store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/source.h"

void
chunk_free(struct chunk *c)
{
	if (c == NULL)
		return;
	if (c->home != NULL)
		bytes_unref(c->home);
	else
		free(c->records);
	free(c->leaf);
	free(c->checkpoint);
	free(c);
}

size_t
chunk_bytes(const struct chunk *c)
{
	return sizeof(*c) + c->records_len + c->count * sizeof(*c->leaf) + c->checkpoint_len;
}

enum im_rc
store_read_tile(const char *dir, const struct tile *t, struct buf *out, struct im_err *err)
{
	struct audit_source folder;

	source_folder(&folder, dir);
	return source_tile(&folder, t, out, err);
}

static enum im_rc
read_edge_tile(void *user, const struct tile *t, struct hash *ret_hashes, struct im_err *err)
{
	const struct store *s = user;
	struct buf b = { 0 };
	enum im_rc rc = store_read_tile(s->dir, t, &b, err);

	if (rc == IM_OK)
		memcpy(ret_hashes, b.data, t->width * HASH_BYTES);
	buf_done(&b);
	return rc;
}

/* The entries after the last full bundle. */
static enum im_rc
read_edge_bundle(struct store *s, uint64_t size, struct im_err *err)
{
	struct tile t = { TILE_ENTRIES, (unsigned)(size % TILE_WIDTH), size / TILE_WIDTH };
	struct buf b = { 0 };
	struct bundle_iter it;
	const uint8_t *entry;
	size_t len;
	enum im_rc rc;

	if (t.width == 0)
		return IM_OK;
	rc = store_read_tile(s->dir, &t, &b, err);
	it = (struct bundle_iter){ b.data, b.len };
	for (unsigned i = 0; i < t.width && rc == IM_OK; i++) {
		struct hash leaf;

		if (!bundle_next(&it, &entry, &len))
			rc = err_set(err, IM_ECORRUPT, "the entry bundle %llu is too short",
				     (unsigned long long)t.n);
		else if (!bundle_put(&s->bundle, entry, len))
			rc = err_set(err, IM_ENOMEM, "no memory for an entry bundle");
		if (rc != IM_OK)
			break;
		tlog_leaf(&s->hasher, entry, len, &leaf);
		if (!tlog_equal(&leaf, &s->edge.level[0].hash[i]))
			rc = err_set(err, IM_ECORRUPT,
				     "entry %llu does not have the hash that its tile says",
				     (unsigned long long)t.n * TILE_WIDTH + i);
	}
	buf_done(&b);
	return rc;
}

enum im_rc
store_open(struct store *s, const struct disk_ops *ops, const char *dir, uint64_t size,
	   const struct hash *root, struct im_err *err)
{
	struct hash computed;
	enum im_rc rc;

	memset(s, 0, sizeof(*s));
	s->ops = ops;
	s->published = size;
	list_init(&s->full);
	if (snprintf(s->dir, sizeof(s->dir), "%s", dir) >= (int)sizeof(s->dir))
		return err_set(err, IM_EINVAL, "the path %s is too long", dir);
	rc = hasher_init(&s->hasher, err);
	if (rc != IM_OK || size == 0)
		return rc;
	rc = tile_edge_load(&s->edge, &s->hasher, size, read_edge_tile, s, err);
	if (rc == IM_OK) {
		tlog_range_root(&s->edge.range, &s->hasher, &computed);
		if (!tlog_equal(&computed, root))
			rc = err_set(
			    err, IM_ECORRUPT,
			    "the tiles in %s do not have the root that its checkpoint says: they were changed or "
			    "belong to another copy; restore the folder, do not delete anything",
			    dir);
	}
	if (rc == IM_OK)
		rc = read_edge_bundle(s, size, err);
	return rc;
}

void
store_done(struct store *s)
{
	struct list *node;

	if (s->ops == NULL)
		return;
	while ((node = list_pop_front(&s->full)) != NULL)
		free(CONTAINER_OF(node, struct store_file, node));
	buf_done(&s->bundle);
	hasher_done(&s->hasher);
	s->ops = NULL;
}

void
store_move(struct store *to, struct store *from)
{
	*to = *from;
	list_init(&to->full);
	list_move_all(&to->full, &from->full);
	memset(from, 0, sizeof(*from));
}

static struct store_file *
file_new(int level, uint64_t n, size_t len)
{
	struct store_file *f = malloc(sizeof(*f) + len);

	if (f == NULL)
		return NULL;
	f->tile = (struct tile){ level, TILE_WIDTH, n };
	f->len = len;
	return f;
}

/* Files for the tiles that the next leaf completes: it completes one a level while the levels below are full. */
struct ready {
	struct store_file *file[TILE_LEVELS + 1];
	unsigned count;
};

static void
on_full(void *user, int level, uint64_t n, const struct hash *hash)
{
	struct ready *r = user;
	struct store_file *f = r->file[r->count++];

	f->tile = (struct tile){ level, TILE_WIDTH, n };
	memcpy(f->data, hash, TILE_BYTES);
}

static unsigned
levels_completed(const struct tile_edge *e)
{
	unsigned levels = 0;

	while (levels < TILE_LEVELS && e->level[levels].count == TILE_WIDTH - 1)
		levels++;
	return levels;
}

static enum im_rc
add_entry(struct store *s, const uint8_t *entry, size_t len, const struct hash *leaf)
{
	struct ready r = { .count = 0 };
	unsigned levels = levels_completed(&s->edge);
	struct store_file *bundle = NULL;
	size_t was = s->bundle.len;

	/* All memory first: after that nothing can fail half-way. */
	if (!bundle_put(&s->bundle, entry, len))
		goto fail;
	if (levels > 0) {
		bundle = file_new(TILE_ENTRIES, s->edge.level[0].n, s->bundle.len);
		if (bundle == NULL)
			goto fail;
		memcpy(bundle->data, s->bundle.data, s->bundle.len);
	}
	for (unsigned i = 0; i < levels; i++) {
		r.file[i] = file_new(0, 0, TILE_BYTES);
		if (r.file[i] == NULL)
			goto fail;
	}
	tile_edge_add(&s->edge, &s->hasher, leaf, on_full, &r);
	assert(r.count == levels);
	if (bundle != NULL) {
		list_push_back(&s->full, &bundle->node);
		buf_clear(&s->bundle);
	}
	for (unsigned i = 0; i < levels; i++)
		list_push_back(&s->full, &r.file[i]->node);
	return IM_OK;
fail:
	s->bundle.len = was;
	s->bundle.failed = false;
	free(bundle);
	for (unsigned i = 0; i < levels; i++)
		free(r.file[i]);
	return IM_ENOMEM;
}

enum im_rc
store_add(struct store *s, const struct chunk *c, struct im_err *err)
{
	struct bundle_iter it = { c->records, c->records_len };
	uint64_t have = s->edge.range.size;
	const uint8_t *entry;
	struct hash root;
	size_t len;

	assert(c->first <= have);
	for (uint64_t i = c->first; bundle_next(&it, &entry, &len); i++) {
		if (i < have)
			continue;
		if (add_entry(s, entry, len, &c->leaf[i - c->first]) != IM_OK)
			return err_set(err, IM_ENOMEM, "no memory to write tiles");
	}
	if (s->edge.range.size != c->first + c->count)
		return IM_OK; /* an older chunk */
	tlog_range_root(&s->edge.range, &s->hasher, &root);
	if (!tlog_equal(&root, &c->root))
		return err_set(err, IM_ECORRUPT,
			       "the tree of size %llu does not have the root that was signed",
			       (unsigned long long)s->edge.range.size);
	return IM_OK;
}
