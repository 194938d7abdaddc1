/*
 * tests/evidence/power_disk.h - a model of a disk that loses power. Every call that the audit service makes on its files is
 * done for real and recorded; afterwards the disk is put together as it may look after a power cut behind any of these calls.
 *
 * The model is as unkind as POSIX allows: what was written since a file's last fsync or fdatasync is there, is not, or is there
 * in part, in sectors of 512 or 4096 bytes in any selection; sizes likewise. Names that were made, renamed or removed since
 * their folder's last fsync are there or not, in any selection: an fsync of a file says nothing about its name, and a later
 * change may survive an earlier one. Nothing that was synced is lost.
 *
 * One recording at a time, on one thread.
 */
#ifndef EVIDENCE_POWER_DISK_H
#define EVIDENCE_POWER_DISK_H

#include "audit/disk.h"
#include "base/prng.h"

#define POWER_NAME_MAX 48
#define POWER_MARK     0 /* no call: what the recorder's user wants to know of this moment */

struct power_inode {
	bool dir;
	uint8_t *data;
	size_t size;
};

struct power_entry {
	int dir, inode;
	char name[POWER_NAME_MAX];
};

/* All files; inode 0 is the folder at the top. */
struct power_image {
	struct power_inode *inode;
	int inodes;
	struct power_entry *entry;
	int entries;
};

struct power_op {
	int kind;
	int dir, inode;
	char name[POWER_NAME_MAX], to[POWER_NAME_MAX];
	uint64_t at, len, mark;
	uint8_t *data;
};

struct power {
	char root[72];
	bool lies; /* fsync and fdatasync do nothing: to see that this would be found */
	struct power_image now; /* names as the recorded process sees them */
	struct power_image durable;
	struct power_op *op;
	int ops;
	int *pending; /* ops that the crash may lose */
	int pendings, cut;
	int fd_inode[1024];
};

/* Which of the pending changes a power cut leaves. */
enum power_fate {
	POWER_ALL,
	POWER_NONE,
	POWER_SOME, /* each as chance has it, writes torn */
};

extern const struct disk_ops power_disk;

/** Begin to record in the folder p->root, which holds 'start' (NULL = nothing) durably. */
void power_record(struct power *p, const struct power_image *start);

/** Note a moment of the recording. */
void power_mark(struct power *p, uint64_t mark);

/** Go to the moment behind call number 'cut' (from 0 to p->ops; 0 or more than before). */
void power_seek(struct power *p, int cut);

/** The disk after a power cut at this moment. Free with power_image_done(). */
void power_crash(const struct power *p, enum power_fate fate, struct prng *r,
		 struct power_image *ret);

/** A hash of all names and bytes. */
uint64_t power_image_hash(const struct power_image *image);

/** Make the folder 'root' hold just these files. */
void power_image_write(const struct power_image *image, const char *root);
void power_image_copy(const struct power_image *image, struct power_image *ret);
void power_image_done(struct power_image *image);

/** Free the recording. */
void power_done(struct power *p);

#endif
