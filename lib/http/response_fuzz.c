/*
 * http/response_fuzz.c - arbitrary bytes as an upstream's answer. Beside crashes it looks for a reading that depends on how the bytes are
 * cut: the same bytes whole and in pieces must give the same body and the same end.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/response_reader.h"

struct outcome {
	struct http_response head;
	char type[32];
	struct buf body;
	enum response_event ev;
	bool eof;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_head(void *user, const struct http_response *head, const uint8_t *bytes, size_t len)
{
	struct outcome *o = user;

	o->head = *head;
	(void)http_response_field(bytes, len, "content-type", o->type, sizeof(o->type));
}

static bool
on_body(void *user, const uint8_t *bytes, size_t len)
{
	struct outcome *o = user;

	return buf_append(&o->body, bytes, len);
}

static void
read_all(const uint8_t *data, size_t size, size_t step, struct outcome *o)
{
	static const struct response_ops ops = { .head = on_head, .body = on_body };
	struct response_reader r = { 0 };
	struct buf scratch = { 0 };

	o->ev = RESPONSE_MORE;
	for (size_t at = 0; at < size && o->ev == RESPONSE_MORE; at += step) {
		size_t n = size - at < step ? size - at : step, used = 0;
		uint8_t *piece = malloc(n);

		assert(piece != NULL);
		memcpy(piece, data + at, n);
		o->ev = http_response_feed(&r, piece, n, &scratch, &ops, o, &used);
		assert(used <= n);
		free(piece);
	}
	o->eof = http_response_eof(&r);
	http_response_reset(&r);
	buf_done(&scratch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = { 0 }, cut = { 0 };

	if (size == 0)
		return 0;
	read_all(data, size, size, &whole);
	read_all(data, size, 1 + data[size - 1] % 7, &cut);
	assert(whole.ev == cut.ev && whole.eof == cut.eof && whole.body.len == cut.body.len);
	assert(whole.body.len == 0 || memcmp(whole.body.data, cut.body.data, cut.body.len) == 0);
	assert(whole.head.status == cut.head.status && whole.head.keep == cut.head.keep &&
	       strcmp(whole.type, cut.type) == 0);
	buf_done(&whole.body);
	buf_done(&cut.body);
	return 0;
}
