/*
 * cache/redis_slots.h - what a cluster of Redis says of where a key is: the slot of a key, redirections, the table of slots. Pure but
 * for hiredis' structs. Nothing of a reply is believed.
 *
 * Source: https://redis.io/docs/reference/cluster-spec (also Valkey's): CRC16 (XMODEM) of the key modulo 16384, or of what stands
 * between the first '{' and the next '}'.
 */
#ifndef CACHE_REDIS_SLOTS_H
#define CACHE_REDIS_SLOTS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#define REDIS_SLOTS    16384
#define REDIS_HOST_MAX 256

struct redis_place {
	char host[REDIS_HOST_MAX]; /* "": the host of who said it */
	int port;
};

enum redis_redirection {
	REDIS_STAYS, /* no redirection */
	REDIS_MOVED, /* for good: the table is out of date */
	REDIS_ASK,   /* this once, with ASKING before it */
};

uint16_t redis_slot(const char *key, size_t len);

/** What an error reply says: "MOVED 3999 127.0.0.1:6381", "ASK …". */
enum redis_redirection redis_redirection_read(const redisReply *reply, uint16_t *ret_slot,
					      struct redis_place *ret);

/** Call 'fn' for each range of slots of the reply to CLUSTER SLOTS, with its primary. False: it is no such reply; 'fn' may have been
 *  called for what stands before the fault. */
bool redis_slots_read(const redisReply *reply,
		      void (*fn)(void *arg, uint16_t first, uint16_t last,
				 const struct redis_place *primary),
		      void *arg);

#endif
