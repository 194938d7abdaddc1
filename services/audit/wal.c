/*
 * audit/wal.c - writing the write-ahead log; see wal.h. Reading is in wal_read.c.
 */
#include "audit/wal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"

struct retired {
	struct disk_gone file; /* first; still open, so that removing it takes no time */
	uint64_t generation;
	uint64_t end;
};

void
wal_name(uint64_t generation, char ret[WAL_NAME_MAX])
{
	(void)snprintf(ret, WAL_NAME_MAX, "%016llx.wal", (unsigned long long)generation);
}

bool
wal_name_parse(const char *name, uint64_t *ret_generation)
{
	uint8_t raw[8];
	char digits[17], again[WAL_NAME_MAX];
	uint64_t v = 0;

	if (strlen(name) != 20 || strcmp(name + 16, ".wal") != 0)
		return false;
	memcpy(digits, name, 16);
	digits[16] = '\0';
	if (!hex_decode(digits, raw, 8))
		return false;
	for (int i = 0; i < 8; i++)
		v = v << 8 | raw[i];
	wal_name(v, again);
	if (strcmp(again, name) != 0)
		return false;
	*ret_generation = v;
	return true;
}

static enum im_rc
segment_path(const struct wal *w, uint64_t generation, char ret[DISK_PATH_MAX], struct im_err *err)
{
	char name[WAL_NAME_MAX];

	wal_name(generation, name);
	return disk_path(ret, w->dir, name, err);
}

/* Set space aside, so that a full disk is met here and not in the middle of a frame. */
static enum im_rc
set_aside(const struct wal *w, int fd, const char *path, uint64_t at, uint64_t limit,
	  struct im_err *err)
{
	int errnum;

	do {
		errnum = w->ops->fallocate(fd, (off_t)at, (off_t)(limit - at));
	} while (errnum == EINTR);
	/* A file system that cannot do it only costs the early warning. */
	if (errnum == 0 || errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == EINVAL)
		return IM_OK;
	return disk_failed(err, errnum, false, "set space aside for", path);
}

/* Make the next segment the current one. The old one stays current on failure. */
static enum im_rc
rotate(struct wal *w, struct im_err *err)
{
	struct retired *old = malloc(sizeof(*old));
	char path[DISK_PATH_MAX];
	enum im_rc rc;
	int fd;

	if (old == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a write-ahead segment");
	rc = segment_path(w, w->generation + 1, path, err);
	if (rc != IM_OK)
		goto out_free;
	fd = w->ops->open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0) {
		rc = disk_failed(err, errno, false, "make", path);
		goto out_free;
	}
	rc = set_aside(w, fd, path, 0, w->segment_bytes, err);
	if (rc == IM_OK && w->ops->fsync(fd) < 0)
		rc = disk_failed(err, errno, true, "sync", path);
	if (rc == IM_OK)
		rc = disk_sync_dir(w->ops, w->dir, err);
	if (rc != IM_OK) {
		(void)close(fd);
		(void)w->ops->unlink(path);
		goto out_free;
	}
	*old = (struct retired){ .file.fd = w->fd, .generation = w->generation, .end = w->end };
	list_push_back(&w->retired, &old->file.node);
	w->fd = fd;
	direct_begin(&w->direct, fd);
	memcpy(w->path, path, sizeof(path));
	w->generation++;
	w->offset = 0;
	w->limit = w->segment_bytes;
	w->zeroed = 0;
	return IM_OK;
out_free:
	free(old);
	return rc;
}

/* Take back what a failed write left behind the last good frame. */
static enum im_rc
cut(struct wal *w, struct im_err *err)
{
	struct im_err ignored;

	if (w->ops->ftruncate(w->fd, (off_t)w->offset) < 0)
		return disk_failed(err, EIO, false, "cut the unfinished frame off", w->path);
	if (w->ops->fdatasync(w->fd) < 0)
		return disk_failed(err, errno, true, "sync", w->path);
	/* Without it the reserve of this segment is gone, no more. */
	(void)!set_aside(w, w->fd, w->path, w->offset, w->limit, &ignored);
	w->zeroed = w->offset;
	return IM_OK;
}

/* Write zeros behind the frame that ends at 'end', unless they are there. IM_OK, or IM_EIO: any other failure costs only time. */
static enum im_rc
zero_ahead(struct wal *w, uint64_t end, struct im_err *err)
{
	/* Not const: never touched, it is no part of the file and of no page. */
	static _Alignas(DIRECT_BLOCK) uint8_t zeros[WAL_AHEAD_BYTES];
	uint64_t stop;
	struct im_err why;

	end = DIRECT_UP(end); /* zeros follow a frame anyway */
	stop = end + sizeof(zeros) < w->limit ? end + sizeof(zeros) : w->limit;

	if (end <= w->zeroed || end >= w->limit)
		return IM_OK;
	if (disk_write(w->ops, w->fd, w->path, zeros, (size_t)(stop - end), end, &why) == IM_EIO) {
		if (err != NULL)
			*err = why;
		return IM_EIO;
	}
	w->zeroed = stop;
	return IM_OK;
}

enum im_rc
wal_append(struct wal *w, struct wal_frame *frame, bool urgent, struct im_err *err)
{
	uint64_t total = wal_frame_bytes(frame);
	uint64_t limit = urgent ? w->limit : w->limit - WAL_RESERVE_BYTES;
	enum im_rc rc;

	assert(w->fd >= 0 && frame->first == w->end &&
	       total <= w->segment_bytes - WAL_RESERVE_BYTES);
	if (w->offset + total > limit) {
		rc = rotate(w, err);
		if (rc != IM_OK)
			return rc;
	}
	frame->generation = w->generation;
	buf_clear(&w->out);
	if (!wal_frame_put(&w->out, frame))
		return err_set(err, IM_ENOMEM, "no memory for a write-ahead frame");
	rc = direct_write(&w->direct, w->ops, w->fd, w->path, w->offset, w->out.data, w->out.len,
			  err);
	if (rc == IM_EIO)
		return rc;
	if (rc != IM_OK) {
		struct im_err cut_err;

		if (cut(w, &cut_err) == IM_OK)
			return rc;
		if (err != NULL)
			*err = cut_err;
		return IM_EIO;
	}
	if (zero_ahead(w, w->offset + total, err) != IM_OK)
		return IM_EIO;
	if (w->ops->fdatasync(w->fd) < 0)
		return disk_failed(err, errno, true, "sync", w->path);
	direct_keep(&w->direct, w->offset, w->out.data, w->out.len);
	w->offset += total;
	w->end = frame->first + frame->count;
	return IM_OK;
}

#define COPY_BYTES ((size_t)1024 * 1024) /* that are written at once, about */

/* What was gathered. */
static enum im_rc
copy_out(struct wal *w, const char *tmp, struct im_err *err)
{
	enum im_rc rc = disk_write(w->ops, w->fd, tmp, w->out.data, w->out.len, w->offset, err);

	w->ops->writeback(w->fd); /* the disk works while we go on */
	direct_keep(&w->direct, w->offset, w->out.data, w->out.len);
	w->offset += w->out.len;
	buf_clear(&w->out);
	return rc;
}

/* As it was read, with its new number. False when the buffer failed. */
static bool
gather(struct wal *w, const struct wal_frame *f)
{
	struct wal_frame again = *f;
	size_t at = w->out.len, total = wal_frame_bytes(f);

	if (f->home == NULL) {
		again.generation = w->generation;
		return wal_frame_put(&w->out, &again);
	}
	if (!buf_append(&w->out, f->records - WAL_HEADER_BYTES, total))
		return false;
	wal_frame_renumber(w->out.data + at, total, w->generation);
	return true;
}

static enum im_rc
copy_frames(struct wal *w, const char *tmp, const struct wal_frame *frames, size_t count,
	    struct im_err *err)
{
	enum im_rc rc = IM_OK;

	buf_clear(&w->out);
	for (size_t i = 0; i < count && rc == IM_OK; i++) {
		if (!gather(w, &frames[i]))
			return err_set(err, IM_ENOMEM, "no memory for a write-ahead frame");
		w->end = frames[i].first + frames[i].count;
		if (w->out.len >= COPY_BYTES || i + 1 == count)
			rc = copy_out(w, tmp, err);
	}
	buf_done(&w->out); /* a frame is smaller */
	return rc;
}

/* Where the segment lies until it is whole. */
static enum im_rc
unnamed_path(const struct wal *w, char ret[DISK_PATH_MAX], struct im_err *err)
{
	if (snprintf(ret, DISK_PATH_MAX, "%s.tmp", w->path) >= DISK_PATH_MAX)
		return err_set(err, IM_EINVAL, "the path %s is too long", w->path);
	return IM_OK;
}

/* The segment that was begun comes to nothing. */
static void
drop_unnamed(struct wal *w)
{
	char tmp[DISK_PATH_MAX];

	if (w->unnamed && unnamed_path(w, tmp, NULL) == IM_OK)
		(void)w->ops->unlink(tmp);
	w->unnamed = false;
}

enum im_rc
wal_prepare(struct wal *w, const struct disk_ops *ops, const char *dir, uint32_t epoch,
	    uint64_t segment_bytes, const struct wal_frame *frames, size_t count,
	    struct im_err *err)
{
	char tmp[DISK_PATH_MAX];
	uint64_t copied = 0;
	enum im_rc rc;

	*w = (struct wal){ .ops = ops,
			   .fd = -1,
			   .segment_bytes = DIRECT_UP(segment_bytes),
			   .generation = (uint64_t)epoch << 32 };
	list_init(&w->retired);
	rc = direct_init(&w->direct, err);
	if (rc == IM_OK)
		rc = disk_path(w->dir, dir, "wal", err);
	if (rc == IM_OK)
		rc = disk_mkdir(ops, w->dir, err);
	if (rc == IM_OK)
		rc = segment_path(w, w->generation, w->path, err);
	if (rc != IM_OK)
		return rc;
	for (size_t i = 0; i < count; i++)
		copied += wal_frame_bytes(&frames[i]);
	w->limit = DIRECT_UP(copied + WAL_RESERVE_BYTES);
	if (w->limit < w->segment_bytes)
		w->limit = w->segment_bytes;
	rc = unnamed_path(w, tmp, err);
	if (rc != IM_OK)
		return rc;
	w->fd = ops->open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (w->fd < 0)
		return disk_failed(err, errno, false, "make", tmp);
	w->unnamed = true;
	rc = set_aside(w, w->fd, tmp, 0, w->limit, err);
	if (rc == IM_OK)
		rc = copy_frames(w, tmp, frames, count, err);
	if (rc != IM_OK)
		drop_unnamed(w);
	return rc;
}

enum im_rc
wal_settle(struct wal *w, struct im_err *err)
{
	char tmp[DISK_PATH_MAX];
	enum im_rc rc = unnamed_path(w, tmp, err);

	assert(w->unnamed);
	if (rc == IM_OK && w->ops->fsync(w->fd) < 0)
		rc = disk_failed(err, errno, true, "sync", tmp);
	if (rc == IM_OK && w->ops->rename(tmp, w->path) < 0)
		rc = disk_failed(err, errno, false, "rename", tmp);
	if (rc == IM_OK)
		rc = disk_sync_dir(w->ops, w->dir, err);
	if (rc == IM_OK) {
		w->unnamed = false;
		direct_begin(&w->direct, w->fd);
	} else {
		drop_unnamed(w);
	}
	return rc;
}

enum im_rc
wal_begin(struct wal *w, const struct disk_ops *ops, const char *dir, uint32_t epoch,
	  uint64_t segment_bytes, const struct wal_frame *frames, size_t count, struct im_err *err)
{
	enum im_rc rc = wal_prepare(w, ops, dir, epoch, segment_bytes, frames, count, err);

	return rc == IM_OK ? wal_settle(w, err) : rc;
}

void
wal_recycle(struct wal *w, uint64_t published, struct list *gone)
{
	struct list *node, *next;
	char path[DISK_PATH_MAX];

	for (node = w->retired.next; node != &w->retired; node = next) {
		struct retired *r = CONTAINER_OF(node, struct retired, file.node);
		bool last = node->next == &w->retired;

		next = node->next;
		/* The write-ahead log must always reach the published size: that is how a rolled-back one shows. */
		if (r->end > published || (last && w->offset == 0))
			return;
		if (segment_path(w, r->generation, path, NULL) != IM_OK ||
		    (w->ops->unlink(path) < 0 && errno != ENOENT))
			return;
		list_remove(node);
		list_push_back(gone, node);
	}
}

/* So that removing it takes no time. */
static void
keep_open(const char *path, struct list *gone)
{
	struct disk_gone *g = malloc(sizeof(*g));

	if (g != NULL && (g->fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0)
		list_push_back(gone, &g->node);
	else
		free(g);
}

void
wal_remove_older(const struct wal *w, struct list *gone)
{
	DIR *d = opendir(w->dir);
	struct dirent *e;
	char path[DISK_PATH_MAX];

	if (d == NULL)
		return;
	// NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name);
		uint64_t generation;
		bool older = wal_name_parse(e->d_name, &generation) && generation < w->generation;
		bool leftover = len > 4 && strcmp(e->d_name + len - 4, ".tmp") == 0;

		if ((!older && !leftover) || disk_path(path, w->dir, e->d_name, NULL) != IM_OK)
			continue;
		keep_open(path, gone);
		(void)w->ops->unlink(path);
	}
	(void)closedir(d);
}

void
wal_move(struct wal *to, struct wal *from)
{
	*to = *from;
	list_init(&to->retired); /* nothing is in it yet */
	*from = (struct wal){ .fd = -1 };
}

void
wal_close(struct wal *w)
{
	if (w->ops == NULL)
		return;
	disk_gone_close(&w->retired);
	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
	drop_unnamed(w);
	buf_done(&w->out);
	direct_done(&w->direct);
}
