/*
 * audit/source.c - tiles, entries and nodes by their paths; see source.h.
 */
#include "audit/source.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "audit/disk.h"

static enum im_rc
read_file(const struct audit_source *s, const char *name, size_t max, struct buf *out,
	  struct im_err *err)
{
	char path[DISK_PATH_MAX];
	enum im_rc rc = disk_path(path, s->dir, name, err);

	if (rc == IM_OK && access(path, F_OK) != 0)
		return err_set(err, IM_ENOTFOUND, "%s is missing", path);
	return rc == IM_OK ? disk_read(path, max, out, err) : rc;
}

void
source_folder(struct audit_source *ret, const char *dir)
{
	*ret = (struct audit_source){ read_file, NULL, dir, dir };
}

/* Cut what was read of a version of width 'have' to 't'. False if it does not hold that many. */
static bool
cut_tile(const struct tile *t, unsigned have, struct buf *out)
{
	struct bundle_iter it = { out->data, out->len };
	const uint8_t *entry;
	size_t len;

	if (t->level != TILE_ENTRIES) {
		if (out->len != have * HASH_BYTES)
			return false;
		out->len = t->width * HASH_BYTES;
		return true;
	}
	if (!bundle_check(out->data, out->len, have))
		return false;
	for (unsigned i = 0; i < t->width; i++)
		(void)bundle_next(&it, &entry, &len);
	out->len -= it.left;
	return true;
}

enum im_rc
source_tile(const struct audit_source *s, const struct tile *t, struct buf *out, struct im_err *err)
{
	size_t max = t->level == TILE_ENTRIES ? BUNDLE_MAX_BYTES : TILE_BYTES;
	struct tile try = *t;
	enum im_rc rc;

	for (;;) {
		char path[TILE_PATH_MAX];

		tile_path(&try, path);
		buf_clear(out);
		rc = s->read(s, path, max, out, err);
		if (rc == IM_ETOOBIG || (rc == IM_OK && !cut_tile(t, try.width, out)))
			return err_set(err, IM_ECORRUPT, "%s/%s does not hold %u entries", s->name,
				       path, try.width);
		if (rc != IM_ENOTFOUND || try.width == TILE_WIDTH)
			return rc;
		/* A partial tile is a prefix of each later version of it. Nobody removes one before the full one is
		 * there, so where asking takes long that is the only other one to ask for. */
		try.width = s->dir != NULL ? try.width + 1 : TILE_WIDTH;
	}
}

enum im_rc
source_checkpoint(const struct audit_source *s, const struct note_verifier *key, struct buf *text,
		  struct checkpoint *ret, struct im_err *err)
{
	enum im_rc rc;

	buf_clear(text);
	rc = s->read(s, "checkpoint", NOTE_MAX_BYTES, text, err);
	if (rc == IM_OK)
		rc = checkpoint_open(buf_cstr(text), text->len, key, ret, err);
	return rc;
}

enum im_rc
source_published(const struct audit_source *s, uint64_t *ret, struct im_err *err)
{
	struct buf text = { 0 };
	struct checkpoint cp = { .size = 0 };
	enum im_rc rc = source_checkpoint(s, NULL, &text, &cp, err);

	buf_done(&text);
	*ret = cp.size;
	return rc == IM_ENOTFOUND && s->dir != NULL ? IM_OK : rc == IM_EPROTO ? IM_ECORRUPT : rc;
}

bool
source_exists(const struct audit_source *s, const char *name)
{
	char path[DISK_PATH_MAX];

	return s->dir != NULL && disk_path(path, s->dir, name, NULL) == IM_OK &&
	       access(path, F_OK) == 0;
}

enum im_rc
source_entry(const struct audit_source *s, uint64_t size, uint64_t index, struct buf *bundle,
	     const uint8_t **ret_entry, size_t *ret_len, struct im_err *err)
{
	struct tile t = { TILE_ENTRIES, tile_width(size, TILE_ENTRIES, index / TILE_WIDTH),
			  index / TILE_WIDTH };
	struct bundle_iter it;
	enum im_rc rc;

	if (index >= size)
		return err_set(err, IM_EINVAL,
			       "record %" PRIu64 " is not in the tree of %" PRIu64 " records",
			       index, size);
	rc = source_tile(s, &t, bundle, err);
	if (rc != IM_OK)
		return rc;
	it = (struct bundle_iter){ bundle->data, bundle->len };
	for (uint64_t i = 0; i <= index % TILE_WIDTH; i++)
		(void)bundle_next(&it, ret_entry, ret_len); /* source_tile() has counted them */
	return IM_OK;
}

enum im_rc
source_node(void *user, unsigned height, uint64_t index, struct hash *ret, struct im_err *err)
{
	struct source_nodes *n = user;
	unsigned below = height % 8; /* a tile's hashes are of each eighth height */
	uint64_t first = index << below;
	struct tile t = { (int)(height / 8), 0, first / TILE_WIDTH };
	struct tlog_range range = { 0 };
	enum im_rc rc = IM_OK;

	t.width = tile_width(n->size, t.level, t.n);
	if (n->tile.width == 0 || n->tile.level != t.level || n->tile.n != t.n)
		rc = source_tile(n->source, &t, &n->hashes, err);
	n->tile = rc == IM_OK ? t : (struct tile){ .width = 0 };
	if (rc != IM_OK)
		return rc;
	for (uint64_t i = 0; i < UINT64_C(1) << below; i++) {
		struct hash leaf;

		memcpy(leaf.b, n->hashes.data + (first % TILE_WIDTH + i) * HASH_BYTES, HASH_BYTES);
		tlog_range_add(&range, n->hasher, &leaf, NULL, NULL);
	}
	*ret = range.peak[below];
	return IM_OK;
}

enum im_rc
source_root(struct source_nodes *n, uint64_t size, struct hash *ret, struct im_err *err)
{
	struct tlog_range range = { .size = size };

	for (unsigned k = 0; k < TLOG_HEIGHT_MAX; k++) {
		enum im_rc rc;

		if ((size >> k & 1) == 0)
			continue;
		rc = source_node(n, k, (size >> k) - 1, &range.peak[k], err);
		if (rc != IM_OK)
			return rc;
	}
	tlog_range_root(&range, n->hasher, ret);
	return IM_OK;
}
