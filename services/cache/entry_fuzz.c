/*
 * cache/entry_fuzz.c - what a peer may ask of the store of entries, done in a map, and what a home may hold, on arbitrary bytes. The first byte is the length of the name.
 */
#include <string.h>

#include "cache/entry_batch.h"
#include "cache/entry_map.h"
#include "cache/entry_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
kept(const uint8_t *data, size_t size)
{
	size_t name_len = data[0] < size ? data[0] : size - 1;
	const uint8_t *name = data + 1, *rest = name + name_len;
	size_t len = size - 1 - name_len;
	uint64_t expires_us, version;
	struct wire_bytes value;
	char head[ENTRY_RECORD_HEAD + 1];

	if (!entry_kept_read(name, name_len, rest, len, &expires_us, &version, &value))
		return;
	entry_record_head(version, head);
	if (value.len + ENTRY_KEPT_EXPIRY + ENTRY_RECORD_HEAD != len ||
	    memcmp(head, rest + ENTRY_KEPT_EXPIRY, ENTRY_RECORD_HEAD) != 0)
		__builtin_trap();
}

static void
asked(const uint8_t *data, size_t size)
{
	const struct entry_map_params params = { 20000, 1000, 1 };
	struct entry_map *map;
	struct entry_ask ask;
	struct entry_done done;
	struct arena arena = { .max_bytes = (size_t)1 << 20 };
	uint64_t now_us = 1;

	if (entry_map_new(&params, &map, NULL) != IM_OK)
		return;
	for (unsigned i = 0; i < 3 * ENTRY_OPS; i++, now_us += 1000) {
		enum entry_op op = (enum entry_op)(i % ENTRY_OPS);

		if (entry_ask_decode(op, data, size, &arena, &ask, NULL) != IM_OK)
			continue;
		if (entry_map_do(map, &ask, now_us, &done, NULL) != IM_OK)
			continue;
		if (entry_map_bytes(map) > params.max_bytes || (done.done && op == ENTRY_GET) ||
		    (done.entry != NULL && done.entry->version == 0))
			__builtin_trap();
	}
	entry_map_free(map);
	arena_done(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0)
		kept(data, size);
	asked(data, size);
	return 0;
}
