/*
 * wire/wire_fuzz.c - every message decoder. The first byte chooses the message. What decodes must encode to something that
 * decodes to the same bytes again. And what is coded by hand, our unpacker and protobuf-c take the same bytes, as the same, where wire.h
 * and plain_event.h do not say otherwise.
 */
#include <stdlib.h>
#include <string.h>

#include "wire/plain_agrees.h"
#include "wire/unpack_agrees.h"
#include "wire/wire_samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct buf once = { 0 }, twice = { 0 };
	const struct wire_sample *s;

	if (size == 0)
		return 0;
	s = &wire_samples[data[0] % wire_samples_len];
	if (!unpack_agrees(data[0] % unpack_types, data + 1, size - 1, NULL) ||
	    !plain_events_agree(data + 1, size - 1, NULL) ||
	    !plain_frame_agrees(data + 1, size - 1, NULL))
		abort();
	arena_init(&arena, 16UL * 1024 * 1024);
	if (s->recode(data + 1, size - 1, &arena, &once, NULL) == IM_OK && buf_ok(&once)) {
		if (s->recode(once.data, once.len, &arena, &twice, NULL) == IM_OK &&
		    (once.len != twice.len ||
		     (once.len > 0 && memcmp(once.data, twice.data, once.len) != 0)))
			abort();
	}
	buf_done(&once);
	buf_done(&twice);
	arena_done(&arena);
	return 0;
}
