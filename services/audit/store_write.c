/*
 * audit/store_write.c - the files themselves: tiles, bundles and the checkpoint onto the disk; see store.h.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/store.h"

/* Folders with new names in them, to be synced once each: consecutive files mostly share theirs. */
struct dirs {
	const struct disk_ops *ops;
	char last[DISK_PATH_MAX];
};

static enum im_rc
dirs_sync(struct dirs *d, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	if (d->last[0] != '\0')
		rc = disk_sync_dir(d->ops, d->last, err);
	d->last[0] = '\0';
	return rc;
}

/* Folders of 'path' below the log folder, and remember the innermost. */
static enum im_rc
dirs_need(struct dirs *d, const char *log_dir, const char *path, struct im_err *err)
{
	char part[DISK_PATH_MAX];
	size_t dir_len = (size_t)(strrchr(path, '/') - path);
	enum im_rc rc;

	memcpy(part, path, dir_len);
	part[dir_len] = '\0';
	if (strcmp(part, d->last) == 0)
		return IM_OK;
	rc = dirs_sync(d, err);
	for (size_t i = strlen(log_dir) + 1; i <= dir_len && rc == IM_OK; i++) {
		if (i < dir_len && path[i] != '/')
			continue;
		part[i] = '\0';
		rc = disk_mkdir(d->ops, part, err);
		part[i] = path[i];
	}
	if (rc == IM_OK) {
		part[dir_len] = '\0';
		memcpy(d->last, part, dir_len + 1);
	}
	return rc;
}

static enum im_rc
write_tile(struct store *s, struct dirs *dirs, const struct tile *t, const void *data, size_t len,
	   struct im_err *err)
{
	char name[TILE_PATH_MAX], path[DISK_PATH_MAX];
	enum im_rc rc;

	tile_path(t, name);
	rc = disk_path(path, s->dir, name, err);
	if (rc == IM_OK)
		rc = dirs_need(dirs, s->dir, path, err);
	if (rc == IM_OK)
		rc = disk_replace(s->ops, path, data, len, err);
	return rc;
}

/* The full one is durable: partial versions are not needed any more. A failure only leaves rubbish. */
static void
remove_partials(struct store *s, const struct tile *full)
{
	char name[TILE_PATH_MAX], folder[DISK_PATH_MAX], path[DISK_PATH_MAX];
	struct tile t = *full;
	struct dirent *e;
	DIR *d;

	t.width = 1;
	tile_path(&t, name);
	*strrchr(name, '/') = '\0';
	if (disk_path(folder, s->dir, name, NULL) != IM_OK || (d = opendir(folder)) == NULL)
		return;
	// NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && disk_path(path, folder, e->d_name, NULL) == IM_OK)
			(void)s->ops->unlink(path);
	(void)closedir(d);
	(void)rmdir(folder);
}

enum im_rc
store_flush(struct store *s, struct im_err *err)
{
	struct dirs dirs = { .ops = s->ops };
	enum im_rc rc = IM_OK;
	struct list *node;

	if (list_empty(&s->full))
		return IM_OK;
	LIST_FOREACH (&s->full, f, struct store_file, node) {
		rc = write_tile(s, &dirs, &f->tile, f->data, f->len, err);
		if (rc != IM_OK)
			return rc;
	}
	rc = dirs_sync(&dirs, err);
	if (rc != IM_OK)
		return rc;
	while ((node = list_pop_front(&s->full)) != NULL) {
		struct store_file *f = CONTAINER_OF(node, struct store_file, node);

		remove_partials(s, &f->tile);
		free(f);
	}
	return IM_OK;
}

static enum im_rc
write_partial(struct store *s, struct dirs *dirs, int level, const void *data, size_t len,
	      struct im_err *err)
{
	uint64_t count = tile_level_count(s->edge.range.size, level);
	struct tile t = { level, (unsigned)(count % TILE_WIDTH), count / TILE_WIDTH };
	struct tile *was = &s->written[level + 1];
	enum im_rc rc;

	if (t.width == 0 || (was->width == t.width && was->n == t.n))
		return IM_OK;
	rc = write_tile(s, dirs, &t, data, len, err);
	if (rc == IM_OK)
		*was = t;
	return rc;
}

static enum im_rc
write_partials(struct store *s, struct im_err *err)
{
	struct dirs dirs = { .ops = s->ops };
	struct tile was[TILE_LEVELS + 1];
	enum im_rc rc;

	memcpy(was, s->written, sizeof(was));
	rc = write_partial(s, &dirs, TILE_ENTRIES, s->bundle.data, s->bundle.len, err);
	for (int level = 0; level < TILE_LEVELS && rc == IM_OK; level++)
		rc = write_partial(s, &dirs, level, s->edge.level[level].hash,
				   s->edge.level[level].count * HASH_BYTES, err);
	if (rc == IM_OK)
		rc = dirs_sync(&dirs, err);
	if (rc != IM_OK) /* what was not synced must be written again */
		memcpy(s->written, was, sizeof(was));
	return rc;
}

enum im_rc
store_publish(struct store *s, const char *text, size_t len, struct im_err *err)
{
	char path[DISK_PATH_MAX];
	enum im_rc rc;

	rc = store_flush(s, err);
	if (rc == IM_OK)
		rc = write_partials(s, err);
	if (rc == IM_OK)
		rc = disk_path(path, s->dir, "checkpoint", err);
	if (rc == IM_OK)
		rc = disk_replace(s->ops, path, text, len, err);
	if (rc == IM_OK)
		rc = disk_sync_dir(s->ops, s->dir, err);
	if (rc == IM_OK)
		s->published = s->edge.range.size;
	return rc;
}

static enum im_rc
bundle_path(const char *dir, uint64_t n, char ret[DISK_PATH_MAX], struct im_err *err)
{
	const struct tile t = { TILE_ENTRIES, TILE_WIDTH, n };
	char name[TILE_PATH_MAX];

	tile_path(&t, name);
	return disk_path(ret, dir, name, err);
}

enum im_rc
store_first(const char *dir, uint64_t size, uint64_t *ret, struct im_err *err)
{
	uint64_t low = 0, high = size / TILE_WIDTH; /* the partial one is never pruned */
	char path[DISK_PATH_MAX];
	enum im_rc rc = bundle_path(dir, 0, path, err);

	/* They go in order. Where the very first is there, another one that is missing is damage. */
	if (rc == IM_OK && access(path, F_OK) == 0)
		high = 0;
	while (rc == IM_OK && low < high) {
		uint64_t mid = low + (high - low) / 2;

		rc = bundle_path(dir, mid, path, err);
		if (rc == IM_OK && access(path, F_OK) == 0)
			high = mid;
		else
			low = mid + 1;
	}
	if (rc == IM_OK)
		*ret = low * TILE_WIDTH;
	return rc;
}

/* Folders that became empty. A failure only leaves them. */
static void
remove_empty(const char *log_dir, char *path)
{
	size_t top = strlen(log_dir) + strlen("/tile/entries");
	char *slash;

	while ((slash = strrchr(path, '/')) != NULL && (size_t)(slash - path) > top) {
		*slash = '\0';
		if (rmdir(path) < 0)
			break;
	}
}

enum im_rc
store_prune(struct store *s, uint64_t *first, uint64_t min_index, unsigned max, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	for (unsigned i = 0; i < max && *first + TILE_WIDTH <= min_index && rc == IM_OK; i++) {
		char path[DISK_PATH_MAX];

		rc = bundle_path(s->dir, *first / TILE_WIDTH, path, err);
		if (rc == IM_OK && s->ops->unlink(path) < 0 && errno != ENOENT)
			rc = disk_failed(err, errno, false, "delete", path);
		if (rc == IM_OK)
			rc = disk_sync_parent(s->ops, path, err);
		if (rc != IM_OK)
			break;
		*first += TILE_WIDTH;
		remove_empty(s->dir, path);
	}
	return rc;
}
