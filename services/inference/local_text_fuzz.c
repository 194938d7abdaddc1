/*
 * inference/local_text_fuzz.c - whatever a model says, however it is cut: what comes out is UTF-8 and holds no stop string.
 * Input: length of a stop string, the stop string, then tokens, each with its length before it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "inference/local_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	struct buf out = BUF_INIT(0);
	char stop[16] = "";
	const char *stops[] = { stop };
	struct local_text t = { .stops = stops, .stop_count = 1 };
	size_t n;

	if (size == 0)
		return 0;
	n = *data++ % sizeof(stop);
	if (n > (size_t)(end - data))
		n = (size_t)(end - data);
	for (size_t i = 0; i < n; i++) /* stop strings are valid UTF-8, so ASCII will do */
		stop[i] = (char)(data[i] % 127 + 1);
	data += n;
	while (data < end) {
		n = *data++ % 8;
		if (n > (size_t)(end - data))
			n = (size_t)(end - data);
		if (!local_text_push(&t, (const char *)data, n, &out))
			abort();
		data += n;
	}
	if (!local_text_finish(&t, &out) || !utf8_valid((const char *)out.data, out.len))
		abort();
	if (stop[0] != '\0' && strstr(buf_cstr(&out), stop) != NULL)
		abort();
	buf_done(&out);
	local_text_done(&t);
	return 0;
}
