/*
 * cache/cache_rig.h - for tests: the service and a peer on one loop that the test's thread runs itself. Not part of any program.
 */
#ifndef CACHE_CACHE_RIG_H
#define CACHE_CACHE_RIG_H

#include "base/buf.h"
#include "daemon/daemon.h"

extern struct cache_rig {
	struct loop *loop;
	struct config *config;
	struct net *net;
	struct endpoint *dialer;
	struct link *link;
	struct host *host;
	bool ended, failed, closed;
	struct im_err err; /* of the last request that failed */
	struct buf reply;
	struct loop_timer alarm;
} peer;

/** Start the service, with further keys of the section "cache" or "", and connect a peer of this role. */
void cache_rig_start(const char *cache, const char *role);
void cache_rig_stop(void);

/** Ask and wait; 'body' is freed. */
void cache_rig_ask(const char *method, struct buf *body);

/** Let the service live for a moment. */
void cache_rig_pause(unsigned ms);

#endif
