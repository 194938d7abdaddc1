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

#define GROUP_FILES 64 /* that are open at once */
#define GROUP_DIRS  16

/* Files that are written together: they wait for the disk once, and so do the folders that they get their names in. */
struct group {
	struct store *store;
	struct {
		struct tile tile;
		int fd;
	} file[GROUP_FILES];
	unsigned files, named;
	char dir[GROUP_DIRS][DISK_PATH_MAX];
	unsigned dirs;
};

static enum im_rc
path_of(const struct store *s, const struct tile *t, char ret[DISK_PATH_MAX], struct im_err *err)
{
	char name[TILE_PATH_MAX];

	tile_path(t, name);
	return disk_path(ret, s->dir, name, err);
}

static struct group *
group_new(struct store *s, struct im_err *err)
{
	struct group *g = calloc(1, sizeof(*g));

	if (g == NULL)
		(void)err_set(err, IM_ENOMEM, "no memory to write tiles");
	else
		g->store = s;
	return g;
}

/* Folders of 'path' below the log folder, and remember the innermost. */
static enum im_rc
group_dirs(struct group *g, const char *path, struct im_err *err)
{
	const struct store *s = g->store;
	size_t dir_len = (size_t)(strrchr(path, '/') - path);
	enum im_rc rc = IM_OK;
	char *part = g->dir[g->dirs];

	memcpy(part, path, dir_len);
	part[dir_len] = '\0';
	for (unsigned i = 0; i < g->dirs; i++)
		if (strcmp(part, g->dir[i]) == 0)
			return IM_OK;
	for (size_t i = strlen(s->dir) + 1; i <= dir_len && rc == IM_OK; i++) {
		if (i < dir_len && path[i] != '/')
			continue;
		part[i] = '\0';
		rc = disk_mkdir(s->ops, part, err);
		part[i] = path[i];
	}
	part[dir_len] = '\0';
	if (rc == IM_OK)
		g->dirs++;
	return rc;
}

static bool
group_full(const struct group *g)
{
	return g->files == GROUP_FILES || g->dirs == GROUP_DIRS;
}

/* Write a file; it has no name yet. */
static enum im_rc
group_put(struct group *g, const struct tile *t, const void *data, size_t len, struct im_err *err)
{
	char path[DISK_PATH_MAX];
	enum im_rc rc = path_of(g->store, t, path, err);

	if (rc == IM_OK)
		rc = group_dirs(g, path, err);
	if (rc != IM_OK)
		return rc;
	g->file[g->files].tile = *t;
	return disk_put_begin(g->store->ops, path, data, len, &g->file[g->files++].fd, err);
}

/* Make all of it durable, each file before its name; then it is empty again. */
static enum im_rc
group_settle(struct group *g, struct im_err *err)
{
	const struct store *s = g->store;
	char path[DISK_PATH_MAX];
	enum im_rc rc = IM_OK;

	for (unsigned i = 0; i < g->files && rc == IM_OK; i++) {
		rc = path_of(s, &g->file[i].tile, path, err);
		if (rc == IM_OK)
			rc = disk_put_sync(s->ops, path, &g->file[i].fd, err);
	}
	for (; g->named < g->files && rc == IM_OK; g->named += rc == IM_OK) {
		rc = path_of(s, &g->file[g->named].tile, path, err);
		if (rc == IM_OK)
			rc = disk_put_name(s->ops, path, err);
	}
	for (unsigned i = 0; i < g->dirs && rc == IM_OK; i++)
		rc = disk_sync_dir(s->ops, g->dir[i], err);
	if (rc == IM_OK)
		g->files = g->named = g->dirs = 0;
	return rc;
}

/* Whatever is not settled leaves no trace. NULL is fine. */
static void
group_free(struct group *g)
{
	char path[DISK_PATH_MAX];

	if (g == NULL)
		return;
	for (unsigned i = g->named; i < g->files; i++)
		if (path_of(g->store, &g->file[i].tile, path, NULL) == IM_OK)
			disk_put_drop(g->store->ops, path, &g->file[i].fd);
	free(g);
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

/* The first files that wait, as many as go together. */
static enum im_rc
flush_some(struct store *s, struct group *g, struct im_err *err)
{
	unsigned count = 0;
	enum im_rc rc = IM_OK;

	LIST_FOREACH (&s->full, f, struct store_file, node) {
		if (group_full(g))
			break;
		rc = group_put(g, &f->tile, f->data, f->len, err);
		if (rc != IM_OK)
			return rc;
		count++;
	}
	rc = group_settle(g, err);
	for (; rc == IM_OK && count > 0; count--) {
		struct store_file *f =
		    CONTAINER_OF(list_pop_front(&s->full), struct store_file, node);

		remove_partials(s, &f->tile);
		free(f);
	}
	return rc;
}

enum im_rc
store_flush(struct store *s, struct im_err *err)
{
	enum im_rc rc = IM_OK;
	struct group *g;

	if (list_empty(&s->full))
		return IM_OK;
	g = group_new(s, err);
	if (g == NULL)
		return IM_ENOMEM;
	while (rc == IM_OK && !list_empty(&s->full))
		rc = flush_some(s, g, err);
	group_free(g);
	return rc;
}

static enum im_rc
write_partial(struct store *s, struct group *g, int level, const void *data, size_t len,
	      struct im_err *err)
{
	uint64_t count = tile_level_count(s->edge.range.size, level);
	struct tile t = { level, (unsigned)(count % TILE_WIDTH), count / TILE_WIDTH };
	struct tile *was = &s->written[level + 1];
	enum im_rc rc;

	if (t.width == 0 || (was->width == t.width && was->n == t.n))
		return IM_OK;
	rc = group_put(g, &t, data, len, err);
	if (rc == IM_OK)
		*was = t;
	return rc;
}

static enum im_rc
write_partials(struct store *s, struct im_err *err)
{
	struct tile was[TILE_LEVELS + 1];
	struct group *g = group_new(s, err);
	enum im_rc rc;

	if (g == NULL)
		return IM_ENOMEM;
	memcpy(was, s->written, sizeof(was));
	rc = write_partial(s, g, TILE_ENTRIES, s->bundle.data, s->bundle.len, err);
	for (int level = 0; level < TILE_LEVELS && rc == IM_OK; level++)
		rc = write_partial(s, g, level, s->edge.level[level].hash,
				   s->edge.level[level].count * HASH_BYTES, err);
	if (rc == IM_OK)
		rc = group_settle(g, err);
	if (rc != IM_OK) /* what was not synced must be written again */
		memcpy(s->written, was, sizeof(was));
	group_free(g);
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

/* The folder of the versions of a partial bundle. */
static enum im_rc
partial_path(const char *dir, uint64_t n, char ret[DISK_PATH_MAX], struct im_err *err)
{
	const struct tile t = { TILE_ENTRIES, 1, n };
	char name[TILE_PATH_MAX];

	tile_path(&t, name);
	*strrchr(name, '/') = '\0';
	return disk_path(ret, dir, name, err);
}

enum im_rc
store_first(const char *dir, uint64_t size, bool closed, uint64_t *ret, struct im_err *err)
{
	uint64_t low = 0, high = size / TILE_WIDTH;
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
	low *= TILE_WIDTH;
	if (rc == IM_OK && closed && low == size - size % TILE_WIDTH) {
		rc = partial_path(dir, low / TILE_WIDTH, path, err);
		if (rc == IM_OK && access(path, F_OK) != 0)
			low = size;
	}
	if (rc == IM_OK)
		*ret = low;
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

static enum im_rc
prune_bundle(const struct disk_ops *ops, const char *dir, uint64_t n, struct im_err *err)
{
	char path[DISK_PATH_MAX];
	enum im_rc rc = bundle_path(dir, n, path, err);

	if (rc == IM_OK && ops->unlink(path) < 0 && errno != ENOENT)
		rc = disk_failed(err, errno, false, "delete", path);
	if (rc == IM_OK)
		rc = disk_sync_parent(ops, path, err);
	if (rc == IM_OK)
		remove_empty(dir, path);
	return rc;
}

/* Every version of a partial bundle, and the folder of them. */
static enum im_rc
prune_partial(const struct disk_ops *ops, const char *dir, uint64_t n, struct im_err *err)
{
	char folder[DISK_PATH_MAX], path[DISK_PATH_MAX];
	enum im_rc rc = partial_path(dir, n, folder, err);
	struct dirent *e;
	DIR *d;

	if (rc != IM_OK || (d = opendir(folder)) == NULL)
		return rc;
	// NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
	while (rc == IM_OK && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		rc = disk_path(path, folder, e->d_name, err);
		if (rc == IM_OK && ops->unlink(path) < 0 && errno != ENOENT)
			rc = disk_failed(err, errno, false, "delete", path);
	}
	(void)closedir(d);
	if (rc == IM_OK && rmdir(folder) < 0)
		rc = disk_failed(err, errno, false, "delete", folder);
	if (rc == IM_OK)
		rc = disk_sync_parent(ops, folder, err);
	if (rc == IM_OK)
		remove_empty(dir, folder);
	return rc;
}

enum im_rc
store_prune(const struct disk_ops *ops, const char *dir, uint64_t *first, uint64_t min_index,
	    unsigned max, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	for (unsigned i = 0; i < max && *first < min_index && rc == IM_OK; i++) {
		uint64_t n = *first / TILE_WIDTH;
		bool whole = min_index - *first >= TILE_WIDTH;

		rc = whole ? prune_bundle(ops, dir, n, err) : prune_partial(ops, dir, n, err);
		if (rc == IM_OK)
			*first = whole ? *first + TILE_WIDTH : min_index;
	}
	return rc;
}
