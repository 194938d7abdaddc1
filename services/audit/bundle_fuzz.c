/*
 * audit/bundle_fuzz.c - any bytes as an entry bundle and as a tile's path.
 */
#include <stdlib.h>
#include <string.h>

#include "audit/tile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bundle_iter it = { data, size };
	struct buf again = BUF_INIT(0);
	const uint8_t *entry;
	char path[TILE_PATH_MAX], *text;
	uint64_t count = 0;
	struct tile t;
	size_t len;

	while (bundle_next(&it, &entry, &len)) {
		(void)bundle_put(&again, entry, len);
		count++;
	}
	/* What was read as entries is what their bundle would be. */
	if (again.len != size - it.left ||
	    (again.len > 0 && memcmp(again.data, data, again.len) != 0) ||
	    bundle_check(data, size, count) != (it.left == 0))
		abort();
	buf_done(&again);
	text = malloc(size + 1);
	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (tile_path_parse(text, &t)) { /* every path has one spelling */
		tile_path(&t, path);
		if (strcmp(path, text) != 0)
			abort();
	}
	free(text);
	return 0;
}
