/*
 * cache/redis_reply_fuzz.c - what a Redis may send us: hiredis' reader with our bound on it, then the readers of redirections, tables and entries.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache/entry_redis_reply.h"
#include "cache/redis_slots.h"
#include "daemon/redis_loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_range(void *arg, uint16_t first, uint16_t last, const struct redis_place *primary)
{
	unsigned *slots = arg;

	if (first > last || last >= REDIS_SLOTS || strlen(primary->host) >= REDIS_HOST_MAX)
		abort();
	*slots += last - first + 1U;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	redisCallback due = { 0 };
	redisAsyncContext ac = { 0 };
	redisReader *reader = redisReaderCreate();
	struct redis_place place;
	struct entry_answer entry;
	unsigned slots = 0;
	uint16_t slot;
	void *reply = NULL, *bound = NULL;

	ac.replies.head = &due; /* one answer is due at any time */
	if (reader == NULL || !redis_loop_bound(reader, &ac, 65536, &bound))
		abort();
	if (redisReaderFeed(reader, (const char *)data, size) == REDIS_OK) {
		while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
			if (redis_redirection_read(reply, &slot, &place) != REDIS_STAYS &&
			    (slot >= REDIS_SLOTS || place.port <= 0 || place.port > 65535))
				abort();
			(void)redis_slots_read(reply, on_range, &slots);
			if (entry_redis_read(ENTRY_GET, reply, &entry, NULL) == IM_OK &&
			    (entry.left_ms > ENTRY_TTL_MAX_MS ||
			     (entry.version == 0) != (entry.left_ms == 0)))
				abort();
			freeReplyObject(reply);
			reply = NULL;
		}
	}
	redisReaderFree(reader);
	free(bound);
	return 0;
}
