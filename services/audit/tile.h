/*
 * audit/tile.h - how the tree and its entries are cut into files: names, widths, bundles (C2SP tlog-tiles), and the right
 * edge of the tree from which tiles are written. Never touches a file.
 */
#ifndef AUDIT_TILE_H
#define AUDIT_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/tlog.h"
#include "base/buf.h"
#include "base/err.h"

#define TILE_WIDTH       256
#define TILE_BYTES       (TILE_WIDTH * HASH_BYTES)
#define TILE_LEVELS      8  /* enough for 2^64 entries */
#define TILE_LEVEL_MAX   63 /* that a path may name */
#define TILE_ENTRIES     (-1)
#define TILE_PATH_MAX    64
#define BUNDLE_ENTRY_MAX 65535
#define BUNDLE_MAX_BYTES ((size_t)TILE_WIDTH * (2 + BUNDLE_ENTRY_MAX))

struct tile {
	int level;      /* 0..63, or TILE_ENTRIES for a bundle of entries */
	unsigned width; /* 1..256; 256 = full */
	uint64_t n;
};

/** "tile/0/x001/234.p/7". */
void tile_path(const struct tile *t, char ret_path[TILE_PATH_MAX]);

/** The reverse, strictly: every path has one spelling. False for anything else. */
bool tile_path_parse(const char *path, struct tile *ret);

/** Hashes on 'level' (TILE_ENTRIES: entries) of a tree of 'size'. */
uint64_t tile_level_count(uint64_t size, int level);

/** Width of tile 'n' on 'level' in a tree of 'size'; 0 = there is none. */
unsigned tile_width(uint64_t size, int level, uint64_t n);

/** Append one entry of at most BUNDLE_ENTRY_MAX bytes (our bug otherwise). False when the buffer failed. */
bool bundle_put(struct buf *b, const void *entry, size_t len);

/* Walks the entries of a bundle. */
struct bundle_iter {
	const uint8_t *at;
	size_t left;
};

/** Next entry, which points into the bundle. False at the end, and where the bytes are cut off: then left > 0. */
bool bundle_next(struct bundle_iter *it, const uint8_t **ret_entry, size_t *ret_len);

/** True if the bytes are exactly 'count' entries. */
bool bundle_check(const uint8_t *data, size_t len, uint64_t count);

/** The leaf hashes of its first entries, at most 'count'. Returns how many there were. */
size_t bundle_leaves(struct hasher *h, const uint8_t *data, size_t len, size_t count,
		     struct hash *ret);

/* The tiles at the right edge of the tree, one a level: all that is needed to go on writing. Zero-initialised is the edge
 * of the empty tree. About 66 KiB. */
struct tile_edge {
	struct tlog_range range;
	struct {
		uint64_t n;
		unsigned count; /* < TILE_WIDTH between calls */
		struct hash hash[TILE_WIDTH];
	} level[TILE_LEVELS];
};

/* A tile became full; 'hash' are its TILE_WIDTH hashes, valid inside the callback. */
typedef void (*tile_full_fn)(void *user, int level, uint64_t n, const struct hash *hash);

void tile_edge_add(struct tile_edge *e, struct hasher *h, const struct hash *leaf, tile_full_fn fn,
		   void *user);

/**
 * Put the edge of a tree of 'size' together again. 'read' delivers the tile (exactly t->width hashes). The range is
 * computed from the tiles; the caller compares its root. Returns what 'read' returned.
 */
typedef enum im_rc (*tile_read_fn)(void *user, const struct tile *t, struct hash *ret_hashes,
				   struct im_err *err);
IM_MUST_CHECK enum im_rc tile_edge_load(struct tile_edge *e, struct hasher *h, uint64_t size,
					tile_read_fn read, void *user, struct im_err *err);

#endif
