/*
 * net/resolve.h - the address of a host's name without holding up a loop: the resolver of libc blocks, so it runs in a thread of
 * its own. For those whose library would look it up where they call it.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "base/err.h"
#include "base/loop.h"

#define RESOLVE_IP_MAX 46 /* INET6_ADDRSTRLEN */

struct resolve;

/** 'ip' is "192.0.2.1" or "2001:db8::1"; NULL: 'why' says why not. */
typedef void (*resolve_fn)(void *arg, const char *ip, const struct im_err *why);

/** Look 'host' up; it may be an address already, also in brackets. Of n addresses the one of number 'attempt' modulo n is told, so
 *  that who counts his attempts comes to all of them: localhost is ::1 too, where perhaps nobody listens. 'fn' is called on the loop, never inside this call, unless
 *  resolve_cancel() comes before; '*ret' is gone then. On the loop. IM_OK or IM_ENOMEM (no thread or memory). */
IM_MUST_CHECK enum im_rc resolve_start(struct loop *loop, const char *host, uint32_t attempt,
				       resolve_fn fn, void *arg, struct resolve **ret,
				       struct im_err *err);

/** Forget it, without waiting. On the loop. NULL is fine. */
void resolve_cancel(struct resolve *r);

#endif
