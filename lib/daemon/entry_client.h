/*
 * daemon/entry_client.h - entries of the cache daemons for a service that keeps something there: sessions, limits. Finds the daemon that a name
 * belongs to, asks, gives the answer back. What an operation does and what an error leaves open: proto/infermesh/v1/cache.proto.
 *
 * Never repeats anything by itself: a change whose answer is lost may have been made. Threads: on the loop.
 */
#ifndef DAEMON_ENTRY_CLIENT_H
#define DAEMON_ENTRY_CLIENT_H

#include "daemon/cache_homes.h"
#include "daemon/daemon.h"
#include "wire/entry.h"

struct entry_client;
struct entry_request;

/** 'err' NULL: done as 'answer' says, which is valid inside. */
typedef void (*entry_client_fn)(void *arg, const struct im_err *err,
				const struct entry_answer *answer);

/** Begin to dial every daemon of cache.addresses. 'env' may go, what it points to stays as long. IM_OK, IM_EUNAVAILABLE (cache.addresses is
 *  off) or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc entry_client_new(const struct service_env *env, struct entry_client **ret,
					  struct im_err *err);

/** Give up every request, without a word; links close by and by. Not inside a callback of it. NULL is fine. */
void entry_client_free(struct entry_client *c);

/** Ask. 'fn' once, never inside this, at the latest after 'budget_ms' (above 0). Else nothing was sent: IM_EINVAL names the field of 'ask' that is wrong,
 *  IM_EUNAVAILABLE: its daemon is not reached; further as call_start(). 'ret' may be NULL. */
IM_MUST_CHECK enum im_rc entry_client_ask(struct entry_client *c, const struct entry_ask *ask,
					  uint32_t budget_ms, entry_client_fn fn, void *arg,
					  struct entry_request **ret, struct im_err *err);

/** 'fn' will not be called. What was asked may be done all the same. */
void entry_client_cancel(struct entry_request *r);

/** Where a name belongs: what cache_homes_find() is asked for. False: no memory. */
bool entry_client_key(const struct entry_ask *ask, uint8_t ret[CACHE_HOMES_KEY_BYTES]);

#endif
