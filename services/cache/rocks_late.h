/*
 * cache/rocks_late.h - RocksDB's C API, loaded when a folder for it is configured: with the libraries that it brings along it takes 12 MiB of
 * memory, which a cache without it need not have.
 */
#ifndef CACHE_ROCKS_LATE_H
#define CACHE_ROCKS_LATE_H

#include <rocksdb/c.h>

#include "base/err.h"

/* Names without "rocksdb_", as used below. */
#define ROCKS_LATE_FUNCTIONS(X)                                                                    \
	X(options_create)                                                                          \
	X(options_destroy)                                                                         \
	X(get_options_from_string)                                                                 \
	X(open)                                                                                    \
	X(close)                                                                                   \
	X(destroy_db)                                                                              \
	X(readoptions_create)                                                                      \
	X(readoptions_destroy)                                                                     \
	X(readoptions_set_fill_cache)                                                              \
	X(writeoptions_create)                                                                     \
	X(writeoptions_destroy)                                                                    \
	X(writeoptions_set_sync)                                                                   \
	X(get)                                                                                     \
	X(writebatch_create)                                                                       \
	X(writebatch_destroy)                                                                      \
	X(writebatch_clear)                                                                        \
	X(writebatch_put)                                                                          \
	X(writebatch_delete)                                                                       \
	X(write)                                                                                   \
	X(create_iterator)                                                                         \
	X(iter_destroy)                                                                            \
	X(iter_seek_to_first)                                                                      \
	X(iter_valid)                                                                              \
	X(iter_next)                                                                               \
	X(iter_key)                                                                                \
	X(iter_value)                                                                              \
	X(iter_get_error)                                                                          \
	X(property_int)                                                                            \
	X(free)

#define ROCKS_LATE_POINTER(name) __typeof__(rocksdb_##name) *name;

/* rocks_late.get() is rocksdb_get(), after rocks_late_load(). */
extern struct rocks_late {
	ROCKS_LATE_FUNCTIONS(ROCKS_LATE_POINTER)
} rocks_late;

/** Load it, unless it is loaded already. From one thread, before those that use it. IM_OK; IM_EUNAVAILABLE: says what is missing. */
IM_MUST_CHECK enum im_rc rocks_late_load(struct im_err *err);

#endif
