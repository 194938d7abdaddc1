/*
 * cache/rocks.c - see rocks.h.
 */
#include "cache/rocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/le.h"
#include "cache/rocks_late.h"
#include "cache/rocks_room.h"

#define EXPIRY_BYTES     8
#define BUFFER_MIN_BYTES ((uint64_t)1 << 20)
#define BUFFER_MAX_BYTES ((uint64_t)32 << 20)
#define SPARE_BYTES      ((uint64_t)4 << 20) /* besides two buffers */

struct rocks {
	rocksdb_t *db;
	rocksdb_options_t *options;
	rocksdb_readoptions_t *read, *scan;
	rocksdb_writeoptions_t *write;
	rocksdb_writebatch_t *batch;
	rocksdb_iterator_t *purge;
	struct buf kept; /* being put */
	char *current;   /* path of RocksDB's file CURRENT */
	dev_t dev;
	ino_t ino;      /* of the folder when it was opened */
	uint64_t spare; /* bytes of the disk that are left alone */
};

/* Takes RocksDB's text. True: there was one. */
static bool
failed(char *text, const char *what, struct im_err *err)
{
	if (text == NULL)
		return false;
	(void)err_set(err, IM_EIO, "cannot %s: %.300s", what, text);
	rocks_late.free(text);
	return true;
}

static uint64_t
buffer_bytes(const struct rocks_params *p)
{
	uint64_t n = p->max_bytes / 64;

	return n < BUFFER_MIN_BYTES   ? BUFFER_MIN_BYTES
	       : n > BUFFER_MAX_BYTES ? BUFFER_MAX_BYTES
				      : n;
}

/* Is there room for what is under way, two buffers, and some to spare? */
static bool
has_room(const char *path, uint64_t spare, struct im_err *err)
{
	uint64_t room;

	if (!rocks_room(path, &room) || room >= spare)
		return true; /* a folder that is not there has errors of its own */
	(void)err_set(err, IM_EIO, "the disk of cache.l2_dir has less than %llu MiB left",
		      (unsigned long long)(spare >> 20));
	return false;
}

static bool
set_options(struct rocks *r, const struct rocks_params *p, struct im_err *err)
{
	rocksdb_options_t *base = rocks_late.options_create();
	unsigned long long buffer = buffer_bytes(p), max = p->max_bytes, ttl_s = p->ttl_ms / 1000;
	char text[1024], *why = NULL;

	/* Frames are compressed already. Blocks, indices and filters share the one bounded cache. */
	(void)snprintf(
	    text, sizeof(text),
	    "create_if_missing=true;compaction_style=kCompactionStyleFIFO;"
	    "compaction_options_fifo={max_table_files_size=%llu;allow_compaction=false};"
	    "ttl=%llu;compression=kNoCompression;write_buffer_size=%llu;"
	    "max_write_buffer_number=2;max_total_wal_size=%llu;max_background_jobs=2;"
	    "max_open_files=-1;keep_log_file_num=2;max_log_file_size=1048576;"
	    "info_log_level=WARN_LEVEL;stats_dump_period_sec=0;"
	    "block_based_table_factory={block_cache=%zu;filter_policy=bloomfilter:10:false;"
	    "cache_index_and_filter_blocks=true}",
	    max, ttl_s, buffer, 2 * buffer, p->memory_bytes);
	r->options = rocks_late.options_create();
	rocks_late.get_options_from_string(base, text, r->options, &why);
	rocks_late.options_destroy(base);
	return !failed(why, "set RocksDB's options", err);
}

static bool
open_db(struct rocks *r, const char *dir, bool *ret_lost, struct im_err *err)
{
	char *why = NULL;

	r->db = rocks_late.open(r->options, dir, &why);
	if (why != NULL && strncmp(why, "Corruption", 10) == 0) {
		*ret_lost = true;
		rocks_late.free(why);
		why = NULL;
		rocks_late.destroy_db(r->options, dir, &why);
		if (failed(why, "empty cache.l2_dir, which is damaged", err))
			return false;
		r->db = rocks_late.open(r->options, dir, &why);
	}
	return !failed(why, "open cache.l2_dir", err);
}

enum im_rc
rocks_open(const struct rocks_params *p, struct rocks **ret, bool *ret_lost, struct im_err *err)
{
	struct rocks *r = calloc(1, sizeof(*r));
	struct stat st;

	*ret_lost = false;
	if (r == NULL || asprintf(&r->current, "%s/CURRENT", p->dir) < 0) {
		free(r);
		return err_set(err, IM_ENOMEM, "no memory for the cache on disk");
	}
	r->spare = 2 * buffer_bytes(p) + SPARE_BYTES;
	(void)mkdir(p->dir, 0700); /* RocksDB says why not */
	if (!has_room(p->dir, r->spare, err) || !set_options(r, p, err) ||
	    !open_db(r, p->dir, ret_lost, err)) {
		rocks_close(r);
		return IM_EIO;
	}
	if (stat(r->current, &st) == 0) {
		r->dev = st.st_dev;
		r->ino = st.st_ino;
	}
	r->read = rocks_late.readoptions_create();
	r->scan = rocks_late.readoptions_create();
	rocks_late.readoptions_set_fill_cache(r->scan, 0);
	r->write = rocks_late.writeoptions_create();
	r->batch = rocks_late.writebatch_create();
	*ret = r;
	return IM_OK;
}

void
rocks_close(struct rocks *r)
{
	if (r == NULL)
		return;
	if (r->purge != NULL)
		rocks_late.iter_destroy(r->purge);
	if (r->batch != NULL)
		rocks_late.writebatch_destroy(r->batch);
	if (r->read != NULL)
		rocks_late.readoptions_destroy(r->read);
	if (r->scan != NULL)
		rocks_late.readoptions_destroy(r->scan);
	if (r->write != NULL)
		rocks_late.writeoptions_destroy(r->write);
	if (r->db != NULL)
		rocks_late.close(r->db);
	if (r->options != NULL)
		rocks_late.options_destroy(r->options);
	buf_done(&r->kept);
	free(r->current);
	free(r);
}

bool
rocks_is_there(const struct rocks *r)
{
	struct stat st;

	return stat(r->current, &st) == 0 && st.st_dev == r->dev && st.st_ino == r->ino;
}

enum im_rc
rocks_get(struct rocks *r, const uint8_t key[CACHE_KEY_BYTES], uint64_t now_us, char **ret_frame,
	  size_t *ret_len, struct im_err *err)
{
	char *why = NULL;
	size_t len = 0;
	char *kept = rocks_late.get(r->db, r->read, (const char *)key, CACHE_KEY_BYTES, &len, &why);

	if (failed(why, "read cache.l2_dir", err))
		return IM_EIO;
	if (kept != NULL &&
	    (len < EXPIRY_BYTES || get_le((const uint8_t *)kept, EXPIRY_BYTES) <= now_us)) {
		rocks_late.free(kept);
		kept = NULL;
	}
	*ret_frame = kept;
	*ret_len = kept != NULL ? len - EXPIRY_BYTES : 0;
	return IM_OK;
}

const uint8_t *
rocks_frame(const char *kept)
{
	return (const uint8_t *)kept + EXPIRY_BYTES;
}

void
rocks_frame_free(char *kept)
{
	if (kept != NULL)
		rocks_late.free(kept);
}

void
rocks_change(struct rocks *r, const uint8_t key[CACHE_KEY_BYTES], uint64_t expires_us,
	     const uint8_t *frame, size_t len)
{
	uint8_t expiry[EXPIRY_BYTES];

	if (frame == NULL) {
		rocks_late.writebatch_delete(r->batch, (const char *)key, CACHE_KEY_BYTES);
		return;
	}
	put_le(expiry, expires_us, EXPIRY_BYTES);
	buf_clear(&r->kept);
	(void)buf_append(&r->kept, expiry, sizeof(expiry));
	(void)buf_append(&r->kept, frame, len);
	if (buf_ok(&r->kept))
		rocks_late.writebatch_put(r->batch, (const char *)key, CACHE_KEY_BYTES,
					  (const char *)r->kept.data, r->kept.len);
}

enum im_rc
rocks_write(struct rocks *r, struct im_err *err)
{
	char *why = NULL;

	if (!has_room(r->current, r->spare, err)) {
		rocks_late.writebatch_clear(r->batch);
		return IM_EIO;
	}
	rocks_late.write(r->db, r->write, r->batch, &why);
	rocks_late.writebatch_clear(r->batch);
	return failed(why, "write cache.l2_dir", err) ? IM_EIO : IM_OK;
}

void
rocks_purge_begin(struct rocks *r)
{
	if (r->purge != NULL)
		rocks_late.iter_destroy(r->purge);
	r->purge = rocks_late.create_iterator(r->db, r->scan);
	rocks_late.iter_seek_to_first(r->purge);
}

/* Is the entry that the iterator is at selected? */
static bool
is_meant(const struct rocks *r, const struct value_selector *sel)
{
	struct value_meta meta;
	size_t len;
	const char *kept = rocks_late.iter_value(r->purge, &len);

	return len > EXPIRY_BYTES &&
	       value_head(rocks_frame(kept), len - EXPIRY_BYTES, &meta) == IM_OK &&
	       value_selected(sel, &meta);
}

enum im_rc
rocks_purge_step(struct rocks *r, const struct value_selector *sel, unsigned max, uint64_t *removed,
		 bool *ret_end, struct im_err *err)
{
	unsigned found = 0;
	char *why = NULL;
	size_t len;

	for (; max > 0 && rocks_late.iter_valid(r->purge); max--) {
		const char *key = rocks_late.iter_key(r->purge, &len);

		if (len == CACHE_KEY_BYTES && is_meant(r, sel)) {
			rocks_late.writebatch_delete(r->batch, key, len);
			found++;
		}
		rocks_late.iter_next(r->purge);
	}
	*ret_end = !rocks_late.iter_valid(r->purge);
	rocks_late.iter_get_error(r->purge, &why);
	if (*ret_end) {
		rocks_late.iter_destroy(r->purge);
		r->purge = NULL;
	}
	if (failed(why, "read cache.l2_dir", err))
		return IM_EIO;
	*removed += found;
	return found > 0 ? rocks_write(r, err) : IM_OK;
}

void
rocks_size(struct rocks *r, struct rocks_size *ret)
{
	uint64_t files = 0, buffers = 0;

	*ret = (struct rocks_size){ 0 };
	(void)rocks_late.property_int(r->db, "rocksdb.estimate-num-keys", &ret->entries);
	(void)rocks_late.property_int(r->db, "rocksdb.total-sst-files-size", &files);
	(void)rocks_late.property_int(r->db, "rocksdb.cur-size-all-mem-tables", &buffers);
	ret->bytes = files + buffers;
}
