/*
 * base/json_fuzz.c - whatever comes in, the check neither reads too far nor hangs; what it accepts the walker takes apart
 * inside its bounds, and what the writer puts out the check accepts.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(struct json_span value, unsigned depth)
{
	struct json_iter it;
	struct json_span n, v;

	struct arena a = { 0 };

	assert(depth <= 32);
	if (json_type(value) == JSON_STRING) {
		const char *text = json_string(value, &a);

		if (text != NULL && !utf8_valid(text, strlen(text)))
			abort();
		arena_done(&a);
	}
	if (!json_iter_init(&it, value))
		return;
	while (json_iter_next(&it, &n, &v)) {
		assert(v.at >= value.at && v.len > 0 && v.at + v.len < value.at + value.len);
		if (json_check(v.at, v.len, 32, NULL) != IM_OK)
			abort(); /* a piece of valid JSON is valid JSON */
		walk(v, depth + 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_span text = { (const char *)data, size }, v;
	struct buf out = BUF_INIT(0);
	struct im_err err;

	if (json_check(text.at, text.len, 32, &err) == IM_OK) {
		if (!utf8_valid(text.at, text.len))
			abort();
		walk(text, 0);
		(void)json_member(text, "model", &v);
	}
	if (!json_put_string(&out, text.at, text.len))
		abort();
	if (json_check((const char *)out.data, out.len, 1, &err) != IM_OK)
		abort();
	if (utf8_whole_prefix(text.at, text.len) > text.len)
		abort();
	buf_done(&out);
	return 0;
}
