/*
 * inference/sse_fuzz.c - any bytes as an event stream. The first byte says how they are cut; the events must not depend on it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inference/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum im_rc
gather(void *user, const char *data, size_t len, struct im_err *err)
{
	struct buf *b = user;

	if (len == 0)
		abort();
	if (!buf_append(b, data, len) || !buf_append_byte(b, '\0'))
		return err_set(err, IM_ENOMEM, "memory");
	return IM_OK;
}

static enum im_rc
read_all(const char *bytes, size_t len, size_t step, struct buf *out)
{
	enum im_rc rc = IM_OK;
	struct sse s;

	sse_init(&s, 256);
	for (size_t at = 0; at < len && rc == IM_OK; at += step)
		rc = sse_feed(&s, bytes + at, step < len - at ? step : len - at, gather, out, NULL);
	if (rc == IM_OK)
		rc = sse_end(&s, NULL);
	sse_done(&s);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = { 0 }, cut = { 0 };
	enum im_rc a, b;

	if (size < 1)
		return 0;
	a = read_all((const char *)data + 1, size - 1, size, &whole);
	b = read_all((const char *)data + 1, size - 1, data[0] % 16u + 1, &cut);
	if (a != b || whole.len != cut.len ||
	    (whole.len > 0 && memcmp(whole.data, cut.data, whole.len) != 0))
		abort();
	buf_done(&whole);
	buf_done(&cut);
	return 0;
}
