/*
 * inference/local_text.c - stop strings and whole characters; see local_text.h.
 */
#include "inference/local_text.h"

#include <string.h>

#include "base/json.h"

void
local_text_done(struct local_text *t)
{
	if (t != NULL)
		buf_done(&t->held);
}

/* Where the earliest stop string begins in 'held', or its length. */
static size_t
find_stop(const struct local_text *t)
{
	size_t first = t->held.len;

	for (size_t i = 0; i < t->stop_count; i++) {
		size_t len = strlen(t->stops[i]);
		const char *at =
		    len == 0 ? NULL : memmem(t->held.data, t->held.len, t->stops[i], len);

		if (at != NULL && (size_t)(at - (const char *)t->held.data) < first)
			first = (size_t)(at - (const char *)t->held.data);
	}
	return first;
}

/* Where the longest tail of 'held' begins that could become a stop string, or its length. */
static size_t
find_begun(const struct local_text *t)
{
	size_t first = t->held.len;

	for (size_t i = 0; i < t->stop_count; i++) {
		size_t len = strlen(t->stops[i]);
		size_t most = len == 0 ? 0 : len - 1;

		if (most > t->held.len)
			most = t->held.len;
		for (size_t n = most; n > 0 && t->held.len - n < first; n--)
			if (memcmp(t->held.data + t->held.len - n, t->stops[i], n) == 0)
				first = t->held.len - n;
	}
	return first;
}

static bool
give(struct local_text *t, size_t len, struct buf *out)
{
	bool ok = utf8_mend(out, (const char *)t->held.data, len);

	buf_consume(&t->held, len);
	t->given += len;
	return ok;
}

bool
local_text_push(struct local_text *t, const char *bytes, size_t len, struct buf *out)
{
	size_t stop;

	if (t->stopped || len == 0)
		return true;
	if (!buf_append(&t->held, bytes, len))
		return false;
	stop = find_stop(t);
	if (stop < t->held.len) {
		t->stopped = true;
		return give(t, stop, out);
	}
	return give(t, utf8_whole_prefix((const char *)t->held.data, find_begun(t)), out);
}

bool
local_text_finish(struct local_text *t, struct buf *out)
{
	return t->stopped || t->held.len == 0 || give(t, t->held.len, out);
}
