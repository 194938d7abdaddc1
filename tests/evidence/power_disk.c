/*
 * tests/evidence/power_disk.c - recording calls, and what a power cut leaves of them; see power_disk.h.
 */
#include "power_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evidence.h"

enum {
	OP_CREATE = POWER_MARK + 1,
	OP_RENAME,
	OP_UNLINK,
	OP_WRITE,
	OP_TRUNCATE,
	OP_RESERVE,
	OP_SYNC,
};

static struct power *recorder;

static struct power_op *
record(int kind, int dir, int inode, const char *name)
{
	struct power *p = recorder;
	struct power_op *op;

	if ((p->ops & (p->ops + 1)) == 0) /* room doubles at 1, 3, 7, ... */
		p->op = evidence_realloc(p->op, (size_t)(2 * p->ops + 2) * sizeof(*p->op));
	op = &p->op[p->ops++];
	memset(op, 0, sizeof(*op));
	op->kind = kind;
	op->dir = dir;
	op->inode = inode;
	evidence_copy(op->name, sizeof(op->name), name);
	return op;
}

static int
find(const struct power_image *image, int dir, const char *name)
{
	for (int i = 0; i < image->entries; i++)
		if (image->entry[i].dir == dir && strcmp(image->entry[i].name, name) == 0)
			return i;
	return -1;
}

static void
set_name(struct power_image *image, int dir, const char *name, int inode)
{
	int at = find(image, dir, name);

	if (at < 0) {
		at = image->entries++;
		image->entry =
		    evidence_realloc(image->entry, (size_t)image->entries * sizeof(*image->entry));
		image->entry[at].dir = dir;
		evidence_copy(image->entry[at].name, sizeof(image->entry[at].name), name);
	}
	image->entry[at].inode = inode;
}

static void
drop_name(struct power_image *image, int dir, const char *name)
{
	int at = find(image, dir, name);

	if (at >= 0)
		image->entry[at] = image->entry[--image->entries];
}

/* The folder that 'path' lies in, and its last part; 'path' is below the root. */
static int
folder_of(const char *path, const char **ret_name)
{
	const struct power_image *now = &recorder->now;
	const char *at = path + strlen(recorder->root);
	int dir = 0;

	if (strncmp(path, recorder->root, strlen(recorder->root)) != 0)
		evidence_die("%s is not below %s", path, recorder->root);
	at += *at == '/';
	for (;;) {
		char part[POWER_NAME_MAX];
		const char *slash = strchr(at, '/');
		int entry;

		if (slash == NULL)
			break;
		evidence_copy_len(part, sizeof(part), at, (size_t)(slash - at));
		entry = find(now, dir, part);
		if (entry < 0)
			evidence_die("the folder of %s was not recorded", path);
		dir = now->entry[entry].inode;
		at = slash + 1;
	}
	*ret_name = at;
	return dir;
}

static int
inode_new(struct power_image *image, bool dir)
{
	image->inode =
	    evidence_realloc(image->inode, (size_t)(image->inodes + 1) * sizeof(*image->inode));
	image->inode[image->inodes] = (struct power_inode){ .dir = dir, .data = evidence_alloc(1) };
	return image->inodes++;
}

static int
power_open(const char *path, int flags, mode_t mode)
{
	int fd = disk_posix.open(path, flags, mode), inode = 0, dir, at;
	const char *name;

	if (fd < 0)
		return fd;
	dir = folder_of(path, &name);
	if (*name != '\0') {
		at = find(&recorder->now, dir, name);
		if (at >= 0) {
			inode = recorder->now.entry[at].inode;
		} else {
			inode = inode_new(&recorder->now, false);
			set_name(&recorder->now, dir, name, inode);
			(void)record(OP_CREATE, dir, inode, name);
		}
		if (at >= 0 && (flags & O_TRUNC) != 0)
			(void)record(OP_TRUNCATE, dir, inode, name);
	}
	if (fd >= (int)(sizeof(recorder->fd_inode) / sizeof(recorder->fd_inode[0])))
		evidence_die("descriptor %d is too large", fd);
	recorder->fd_inode[fd] = inode;
	return fd;
}

static ssize_t
power_pwrite(int fd, const void *data, size_t len, off_t at)
{
	ssize_t n = disk_posix.pwrite(fd, data, len, at);

	if (n > 0) {
		struct power_op *op = record(OP_WRITE, 0, recorder->fd_inode[fd], "");

		op->at = (uint64_t)at;
		op->len = (uint64_t)n;
		op->data = evidence_alloc((size_t)n);
		memcpy(op->data, data, (size_t)n);
	}
	return n;
}

static int
power_sync(int fd)
{
	if (!recorder->lies)
		(void)record(OP_SYNC, 0, recorder->fd_inode[fd], "");
	return 0; /* the real one is in memory */
}

static int
power_rename(const char *from, const char *to)
{
	const char *name, *to_name;
	int dir = folder_of(from, &name), to_dir = folder_of(to, &to_name), inode, at;

	at = find(&recorder->now, dir, name);
	if (dir != to_dir || at < 0)
		evidence_die("a rename across folders, or of an unknown file: %s", from);
	if (disk_posix.rename(from, to) != 0)
		return -1;
	inode = recorder->now.entry[at].inode;
	drop_name(&recorder->now, dir, name);
	set_name(&recorder->now, dir, to_name, inode);
	evidence_copy(record(OP_RENAME, dir, inode, name)->to, POWER_NAME_MAX, to_name);
	return 0;
}

static int
power_ftruncate(int fd, off_t len)
{
	if (disk_posix.ftruncate(fd, len) != 0)
		return -1;
	record(OP_TRUNCATE, 0, recorder->fd_inode[fd], "")->len = (uint64_t)len;
	return 0;
}

static int
power_fallocate(int fd, off_t at, off_t len)
{
	int errnum = disk_posix.fallocate(fd, at, len);

	if (errnum == 0)
		record(OP_RESERVE, 0, recorder->fd_inode[fd], "")->len = (uint64_t)(at + len);
	return errnum;
}

static int
power_mkdir(const char *path, mode_t mode)
{
	const char *name;
	int dir = folder_of(path, &name), inode;

	if (disk_posix.mkdir(path, mode) != 0)
		return -1;
	if (find(&recorder->now, dir, name) >= 0) /* it was removed past us, and is empty */
		return 0;
	inode = inode_new(&recorder->now, true);
	set_name(&recorder->now, dir, name, inode);
	(void)record(OP_CREATE, dir, inode, name);
	return 0;
}

static int
power_unlink(const char *path)
{
	const char *name;
	int dir = folder_of(path, &name), at = find(&recorder->now, dir, name);

	if (disk_posix.unlink(path) != 0)
		return -1;
	if (at >= 0) {
		(void)record(OP_UNLINK, dir, recorder->now.entry[at].inode, name);
		drop_name(&recorder->now, dir, name);
	}
	return 0;
}

/* It promises nothing. */
static void
power_writeback(int fd)
{
	(void)fd;
}

const struct disk_ops power_disk = {
	.open = power_open,
	.pwrite = power_pwrite,
	.fdatasync = power_sync,
	.fsync = power_sync,
	.rename = power_rename,
	.ftruncate = power_ftruncate,
	.fallocate = power_fallocate,
	.mkdir = power_mkdir,
	.unlink = power_unlink,
	.writeback = power_writeback,
};

void
power_record(struct power *p, const struct power_image *start)
{
	recorder = p;
	if (start != NULL) {
		power_image_copy(start, &p->durable);
		power_image_copy(start, &p->now);
	} else {
		(void)inode_new(&p->durable, true);
		(void)inode_new(&p->now, true);
	}
	power_image_write(&p->durable, p->root);
}

void
power_mark(struct power *p, uint64_t mark)
{
	(void)p;
	record(POWER_MARK, 0, 0, "")->mark = mark;
}

/* The sizes and bytes of a file. */

static void
resize(struct power_inode *file, uint64_t size)
{
	file->data = evidence_realloc(file->data, (size_t)size + 1);
	if (size > file->size)
		memset(file->data + file->size, 0, (size_t)size - file->size);
	file->size = (size_t)size;
}

static void
put(struct power_inode *file, const struct power_op *op, uint64_t from, uint64_t to)
{
	if (file->size < to)
		resize(file, to);
	memcpy(file->data + from, op->data + (from - op->at), (size_t)(to - from));
}

/* Some sectors of a write. */
static void
put_torn(struct power_inode *file, const struct power_op *op, struct prng *r)
{
	uint64_t sector = prng_below(r, 2) == 0 ? 512 : 4096, end = op->at + op->len;
	uint32_t way = prng_below(r, 4);
	uint32_t sectors = (uint32_t)((end - 1) / sector - op->at / sector + 1);
	uint32_t which = prng_below(r, sectors + 1), n = 0;

	if (prng_below(r, 2) == 0 && file->size < end)
		resize(file, end); /* the size went before the bytes */
	for (uint64_t at = op->at; at < end; n++) {
		uint64_t stop = (at / sector + 1) * sector;
		bool kept = way == 0   ? n < which
			    : way == 1 ? n >= which
			    : way == 2 ? n != which
				       : prng_below(r, 2) == 0;

		stop = stop < end ? stop : end;
		if (kept)
			put(file, op, at, stop);
		at = stop;
	}
}

static void
apply(struct power_image *image, const struct power_op *op, bool torn, struct prng *r)
{
	struct power_inode *file = &image->inode[op->inode];

	switch (op->kind) {
	case OP_CREATE:
		set_name(image, op->dir, op->name, op->inode);
		break;
	case OP_RENAME:
		drop_name(image, op->dir, op->name);
		set_name(image, op->dir, op->to, op->inode);
		break;
	case OP_UNLINK:
		drop_name(image, op->dir, op->name);
		break;
	case OP_WRITE:
		if (torn)
			put_torn(file, op, r);
		else
			put(file, op, op->at, op->at + op->len);
		break;
	case OP_TRUNCATE:
		resize(file, op->len);
		break;
	case OP_RESERVE:
		if (file->size < op->len)
			resize(file, op->len);
		break;
	default:
		break;
	}
}

static bool
is_name(const struct power_op *op)
{
	return op->kind == OP_CREATE || op->kind == OP_RENAME || op->kind == OP_UNLINK;
}

/* A sync makes durable what is pending of its file or folder. */
static void
settle(struct power *p, int inode)
{
	int kept = 0;

	for (int i = 0; i < p->pendings; i++) {
		const struct power_op *op = &p->op[p->pending[i]];

		if ((is_name(op) ? op->dir : op->inode) == inode)
			apply(&p->durable, op, false, NULL);
		else
			p->pending[kept++] = p->pending[i];
	}
	p->pendings = kept;
}

void
power_seek(struct power *p, int cut)
{
	if (p->pending == NULL)
		p->pending = evidence_alloc((size_t)(p->ops + 1) * sizeof(*p->pending));
	for (; p->cut < cut; p->cut++) {
		const struct power_op *op = &p->op[p->cut];

		while (op->inode >= p->durable.inodes)
			(void)inode_new(&p->durable, p->now.inode[p->durable.inodes].dir);
		if (op->kind == OP_SYNC)
			settle(p, op->inode);
		else if (op->kind != POWER_MARK)
			p->pending[p->pendings++] = p->cut;
	}
}

/* A copy of what is durable, without the bytes that no name leads to any more. */
static void
copy_needed(const struct power *p, struct power_image *ret)
{
	bool *needed = evidence_alloc((size_t)p->durable.inodes * sizeof(*needed));
	struct power_image image = p->durable;

	memset(needed, 0, (size_t)p->durable.inodes * sizeof(*needed));
	for (int i = 0; i < p->durable.entries; i++)
		needed[p->durable.entry[i].inode] = true;
	for (int i = 0; i < p->pendings; i++)
		needed[p->op[p->pending[i]].inode] = true;
	image.inode = evidence_alloc((size_t)image.inodes * sizeof(*image.inode));
	memcpy(image.inode, p->durable.inode, (size_t)image.inodes * sizeof(*image.inode));
	for (int i = 0; i < image.inodes; i++)
		image.inode[i].size = needed[i] ? image.inode[i].size : 0;
	power_image_copy(&image, ret);
	free(image.inode);
	free(needed);
}

void
power_crash(const struct power *p, enum power_fate fate, struct prng *r, struct power_image *ret)
{
	/* How much is lost varies from cut to cut. */
	uint32_t lost = fate == POWER_SOME ? 1 + prng_below(r, 9) : 0;
	uint32_t torn = fate == POWER_SOME ? prng_below(r, 10) : 0;

	copy_needed(p, ret);
	if (fate == POWER_NONE)
		return;
	for (int i = 0; i < p->pendings; i++) {
		const struct power_op *op = &p->op[p->pending[i]];

		if (lost > 0 && prng_below(r, 10) < lost)
			continue;
		apply(ret, op, torn > 0 && prng_below(r, 10) < torn, r);
	}
}

void
power_done(struct power *p)
{
	for (int i = 0; i < p->ops; i++)
		free(p->op[i].data);
	free(p->op);
	free(p->pending);
	power_image_done(&p->now);
	power_image_done(&p->durable);
	p->op = NULL;
	p->pending = NULL;
	p->ops = p->pendings = p->cut = 0;
}
