/*
 * audit/verify.c - the walk over a log folder; see verify.h.
 *
 * The tree is grown from the entries, as the service grew it; each tile that this completes is compared with the file of
 * its name. A bundle that cannot be read is replaced by the hashes of its tile, so that the rest is still looked at.
 */
#include "audit/verify.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/checkpoint.h"
#include "audit/disk.h"
#include "audit/tile.h"
#include "audit/verify_records.h"
#include "audit/verify_seen.h"
#include "audit/wal.h"

#define PROGRESS_BUNDLES 64

struct verify {
	const struct audit_source *source;
	const struct verify_options *options;
	struct verify_report *report;
	struct note_verifier *key; /* NULL = signatures are not checked */
	struct hasher hasher;
	struct tile_edge edge;
	struct verify_records records;
	struct verify_seen seen;
	struct buf bundle, tile, other;
	bool lost;          /* entries are missing that no PRUNE record covers */
	uint64_t prune_min; /* entries below may be missing: the newest PRUNE record's */
	struct im_err *err;
	enum im_rc rc; /* of a callback that cannot return one */

	uint64_t wal_end;
	bool
	    wal_over; /* the service has moved on while we read: the rest of the write-ahead log says nothing to us */
};

/* Older versions of a partial tile must be its beginning. */
static enum im_rc
check_partials(struct verify *v, const struct tile *t, const struct buf *whole)
{
	char name[TILE_PATH_MAX], path[DISK_PATH_MAX];
	struct tile full = *t, part;
	struct im_err why;
	struct dirent *e;
	enum im_rc rc = IM_OK;
	DIR *d;

	if (v->source->dir == NULL) /* nobody can list what others publish */
		return IM_OK;
	full.width = 1;
	tile_path(&full, name);
	*strrchr(name, '/') = '\0';
	rc = disk_path(path, v->source->dir, name, v->err);
	if (rc != IM_OK || (d = opendir(path)) == NULL)
		return rc;
	// NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
	while (rc == IM_OK && (e = readdir(d)) != NULL) {
		char part_name[TILE_PATH_MAX + 8];

		if (snprintf(part_name, sizeof(part_name), "%s/%.4s", name, e->d_name) >=
			(int)sizeof(part_name) ||
		    !tile_path_parse(part_name, &part) || part.width > t->width)
			continue;
		buf_clear(&v->other);
		rc = disk_path(path, v->source->dir, part_name, v->err);
		if (rc == IM_OK)
			rc = disk_read(path, BUNDLE_MAX_BYTES, &v->other, &why);
		if (rc == IM_ENOMEM && v->err != NULL)
			*v->err = why;
		if (rc == IM_ENOMEM)
			break;
		if (rc != IM_OK || v->other.len > whole->len ||
		    memcmp(v->other.data, whole->data, v->other.len) != 0 ||
		    (t->level == TILE_ENTRIES
			 ? !bundle_check(v->other.data, v->other.len, part.width)
			 : v->other.len != part.width * HASH_BYTES))
			verify_problem(v->report, "%s is not the beginning of its later version",
				       part_name);
		rc = IM_OK;
	}
	(void)closedir(d);
	return rc;
}

/* Note why a tile or bundle could not be read; what says nothing about the log ends the verification. */
static void
note_unread(struct verify *v, const struct tile *t, enum im_rc rc, const struct im_err *why)
{
	char name[TILE_PATH_MAX];

	tile_path(t, name);
	if (rc == IM_ENOMEM || rc == IM_EUNAVAILABLE) {
		v->rc = rc;
		if (v->err != NULL)
			*v->err = *why;
	} else if (rc == IM_ENOTFOUND) {
		verify_problem(v->report, "%s is missing", name);
	} else {
		verify_problem(v->report, "%s: %s", name, why->text);
	}
}

/* Read a tile. False: it is missing or malformed, which is noted. */
static bool
read_tile(struct verify *v, const struct tile *t, struct buf *out)
{
	struct im_err why;
	enum im_rc rc = source_tile(v->source, t, out, &why);

	if (rc != IM_OK)
		note_unread(v, t, rc, &why);
	return rc == IM_OK;
}

/* Read a bundle. False: it is not there. Missing from the first one on may be by a PRUNE record that comes later. */
static bool
read_bundle(struct verify *v, const struct tile *t)
{
	struct im_err why;
	enum im_rc rc = source_tile(v->source, t, &v->bundle, &why);

	if (rc == IM_ENOTFOUND && t->width == TILE_WIDTH &&
	    v->records.unseen_end == t->n * TILE_WIDTH) {
		v->records.unseen_end += TILE_WIDTH;
	} else if (rc != IM_OK) {
		note_unread(v, t, rc, &why);
		v->lost = v->lost || rc == IM_ENOTFOUND;
	}
	return rc == IM_OK;
}

/* All was read: were the entries that are missing at the beginning deleted by right? */
static void
check_missing(struct verify *v)
{
	uint64_t end = v->records.unseen_end;
	char name[TILE_PATH_MAX];

	v->report->pruned = end < v->prune_min ? end : v->prune_min;
	v->lost = v->lost || v->report->pruned < end;
	for (uint64_t at = v->report->pruned; at < end; at += TILE_WIDTH) {
		const struct tile t = { TILE_ENTRIES, TILE_WIDTH, at / TILE_WIDTH };

		tile_path(&t, name);
		verify_problem(v->report, "%s is missing, and no PRUNE record covers it", name);
	}
}

/* Compare computed hashes with the file of their tile. */
static void
check_tile(struct verify *v, const struct tile *t, const struct hash *hash)
{
	char name[TILE_PATH_MAX], below[TILE_PATH_MAX];
	struct tile child = { t->level == 0 ? TILE_ENTRIES : t->level - 1, TILE_WIDTH, t->n };

	if (v->rc != IM_OK || !read_tile(v, t, &v->tile))
		return;
	tile_path(t, name);
	for (unsigned i = 0; i < t->width; i++) {
		if (memcmp(v->tile.data + (size_t)i * HASH_BYTES, hash[i].b, HASH_BYTES) == 0)
			continue;
		if (t->level == 0)
			child.width = t->width;
		else
			child.n = t->n * TILE_WIDTH + i;
		tile_path(&child, below);
		verify_problem(v->report, "%s: hash %u does not fit %s%s", name, i, below,
			       t->level == 0 ? ", the entries that it covers"
					     : ", the tile that it covers");
		break;
	}
	v->rc = check_partials(v, t, &v->tile);
}

static void
on_full(void *user, int level, uint64_t n, const struct hash *hash)
{
	const struct tile t = { level, TILE_WIDTH, n };

	check_tile(user, &t, hash);
}

/* One entry: its record, then its place in the tree. */
static enum im_rc
add_entry(struct verify *v, uint64_t index, const uint8_t *entry, size_t len, const char *where,
	  tile_full_fn full, struct im_err *err)
{
	const struct record_prune *prune = &v->records.prune;
	struct hash leaf, root;
	enum im_rc rc = verify_records_add(&v->records, index, entry, len, where, err);

	if (rc == IM_OK && v->records.has_prune) {
		tlog_range_root(&v->edge.range, &v->hasher, &root);
		if (prune->size != index || !tlog_equal(&prune->root, &root))
			verify_problem(v->report,
				       "%s: the PRUNE record %" PRIu64
				       " does not name the tree before it",
				       where, index);
		else if (prune->min_index > v->prune_min)
			v->prune_min = prune->min_index;
	}
	tlog_leaf(&v->hasher, entry, len, &leaf);
	tile_edge_add(&v->edge, &v->hasher, &leaf, full, v);
	verify_seen_at(&v->seen, &v->edge.range, &v->hasher);
	return rc;
}

/* The entries of one bundle; 'where' names its file. */
static enum im_rc
add_bundle(struct verify *v, const struct tile *t, const char *where)
{
	struct bundle_iter it = { v->bundle.data, v->bundle.len };
	uint64_t index = t->n * TILE_WIDTH;
	const uint8_t *entry;
	enum im_rc rc = IM_OK;
	size_t len;

	while (rc == IM_OK && v->rc == IM_OK && bundle_next(&it, &entry, &len))
		rc = add_entry(v, index++, entry, len, where, on_full, v->err);
	return rc != IM_OK ? rc : v->rc;
}

/* The bundle is lost: go on with the hashes that its tile remembers. False if that is lost too. */
static bool
add_hashes(struct verify *v, const struct tile *t)
{
	struct tile hashes = { 0, t->width, t->n };
	struct hash *copy;

	if (v->rc != IM_OK || !read_tile(v, &hashes, &v->tile))
		return false;
	copy = malloc(TILE_BYTES); /* on_full() reads the same tile again */
	if (copy == NULL) {
		v->rc = err_set(v->err, IM_ENOMEM, "no memory to verify the log");
		return false;
	}
	memcpy(copy, v->tile.data, t->width * HASH_BYTES);
	for (unsigned i = 0; i < t->width; i++) {
		tile_edge_add(&v->edge, &v->hasher, &copy[i], on_full, v);
		verify_seen_at(&v->seen, &v->edge.range, &v->hasher);
	}
	free(copy);
	return v->rc == IM_OK;
}

/* All bundles and tiles of the published tree. '*ret_whole' is false when the tree could not be recomputed. */
static enum im_rc
check_tree(struct verify *v, uint64_t size, bool *ret_whole)
{
	uint64_t bundles = size / TILE_WIDTH + (size % TILE_WIDTH != 0);
	enum im_rc rc = IM_OK;
	char name[TILE_PATH_MAX];

	*ret_whole = false;
	for (uint64_t n = 0; n < bundles; n++) {
		struct tile t = { TILE_ENTRIES, tile_width(size, TILE_ENTRIES, n), n };

		if (n % PROGRESS_BUNDLES == 0 && v->options->progress != NULL &&
		    !v->options->progress(v->options->user, n * TILE_WIDTH, size))
			return err_set(v->err, IM_ECANCELED, "verification was stopped");
		if (read_bundle(v, &t)) {
			tile_path(&t, name);
			rc = check_partials(v, &t, &v->bundle);
			if (rc == IM_OK)
				rc = add_bundle(v, &t, name);
			if (rc != IM_OK)
				return rc;
		} else if (!add_hashes(v, &t)) {
			return v->rc;
		}
	}
	for (int level = 0; level < TILE_LEVELS && v->rc == IM_OK; level++) {
		const struct tile t = { level, v->edge.level[level].count, v->edge.level[level].n };

		if (t.width > 0)
			check_tile(v, &t, v->edge.level[level].hash);
	}
	*ret_whole = v->rc == IM_OK;
	return v->rc;
}

static bool
frame_fits(const struct wal_frame *f, const struct note_verifier *key)
{
	struct checkpoint cp;

	return checkpoint_open(f->checkpoint, f->checkpoint_len, key, &cp, NULL) == IM_OK &&
	       cp.size == f->first + f->count && tlog_equal(&cp.root, &f->root);
}

static bool
frame_trusted(void *user, const struct wal_frame *f)
{
	const struct verify *v = user;

	return frame_fits(f, v->key);
}

/* Was more published since we began? */
static bool
has_grown(const struct verify *v)
{
	struct buf text = { 0 };
	struct checkpoint now;
	bool grown = source_checkpoint(v->source, v->key, &text, &now, NULL) == IM_OK &&
		     now.size > v->report->published_size;

	buf_done(&text);
	return grown;
}

/* A frame whose beginning we do not have: damage, unless the service published and recycled meanwhile. */
static enum im_rc
frame_gap(struct verify *v, const struct wal_frame *f, const char *where)
{
	v->wal_over = has_grown(v);
	if (!v->wal_over) {
		verify_problem(v->report,
			       "%s: the frame begins at record %" PRIu64
			       ", but the log ends at %" PRIu64,
			       where, f->first, v->edge.range.size);
		v->wal_over = true;
	}
	return IM_OK;
}

static enum im_rc
on_frame(void *user, const struct wal_frame *f, const char *where, struct im_err *err)
{
	struct verify *v = user;
	struct bundle_iter it = { f->records, f->records_len };
	uint64_t end = f->first + f->count;
	const uint8_t *entry;
	struct hash root;
	size_t len;

	/* What the tiles hold is proved by them; a signature takes longer to check than all else. */
	if (!frame_fits(f, end < v->report->published_size ? NULL : v->key))
		verify_problem(
		    v->report,
		    "%s: the frame's checkpoint is not signed by this log or does not fit", where);
	v->wal_end = end;
	if (v->wal_over || end < v->report->published_size)
		return IM_OK;
	if (end > v->report->published_size) {
		if (f->first != v->edge.range.size)
			return frame_gap(v, f, where);
		for (uint64_t i = f->first; bundle_next(&it, &entry, &len); i++) {
			enum im_rc rc = add_entry(v, i, entry, len, where, NULL, err);

			if (rc != IM_OK)
				return rc;
		}
		v->report->size = end;
	}
	tlog_range_root(&v->edge.range, &v->hasher, &root);
	if (!tlog_equal(&root, &f->root))
		verify_problem(v->report, "%s: the records do not have the root that was signed",
			       where);
	return IM_OK;
}

static enum im_rc
check_wal(struct verify *v)
{
	const struct wal_scan scan = { on_frame, frame_trusted, v };
	struct wal_found found = { 0 };
	struct im_err why;
	enum im_rc rc = wal_read(v->source->dir, &scan, &found, &why);

	if (rc == IM_ECORRUPT || rc == IM_EIO) {
		verify_problem(v->report, "%s", why.text);
		return IM_OK;
	}
	if (rc != IM_OK) {
		if (v->err != NULL)
			*v->err = why;
		return rc;
	}
	v->report->torn = found.torn;
	if (v->wal_end < v->report->published_size)
		verify_problem(v->report,
			       "wal: the write-ahead log ends at record %" PRIu64
			       ", but a checkpoint of %" PRIu64
			       " was published: the folder was rolled back or files are missing",
			       v->wal_end, v->report->published_size);
	return IM_OK;
}

static bool
exists(const struct verify *v, const char *name)
{
	char path[DISK_PATH_MAX];

	return v->source->dir != NULL && disk_path(path, v->source->dir, name, NULL) == IM_OK &&
	       access(path, F_OK) == 0;
}

static enum im_rc
check_folder(struct verify *v)
{
	struct verify_report *r = v->report;
	bool whole = true, found, tiles = exists(v, "tile");
	struct checkpoint cp = { .size = 0 };
	struct buf text = { 0 };
	struct im_err why;
	struct hash root;
	enum im_rc rc = source_checkpoint(v->source, v->key, &text, &cp, &why);

	found = text.len > 0 ||
		rc != IM_ENOTFOUND; /* a note without our signature is "not found" too */
	buf_done(&text);
	r->has_wal = exists(v, "wal");
	if (!found && !tiles && !r->has_wal)
		return err_set(v->err, IM_ENOTFOUND, "there is no audit log in %s",
			       v->source->name);
	if (found && (rc == IM_ENOMEM || rc == IM_EUNAVAILABLE)) {
		if (v->err != NULL)
			*v->err = why;
		return rc;
	}
	if (found && rc != IM_OK) {
		verify_problem(r, "checkpoint: %s", why.text);
		return IM_OK; /* nothing says what the rest should be */
	}
	memcpy(r->origin, cp.origin, sizeof(r->origin));
	r->published_size = r->size = cp.size;
	r->root = cp.root;
	rc = check_tree(v, cp.size, &whole);
	if (rc != IM_OK)
		return rc;
	tlog_range_root(&v->edge.range, &v->hasher, &root);
	if (whole && found && !tlog_equal(&root, &cp.root))
		verify_problem(r,
			       "checkpoint: its root is not that of the %" PRIu64
			       " entries in tile/entries",
			       cp.size);
	if (whole && r->has_wal && !v->options->no_wal)
		rc = check_wal(v);
	if (rc == IM_OK)
		check_missing(v);
	/* A crash in a log's first second leaves tiles without a checkpoint, and a write-ahead log from record 0. */
	if (rc == IM_OK && !found && tiles && r->size == 0)
		verify_problem(r, "checkpoint is missing, but there are tiles");
	return rc;
}

/* '*ret_again': it looks as if old entries were pruned while we read, and a new try would tell. */
static enum im_rc
verify_once(const struct audit_source *source, struct note_verifier *key,
	    const struct verify_options *options, struct verify_report *ret, bool *ret_again,
	    struct im_err *err)
{
	struct verify *v = calloc(1, sizeof(*v));
	enum im_rc rc;

	if (v == NULL)
		return err_set(err, IM_ENOMEM, "no memory to verify the log");
	memset(ret, 0, sizeof(*ret));
	ret->signature_checked = key != NULL;
	v->source = source;
	v->options = options;
	v->report = ret;
	v->key = key;
	v->err = err;
	verify_records_init(&v->records, ret);
	rc = hasher_init(&v->hasher, err);
	if (rc == IM_OK)
		rc = verify_seen_init(&v->seen, options, ret, err);
	if (rc == IM_OK)
		rc = check_folder(v);
	if (rc == IM_OK && ret->problems == 0) /* else what is missing was named */
		verify_seen_end(&v->seen, ret->size);
	if (rc == IM_OK)
		verify_records_end(&v->records, options->open_ids);
	*ret_again = rc == IM_OK && v->lost && has_grown(v);
	verify_records_done(&v->records);
	buf_done(&v->bundle);
	buf_done(&v->tile);
	buf_done(&v->other);
	hasher_done(&v->hasher);
	free(v);
	return rc;
}

enum im_rc
audit_verify_source(const struct audit_source *source, const char *vkey,
		    const struct verify_options *options, struct verify_report *ret,
		    struct im_err *err)
{
	static const struct verify_options none;
	struct note_verifier key = { 0 };
	bool again = true;
	enum im_rc rc = IM_OK;

	memset(ret, 0, sizeof(*ret));
	options = options != NULL ? options : &none;
	if (vkey != NULL)
		rc = note_verifier_parse(vkey, &key, err);
	/* Once more at most: pruning is rare, and what was tampered with is still so. */
	for (int tries = 0; rc == IM_OK && again && tries < 2; tries++)
		rc = verify_once(source, vkey != NULL ? &key : NULL, options, ret, &again, err);
	if (rc == IM_OK && options->progress != NULL)
		(void)options->progress(options->user, ret->size, ret->size);
	note_verifier_done(&key);
	return rc;
}

enum im_rc
audit_verify(const char *dir, const char *vkey, const struct verify_options *options,
	     struct verify_report *ret, struct im_err *err)
{
	struct audit_source folder;

	source_folder(&folder, dir);
	return audit_verify_source(&folder, vkey, options, ret, err);
}
