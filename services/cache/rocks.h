/*
 * cache/rocks.h - frames in a folder, by RocksDB: opened, asked, written, walked over. Everything blocks: for a thread that may (tier_rocks.c).
 * It knows no loop.
 *
 * What is kept under a key is its expiry (u64 little-endian, microseconds since 1970) and the frame. RocksDB's FIFO compaction drops the oldest
 * file when there is more than the bound, and files whose time to live is over; see docs/adr/0012-rocksdb-tier.md.
 */
#ifndef CACHE_ROCKS_H
#define CACHE_ROCKS_H

#include <stdbool.h>

#include "cache/value.h"

struct rocks;

struct rocks_params {
	const char *dir; /* made if it is not there */
	uint64_t max_bytes, ttl_ms;
	size_t
	    memory_bytes; /* blocks of files kept in memory; buffers of writes besides: a 64th of max_bytes, 1 to 32 MiB, twice */
};

/** Open; a folder whose contents are damaged is emptied, it is a cache. '*ret_lost': that was so. IM_OK, or IM_EIO with RocksDB's words, or
 *  because the disk has no room for two buffers and 4 MiB. */
IM_MUST_CHECK enum im_rc rocks_open(const struct rocks_params *params, struct rocks **ret,
				    bool *ret_lost, struct im_err *err);

/** NULL is fine. */
void rocks_close(struct rocks *r);

/** Is its folder still the one that it opened? */
bool rocks_is_there(const struct rocks *r);

/** '*ret_frame' is NULL if there is none, else rocks_frame_free() it. IM_OK or IM_EIO. */
IM_MUST_CHECK enum im_rc rocks_get(struct rocks *r, const uint8_t key[CACHE_KEY_BYTES],
				   uint64_t now_us, char **ret_frame, size_t *ret_len,
				   struct im_err *err);

/** The frame in what rocks_get() gave. */
const uint8_t *rocks_frame(const char *kept);
void rocks_frame_free(char *kept);

/** Gather a change; rocks_write() makes all of them, or none. 'frame' NULL: delete. After IM_EIO, also of a purge, it must be closed: RocksDB
 *  does not stand another write. */
void rocks_change(struct rocks *r, const uint8_t key[CACHE_KEY_BYTES], uint64_t expires_us,
		  const uint8_t *frame, size_t len);
IM_MUST_CHECK enum im_rc rocks_write(struct rocks *r, struct im_err *err);

/** A purge in steps: begin, then step until it says so. One at a time. */
void rocks_purge_begin(struct rocks *r);
/** Look at the next 'max' frames and delete what is selected; '*ret_end': there are no more. IM_OK, or IM_EIO: it has ended. */
IM_MUST_CHECK enum im_rc rocks_purge_step(struct rocks *r, const struct value_selector *sel,
					  unsigned max, uint64_t *removed, bool *ret_end,
					  struct im_err *err);

struct rocks_size {
	uint64_t entries, bytes; /* about; bytes: files and buffers */
};

void rocks_size(struct rocks *r, struct rocks_size *ret);

#endif
