/*
 * cache/rocks_late.c - see rocks_late.h.
 */
#include "cache/rocks_late.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

#define SONAME "librocksdb.so.7.8"

struct rocks_late rocks_late;

static enum im_rc
cannot_load(struct im_err *err)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): glibc keeps it for each thread */
	const char *why = dlerror();

	return err_set(
	    err, IM_EUNAVAILABLE,
	    "cache.l2_dir needs RocksDB (Debian's librocksdb7.8), which cannot be loaded: %s",
	    why != NULL ? why : "no reason given");
}

enum im_rc
rocks_late_load(struct im_err *err)
{
#define WHERE(name) { "rocksdb_" #name, (void **)&rocks_late.name },
	static const struct {
		const char *name;
		void **to;
	} all[] = { ROCKS_LATE_FUNCTIONS(WHERE) };
	static bool loaded;
	void *lib;

	if (loaded) /* what has begun already reads the table in threads */
		return IM_OK;
	lib = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL); /* stays: it has threads */

	if (lib == NULL)
		return cannot_load(err);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		*all[i].to = dlsym(lib, all[i].name);
		if (*all[i].to == NULL)
			return cannot_load(err);
	}
	loaded = true;
	return IM_OK;
}
