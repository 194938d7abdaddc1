/*
 * tests/evidence/tamper_folder.h - a log folder as bytes in memory, changed at random and written back; see tamper.c.
 */
#ifndef EVIDENCE_TAMPER_FOLDER_H
#define EVIDENCE_TAMPER_FOLDER_H

#include "base/buf.h"
#include "base/prng.h"

#define TAMPER_NAME_MAX  64
#define TAMPER_FILES_MAX 96

struct tamper_file {
	char name[TAMPER_NAME_MAX]; /* relative to the folder */
	uint8_t *data;
	size_t len;
	size_t used; /* bytes that mean something: a write-ahead segment ends in zeros */
};

struct tamper_folder {
	struct tamper_file file[TAMPER_FILES_MAX];
	unsigned files;
};

/** Read the folder 'dir'; 'wal_used' bytes of its write-ahead segment are in use. */
void tamper_folder_read(struct tamper_folder *f, const char *dir, size_t wal_used);

/** Make 'dir' hold just these files. */
void tamper_folder_write(const struct tamper_folder *f, const char *dir);
void tamper_folder_done(struct tamper_folder *f);

const struct tamper_file *tamper_find(const struct tamper_folder *f, const char *name);

/** Write one file, or remove it if 'len' is SIZE_MAX. */
void tamper_put(const char *dir, const char *name, const void *data, size_t len);

/* Kinds of changes inside of one file. */
enum tamper_change {
	TAMPER_FLIP,      /* one to eight bits */
	TAMPER_OVERWRITE, /* a run of bytes with random ones */
	TAMPER_SWAP, /* two entries of a bundle, two hashes of a tile, two runs of anything else */
	TAMPER_REMOVE, /* an entry, a hash, a run of bytes */
	TAMPER_REPEAT, /* one of them twice */
	TAMPER_TRUNCATE,
	TAMPER_EXTEND,
	TAMPER_CHANGES
};
extern const char *const tamper_change_text[TAMPER_CHANGES];

/** Change the bytes of 'f' as 'how' says into 'out'. False if they came out as they were, or make no sense for this file. */
bool tamper_change(const struct tamper_file *f, enum tamper_change how, struct prng *r,
		   struct buf *out);

#endif
