/*
 * tests/evidence/power_image.c - files and names as plain data, and onto a real folder; see power_disk.h.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "evidence.h"
#include "power_disk.h"

static void *
copy(const void *data, size_t len)
{
	void *p = evidence_alloc(len + 1);

	if (len > 0)
		memcpy(p, data, len);
	return p;
}

void
power_image_copy(const struct power_image *image, struct power_image *ret)
{
	*ret = *image;
	ret->entry = copy(image->entry, (size_t)image->entries * sizeof(*image->entry));
	ret->inode = copy(image->inode, (size_t)image->inodes * sizeof(*image->inode));
	for (int i = 0; i < image->inodes; i++)
		ret->inode[i].data = copy(image->inode[i].data, image->inode[i].size);
}

void
power_image_done(struct power_image *image)
{
	for (int i = 0; i < image->inodes; i++)
		free(image->inode[i].data);
	free(image->inode);
	free(image->entry);
	memset(image, 0, sizeof(*image));
}

/* Calls 'fn' for what can be reached below 'dir', a folder before what is in it. */
static void
walk(const struct power_image *image, int dir, const char *path,
     void (*fn)(void *user, const char *path, const struct power_inode *inode), void *user)
{
	for (int i = 0; i < image->entries; i++) {
		const struct power_entry *e = &image->entry[i];
		char below[DISK_PATH_MAX];

		if (e->dir != dir)
			continue;
		(void)snprintf(below, sizeof(below), "%s/%s", path, e->name);
		fn(user, below, &image->inode[e->inode]);
		if (image->inode[e->inode].dir)
			walk(image, e->inode, below, fn, user);
	}
}

/* Entries are in the order of their making, which says nothing: so the files' hashes are added up. */
static void
add_hash(void *user, const char *path, const struct power_inode *inode)
{
	uint64_t *sum = user;
	uint64_t name = XXH3_64bits(path, strlen(path));

	*sum += XXH3_64bits_withSeed(inode->data, inode->size, name + inode->dir);
}

uint64_t
power_image_hash(const struct power_image *image)
{
	uint64_t sum = 0;

	walk(image, 0, "", add_hash, &sum);
	return sum;
}

static void
write_one(void *user, const char *path, const struct power_inode *inode)
{
	int fd;

	(void)user;
	if (inode->dir) {
		if (mkdir(path, 0700) != 0)
			evidence_die("cannot make the folder %s", path);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, inode->data, inode->size) != (ssize_t)inode->size || close(fd) != 0)
		evidence_die("cannot write %s", path);
}

void
power_image_write(const struct power_image *image, const char *root)
{
	evidence_remove(root);
	if (mkdir(root, 0700) != 0)
		evidence_die("cannot make the folder %s", root);
	walk(image, 0, root, write_one, NULL);
}
