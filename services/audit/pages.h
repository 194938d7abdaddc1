/*
 * audit/pages.h - audit.serve: the published part of the log folder by HTTP, as any static web server would serve it, with the
 * partial tiles that were replaced meanwhile. Read only; whoever reaches the address may read. Files are read on a thread of
 * its own, so a cold disk delays no acknowledgement. Source: https://c2sp.org/tlog-tiles
 */
#ifndef AUDIT_PAGES_H
#define AUDIT_PAGES_H

#include "base/err.h"
#include "base/loop.h"

#define PAGES_CONNECTIONS 256 /* each has one request at a time */

struct pages;

struct pages_stats {
	uint64_t served, missing, refused, failed; /* answers with 200; 404; 4xx; 5xx */
};

/** Serve the folder 'dir' (copied) at 'listen' (as http_params.listen). On the loop. IM_EINVAL, IM_EEXIST (address in use),
 *  IM_EIO, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc pages_open(struct loop *loop, const char *listen, const char *dir,
				    struct pages **ret, struct im_err *err);

/** Where, with the real port. Valid until pages_close(). */
const char *pages_address(const struct pages *p);

/** On the loop. */
void pages_stats(const struct pages *p, struct pages_stats *ret);

/** Close everything and end the thread; waits for the one file that it may be reading. On the loop; NULL is fine. */
void pages_close(struct pages *p);

#endif
