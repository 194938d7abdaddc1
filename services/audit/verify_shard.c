/*
 * audit/verify_shard.c - the walk over the published files of one shard; see verify_shard.h.
 *
 * The tree is grown from the entries, as the service grew it; each tile that this completes is compared with the file of
 * its name. A bundle that cannot be read is replaced by the hashes of its tile, so that the rest is still looked at.
 */
#include "audit/verify_shard.h"

#include <assert.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/disk.h"

#define PROGRESS_BUNDLES 64

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

/* Is it a later shard, without those before it? Then only its first record tells how its records are numbered. */
static bool
is_later(const struct verify *v)
{
	const char *last = strrchr(verify_place(v)->origin, '/');

	return v->count == 1 && last != NULL && shard_name_ok(last + 1);
}

/* Read a bundle. False: it is not there. Missing from the first one on may be by a PRUNE record that comes later. */
static bool
read_bundle(struct verify *v, const struct tile *t)
{
	struct im_err why;
	enum im_rc rc = source_tile(v->source, t, &v->bundle, &why);

	if (rc == IM_ENOTFOUND && (t->width == TILE_WIDTH || v->closed) &&
	    v->records.unseen_end == verify_place(v)->first + t->n * TILE_WIDTH) {
		if (t->n == 0 && is_later(v))
			v->rc = err_set(
			    v->err, IM_EINVAL,
			    "%s is a later shard whose beginning was deleted: verify the log from its first "
			    "shard on",
			    v->source->name);
		v->records.unseen_end += t->width;
	} else if (rc != IM_OK) {
		note_unread(v, t, rc, &why);
		v->lost = v->lost || rc == IM_ENOTFOUND;
	}
	return rc == IM_OK;
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

/* A PRUNE is about this shard, and names the tree before it, or about one that has ended, and names all of that. */
static void
check_prune(struct verify *v, uint64_t index, const char *where)
{
	const struct record_prune *prune = &v->records.prune;
	struct verify_place *place = verify_place(v), *of = NULL;
	struct hash root;

	for (size_t i = 0; i < v->count; i++)
		if (v->place[i].first == prune->first)
			of = &v->place[i];
	if (of == NULL && prune->first < v->place[0].first)
		return; /* of a shard before those that we were shown */
	if (of == place)
		tlog_range_root(&v->edge.range, &v->hasher, &root);
	else if (of != NULL)
		root = of->root;
	if (of == NULL || prune->size != (of == place ? index : of->size) ||
	    !tlog_equal(&prune->root, &root) || (of == place && prune->min_index % TILE_WIDTH != 0))
		verify_problem(v->report,
			       "%s: the PRUNE record %" PRIu64 " does not name the tree before it",
			       where, place->first + index);
	else if (prune->min_index > of->prune_min)
		of->prune_min = prune->min_index;
}

/* The first record of a shard names the one before it; no other one does. */
static void
check_beginning(struct verify *v, uint64_t index, const char *where)
{
	const struct record_previous *p = &v->records.previous;
	struct verify_place *place = verify_place(v);
	const struct verify_place *before = v->count > 1 ? place - 1 : NULL;

	assert(v->place != NULL);
	if (index == 0 && before == NULL && v->records.has_previous) {
		/* It is a later shard that we were shown, alone. */
		place->first = v->records.unseen_end = p->first;
		v->ordinal = p->ordinal;
		return;
	}
	if (index == 0 && before != NULL && v->records.has_previous && p->size == before->size &&
	    p->first == place->first && p->ordinal == v->ordinal + v->count - 1 &&
	    strcmp(v->records.previous_origin, before->origin) == 0 &&
	    (!before->whole || tlog_equal(&p->root, &before->root)))
		return;
	if ((index == 0 && before != NULL) || v->records.has_previous)
		verify_problem(v->report,
			       "%s: record %" PRIu64
			       " does not say rightly which shard comes before this one",
			       where, place->first + index);
}

enum im_rc
verify_entry(struct verify *v, uint64_t index, const uint8_t *entry, size_t len, const char *where,
	     tile_full_fn full, struct im_err *err)
{
	bool ended = v->records.has_next;
	uint64_t number = verify_place(v)->first + index;
	struct hash leaf;
	enum im_rc rc = verify_records_add(&v->records, number, entry, len, where, err);

	if (ended && index > 0)
		verify_problem(v->report, "%s: record %" PRIu64 " comes after the end of the shard",
			       where, number);
	check_beginning(v, index, where);
	if (rc == IM_OK && v->records.has_prune)
		check_prune(v, index, where);
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
		rc = verify_entry(v, index++, entry, len, where, on_full, v->err);
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
		    !v->options->progress(v->options->user, verify_place(v)->first + n * TILE_WIDTH,
					  verify_place(v)->first + size))
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
exists(const struct verify *v, const char *name)
{
	char path[DISK_PATH_MAX];

	return v->source->dir != NULL && disk_path(path, v->source->dir, name, NULL) == IM_OK &&
	       access(path, F_OK) == 0;
}

/* The checkpoint. False: there is none that can be believed, which is noted, or '*ret_rc' says more. */
static bool
read_checkpoint(struct verify *v, struct checkpoint *cp, bool *ret_found, enum im_rc *ret_rc)
{
	struct buf text = { 0 };
	struct im_err why;
	enum im_rc rc = source_checkpoint(v->source, v->key, &text, cp, &why);
	bool nothing = !exists(v, "tile") && !exists(v, "wal");

	/* A note without our signature is "not found" too. */
	*ret_found = text.len > 0 || rc != IM_ENOTFOUND;
	buf_done(&text);
	*ret_rc = IM_OK;
	if (!*ret_found && nothing)
		*ret_rc =
		    err_set(v->err, IM_ENOTFOUND, "there is no audit log in %s", v->source->name);
	if (*ret_found && (rc == IM_ENOMEM || rc == IM_EUNAVAILABLE)) {
		if (v->err != NULL)
			*v->err = why;
		*ret_rc = rc;
	} else if (*ret_found && rc != IM_OK) {
		verify_problem(v->report, "checkpoint: %s", why.text);
	}
	return *ret_rc == IM_OK && (!*ret_found || rc == IM_OK);
}

enum im_rc
verify_shard(struct verify *v)
{
	struct verify_place *place = verify_place(v);
	struct verify_report *r = v->report;
	struct checkpoint cp = { .size = 0 };
	bool whole = true, found;
	struct hash root;
	enum im_rc rc;

	r->has_wal = exists(v, "wal");
	if (!read_checkpoint(v, &cp, &found, &rc))
		return rc; /* nothing says what the rest should be */
	if (found)
		memcpy(place->origin, cp.origin, sizeof(place->origin));
	r->has_checkpoint = found;
	r->root = found ? cp.root : (struct hash){ { 0 } };
	v->published = v->size = cp.size;
	verify_seen_begin(&v->seen, place->origin);
	rc = check_tree(v, cp.size, &whole);
	if (rc != IM_OK)
		return rc;
	tlog_range_root(&v->edge.range, &v->hasher, &root);
	if (whole && found && !tlog_equal(&root, &cp.root))
		verify_problem(r,
			       "checkpoint: its root is not that of the %" PRIu64
			       " entries in tile/entries",
			       cp.size);
	if (whole && r->has_wal && !v->options->no_wal && !v->closed)
		rc = verify_wal(v);
	place->whole = whole;
	place->size = v->size;
	tlog_range_root(&v->edge.range, &v->hasher, &place->root);
	/* A crash in a log's first second leaves tiles without a checkpoint, and a write-ahead log from record 0. */
	if (rc == IM_OK && !found && exists(v, "tile") && v->size == 0)
		verify_problem(r, "checkpoint is missing, but there are tiles");
	if (rc == IM_OK && r->problems == 0) /* else what is missing was named */
		verify_seen_end(&v->seen, v->size);
	return rc;
}
