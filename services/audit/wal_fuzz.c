/*
 * audit/wal_fuzz.c - any bytes as a frame of the write-ahead log. A second look mends the checksums first, so that what lies
 * behind them is reached too.
 */
#include <stdlib.h>
#include <string.h>

#include "audit/wal_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
put_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void
decode(const uint8_t *data, size_t size)
{
	struct buf again = BUF_INIT(0);
	struct wal_frame f;

	if (wal_frame_get(data, size, &f, NULL) != IM_OK)
		return;
	if (!wal_frame_put(&again, &f) || again.len != size || memcmp(again.data, data, size) != 0)
		abort();
	buf_done(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	decode(data, size);
	copy = malloc(size + 1);
	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	if (size >= WAL_HEADER_BYTES + WAL_TRAILER_BYTES) {
		memcpy(copy, WAL_MAGIC, 8);
		put_u32(copy + 40, wal_crc32c(0, copy, 40));
		put_u32(copy + size - 4, wal_crc32c(0, copy, size - 4));
		decode(copy, size);
	}
	free(copy);
	return 0;
}
