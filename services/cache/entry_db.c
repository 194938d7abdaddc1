/*
 * cache/entry_db.c - see entry_db.h.
 */
#include "cache/entry_db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "cache/entry_batch.h"
#include "cache/rocks_late.h"
#include "cache/rocks_room.h"
#include "daemon/durable.h"

#define FOLDER "store"
/* Less is left alone: rocks_room.h. */
#define OPEN_ROOM  ((uint64_t)4 << 20)
#define WRITE_ROOM ((uint64_t)32 << 20)

struct entry_db {
	char *parent, *dir, *current; /* dir is in parent, RocksDB's file CURRENT in dir */
	rocksdb_t *db;                /* NULL: not open */
	rocksdb_options_t *options;
	rocksdb_writeoptions_t *write;
	dev_t dev;
	ino_t ino; /* of CURRENT when it was opened */
};

/* Takes RocksDB's text. True: there was one. */
static bool
failed(char *text, const struct entry_db *d, const char *what, struct im_err *err)
{
	if (text == NULL)
		return false;
	(void)err_set(err, IM_EUNAVAILABLE, "cannot %s the entries in %.200s: %.200s", what, d->dir,
		      text);
	rocks_late.free(text);
	return true;
}

/* Make 'dir' if need be, and its name durable. */
static bool
make(const char *dir, struct im_err *err)
{
	if ((mkdir(dir, 0700) == 0 || errno == EEXIST) && durable_sync_folder(dir))
		return true;
	(void)err_errno(err, IM_EUNAVAILABLE, errno, "cannot make %.200s", dir);
	return false;
}

/* What is not known is none. */
static bool
has_room(const struct entry_db *d, uint64_t bytes)
{
	uint64_t room;

	return rocks_room(d->dir, &room) && room >= bytes;
}

bool
entry_db_is_low(const struct entry_db *d)
{
	return !has_room(d, WRITE_ROOM);
}

/* The entry that the iterator is at. */
static bool
load_one(const struct entry_db *d, rocksdb_iterator_t *it, uint64_t now_us, struct entry_map *map,
	 rocksdb_writebatch_t *over, struct im_err *err)
{
	size_t name_len, len;
	const char *name = rocks_late.iter_key(it, &name_len);
	const char *kept = rocks_late.iter_value(it, &len);
	uint64_t expires_us, version;
	struct wire_bytes value;

	if (!entry_kept_read((const uint8_t *)name, name_len, (const uint8_t *)kept, len,
			     &expires_us, &version, &value)) {
		(void)err_set(err, IM_EUNAVAILABLE,
			      "%.200s holds what is no entry: it is damaged, or another program's",
			      d->dir);
		return false;
	}
	if (expires_us <= now_us) {
		rocks_late.writebatch_delete(over, name, name_len);
		return true;
	}
	return entry_map_load(map, (const uint8_t *)name, name_len, version, expires_us, value,
			      err) == IM_OK;
}

/* All that has not expired; what has goes. */
static struct entry_map *
load(const struct entry_db *d, const struct entry_map_params *params, struct im_err *err)
{
	rocksdb_readoptions_t *read;
	rocksdb_iterator_t *it;
	rocksdb_writebatch_t *over;
	struct entry_map *map;
	char *why = NULL;
	bool well = true;

	if (entry_map_new(params, &map, err) != IM_OK)
		return NULL;
	read = rocks_late.readoptions_create();
	rocks_late.readoptions_set_fill_cache(read, 0);
	it = rocks_late.create_iterator(d->db, read);
	over = rocks_late.writebatch_create();
	for (rocks_late.iter_seek_to_first(it); well && rocks_late.iter_valid(it);
	     rocks_late.iter_next(it))
		well = load_one(d, it, clock_wall_us(), map, over, err);
	rocks_late.iter_get_error(it, &why);
	if (failed(why, d, "read", err))
		well = false;
	if (well) {
		why = NULL;
		rocks_late.write(d->db, d->write, over, &why);
		well = !failed(why, d, "write", err);
	}
	rocks_late.writebatch_destroy(over);
	rocks_late.iter_destroy(it);
	rocks_late.readoptions_destroy(read);
	if (!well)
		entry_map_free(map);
	return well ? map : NULL;
}

enum im_rc
entry_db_open(struct entry_db *d, const struct entry_map_params *params, struct entry_map **ret,
	      struct im_err *err)
{
	struct entry_map *map;
	struct stat st;
	char *why = NULL;

	if (!make(d->parent, err) || !make(d->dir, err))
		return IM_EUNAVAILABLE;
	if (!has_room(d, OPEN_ROOM))
		return err_set(err, IM_EUNAVAILABLE, "the disk of %.200s has no room", d->dir);
	d->db = rocks_late.open(d->options, d->dir, &why);
	if (failed(why, d, "open", err)) {
		d->db = NULL;
		return IM_EUNAVAILABLE;
	}
	map = load(d, params, err);
	if (map != NULL && stat(d->current, &st) != 0) {
		entry_map_free(map);
		map = NULL;
		(void)err_set(err, IM_EUNAVAILABLE, "%.200s is gone", d->dir);
	}
	if (map == NULL) {
		entry_db_close(d);
		return IM_EUNAVAILABLE;
	}
	d->dev = st.st_dev;
	d->ino = st.st_ino;
	*ret = map;
	return IM_OK;
}

enum im_rc
entry_db_check(const struct entry_db *d, struct im_err *err)
{
	struct stat st;

	if (stat(d->current, &st) == 0 && st.st_dev == d->dev && st.st_ino == d->ino)
		return IM_OK;
	return err_set(err, IM_EUNAVAILABLE, "%.200s is gone, or another one than was opened",
		       d->dir);
}

enum im_rc
entry_db_write(struct entry_db *d, const struct buf *changes, struct im_err *err)
{
	rocksdb_writebatch_t *all = rocks_late.writebatch_create();
	struct entry_change c;
	char *why = NULL;

	for (size_t at = 0; (at = entry_batch_at(changes, at, &c)) != 0;) {
		const char *name = (const char *)c.name.data;

		if (c.put)
			rocks_late.writebatch_put(all, name, c.name.len, (const char *)c.kept.data,
						  c.kept.len);
		else
			rocks_late.writebatch_delete(all, name, c.name.len);
	}
	rocks_late.write(d->db, d->write, all, &why);
	rocks_late.writebatch_destroy(all);
	return failed(why, d, "write", err) ? IM_EUNAVAILABLE : entry_db_check(d, err);
}

void
entry_db_close(struct entry_db *d)
{
	if (d->db != NULL)
		rocks_late.close(d->db);
	d->db = NULL;
}

static bool
set_options(struct entry_db *d, struct im_err *err)
{
	/* A log that is torn at its end only is one that was being written, of which nothing was acknowledged. Any other damage is an error. */
	static const char text[] =
	    "create_if_missing=true;wal_recovery_mode=kTolerateCorruptedTailRecords;"
	    "paranoid_checks=true;compression=kNoCompression;write_buffer_size=2097152;allow_fallocate=false;manifest_preallocation_size=65536;"
	    "max_write_buffer_number=2;max_total_wal_size=8388608;max_background_jobs=2;"
	    "keep_log_file_num=2;max_log_file_size=1048576;info_log_level=WARN_LEVEL;"
	    "stats_dump_period_sec=0;max_open_files=64;"
	    "block_based_table_factory={block_cache=1048576}";
	rocksdb_options_t *base = rocks_late.options_create();
	char *why = NULL;

	d->options = rocks_late.options_create();
	rocks_late.get_options_from_string(base, text, d->options, &why);
	rocks_late.options_destroy(base);
	d->write = rocks_late.writeoptions_create();
	rocks_late.writeoptions_set_sync(d->write, 1);
	return !failed(why, d, "set RocksDB's options for", err);
}

enum im_rc
entry_db_new(const char *parent, struct entry_db **ret, struct im_err *err)
{
	struct entry_db *d;
	enum im_rc rc = rocks_late_load(err);

	if (rc != IM_OK)
		return rc;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return err_set(err, IM_ENOMEM, "no memory for entries");
	d->parent = strdup(parent);
	if (asprintf(&d->dir, "%s/" FOLDER, parent) < 0)
		d->dir = NULL;
	if (asprintf(&d->current, "%s/" FOLDER "/CURRENT", parent) < 0)
		d->current = NULL;
	if (d->parent == NULL || d->dir == NULL || d->current == NULL)
		rc = err_set(err, IM_ENOMEM, "no memory for entries");
	else if (!set_options(d, err))
		rc = IM_EUNAVAILABLE;
	if (rc != IM_OK) {
		entry_db_free(d);
		return rc;
	}
	*ret = d;
	return IM_OK;
}

void
entry_db_free(struct entry_db *d)
{
	entry_db_close(d);
	if (d->options != NULL)
		rocks_late.options_destroy(d->options);
	if (d->write != NULL)
		rocks_late.writeoptions_destroy(d->write);
	free(d->parent);
	free(d->dir);
	free(d->current);
	free(d);
}
