/*
 * router/redis_loop.h - hiredis' asynchronous connection on our loop. Knows no command. hiredis has no timeouts: who uses this has.
 */
#ifndef ROUTER_REDIS_LOOP_H
#define ROUTER_REDIS_LOOP_H

#include <hiredis/async.h>

#include "base/loop.h"

/** Let 'loop' serve 'ac'. It watches the descriptor until hiredis frees the connection. On the loop. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc redis_loop_attach(redisAsyncContext *ac, struct loop *loop,
					   struct im_err *err);

#endif
