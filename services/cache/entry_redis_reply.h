/*
 * cache/entry_redis_reply.h - the script that does an operation in Redis, and what it replies. Pure but for hiredis' structs. Nothing of a reply is believed.
 */
#ifndef CACHE_ENTRY_REDIS_REPLY_H
#define CACHE_ENTRY_REDIS_REPLY_H

#include <hiredis/hiredis.h>

#include "wire/entry.h"

/* KEYS: its key. ARGV: operation (0 to 4, enum entry_op), value, time to live in ms, version (20 digits), largest value in bytes. */
extern const char entry_redis_script[];

#define ENTRY_REDIS_TOO_BIG                                                                        \
	"TOOBIG" /* an error reply begins with it: the value, nothing was done */

/** '*ret' points into 'reply'; home and durable are the caller's. IM_OK; IM_ETOOBIG; IM_ELIMIT: Redis is full, nothing was done; IM_EUNAVAILABLE: what else Redis
 *  says, or it is no such reply. */
IM_MUST_CHECK enum im_rc entry_redis_read(enum entry_op op, const redisReply *reply,
					  struct entry_answer *ret, struct im_err *err);

#endif
