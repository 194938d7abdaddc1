/*
 * daemon/curl_late.c - see curl_late.h.
 */
#include "daemon/curl_late.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define SONAME "libcurl.so.4"

struct curl_late curl_late;

static enum im_rc
cannot_load(struct im_err *err)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): glibc keeps it for each thread */
	const char *why = dlerror();

	return err_set(
	    err, IM_EUNAVAILABLE,
	    "libcurl is needed (for audit.witnesses, cache.l3 or an upstream) and cannot be loaded: %s",
	    why != NULL ? why : "no reason given");
}

static enum im_rc
load(struct im_err *err)
{
#define WHERE(name) { "curl_" #name, (void **)&curl_late.name },
	static const struct {
		const char *name;
		void **to;
	} all[] = { CURL_LATE_FUNCTIONS(WHERE) };
	void *lib = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL); /* stays: it may have threads */

	if (lib == NULL)
		return cannot_load(err);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		*all[i].to = dlsym(lib, all[i].name);
		if (*all[i].to == NULL)
			return cannot_load(err);
	}
	return IM_OK;
}

enum im_rc
curl_late_load(struct im_err *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool loaded;
	enum im_rc rc = IM_OK;

	(void)pthread_mutex_lock(&lock);
	if (!loaded)
		rc = load(err);
	loaded = rc == IM_OK;
	(void)pthread_mutex_unlock(&lock);
	return rc;
}
