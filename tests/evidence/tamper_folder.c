/*
 * tests/evidence/tamper_folder.c - reading, changing and writing files of a log; see tamper_folder.h.
 */
#include "tamper_folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/disk.h"
#include "audit/tile.h"
#include "evidence.h"

const char *const tamper_change_text[TAMPER_CHANGES] = { "flipped_bits", "overwritten", "swapped",
							 "removed",      "repeated",    "truncated",
							 "extended" };

static struct tamper_folder *reading;
static size_t reading_base, reading_used;

static int
read_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	struct tamper_file *f = &reading->file[reading->files];
	const char *name = path + reading_base;
	int fd;

	(void)where;
	if (type != FTW_F || strcmp(name, "lock") == 0)
		return 0;
	if (reading->files++ == TAMPER_FILES_MAX)
		evidence_die("too many files");
	evidence_copy(f->name, sizeof(f->name), name);
	f->len = (size_t)st->st_size;
	f->data = evidence_alloc(f->len);
	f->used = strncmp(name, "wal/", 4) == 0 ? reading_used : f->len;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, f->data, f->len) != (ssize_t)f->len || close(fd) != 0)
		evidence_die("cannot read %s", path);
	return 0;
}

void
tamper_folder_read(struct tamper_folder *f, const char *dir, size_t wal_used)
{
	f->files = 0;
	reading = f;
	reading_base = strlen(dir) + 1;
	reading_used = wal_used;
	// NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread
	if (nftw(dir, read_one, 16, FTW_PHYS) != 0)
		evidence_die("cannot read %s", dir);
}

void
tamper_put(const char *dir, const char *name, const void *data, size_t len)
{
	char path[DISK_PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (len == SIZE_MAX) {
		(void)unlink(path);
		return;
	}
	for (char *slash = path + strlen(dir) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len || close(fd) != 0)
		evidence_die("cannot write %s", path);
}

void
tamper_folder_write(const struct tamper_folder *f, const char *dir)
{
	evidence_remove(dir);
	if (mkdir(dir, 0700) != 0)
		evidence_die("cannot make %s", dir);
	for (unsigned i = 0; i < f->files; i++)
		tamper_put(dir, f->file[i].name, f->file[i].data, f->file[i].len);
}

void
tamper_folder_done(struct tamper_folder *f)
{
	for (unsigned i = 0; i < f->files; i++)
		free(f->file[i].data);
	f->files = 0;
}

const struct tamper_file *
tamper_find(const struct tamper_folder *f, const char *name)
{
	for (unsigned i = 0; i < f->files; i++)
		if (strcmp(f->file[i].name, name) == 0)
			return &f->file[i];
	return NULL;
}

/* Where piece 'n' begins and ends: an entry with its length, a hash, a line. '*ret_count' pieces in all. */
static void
piece(const struct tamper_file *f, unsigned n, size_t *ret_at, size_t *ret_len, unsigned *ret_count)
{
	struct bundle_iter it = { f->data, f->len };
	const uint8_t *entry;
	size_t len;

	*ret_at = *ret_len = 0;
	if (strncmp(f->name, "tile/entries/", 13) == 0) {
		for (*ret_count = 0; bundle_next(&it, &entry, &len); ++*ret_count)
			if (*ret_count == n) {
				*ret_at = (size_t)(entry - 2 - f->data);
				*ret_len = len + 2;
			}
	} else {
		size_t size = strncmp(f->name, "tile/", 5) == 0 ? HASH_BYTES : 16;

		*ret_count = (unsigned)(f->used / size);
		*ret_at = n * size;
		*ret_len = size;
	}
}

static void
swap_pieces(const struct tamper_file *f, struct prng *r, struct buf *out)
{
	size_t a, b, a_len, b_len;
	unsigned count, i;

	piece(f, 0, &a, &a_len, &count);
	if (count < 2)
		return;
	i = prng_below(r, count - 1);
	piece(f, i, &a, &a_len, &count);
	piece(f, i + 1 + prng_below(r, count - i - 1), &b, &b_len, &count);
	(void)buf_append(out, f->data, a);
	(void)buf_append(out, f->data + b, b_len);
	(void)buf_append(out, f->data + a + a_len, b - a - a_len);
	(void)buf_append(out, f->data + a, a_len);
	(void)buf_append(out, f->data + b + b_len, f->len - b - b_len);
}

/* One piece 'times' times. */
static void
repeat_piece(const struct tamper_file *f, unsigned times, struct prng *r, struct buf *out)
{
	unsigned count;
	size_t at, len;

	piece(f, 0, &at, &len, &count);
	if (count == 0)
		return;
	piece(f, prng_below(r, count), &at, &len, &count);
	(void)buf_append(out, f->data, at);
	for (unsigned i = 0; i < times; i++)
		(void)buf_append(out, f->data + at, len);
	(void)buf_append(out, f->data + at + len, f->len - at - len);
}

static void
scramble(const struct tamper_file *f, bool flip, struct prng *r, struct buf *out)
{
	uint32_t at = prng_below(r, (uint32_t)f->used), n = 1 + prng_below(r, flip ? 8 : 64);

	(void)buf_append(out, f->data, f->len);
	for (uint32_t i = 0; i < n; i++) {
		if (flip)
			out->data[prng_below(r, (uint32_t)f->used)] ^=
			    (uint8_t)(1U << prng_below(r, 8));
		else if (at + i < f->used)
			out->data[at + i] = (uint8_t)prng_next(r);
	}
}

static void
extend(const struct tamper_file *f, struct prng *r, struct buf *out)
{
	uint32_t n = 1 + prng_below(r, 600);

	(void)buf_append(out, f->data, f->len);
	for (uint32_t i = 0; i < n; i++)
		(void)buf_append_byte(out, (uint8_t)prng_next(r));
}

bool
tamper_change(const struct tamper_file *f, enum tamper_change how, struct prng *r, struct buf *out)
{
	bool wal = strncmp(f->name, "wal/", 4) == 0;

	buf_clear(out);
	switch (how) {
	case TAMPER_FLIP:
	case TAMPER_OVERWRITE:
		scramble(f, how == TAMPER_FLIP, r, out);
		break;
	case TAMPER_SWAP:
		swap_pieces(f, r, out);
		break;
	case TAMPER_REMOVE:
	case TAMPER_REPEAT:
		repeat_piece(f, how == TAMPER_REMOVE ? 0 : 2, r, out);
		break;
	case TAMPER_TRUNCATE:
		(void)buf_append(out, f->data, prng_below(r, (uint32_t)f->used));
		break;
	case TAMPER_EXTEND:
		if (wal) /* bytes behind its last frame are no part of the log: a crash leaves such */
			return false;
		extend(f, r, out);
		break;
	default:
		return false;
	}
	if (!buf_ok(out))
		evidence_die("no memory");
	if (out->len == 0 && how != TAMPER_TRUNCATE)
		return false;
	if (out->len != f->len)
		return true;
	return out->data != NULL && memcmp(out->data, f->data, f->len) != 0;
}
