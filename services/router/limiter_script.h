/*
 * router/limiter_script.h - a question about one name's buckets as a command for Redis, and its reply. Pure but for hiredis' structs.
 *
 * A name's buckets are one hash, infermesh:limit:SCOPE[:NAME], with the levels in grains and Redis' own time; it expires when
 * the buckets would be full, so idle names cost nothing.
 */
#ifndef ROUTER_LIMITER_SCRIPT_H
#define ROUTER_LIMITER_SCRIPT_H

#include <hiredis/hiredis.h>

#include "router/limiter.h"

#define LIMITER_SCRIPT_ARGS 12
#define LIMITER_SHA_LEN     40

extern const char limiter_script[];

/* argc, argv, argvlen of a command, and what they point to. Must not move. */
struct limiter_command {
	const char *argv[LIMITER_SCRIPT_ARGS];
	size_t len[LIMITER_SCRIPT_ARGS];
	char key[24 + 8 + 256 + 8];
	char numbers[8][24];
};

/** The command that asks e->question. 'sha': the script is loaded and has this name; NULL: the script comes with it. */
void limiter_command_make(const struct limit_entry *e, const char *sha,
			  struct limiter_command *ret);

/** False: the reply is not what the script says. */
bool limiter_reply_read(const redisReply *reply, int64_t granted[LIMIT_KINDS],
			int64_t level[LIMIT_KINDS]);

#endif
