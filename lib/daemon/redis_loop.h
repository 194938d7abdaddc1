/*
 * daemon/redis_loop.h - hiredis' asynchronous connection on our loop. Knows no command. hiredis has no timeouts: who uses this
 * has (redis_link.h). What the other side sends is bounded here, which hiredis does not do either: one reply takes 'reply_bytes'
 * of memory at most, and an answer that nobody asked for ends the connection, where hiredis would end the process.
 *
 * Commands of one turn of the loop are written together at its end.
 */
#ifndef DAEMON_REDIS_LOOP_H
#define DAEMON_REDIS_LOOP_H

#include <hiredis/async.h>

#include "base/loop.h"

/** Let 'loop' serve 'ac'. It watches the descriptor until hiredis frees the connection. On the loop. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc redis_loop_attach(redisAsyncContext *ac, struct loop *loop,
					   size_t reply_bytes, struct im_err *err);

/** For tests: make 'reader' keep the bound. 'ac': whose answers they are. Free '*ret' after the reader. False: no memory. */
bool redis_loop_bound(redisReader *reader, const redisAsyncContext *ac, size_t reply_bytes,
		      void **ret);

#endif
