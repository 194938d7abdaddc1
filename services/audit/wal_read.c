/*
 * audit/wal_read.c - reading the write-ahead log back: telling a torn tail, which a crash leaves, from corruption, which
 * nothing that we do leaves; see wal.h and docs/audit-log.md.
 *
 * A bad frame is a torn tail if nothing valid follows and it lacks whole sectors: they read as zeros (space is set aside
 * before it is written) or lie behind the end of the file. Anything else is corruption.
 */
#include "audit/wal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* That are read at once: at the beginning of a segment, which may be all there is, and behind its last frame; and in between. */
#define FIRST_BYTES  ((size_t)1024 * 1024)
#define WINDOW_BYTES ((size_t)4 * 1024 * 1024)
#define SEARCH_BYTES ((size_t)1024 * 1024)

struct segment_reader {
	const struct wal_scan *scan;
	char path[DISK_PATH_MAX];
	uint64_t generation;
	uint64_t size; /* of the file */
	int fd;
	bool maps; /* windows are the file's own pages */
	struct bytes *window;
	size_t window_len;
	uint64_t window_at; /* of its first byte */
	struct im_err *err;
};

/* Exactly 'len' bytes at 'at'; the caller knows that they are there. */
static enum im_rc
read_at(const struct segment_reader *r, void *out, size_t len, uint64_t at)
{
	uint8_t *p = out;

	while (len > 0) {
		ssize_t n = pread(r->fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(r->err, IM_EIO, errno, "cannot read %s", r->path);
		if (n == 0)
			return err_set(r->err, IM_EIO, "%s became shorter while it was read",
				       r->path);
		p += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return IM_OK;
}

static bool
all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* A window of its own, for whoever keeps what lies in it. False: reading will tell why, if it is more than that. */
static bool
map_window(struct segment_reader *r, uint64_t at, size_t fill)
{
	size_t before = (size_t)(at % BYTES_MAP_ALIGN);
	struct bytes *b = r->maps ? bytes_map(r->fd, at - before, before + fill) : NULL;

	if (b == NULL)
		return false;
	bytes_unref(r->window);
	r->window = b;
	r->window_len = before + fill;
	r->window_at = at - before;
	return true;
}

/* The 'len' bytes at 'at', which are there, valid until the next call. Whoever reads on finds what follows read already. */
static enum im_rc
look_at(struct segment_reader *r, uint64_t at, size_t len, const uint8_t **ret)
{
	size_t ahead = r->window_len == 0 ? FIRST_BYTES : WINDOW_BYTES;
	size_t fill = len > ahead ? len : ahead;
	enum im_rc rc;

	if (at >= r->window_at && at - r->window_at <= r->window_len &&
	    r->window_len - (size_t)(at - r->window_at) >= len) {
		*ret = r->window->data + (size_t)(at - r->window_at);
		return IM_OK;
	}
	if (fill > r->size - at)
		fill = (size_t)(r->size - at);
	if (map_window(r, at, fill)) {
		*ret = r->window->data + (size_t)(at - r->window_at);
		return IM_OK;
	}
	r->window_len = 0;
	if (r->window == NULL || r->window->cap < fill || r->window->mapped > 0 ||
	    bytes_shared(r->window)) {
		bytes_unref(r->window);
		r->window = bytes_new(fill);
		if (r->window == NULL)
			return err_set(r->err, IM_ENOMEM, "no memory to read %s", r->path);
	}
	rc = read_at(r, r->window->data, fill, at);
	if (rc != IM_OK)
		return rc;
	r->window_len = fill;
	r->window_at = at;
	*ret = r->window->data;
	return IM_OK;
}

/* The whole frame at 'at'; 'ret' points into the window. IM_EPROTO: there is none. */
static enum im_rc
read_frame(struct segment_reader *r, uint64_t at, struct wal_frame *ret)
{
	const uint8_t *data;
	struct im_err why;
	size_t total;
	enum im_rc rc;

	if (r->size - at < WAL_HEADER_BYTES)
		return IM_EPROTO;
	rc = look_at(r, at, WAL_HEADER_BYTES, &data);
	if (rc != IM_OK)
		return rc;
	if (!wal_header_get(data, ret, &total) || ret->generation != r->generation ||
	    total > r->size - at)
		return IM_EPROTO;
	rc = look_at(r, at, total, &data);
	if (rc != IM_OK)
		return rc;
	if (wal_frame_get(data, total, ret, &why) != IM_OK)
		return IM_EPROTO;
	ret->home = r->window;
	return IM_OK;
}

/* Where from 'at' on the file has something: what was set aside and never written need not be read to know that it is zeros. */
static uint64_t
skip_unwritten(const struct segment_reader *r, uint64_t at)
{
	off_t data = lseek(r->fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? r->size : at;
	return (uint64_t)data;
}

/* Is there anything but zeros from 'at' on, and is there a frame of ours? */
static enum im_rc
search_rest(struct segment_reader *r, uint64_t at, bool *ret_nonzero, uint64_t *ret_frame_at)
{
	uint8_t *win = malloc(SEARCH_BYTES);
	enum im_rc rc = IM_OK;

	*ret_nonzero = false;
	*ret_frame_at = 0;
	if (win == NULL)
		return err_set(r->err, IM_ENOMEM, "no memory to read %s", r->path);
	/* Windows overlap by seven bytes, so that no magic is missed. */
	for (uint64_t pos = skip_unwritten(r, at);
	     pos < r->size && rc == IM_OK && *ret_frame_at == 0;
	     pos = skip_unwritten(r, pos + SEARCH_BYTES - 7)) {
		size_t len = r->size - pos < SEARCH_BYTES ? (size_t)(r->size - pos) : SEARCH_BYTES;
		const uint8_t *hit = win;

		rc = read_at(r, win, len, pos);
		if (rc != IM_OK)
			break;
		if (all_zero(win, len))
			continue;
		*ret_nonzero = true;
		while (*ret_frame_at == 0 &&
		       (hit = memmem(hit, len - (size_t)(hit - win), WAL_MAGIC, 8)) != NULL) {
			struct wal_frame f;
			uint64_t where = pos + (uint64_t)(hit - win);

			rc = read_frame(r, where, &f);
			if (rc != IM_OK && rc != IM_EPROTO)
				break;
			if (rc == IM_OK &&
			    (r->scan->trusted == NULL || r->scan->trusted(r->scan->user, &f)))
				*ret_frame_at = where;
			rc = IM_OK;
			hit++;
		}
	}
	free(win);
	return rc;
}

/* Does one of the sectors that [at, end) touches hold nothing but zeros there? */
static enum im_rc
lacks_sector(struct segment_reader *r, uint64_t at, uint64_t end, bool *ret)
{
	uint8_t sector[WAL_SECTOR_BYTES];

	*ret = end > r->size;
	while (at < end && !*ret) {
		uint64_t stop = (at / WAL_SECTOR_BYTES + 1) * WAL_SECTOR_BYTES;
		size_t len = (size_t)((stop < end ? stop : end) - at);
		enum im_rc rc = read_at(r, sector, len, at);

		if (rc != IM_OK)
			return rc;
		*ret = all_zero(sector, len);
		at += len;
	}
	return IM_OK;
}

static enum im_rc
corrupt(const struct segment_reader *r, uint64_t at, const char *why)
{
	return err_set(
	    r->err, IM_ECORRUPT,
	    "%s is damaged at byte %llu: %s; restore the folder from a copy, do not delete anything",
	    r->path, (unsigned long long)at, why);
}

/* There is no frame at 'at': the end, a torn tail, or corruption. */
static enum im_rc
judge_tail(struct segment_reader *r, uint64_t at, bool *ret_torn)
{
	uint8_t header[WAL_HEADER_BYTES];
	uint64_t frame_at, end = at + WAL_HEADER_BYTES;
	struct wal_frame f;
	size_t total;
	bool nonzero, lacks;
	enum im_rc rc;

	*ret_torn = false;
	rc = search_rest(r, at, &nonzero, &frame_at);
	if (rc != IM_OK || !nonzero)
		return rc;
	if (frame_at != 0)
		return corrupt(r, at, "a valid frame follows");
	if (end <= r->size) {
		rc = read_at(r, header, sizeof(header), at);
		if (rc != IM_OK)
			return rc;
		if (wal_header_get(header, &f, &total)) {
			if (f.generation != r->generation)
				return corrupt(r, at, "a frame of another generation");
			end = at + total;
		}
	}
	rc = lacks_sector(r, at, end, &lacks);
	if (rc == IM_OK && !lacks)
		return corrupt(r, at, "a frame with a wrong checksum");
	*ret_torn = rc == IM_OK;
	return rc;
}

/* The next frame. IM_EPROTO: there is none, and that is as it should be. */
static enum im_rc
next_frame(struct segment_reader *r, uint64_t at, struct wal_frame *ret, bool *ret_torn)
{
	enum im_rc verdict, rc = read_frame(r, at, ret);

	*ret_torn = false;
	if (rc != IM_EPROTO)
		return rc;
	/* What was read ahead may be older than what the service has written meanwhile; and so may what was judged. */
	r->window_len = 0;
	rc = read_frame(r, at, ret);
	if (rc != IM_EPROTO)
		return rc;
	verdict = judge_tail(r, at, ret_torn);
	if (verdict == IM_OK)
		return IM_EPROTO;
	r->window_len = 0;
	return verdict == IM_ECORRUPT && read_frame(r, at, ret) == IM_OK ? IM_OK : verdict;
}

static enum im_rc
read_segment(struct segment_reader *r, bool last, struct wal_found *found)
{
	char where[DISK_PATH_MAX + 64];
	struct wal_frame f;
	uint64_t at = 0;
	bool torn;
	enum im_rc rc;

	while ((rc = next_frame(r, at, &f, &torn)) == IM_OK) {
		(void)snprintf(where, sizeof(where), "%s at byte %llu", r->path,
			       (unsigned long long)at);
		rc = r->scan->frame(r->scan->user, &f, where, r->err);
		if (rc != IM_OK)
			return rc;
		found->frames++;
		at += wal_frame_bytes(&f);
	}
	if (rc != IM_EPROTO)
		return rc;
	if (!torn)
		return IM_OK;
	/* The next segment is begun only when everything in this one is durable. */
	if (!last)
		return corrupt(r, at, "a torn frame, but later segments exist");
	found->torn = true;
	(void)snprintf(found->torn_where, sizeof(found->torn_where), "%s at byte %llu", r->path,
		       (unsigned long long)at);
	return IM_OK;
}

static int
compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Generations of all segments, ascending. The caller frees '*ret'. */
static enum im_rc
list_segments(const char *dir, uint64_t **ret, size_t *ret_count, struct im_err *err)
{
	uint64_t *all = NULL, generation;
	size_t count = 0, cap = 0;
	enum im_rc rc = IM_OK;
	struct dirent *e;
	DIR *d = opendir(dir);

	if (d == NULL && errno == ENOENT) {
		*ret = NULL;
		*ret_count = 0;
		return IM_OK;
	}
	if (d == NULL)
		return err_errno(err, IM_EIO, errno, "cannot read the folder %s", dir);
	// NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
	while (rc == IM_OK && (e = readdir(d)) != NULL) {
		if (!wal_name_parse(e->d_name, &generation))
			continue;
		if (count == cap) {
			uint64_t *more =
			    cap < WAL_SEGMENTS_MAX ? realloc(all, (cap + 64) * sizeof(*all)) : NULL;

			if (more == NULL) {
				rc = err_set(err, IM_ENOMEM, "too many segments in %s", dir);
				break;
			}
			all = more;
			cap += 64;
		}
		all[count++] = generation;
	}
	(void)closedir(d);
	if (rc != IM_OK) {
		free(all);
		return rc;
	}
	if (count > 0)
		qsort(all, count, sizeof(*all), compare_u64);
	*ret = all;
	*ret_count = count;
	return IM_OK;
}

static enum im_rc
open_and_read(const char *dir, uint64_t generation, bool last, const struct wal_scan *scan,
	      struct wal_found *found, struct im_err *err)
{
	struct segment_reader r = { .scan = scan, .generation = generation, .err = err };
	char name[WAL_NAME_MAX];
	struct stat st;
	enum im_rc rc;

	wal_name(generation, name);
	rc = disk_path(r.path, dir, name, err);
	if (rc != IM_OK)
		return rc;
	r.fd = open(r.path, O_RDONLY | O_CLOEXEC);
	if (r.fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot open %s", r.path);
	if (fstat(r.fd, &st) < 0) {
		rc = err_errno(err, IM_EIO, errno, "cannot look at %s", r.path);
	} else {
		r.size = (uint64_t)st.st_size;
		/* Else a page may be what a sync failed to write, and be something else when it is read from the disk again. */
		r.maps = scan->keeps && direct_can(r.fd);
		rc = read_segment(&r, last, found);
	}
	(void)close(r.fd);
	bytes_unref(r.window);
	return rc;
}

enum im_rc
wal_read(const char *dir, const struct wal_scan *scan, struct wal_found *ret, struct im_err *err)
{
	struct wal_found found = { 0 };
	char wal_dir[DISK_PATH_MAX];
	uint64_t *all = NULL;
	size_t count = 0, from = 0;
	enum im_rc rc;

	rc = disk_path(wal_dir, dir, "wal", err);
	if (rc == IM_OK)
		rc = list_segments(wal_dir, &all, &count, err);
	if (rc != IM_OK)
		return rc;
	if (count > 0) {
		found.epoch = (uint32_t)(all[count - 1] >> 32);
		/* Only the newest epoch, and of it what has no hole: a recycled segment may have come back. */
		for (from = count - 1; from > 0 && all[from - 1] == all[from] - 1 &&
				       (uint32_t)(all[from - 1] >> 32) == found.epoch;)
			from--;
	}
	for (size_t i = from; i < count && rc == IM_OK; i++) {
		found.segments++;
		rc = open_and_read(wal_dir, all[i], i + 1 == count, scan, &found, err);
	}
	free(all);
	if (rc == IM_OK)
		*ret = found;
	return rc;
}
